"""What agents are told: Jinja templates and what they can name, and the default prompt.

jinja2 is imported when the first text is met whose tags are more than names.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from llm_orc.domain.files import Files
from llm_orc.domain.item import Item
from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.domain.plain import filled, split_plain
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.domain.said import Said, Scope, identifier, printed, text_of

if TYPE_CHECKING:
    import jinja2
    from jinja2 import nodes
    from jinja2.sandbox import SandboxedEnvironment

TAGS = ("{{", "{%", "{#")
ALWAYS = frozenset({"input", "variables", "agents"})
IN_FAN_OUT = frozenset({"item", "index"})
_LONGEST_POWER = 10_000
"""Bits of a whole number that is a power."""
_CONSTRUCTS = frozenset({"range", "namespace"})  # of Jinja itself, without which loops cannot count


@dataclass(frozen=True, slots=True)
class Names:
    """The free names of a template: what has to exist before it can be rendered."""

    agents: frozenset[str] = frozenset()
    """As written in templates, with `_` for `-`."""
    variables: frozenset[str] = frozenset()
    top: frozenset[str] = frozenset()
    faults: tuple[str, ...] = ()
    """What is wrong with the text itself."""

    def __or__(self, other: "Names") -> "Names":
        """The names of both."""
        return Names(self.agents | other.agents, self.variables | other.variables, self.top | other.top, self.faults + other.faults)


@dataclass(slots=True)
class Template:
    """A text with its free names; compiled when it is first rendered."""

    text: str
    names: Names
    key: str
    """Where it stands (`prompt`, `when`), for the words of a failure."""
    environment: "Callable[[], SandboxedEnvironment] | None"
    """None where the text has no tag; made when it is needed, for jinja2 costs 30 ms and most prompts go without."""
    plain: Sequence[str] | None = field(default=None, repr=False)
    """Its parts, where it is nothing but texts and names."""
    _compiled: "jinja2.Template | None" = field(default=None, repr=False)

    @property
    def tagged(self) -> bool:
        """Whether there is anything to fill in."""
        return self.environment is not None

    def render(self, scope: Scope) -> str:
        """The text with everything filled in; raises FailedError `malformed` where that cannot be done."""
        environment = self.environment
        if environment is None:
            return self.text
        with _evaluating(self.key):
            if self.plain is not None:
                return filled(
                    self.plain,
                    scope.names(),
                    lambda value, key: environment().getattr(value, key),
                    lambda name: environment().undefined(name=name),
                )
            if self._compiled is None:
                self._compiled = environment().from_string(self.text)
            return self._compiled.render(scope.names())

    def value(self, scope: Scope) -> Any:
        """What the one expression of this text gives, as it is; raises FailedError `malformed`."""
        if self.environment is None:
            return self.text
        expression = self.text.strip().removeprefix("{{").removesuffix("}}").strip("-+")
        with _evaluating(self.key):
            environment = self.environment()
            value = environment.compile_expression(expression, undefined_to_none=False)(scope.names())
            if isinstance(value, Iterator):
                value = list(value)  # what filters give one by one would be true even where it is empty
            text_of(value)  # tells what is not there, however deep it lies
            return value


class Templates:
    """Reads the templates of one ensemble, whose files they may include."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._read: dict[tuple[str, str], Template] = {}
        self._own: SandboxedEnvironment | None = None

    def read(self, text: str, key: str) -> Template:
        """The template of this text; what is wrong with it stands in its `names.faults`."""
        if (text, key) not in self._read:
            tagged = any(tag in text for tag in TAGS)
            plain = split_plain(text) if tagged else None
            names = Names() if not tagged else _plain_names(plain) if plain else self._names(text, ())
            self._read[text, key] = Template(text, names, key, self._environment if tagged else None, plain)
        return self._read[text, key]

    def expression(self, text: str, key: str) -> Template:
        """Likewise, for a text that has to be one expression."""
        template = self.read(text, key)
        if template.names.faults or (template.environment and _is_expression(template.environment().parse(text))):
            return template
        fault = f"'{key}' has to be one expression: " + '"{{ ... }}"'
        return Template(text, Names(faults=(fault,)), key, template.environment)

    def faults_of_shape(self, template: Template, schema: Mapping[str, Any]) -> list[tuple[str, str]]:
        """What a template of a value names that none has which follows the schema, each with a hint."""
        if template.environment is None or template.names.faults:
            return []
        from llm_orc.domain.shaped import faults_of_shape  # few replies have a form of their own

        return faults_of_shape(template.text, schema, self._environment().parse, self._files.text)

    def _environment(self) -> "SandboxedEnvironment":
        if self._own is None:
            self._own = _environment().overlay(loader=_loader(self._files))
        return self._own

    def _names(self, text: str, trail: tuple[str, ...]) -> Names:
        from jinja2 import TemplateSyntaxError

        where = f" in '{trail[-1]}'" if trail else ""
        try:
            tree = _environment().parse(text)
            names = _free_names(tree)
        except TemplateSyntaxError as error:
            return Names(faults=(f"line {error.lineno}{where}: {error.message}",))
        except (RecursionError, ValueError):
            return Names(faults=(f"an expression{where} is nested too deeply, or a number too large",))
        for included in _included(tree):
            names |= self._included_names(included, trail)
        return names

    def _included_names(self, name: str | None, trail: tuple[str, ...]) -> Names:
        if name is None:
            return Names(faults=("an included template is named by a literal text",))
        if name in trail:
            return Names(faults=("templates include one another: " + " -> ".join((*trail, name)),))
        try:
            text = self._files.text(name)
        except ProblemError as error:
            return Names(faults=tuple(problem.what for problem in error.problems))
        return self._names(text, (*trail, name))


def check(template: Template, legal: Iterable[str], known: Mapping[str, str], variables: Iterable[str]) -> list[Problem]:
    """What a template names that is not there; problems without a place. `known` are the agents, by how templates write them."""
    legal, variables = sorted(legal), list(variables)
    problems = [Problem(f"the template in '{template.key}' is broken: {fault}") for fault in template.names.faults]
    problems += [
        Problem(
            f"no name '{name}' in the template of '{template.key}'", hint=nearest(name, legal) or _hint_for(name, legal, known, variables)
        )
        for name in sorted(template.names.top - set(legal) - _CONSTRUCTS)
    ]
    problems += [
        Problem(f"no agent '{name}'", hint=nearest(name, known.values()) or "the agents are: " + ", ".join([*known.values()][:8]))
        for name in sorted(template.names.agents)
        if name not in known
    ]
    problems += [
        Problem(f"no variable '{name}'", hint=nearest(name, variables) or "declare it under 'variables:'")
        for name in sorted(template.names.variables - set(variables))
    ]
    return problems


def _hint_for(name: str, legal: Iterable[str], agents: Mapping[str, str], variables: Iterable[str]) -> str:
    if name in agents:
        return f"write agents.{name}"
    if name in variables:
        return f"write variables.{name}"
    if name in IN_FAN_OUT:
        return f"'{name}' exists only in a fan_out"
    return "there are: " + ", ".join(legal)


def default_prompt(own: str, sections: Iterable[Said]) -> str:
    """The input (in a fan-out the item), then each dependency's reply under its name; without dependencies the input verbatim."""
    parts = [own] if own else []
    parts += [f"## {said.name}\n\n{said if said.ok else f'(missing: {said.cause})'}" for said in sections]
    return "\n\n".join(parts)


class _evaluating:  # noqa: N801 - read as a statement
    """Turns what goes wrong while a template is evaluated into a failure of the agent that reads it."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        from jinja2 import TemplateError

        if isinstance(error, TemplateError):
            raise FailedError(Failure(Kind.MALFORMED, f"'{self._key}': {error.message or 'it cannot be rendered'}", _HINT)) from None
        if isinstance(error, _OF_VALUES):
            raise FailedError(Failure(Kind.MALFORMED, f"'{self._key}': it does not work on these values", _HINT)) from None


_OF_VALUES = (ArithmeticError, AttributeError, LookupError, MemoryError, NameError, RecursionError, TypeError, ValueError)
_HINT = "see the replies it reads: llm-orc invoke ... --output-format json"


def _is_expression(tree: "nodes.Template") -> bool:
    from jinja2 import nodes

    outputs = [
        part
        for output in tree.body
        for part in (output.nodes if isinstance(output, nodes.Output) else [output])
        if not (isinstance(part, nodes.TemplateData) and not part.data.strip())
    ]
    return len(outputs) == 1 and isinstance(outputs[0], nodes.Expr) and not isinstance(outputs[0], nodes.TemplateData)


def _literal(node: "nodes.Node") -> str | None:
    from jinja2 import nodes

    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else None


def _included(tree: "nodes.Template") -> Iterable[str | None]:
    from jinja2 import nodes

    names: list[nodes.Expr] = [node.template for node in tree.find_all(nodes.Include)]
    names += [node.template for node in tree.find_all(nodes.Import)]
    names += [node.template for node in tree.find_all(nodes.FromImport)]
    names += [node.template for node in tree.find_all(nodes.Extends)]
    for name in names:
        yield from map(_literal, name.items if isinstance(name, nodes.Tuple | nodes.List) else [name])


def _free_names(tree: "nodes.Template") -> Names:
    from jinja2 import meta, nodes

    looked_up = [(node.node, node.attr) for node in tree.find_all(nodes.Getattr)]
    looked_up += [(node.node, key) for node in tree.find_all(nodes.Getitem) if (key := _literal(node.arg)) is not None]
    members = [(owner, name) for owner, name in looked_up if isinstance(owner, nodes.Name)]
    named = {id(owner) for owner, _ in members}
    loose = any(name.name == "agents" and id(name) not in named for name in tree.find_all(nodes.Name))
    return Names(
        frozenset(identifier(name) for owner, name in members if owner.name == "agents"),
        frozenset(name for owner, name in members if owner.name == "variables"),
        frozenset(meta.find_undeclared_variables(tree)),
        ("'agents' takes one literal name: agents.NAME",) if loose else (),
    )


def _plain_names(parts: Sequence[str]) -> Names:
    named = [part.split(".") for part in parts[1::2]]
    return Names(
        frozenset(identifier(below[0]) for name, *below in named if name == "agents"),
        frozenset(below[0] for name, *below in named if name == "variables"),
        frozenset(name for name, *_ in named),
    )


def _loader(files: Files) -> "jinja2.BaseLoader":
    from jinja2 import FunctionLoader

    return FunctionLoader(files.text)


@cache
def _environment() -> "SandboxedEnvironment":
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Nothing(StrictUndefined):
        """Says in our words what is not there."""

        @property
        def _undefined_message(self) -> str:
            name, owner = self._undefined_name, self._undefined_obj
            owner = owner.parts if isinstance(owner, Item) else owner
            if self._undefined_hint:
                return self._undefined_hint
            if isinstance(owner, Mapping):
                return f"there is no '{name}'; there are: " + (", ".join(map(str, owner)) or "no keys at all")
            return f"there is no '{name}'"

    class Sandbox(ImmutableSandboxedEnvironment):
        """Looks up keys before attributes, so that a key called `items` or `keys` can be reached by a dot."""

        intercepted_binops = frozenset({"**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            """Jinja works out a power of numbers already while it reads, and for ever."""
            if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > _LONGEST_POWER:
                raise OverflowError
            return super().call_binop(context, operator, left, right)

        def getattr(self, obj: Any, attribute: str) -> Any:
            keys = obj.parts if isinstance(obj, Item) else obj
            if isinstance(keys, Mapping) and attribute in keys:
                return keys[attribute]
            return super().getattr(obj, attribute)

    environment = Sandbox(undefined=Nothing, finalize=printed, keep_trailing_newline=True, autoescape=False)
    environment.globals = {name: environment.globals[name] for name in _CONSTRUCTS}
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    return environment
