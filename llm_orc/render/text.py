"""The result itself, as text or markdown; with streaming, the final agent's tokens as they come."""

from typing import TYPE_CHECKING

from llm_orc.domain.event import Delta, Happening
from llm_orc.domain.run import Run
from llm_orc.render.formats import Paper

if TYPE_CHECKING:
    from llm_orc.domain.plan import Plan


def final_node(plan: "Plan") -> str:
    """The id of the one node whose reply is the result; empty where the result is made of several."""
    name = plan.final
    if name is None or plan.agents[name].agent.fan_out:
        return ""
    child = plan.agents[name].child
    if child is None:
        return name
    below = final_node(child)
    return below and f"{name}/{below}"


class Text:
    """The result verbatim, ended by a newline; nothing where there is no result."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper
        self._final = final_node(paper.plan) if paper.stream and paper.plan else ""
        self._pieces: list[str] = []
        self.cut = False

    def tell(self, event: Happening) -> None:
        """Write the tokens of the final agent."""
        if self._final and isinstance(event, Delta) and event.node == self._final and not event.thinking:
            self._pieces.append(event.text)
            self._paper.put(event.text)

    def close(self, run: Run) -> None:
        """Write what is not written yet; where the final agent failed after its first token, nothing more than the newline."""
        out = "".join(self._pieces)
        self.cut = bool(out) and run.nodes[self._final].status != "succeeded"
        rest = run.result[len(out) :] if run.result.startswith(out) and not self.cut else ""
        if out + rest and not (out + rest).endswith("\n"):
            rest += "\n"
        if rest:
            self._paper.put(rest)
