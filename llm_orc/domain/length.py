"""How long what comes of a template may be, where everything that it names is only known by its length."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any, NamedTuple

from llm_orc.domain.prompt import Template
from llm_orc.domain.said import identifier

STRAIGHT = frozenset(
    "Template Output CondExpr Getattr Getitem Compare Operand Not And Or Test Concat Add Neg Slice".split()  # noqa: SIM905
)
"""Parts of a template that say what they are made of at most once."""
SHORT = frozenset({"capitalize", "count", "d", "default", "first", "last", "length", "lower", "string", "title", "trim", "upper"})
"""Filters that make nothing longer out of what they are given."""
NO_MORE = frozenset({"list", "reject", "rejectattr", "reverse", "select", "selectattr", "sort", "unique"})
"""Filters that give no more entries than the list has that they are given."""
NUMBER = 20
"""Of a number of Jinja's own, such as `loop.index`."""


class Many(NamedTuple):
    """A list: how many there are, and how long the longest is."""

    number: float
    largest: float


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long the values of names are; infinite where that is not known."""

    of: Callable[[str, str], float]
    """Of a name, and what stands below it: `agents`, `facts`."""
    lists: Mapping[str, Many]
    """By the agents, as templates write them, whose replies a template can go over one by one."""

    def rendered(self, template: Template) -> float:
        """Bytes that the rendered template is not above; infinite where it may say anything more often than is known."""
        if template.plain is not None:
            names = [part.split(".") for part in template.plain[1::2]]
            return _bytes(template.text) + sum(self.of(name[0], name[1] if len(name) > 1 else "") for name in names)
        if template.environment is None:
            return _bytes(template.text)
        environment = template.environment()
        return _Reader(self, environment, {}).length(environment.parse(template.text))


@dataclass(frozen=True, slots=True)
class _Reader:
    lengths: Lengths
    environment: Any
    own: Mapping[str, float]
    """The names of the loops round this part."""

    def length(self, node: Any) -> float:
        """Bytes that this part of a template is not above, conditions counted as if they were printed."""
        kind = type(node).__name__
        match kind:
            case "TemplateData":
                return _bytes(node.data)
            case "Const":
                return max(_bytes(str(node.value)), NUMBER)
            case "Name":
                return self._named(node.name, "")
            case "Getattr" | "Getitem" if type(node.node).__name__ == "Name":
                return self._named(node.node.name, _below(node))
            case "If":
                return self.length(node.test) + max(self._all(node.body), *map(self.length, node.elif_), self._all(node.else_))
            case "For":
                return self._repeated(node)
            case "Include":
                return self._included(node)
            case "Filter" if node.name in SHORT:
                return self._sum(node)
            case _:
                return self._sum(node) if kind in STRAIGHT else inf

    def _sum(self, node: Any) -> float:
        return self._all(node.iter_child_nodes())

    def _all(self, nodes: Iterable[Any]) -> float:
        return sum(map(self.length, nodes))

    def _named(self, name: str, below: str) -> float:
        return self.own[name] if name in self.own else self.lengths.of(name, below)

    def _repeated(self, node: Any) -> float:
        """A loop over the replies of a fan-out."""
        over = node.iter
        while type(over).__name__ == "Filter" and over.name in NO_MORE:
            over = over.node
        if type(over).__name__ != "Getattr" or getattr(over.node, "name", "") != "agents" or type(node.target).__name__ != "Name":
            return inf
        many = self.lengths.lists.get(identifier(over.attr))
        if many is None:
            return inf
        inner = replace(self, own={**self.own, node.target.name: many.largest, "loop": NUMBER})
        body, nothing = sum(map(inner.length, node.body)), sum(map(self.length, node.else_))
        return nothing + (many.number * body if body and many.number else 0)

    def _included(self, node: Any) -> float:
        name = getattr(node.template, "value", None)
        if not isinstance(name, str):
            return inf
        return self.length(self.environment.parse(self.environment.loader.get_source(self.environment, name)[0]))


def _below(node: Any) -> str:
    return str(getattr(node, "attr", "") or getattr(getattr(node, "arg", None), "value", ""))


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
