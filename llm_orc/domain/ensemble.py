"""An ensemble as it is written: agents, and how their results are synthesised."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, PrivateAttr, Tag, model_validator
from pydantic.json_schema import SkipJsonSchema

from llm_orc.domain.context import Context
from llm_orc.domain.fan_out import FanOut, FileNames, Positive
from llm_orc.domain.files import Files, NoFiles
from llm_orc.domain.layout import WrittenLayout
from llm_orc.domain.model import Capability
from llm_orc.domain.problem import Source
from llm_orc.domain.profile import NEED_NO_MODEL, Parameters
from llm_orc.domain.read import Name, NameOrTemplate, Read
from llm_orc.domain.secret import names_key

Function = Callable[[str], Awaitable[Any]]
Seconds = Annotated[float, Field(gt=0)]
SYNTHESIS = "synthesis"
"""The reserved name of the agent that a model synthesis adds."""


def _plain_name(entry: object) -> object:
    # LLM Orchestra also writes a dependency as {agent_name: x}.
    return entry["agent_name"] if isinstance(entry, Mapping) and set(entry) == {"agent_name"} else entry


def _no_key(name: str) -> str:
    if names_key(name):
        raise ValueError(f"'{name}' is never handed to a script or command")
    if not name or "=" in name or "\0" in name:
        raise ValueError(f"'{name}' is no name of an environment variable; values come from where llm-orc is called")
    return name


def _runnable(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words[0].strip():
        raise ValueError("'command' begins with the name of a program, not with an empty text")
    if any("\0" in word for word in words):
        raise ValueError("'command' holds a NUL character, which no program can be given")
    return words


EnvironmentNames = tuple[Annotated[str, AfterValidator(_no_key)], ...]


class Common(Read):
    """The keys that every agent has."""

    name: Name
    """Unique in the ensemble; `synthesis` is reserved."""
    depends_on: tuple[Annotated[Name, BeforeValidator(_plain_name)], ...] = ()
    """The agents whose replies this one waits for."""
    require: Literal["any", "all"] | Annotated[int, Field(ge=0, strict=True)] = "any"
    """How many direct dependencies must have succeeded: any, all or a number."""
    when: str | bool | None = None
    """One Jinja expression; if it is false the agent is skipped."""
    fan_out: bool | FanOut = False
    """True: one child per item of the list its one dependency replied with; or where the items come from."""
    gather: Literal["list", "text", "merge", "reduce"] = "list"
    """How a fan-out joins its children's replies; `reduce` sends them to it again, in pieces as long as chunks, until one is left."""
    input_key: str | None = None
    """One key of the first dependency's JSON, taken instead of the whole reply."""
    timeout_seconds: Seconds | None = None
    """How long the agent may take, from its first slot on; in a fan-out each child."""

    @property
    def body(self) -> str:
        """What the agent is: model, script, command or ensemble."""
        return "model"


class Prompted(Common):
    """The keys of agents that are sent a prompt."""

    prompt: str | None = None
    """A Jinja template: with a tag the whole request, without one a task before the default prompt."""
    prompt_file: str | None = None
    """The same from a file."""


class Retry(Read):
    """How often a call that failed is made again."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Requests in all, the first one included."""


class Asking(Parameters):
    """The keys of whoever asks a model: agents, and a synthesis by a model."""

    attachments: FileNames = ()
    """Files to send with the prompt: images, PDFs, texts; a name may be a template."""
    retry: Retry | None = None
    """How often a call that failed is made again; 3 requests in all unless told."""
    fallback: tuple[Name, ...] | None = None
    """Profiles to ask, in order, where the own one cannot answer; the profile's own `fallback` unless told."""
    context: Context = Context()
    """What to do where what is sent is longer than the model's window."""
    requires: frozenset[Capability] = frozenset()
    """What the model has to be able to do; chooses among the models of an `auto` profile."""
    output_schema: dict[str, Any] | str | None = None
    """A JSON Schema, or a file with one, that the reply has to follow."""
    template: Annotated[str, Field(min_length=1)] | None = None
    """A template file that makes a text of the reply that follows `output_schema`; it is called `output` there."""
    on_mismatch: Literal["fail", "text"] = "fail"
    """What a reply becomes that does not follow `output_schema` even when mended: a failure, or free text, asked for and marked."""

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        for key in ("template", "on_mismatch"):
            if key in self.model_fields_set and self.output_schema is None:
                raise ValueError(f"'{key}' is about what follows an 'output_schema', and there is none")
        return self


class ModelAgent(Prompted, Asking):
    """An agent whose body is a model."""

    model_profile: Name | None = None
    """The profile that says which model answers."""
    model: str | None = None
    """Instead of a profile, together with `provider`."""
    provider: str | None = None
    """Instead of a profile, together with `model`."""
    system_prompt_file: str | None = None
    """The system prompt from a file."""

    @model_validator(mode="after")
    def _whole_body(self) -> Self:
        if (self.model is None) != (self.provider is None) and self.provider not in NEED_NO_MODEL:
            raise ValueError("'model' and 'provider' go together")
        return self


class Running(Common):
    """The keys of agents that run a program."""

    pure: bool = False
    """Whether what it says depends on nothing but what it is handed, so that it may be used again instead of running it anew."""
    cache: bool | None = None
    """Whether what it said is used again, where it is `pure`."""

    @model_validator(mode="after")
    def _reused_only_if_pure(self) -> Self:
        if self.cache and not self.pure:
            raise ValueError(f"'cache' goes with 'pure: true': a {self.body} that does more than reply has to run")
        return self


class ScriptAgent(Running):
    """An agent whose body is a script: a JSON object on stdin, JSON or text on stdout."""

    script: Annotated[str, Field(min_length=1)]
    """The file; `.py` runs under llm-orc's own Python, others by their `#!` line."""
    attachments: FileNames = ()
    """Files whose paths the script is told; a name may be a template."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Handed to the script as they are."""
    env: EnvironmentNames = ()
    """Names of environment variables to pass on; keys never pass."""

    @property
    def body(self) -> str:
        """What the agent is."""
        return "script"


class CommandAgent(Prompted, Running):
    """An agent whose body is a command, run without a shell; its stdin is its prompt, else the input."""

    command: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_runnable)]
    """The program and its arguments."""
    success_codes: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    """Exit codes that count as success."""
    env: EnvironmentNames = ()
    """Names of environment variables to pass on; keys never pass."""

    @property
    def body(self) -> str:
        """What the agent is."""
        return "command"


class EnsembleAgent(Prompted):
    """An agent whose body is another ensemble."""

    ensemble: NameOrTemplate
    """The name of the ensemble; or a template that gives the YAML or JSON of one, which an agent before it replied with."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """The child's variables."""

    @property
    def body(self) -> str:
        """What the agent is."""
        return "ensemble"


class FunctionAgent(Prompted):
    """An agent whose body is a Python function; made in Python only."""

    function: Function
    """Is given the agent's prompt, and returns its reply: a text, or anything that JSON knows."""

    @property
    def body(self) -> str:
        """What the agent is."""
        return "function"


BODY_KEYS = ("script", "command", "ensemble", "model_profile", "model", "provider")


def body_of(value: object) -> str:
    """The tag of the body that the first body key in `value` names; a model where there is none."""
    if isinstance(value, Common):
        return f"<{value.body}>"
    keys = value if isinstance(value, Mapping) else {}
    return next((f"<{key}>" for key in keys if key in ("script", "command", "ensemble")), "<model>")


Agent = ModelAgent | ScriptAgent | CommandAgent | EnsembleAgent | FunctionAgent
TaggedAgent = Annotated[
    Annotated[ModelAgent, Tag("<model>")]
    | Annotated[ScriptAgent, Tag("<script>")]
    | Annotated[CommandAgent, Tag("<command>")]
    | Annotated[EnsembleAgent, Tag("<ensemble>")]
    | Annotated[SkipJsonSchema[FunctionAgent], Tag("<function>")],
    Discriminator(body_of),
]


class Defaults(Parameters):
    """Keys written on every agent where they are legal and not set."""

    model_profile: Name | None = None
    """The profile of model agents that name none."""
    system_prompt_file: str | None = None
    """The system prompt from a file."""
    require: Literal["any", "all"] | Annotated[int, Field(ge=0, strict=True)] | None = None
    """How many direct dependencies must have succeeded."""
    retry: Retry | None = None
    """How often a call that failed is made again."""
    fallback: tuple[Name, ...] | None = None
    """Profiles to ask, in order, where the own one cannot answer."""
    context: Context | None = None
    """What to do where what is sent is longer than the model's window."""
    env: EnvironmentNames | None = None
    """Environment variables passed to scripts and commands."""


class Variable(Read):
    """A value the caller may set: `--var NAME=VALUE`."""

    default: str | int | float | bool | list[Any] | dict[str, Any] | None = None
    """The value when none is given."""
    type: Literal["string", "integer", "number", "boolean"] | None = None
    """What the value must be; without it, what `default` is, else a string."""
    choices: Annotated[tuple[str | int | float | bool, ...], Field(min_length=1)] | None = None
    """The only values allowed."""
    required: bool = False
    """Whether it must be given."""
    description: str = ""
    """For the people who set it."""


class Limits(Read):
    """Bounds on a whole run."""

    max_parallel: Positive | None = None
    """How many calls run at once, children included."""
    max_cost: Annotated[float, Field(gt=0)] | None = None
    """US dollars that all its calls together may cost."""
    timeout_seconds: Seconds | None = None
    """Wall time of the run."""


class ModelSynthesis(Asking):
    """A model that reads the leaves; becomes the agent `synthesis`."""

    model_profile: Name | None = None
    """The profile of the model that reads the leaves."""
    model: str | None = None
    """Instead of a profile, together with `provider`."""
    provider: str | None = None
    """Instead of a profile, together with `model`."""
    prompt: str | None = None
    """What to make of the leaves."""
    prompt_file: str | None = None
    """The same from a file."""
    system_prompt_file: str | None = None
    """The system prompt from a file."""


class ConcatSynthesis(Read):
    """Every leaf under a heading of its own."""

    concat: Literal[True]
    """Join the leaves as `## NAME` sections."""


class TemplateSynthesis(Read):
    """A Jinja template over the finished run."""

    template: Annotated[str, Field(min_length=1)]
    """The template file."""


class AgentSynthesis(Read):
    """The reply of one agent."""

    agent: Name
    """Whose reply is the result."""


class DocumentSynthesis(Read):
    """Replies as the sections of one Markdown document."""

    document: WrittenLayout
    """What stands in it, and how; true is the leaves, one section each."""


SYNTHESIS_KEYS = ("concat", "template", "agent", "document")


def synthesis_form(value: object) -> str:
    """The tag of the form that `value` is written in; a model where no other form is named."""
    if isinstance(value, Read):
        return f"<{type(value).__name__.removesuffix('Synthesis').lower()}>"
    keys = value if isinstance(value, Mapping) else {}
    return next((f"<{key}>" for key in keys if key in SYNTHESIS_KEYS), "<model>")


Synthesis = ModelSynthesis | ConcatSynthesis | TemplateSynthesis | AgentSynthesis | DocumentSynthesis
TaggedSynthesis = Annotated[
    Annotated[ModelSynthesis, Tag("<model>")]
    | Annotated[ConcatSynthesis, Tag("<concat>")]
    | Annotated[TemplateSynthesis, Tag("<template>")]
    | Annotated[AgentSynthesis, Tag("<agent>")]
    | Annotated[DocumentSynthesis, Tag("<document>")],
    Discriminator(synthesis_form),
]


class Ensemble(Read):
    """A YAML file: agents, and how their results are synthesised."""

    name: Name
    """The name of the ensemble; of a file in `ensembles/` that of the file."""
    description: str = ""
    """One line for `llm-orc list`."""
    version: Literal[1] = 1
    """The version of this format."""
    variables: dict[Name, Variable] = Field(default_factory=dict)
    """Values that the caller may set."""
    default_task: str | None = None
    """The input when none is given."""
    defaults: Defaults = Defaults()
    """Keys written on every agent where they are legal."""
    execution: Literal["overlapping", "phased"] = "overlapping"
    """Phased makes each phase a barrier."""
    cache: bool | None = None
    """Whether replies are used again where neither the agent nor `defaults` says so or not."""
    limits: Limits = Limits()
    """Bounds on the whole run."""
    output_format: str | None = None
    """The format of the result when no flag says otherwise."""
    agents: Annotated[tuple[TaggedAgent, ...], Field(min_length=1)]
    """The nodes of the graph."""
    synthesis: TaggedSynthesis | None = None
    """How the replies become one result; without it the leaves are printed."""

    _source: Source = PrivateAttr(default_factory=lambda: Source("<python>"))
    _files: Files = PrivateAttr(default_factory=NoFiles)

    @property
    def source(self) -> Source:
        """Where it was read from."""
        return self._source

    @property
    def files(self) -> Files:
        """The files it may name."""
        return self._files

    def found(self, source: Source, files: Files) -> Self:
        """The same ensemble, knowing where it lies."""
        copy = self.model_copy()
        copy._source, copy._files = source, files  # noqa: SLF001 - our own copy
        return copy
