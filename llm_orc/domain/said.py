"""What templates, scripts and default prompts see of the agents before them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isinf
from typing import Any, Self

from llm_orc.domain.message import FailedError, Failure, Kind, Outcome

MISSING = object()
"""Stands for an item outside a fan-out."""
_FENCE = "```"


def identifier(name: str) -> str:
    """An agent's name as templates write it."""
    return name.replace("-", "_")


def as_json(value: Any) -> str:
    """A value as JSON on one line; what JSON does not know is printed as text. Raises FailedError `malformed` where that is not enough."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        what = "a value that JSON cannot say: too deep, without end, or with keys that are no texts"
        raise FailedError(Failure(Kind.MALFORMED, what)) from None


def printed(value: Any) -> Any:
    """How a value looks in a prompt: texts as they are, everything else as JSON."""
    return as_json(value) if isinstance(value, Mapping | list | tuple | bool) or value is None else value


def text_of(value: Any) -> str:
    """A value as a text of its own."""
    return str(printed(value))


def parsed(text: str) -> Any:
    """The whole text, or its only fenced block, as JSON; raises ValueError."""
    body = text.strip()
    if body.count(_FENCE) == 2:
        body = body.split(_FENCE)[1].partition("\n")[2]
    try:
        return json.loads(body, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        place = f"the mistake is at line {error.lineno}, column {error.colno}"
        raise ValueError(place if error.pos < len(body) else "it ends too early") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(number: str) -> float:
    value = float(number)
    if isinf(value):
        raise ValueError(f"{number} is beyond all numbers")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class Said(str):
    """An agent's reply in a template: its text, with `.json`, `.ok`, `.status` and `.cause`; true where it says something."""

    __slots__ = ("_outcome", "name")

    name: str
    _outcome: Outcome

    def __new__(cls, name: str, outcome: Outcome) -> Self:
        """The reply of the agent `name`."""
        said = super().__new__(cls, outcome.reply.text if outcome.reply else f"[no reply from {name}: {outcome.cause}]")
        said.name, said._outcome = name, outcome
        return said

    @property
    def ok(self) -> bool:
        """Whether there is a reply."""
        return self._outcome.ok

    @property
    def status(self) -> str:
        """How the agent ended."""
        return self._outcome.status

    @property
    def cause(self) -> str:
        """Why there is no reply."""
        return self._outcome.cause

    @property
    def json(self) -> Any:
        """The reply as JSON; raises FailedError `malformed`, for its reader, where it is none."""
        return json_of(self.name, self._outcome)

    def __bool__(self) -> bool:
        return self.ok and bool(self.strip())

    def __iter__(self) -> Iterator[str]:
        """Nothing where there is no reply: a fan-out that did not run has no children."""
        return str.__iter__(self) if self.ok else iter(())


class SaidByAll(Said):
    """A fan-out's reply in a template: its text, and its children's replies one by one."""

    __slots__ = ()

    def __iter__(self) -> Iterator[str]:
        return (Said(f"{self.name}[{index}]", child) for index, child in enumerate(self._outcome.children))

    def __len__(self) -> int:
        return len(self._outcome.children)

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]


def said(name: str, outcome: Outcome) -> Said:
    """What the agent `name` said."""
    return (SaidByAll if outcome.fanned_out else Said)(name, outcome)


def json_of(name: str, outcome: Outcome) -> Any:
    """An agent's reply as JSON; raises FailedError `malformed`."""
    if outcome.reply is None:
        raise FailedError(Failure(Kind.MALFORMED, f"no JSON from '{name}': it has no reply ({outcome.cause})"))
    if outcome.reply.structured:
        return outcome.reply.value
    try:
        return parsed(outcome.reply.text)
    except ValueError:
        raise FailedError(Failure(Kind.MALFORMED, f"the reply of '{name}' is no JSON: {_head(outcome.reply.text)}")) from None


def json_or_none(outcome: Outcome) -> Any:
    """An agent's reply as JSON, or None where it is none."""
    try:
        return json_of("", outcome)
    except FailedError:
        return None


def selected(name: str, outcome: Outcome, key: str) -> Any:
    """One key of an agent's JSON; raises FailedError `malformed`, naming the keys that are there."""
    value = json_of(name, outcome)
    if isinstance(value, Mapping) and key in value:
        return value[key]
    there = "its keys are: " + (", ".join(map(str, value)) or "none") if isinstance(value, Mapping) else "it is no JSON object"
    raise FailedError(Failure(Kind.MALFORMED, f"no key '{key}' in the reply of '{name}'; {there}"))


def _head(text: str) -> str:
    line = " ".join(text.split())
    return f"'{line[:60]}...'" if len(line) > 60 else f"'{line}'"


class ProfileItem(str):
    """The item of a fan-out over profiles: prints the profile's name, and has it as `.name`."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The profile's name."""
        return str(self)


@dataclass(frozen=True, slots=True)
class Scope:
    """Everything that a template can name."""

    input: str
    variables: Mapping[str, Any]
    outcomes: Mapping[str, Outcome]
    """By agent name; every agent that the template refers to is there."""
    item: Any = MISSING
    index: int = 0
    output: Any = MISSING
    """What an agent replied, for the template that makes a text of it."""

    def names(self) -> dict[str, Any]:
        """The names of the template, with their values."""
        names = {"input": self.input, "variables": self.variables, "agents": _Agents(self.outcomes)}
        if self.output is not MISSING:
            names["output"] = self.output
        return names if self.item is MISSING else {**names, "item": self.item, "index": self.index}

    @property
    def own_input(self) -> str:
        """What an agent works on when no prompt says more: the item, else the input; profiles are compared on the input."""
        return self.input if self.item is MISSING or isinstance(self.item, ProfileItem) else text_of(self.item)


class _Agents(Mapping[str, Said]):
    """The replies by the names that templates use, made as they are asked for."""

    def __init__(self, outcomes: Mapping[str, Outcome]) -> None:
        self._names = {identifier(name): name for name in outcomes}
        self._outcomes = outcomes

    def __getitem__(self, key: str) -> Said:
        name = self._names[identifier(key)]
        return said(name, self._outcomes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
