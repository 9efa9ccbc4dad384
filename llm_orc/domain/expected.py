"""How many children a fan-out will have, and how long the longest item is, as far as that is known before the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from llm_orc.domain.fan_out import FanOut
from llm_orc.domain.findings import findings_of, grouped_by
from llm_orc.domain.length import Many
from llm_orc.domain.message import FailedError
from llm_orc.domain.plan import Plan, PlannedAgent
from llm_orc.domain.said import Scope, identifier, text_of
from llm_orc.domain.split import Pieces, grouped, item_of
from llm_orc.domain.tree import Tree, names_of

UNKNOWN = Many(inf, inf)


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a plan on an input when an agent's turn comes to be looked at."""

    plan: Plan
    input: str | None
    """Where it is known."""
    length: float
    """Bytes that the input is not above."""
    replies: Mapping[str, float]
    """Bytes that an agent's reply is not above where it is read."""
    gathered: Mapping[str, Many]
    """Of a fan-out: its children's replies."""
    tree: Tree | None = None

    def items(self, planned: PlannedAgent) -> Many:
        """Of this fan-out; infinite where it is not known."""
        fan_out = planned.agent.fan_out
        try:
            match fan_out.source if isinstance(fan_out, FanOut) else "":
                case "profiles":
                    return Many(len(planned.variants), max(len(variant.name) for variant in planned.variants))
                case "chunks":
                    return self._chunks(planned)
                case "files":
                    return self._files(planned)
                case "errors":
                    return self._findings(planned)
                case _:
                    return self._listed(planned)
        except FailedError:  # told when it is run
            return UNKNOWN

    def _listed(self, planned: PlannedAgent) -> Many:
        if source := self._source(planned):
            return self.gathered.get(source) or Many(inf, self.replies[source])
        return _many(self._value(planned))

    def _chunks(self, planned: PlannedAgent) -> Many:
        measure = _of(planned).measure
        if source := self._source(planned):
            number, largest = self.gathered[source]
            return Many(number, max(measure.bytes, largest))
        value = self._value(planned)
        if isinstance(value, Sequence) and not isinstance(value, str):
            return _many([item_of(group) for group in grouped(value, measure)])
        if value is not None:
            return _many(Pieces(text_of(value), measure))
        named = planned.items.plain[1] if planned.items and planned.items.plain and len(planned.items.plain) == 3 else ""
        agents = {f"agents.{identifier(name)}": length for name, length in self.replies.items()}
        length = self.length if named == "input" else agents.get(named.replace("-", "_"))
        return UNKNOWN if length is None else Many(measure.number(length), measure.bytes)

    def _files(self, planned: PlannedAgent) -> Many:
        if self.tree is None or planned.items is None or not self._is_known(planned):
            return UNKNOWN
        files = self.tree.find(names_of(planned.items.render(self._scope)), planned.files.bounds if planned.files else None).files
        return Many(len(files), max((file.size + len(file.path.encode()) for file in files), default=0))

    def _findings(self, planned: PlannedAgent) -> Many:
        fan_out = _of(planned)
        if planned.items is not None and not self._is_known(planned):
            return UNKNOWN
        findings = findings_of(planned.items.render(self._scope) if planned.items else fan_out.errors or [], fan_out.pattern)
        whole = findings if fan_out.group_by is None else grouped_by(fan_out.group_by, findings)
        return _many([dict(each.parts) for each in whole])

    def _source(self, planned: PlannedAgent) -> str:
        """The fan-out whose children's replies are the items, if it is that."""
        if planned.agent.fan_out is True:
            source = self.plan.agents.get(planned.depends_on[0])
            return source.name if source and source.agent.gather == "list" and not planned.agent.input_key else ""
        parts = planned.items.plain if planned.items else None
        if parts is None or len(parts) != 3 or parts[1].count(".") != 1:
            return ""
        below = parts[1].partition(".")[2]
        return next((name for name in self.gathered if parts[1].startswith("agents.") and identifier(name) == identifier(below)), "")

    def _value(self, planned: PlannedAgent) -> Any:
        """What the items come from, where it follows from what is known; else None."""
        fan_out = planned.agent.fan_out
        if planned.items is None:
            return getattr(fan_out, fan_out.source) if isinstance(fan_out, FanOut) else None
        return planned.items.value(self._scope) if self._is_known(planned) else None

    def _is_known(self, planned: PlannedAgent) -> bool:
        names = planned.items.names if planned.items else None
        return names is not None and not names.agents and ("input" not in names.top or self.input is not None)

    @property
    def _scope(self) -> Scope:
        return Scope(self.input or "", self.plan.variables, {})


def _of(planned: PlannedAgent) -> FanOut:
    if not isinstance(planned.agent.fan_out, FanOut):
        message = f"'{planned.name}' has no items of its own"
        raise TypeError(message)
    return planned.agent.fan_out


def _many(items: Any) -> Many:
    if not isinstance(items, Sequence) or isinstance(items, str):
        return UNKNOWN
    return Many(len(items), max((len(text_of(each).encode(errors="surrogatepass")) for each in items), default=0))
