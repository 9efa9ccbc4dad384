"""Whether a template names only what the schema of its value has, so that nothing is paid for a text that cannot be made."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from jinja2 import nodes

from llm_orc.domain.problem import nearest

OUTPUT = "output"
"""What templates call the value."""
_WHOLE = frozenset({"d", "default", "list", "reject", "rejectattr", "reverse", "select", "selectattr", "slice", "sort", "unique"})
"""Filters whose result has the form of what goes in."""
_ONE = frozenset({"first", "last", "max", "min", "random"})
_BY_FIRST = frozenset({"groupby", "rejectattr", "selectattr"})
"""Filters whose first argument is the name of an attribute."""
_OF_MAPPINGS = frozenset({"get", "items", "keys", "values"})
_DEEPEST = 50
_MAY_BE_MORE = ("allOf", "if", "not", "patternProperties", "dependentSchemas", "$dynamicRef")
"""Words by which a value may have what its `properties` do not tell."""


@dataclass(frozen=True, slots=True)
class View:
    """What is known of a value: how the template gets to it, and the schemas of which it follows one."""

    path: str
    schemas: tuple[Mapping[str, Any], ...]


def faults_of_shape(
    text: str, schema: Mapping[str, Any], parse: Callable[[str], nodes.Template], included: Callable[[str], str]
) -> list[tuple[str, str]]:
    """What the template names that no value has which follows the schema, each with a hint; `included` gives another template's text."""
    reader = _Reader(schema, parse, included)
    reader.template(text, {OUTPUT: reader.view(OUTPUT, schema)}, "")
    return [*dict.fromkeys(reader.faults)]


Names = dict[str, View | None]


@dataclass(slots=True)
class _Reader:
    schema: Mapping[str, Any]
    parse: Callable[[str], nodes.Template]
    included: Callable[[str], str]
    faults: list[tuple[str, str]] = field(default_factory=list)
    where: str = ""
    """The included template that is being read."""
    depth: int = 0
    conditional: int = 0
    """How many conditions stand round what is being read."""

    def template(self, text: str, names: Names, where: str) -> None:
        tree, before = self.parse(text), self.where
        assigned = [target.name for node in tree.find_all(nodes.Assign) for target in node.target.find_all(nodes.Name)]
        assigned += [node.target.name for node in tree.find_all(nodes.Assign) if isinstance(node.target, nodes.Name)]
        self.where, twice = where, {name for name in assigned if assigned.count(name) > 1}
        self.body(tree.body, _Scope(names, twice))
        self.where = before

    def body(self, body: Iterable[nodes.Node], names: "_Scope") -> None:
        for node in body:
            self.node(node, names)

    def node(self, node: nodes.Node, names: "_Scope") -> None:
        match node:
            case nodes.For():
                inner = names.inner({"loop": None})
                inner.assign(node.target, self.items(self.value(node.iter, names)))
                with self._perhaps(), self._perhaps() if node.test else nullcontext():
                    self.body([*filter(None, [node.test]), *node.body, *node.else_], inner)
            case nodes.If():
                self.value(node.test, names)
                with self._perhaps():
                    self.body([*node.body, *node.elif_, *node.else_], names)
            case nodes.Assign():
                names.assign(node.target, self.value(node.node, names))
            case nodes.Macro() | nodes.CallBlock():
                with self._perhaps():
                    self.body(node.body, names.inner(dict.fromkeys((arg.name for arg in node.args), None)))
            case nodes.Include() if isinstance(node.template, nodes.Const) and self.depth < _DEEPEST:
                self.depth += 1
                self.template(self.included(node.template.value), names.known, node.template.value)
                self.depth -= 1
            case nodes.Expr():
                self.value(node, names)
            case _:
                self.body(node.iter_child_nodes(), names)

    @contextmanager
    def _perhaps(self) -> Iterator[None]:
        self.conditional += 1
        yield
        self.conditional -= 1

    def value(self, node: nodes.Node, names: "_Scope") -> View | None:
        """What is known of an expression; None is nothing."""
        match node:
            case nodes.Name():
                return names.known.get(node.name)
            case nodes.Getattr():
                return self.member(self.value(node.node, names), node.attr, node.lineno)
            case nodes.Getitem(arg=nodes.Const(value=str() as name)):
                return self.member(self.value(node.node, names), name, node.lineno)
            case nodes.Getitem():
                self.value(node.arg, names)
                whole = self.value(node.node, names)
                return whole if isinstance(node.arg, nodes.Slice) else self.items(whole)
            case nodes.Filter():
                return self.filtered(node, names)
            case nodes.Call(node=nodes.Getattr() as method) if method.attr in _OF_MAPPINGS:
                self.value(method.node, names)
                self.body([*node.args, *node.kwargs], names)
            case nodes.CondExpr() | nodes.Test() | nodes.And() | nodes.Or():
                with self._perhaps():
                    self.body(node.iter_child_nodes(), names)
            case _:
                self.body(node.iter_child_nodes(), names)
        return None

    def filtered(self, node: nodes.Filter, names: "_Scope") -> View | None:
        """What is known of what a filter gives."""
        self.body([*node.args, *node.kwargs], names)
        if node.node is None:
            return None
        with self._perhaps() if node.name in ("d", "default") else nullcontext():
            value = self.value(node.node, names)
        given = [each.value for each in node.kwargs if each.key == "attribute"]
        given += node.args[:1] if node.name in _BY_FIRST else []
        for each in given:
            if isinstance(each, nodes.Const) and isinstance(each.value, str):
                one = self.items(value)
                for name in each.value.split("."):
                    one = None if name.isdecimal() else self.member(one, name, node.lineno)
        return value if node.name in _WHOLE else self.items(value) if node.name in _ONE else None

    # What the schemas say

    def view(self, path: str, schema: Any) -> View | None:
        """A value that follows this schema."""
        schemas = [*self.alternatives(schema, 0)]
        known = [each for each in schemas if each is not None]
        return View(path, tuple(known)) if known and len(known) == len(schemas) else None

    def alternatives(self, schema: Any, depth: int) -> Iterator[Mapping[str, Any] | None]:
        """The schemas of which it follows one, None where that cannot be told; that of null, which has nothing, is left out."""
        if not isinstance(schema, Mapping) or depth > _DEEPEST or any(key in schema for key in _MAY_BE_MORE):
            yield None
        elif "$ref" in schema:
            yield from self.alternatives(self.referred(schema["$ref"]), depth + 1)
        elif either := [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
            for each in [None] if "properties" in schema else either:
                yield from self.alternatives(each, depth + 1)
        elif schema.get("type") != "null":
            yield schema

    def referred(self, to: Any) -> Any:
        """What a reference within the schema leads to; None where it leads elsewhere."""
        found: Any = self.schema
        head, *steps = to.split("/") if isinstance(to, str) else [""]
        for step in steps:
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None
        return found if head == "#" else None

    def items(self, view: View | None) -> View | None:
        """One of the items of a list."""
        if view is None or not all(_is(each, "array") and "items" in each and "prefixItems" not in each for each in view.schemas):
            return None
        views = [self.view(f"{view.path}[]", each["items"]) for each in view.schemas]
        return _either(views)

    def member(self, view: View | None, name: str, line: int) -> View | None:
        """What lies below this name; what cannot be there is a fault."""
        if view is None or not all(_is(each, "object") or _is(each, "array") for each in view.schemas):
            return None
        having = [each for each in view.schemas if name in each.get("properties", ())]
        if any(_is_open(each) for each in view.schemas):
            return None
        if not having:
            there = [key for each in view.schemas for key in each.get("properties", ())]
            hint = nearest(name, there) or ("it has: " + ", ".join(there) if there else f"it is a list: {{% for each in {view.path} %}}")
            self.fault(f"{view.path} has no '{name}' in the output_schema", hint, line)
            return None
        if not self.conditional_on(view, having, name):
            hint = f"list it under 'required' in the schema, or ask first: {{% if ... .{name} is defined %}}"
            self.fault(f"{view.path} may have no '{name}', which the output_schema does not require", hint, line)
        return _either([self.view(f"{view.path}.{name}", each["properties"][name]) for each in having])

    def conditional_on(self, view: View, having: list[Mapping[str, Any]], name: str) -> bool:
        """Whether it is there, or is asked for only where something else is so."""
        always = len(having) == len(view.schemas) and all(name in each.get("required", ()) for each in having)
        return always or self.conditional > view.path.count("[]")

    def fault(self, what: str, hint: str, line: int) -> None:
        self.faults.append((f"line {line}{f' of {self.where!r}' if self.where else ''}: {what}", hint))


@dataclass(frozen=True, slots=True)
class _Scope:
    """The names of a part of a template."""

    known: Names
    twice: set[str]
    """Those that are set more than once, of which nobody knows what they are."""

    def inner(self, more: Names) -> "_Scope":
        return replace(self, known={**self.known, **more})

    def assign(self, target: nodes.Node, value: View | None) -> None:
        if isinstance(target, nodes.Name):
            self.known[target.name] = None if target.name in self.twice else value
        else:
            self.known.update(dict.fromkeys((each.name for each in target.find_all(nodes.Name)), None))


def _either(views: list[View | None]) -> View | None:
    known = [view for view in views if view is not None]
    return View(known[0].path, tuple(schema for view in known for schema in view.schemas)) if known and len(known) == len(views) else None


def _is(schema: Mapping[str, Any], kind: str) -> bool:
    told = schema.get("type")
    return told == kind or (told is None and kind == "object" and "properties" in schema)


def _is_open(schema: Mapping[str, Any]) -> bool:
    """Whether it may have what it does not tell; one that only leaves it open does not count."""
    return _is(schema, "object") and ("properties" not in schema or bool(schema.get("additionalProperties")))
