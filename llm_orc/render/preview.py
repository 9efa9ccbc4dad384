"""What an agent will be sent, with placeholders for what is not known before the run."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llm_orc.domain.ensemble import CommandAgent, ScriptAgent
from llm_orc.domain.message import FailedError, Outcome, Reply
from llm_orc.domain.plan import Plan, PlannedAgent
from llm_orc.domain.prompt import default_prompt
from llm_orc.domain.said import Scope, identifier, said


class Unknown:
    """A value that the run will bring: prints as `<facts.json.files>`, and so do its parts."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __str__(self) -> str:
        return f"<{self._path}>"

    def __getattr__(self, name: str) -> "Unknown":
        return Unknown(f"{self._path}.{name}")

    def __getitem__(self, key: object) -> "Unknown":
        return Unknown(f"{self._path}[{key}]")

    def __iter__(self) -> Iterator["Unknown"]:
        return iter((Unknown(f"each of {self._path}"),))


@dataclass(frozen=True, slots=True)
class Foreseen(Scope):
    """The names of a template before the run."""

    each: str = ""
    """What a fan-out makes a child of: an item or a profile."""

    def names(self) -> dict[str, Any]:
        """As in the run, but with unknown replies."""
        names = {**Scope.names(self), "agents": {identifier(name): Unknown(name) for name in self.outcomes}}
        return names | ({"item": Unknown(self.each), "index": Unknown("index")} if self.each else {})


def preview(planned: PlannedAgent, plan: Plan, input: str | None = None) -> str | None:
    """What this agent will be sent; its template where that depends on too much; None for a script, which is sent a JSON object."""
    agent, template = planned.agent, planned.prompt
    if isinstance(agent, ScriptAgent):
        return None
    text = input or plan.ensemble.default_task or "<input>"
    each = "" if not agent.fan_out else "profile" if planned.compares else "item"
    own = "<item>" if each == "item" else text
    replies = {name: Outcome("succeeded", Reply(str(Unknown(name)))) for name in planned.depends_on}
    if template is not None and template.tagged:
        try:
            return template.render(Foreseen(text, plan.variables, {**plan.missing, **replies}, each=each))
        except FailedError:
            return template.text
    if agent.input_key and agent.fan_out is not True:
        first = planned.depends_on[0]
        replies[first] = Outcome("succeeded", Reply(str(Unknown(f"{first}.json.{agent.input_key}"))))
        if template is None and agent.body != "model":
            return replies[first].text
    if template is None and isinstance(agent, CommandAgent):
        return own
    listed = planned.listed_by if agent.fan_out else frozenset()
    whole = default_prompt(own, (said(name, reply) for name, reply in replies.items() if name not in listed))
    return "\n\n".join(filter(None, (template.text if template else "", whole)))
