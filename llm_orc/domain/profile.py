"""A profile: a named way to reach a model."""

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from llm_orc.domain.model import Capability
from llm_orc.domain.price import Price
from llm_orc.domain.problem import Place
from llm_orc.domain.read import Name, Read

AUTO = "auto"
"""The provider of a tier: which model answers is chosen when it is known what can be reached."""
WHICHEVER = "*"
"""The model of a profile that names none: whichever chat model its server has, one in memory first."""
NEED_NO_MODEL = ("lmstudio",)
"""Providers whose server is asked which model it has."""


def _some(stop: tuple[str, ...]) -> tuple[str, ...]:
    if not all(stop):
        raise ValueError("an empty string stops before the first word")
    return stop


class Parameters(Read):
    """What shapes a model's answer; legal in a profile, in `defaults` and on a model agent."""

    system_prompt: str | None = None
    """Who the model is to be; sent as the system message."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Randomness, 0 to 2."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """The longest reply, in tokens."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Nucleus sampling: the share of probability considered, above 0 to 1."""
    seed: int | None = None
    """Makes sampling repeatable where the provider can."""
    stop: Annotated[tuple[str, ...], AfterValidator(_some)] | None = None
    """Texts at which the reply ends."""
    timeout_seconds: Annotated[float, Field(gt=0)] | None = None
    """How long an agent may take, from its first slot on."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Passed to the provider as they are."""
    cache: bool | None = None
    """Whether a reply to the same request is used again, instead of asking for it anew."""


class Profile(Parameters):
    """A named way to reach a model. One file holds one profile and names it."""

    name: str = ""
    """By what ensembles call it; the name of its file. Empty where an agent names model and provider itself."""
    provider: Annotated[str, Field(min_length=1)]
    """Who speaks to it: anthropic, google, openai, openrouter, ollama, lmstudio, vllm, llamacpp, openai-compatible, embedded or auto."""
    model: Annotated[str, Field(validate_default=True)] = ""
    """The model as its provider calls it; of `auto` the tier: default, fast or careful; of lmstudio what it has loaded, if left out."""
    base_url: str | None = None
    """Where the provider listens, if not at its usual address."""
    credential: Name | None = None
    """Which of the keys kept for this provider: `llm-orc auth add PROVIDER --name NAME`."""
    insecure: bool = False
    """Whether requests and keys may travel unencrypted, by plain http, to another machine."""
    fallback: tuple[Name, ...] | None = None
    """Profiles to ask, in order, where this one cannot answer."""
    max_parallel: Annotated[int, Field(ge=1)] | None = None
    """How many calls this endpoint takes at once; 64 unless told, 1 for lmstudio and ollama."""
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """How many requests this endpoint is sent in a minute."""
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None
    """How many tokens, of prompts and replies together, in a minute."""
    price: Price | None = None
    """US dollars per million tokens; the catalogue's where it is not given."""
    context_window: Annotated[int, Field(ge=1)] | None = None
    """Tokens of prompt and reply together that the model, or the user's memory, has room for."""
    capabilities: frozenset[Capability] | None = None
    """What the model can do: vision, files, tools, structured_output, thinking; the catalogue's where it is not given."""

    @field_validator("model")
    @classmethod
    def _named(cls, model: str, rest: ValidationInfo) -> str:
        if model:
            return model
        if rest.data.get("provider") not in NEED_NO_MODEL:
            raise PydanticCustomError("missing", "Field required")
        return WHICHEVER

    @property
    def tier(self) -> str | None:
        """What a model is chosen for: the tier of `provider: auto`, or the server whose model is not named; None where it is known."""
        if self.provider == AUTO:
            return self.model
        if self.model != WHICHEVER:
            return None
        return f"{self.provider} at {self.base_url}" if self.base_url else self.provider

    def answered_by(self, provider: str, model: str) -> "Profile":
        """The same with the model that was chosen."""
        return self.model_copy(update={"provider": provider, "model": model, "base_url": None if self.provider == AUTO else self.base_url})

    def with_parameters(self, *layers: Parameters) -> "Profile":
        """Lay on this profile each layer's own keys, the later winning; `options` merge by key."""
        changes: dict[str, Any] = {}
        options = dict(self.options)
        for layer in layers:
            for key in Parameters.model_fields.keys() & layer.model_fields_set:
                value = getattr(layer, key)
                if key == "options":
                    options |= value
                elif value is not None:
                    changes[key] = value
        return self.model_copy(update={**changes, "options": options})


class DefaultProfile(NamedTuple):
    """The profile of agents that name none, and where that was said, if it was."""

    name: str
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server together with the key it is asked with: what limits belong to."""

    key: str
    """Tells endpoints apart; holds no secret."""
    label: str
    """For people: `api.openai.com`, `embedded`."""
    max_parallel: int | None = 64
    """Calls it takes at once where no profile says otherwise; None is no bound."""
    one_model: bool = False
    """Whether calls for one model are grouped, because loading another is slow."""
    local: bool = False
    """Whether it is on this machine, so that nothing leaves it and it costs nothing."""
    address: str = ""
    """Wire format and base URL, whoever asks: where equal requests have equal replies. Empty: the profile says all of it."""
