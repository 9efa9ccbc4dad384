"""The configuration from Python: `llm_orc.get_config().user_config.api_keys["anthropic"]`. Each call reads anew; nothing is global."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, SecretStr

from llm_orc.app import Known
from llm_orc.catalog.cards import card, catalog
from llm_orc.catalog.prices import ListPrice, pricing
from llm_orc.config.keeping import store_folder
from llm_orc.config.layers import Layers, read_layers
from llm_orc.config.surroundings import Surroundings
from llm_orc.domain.credential import Credential
from llm_orc.domain.model import Catalog, ModelCard
from llm_orc.domain.price import Price
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.domain.profile import Parameters, Profile
from llm_orc.library.unknown import UnknownError
from llm_orc.library.waiting import wait
from llm_orc.models.address import address
from llm_orc.models.base import Find, Reach
from llm_orc.models.presets import PRESETS, base_url_of

Thing = TypeVar("Thing")


class Named(Mapping[str, Thing]):
    """Things by name, each made when it is asked for; a name is looked up in small letters too."""

    def __init__(self, what: str, names: Collection[str], get: Callable[[str], Thing | None], more: str = "") -> None:
        """`get` gives None for a name that is nobody's; `more` ends the hint."""
        self._what, self._names, self._get, self._more = what, names, get, more

    def __getitem__(self, name: str) -> Thing:
        for written in dict.fromkeys([name, name.lower()]):
            if (found := self._get(written)) is not None:
                return found
        raise UnknownError.of(self._what, name, self._names, self._more)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<{', '.join(self._names)}>"


@dataclass(frozen=True, slots=True)
class DefaultModel:
    """The model of agents that name none."""

    provider: str
    name: str
    settings: Mapping[str, Any]
    """The parameters that its profile sets."""


@dataclass(frozen=True, slots=True)
class AgentPool:
    """Who may answer, and how many at once."""

    max_agents: int | None
    """Calls of one run at once; None is no bound but those of the servers."""
    default_agent_type: str
    """The profile of agents that name none."""
    agent_types: Mapping[str, Profile] = field(repr=False)
    """Every profile by its name."""


@dataclass(frozen=True, slots=True)
class UserConfig:
    """What the user decides."""

    api_keys: Mapping[str, SecretStr]
    """By provider; read when it is asked for, and never shown."""
    storage: Mapping[str, str]
    """`path`: the folder of the store."""
    agents: AgentPool
    _layers: Layers = field(repr=False)

    @property
    def default_model(self) -> DefaultModel:
        """The model of agents that name none; raises ProblemError if its profile is not there, or broken."""
        profile = _default(self._layers)
        return DefaultModel(profile.provider, profile.model, _settings(profile))


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """One provider."""

    name: str
    base_url: str | None
    tiers: Mapping[str, str]
    """The models behind default, fast and careful."""
    models: Mapping[str, ModelCard]
    """What is known of its models; a dated snapshot is found by its own name too."""


@dataclass(frozen=True, slots=True)
class SystemConfig:
    """What is known of providers and models: what is shipped, and the user's `catalog:` over it."""

    providers: Mapping[str, ProviderConfig]


class ModelConfig(ModelCard):
    """A model with all that is known of it, and what the user sets for it."""

    provider: str
    name: str
    base_url: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    """The parameters of the default profile, where that is this model."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """All of it."""

    user_config: UserConfig
    system_config: SystemConfig
    _layers: Layers = field(repr=False)
    _known: Catalog = field(repr=False)

    def get_model_config(self, provider: str, model: str) -> ModelConfig:
        """What is known of a model and set for it; raises UnknownError for a provider that is not there, or one not known for it."""
        where = self.system_config.providers[provider]
        default = _default(self._layers)
        is_default = (default.provider, default.model) == (where.name, model)
        profile = default if is_default else Profile(provider=where.name, model=model)
        if where.models and not is_default:
            where.models[model]
        base_url = profile.base_url or where.base_url
        price = pricing(self._known, profile, local=bool(base_url) and address(base_url or "").local)
        return ModelConfig(
            **{
                **card(self._known, profile).model_dump(exclude_unset=True),
                "price": price.usual if isinstance(price, ListPrice) else price if isinstance(price, Price) else None,
                "provider": where.name,
                "name": model,
                "base_url": base_url,
                "settings": _settings(default) if is_default else {},
            }
        )


def get_config(
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    home: str | os.PathLike[str] | None = None,
    find: Find | None = None,
) -> Configuration:
    """Settings, profiles, keys and the catalogue as they are now, seen from `cwd`; raises ProblemError if they cannot be read.

    `find` looks keys up, by provider, variable and name; without it they come from the environment and from `llm-orc auth`.
    """
    environment = dict(os.environ if env is None else env)
    where = Surroundings(Path(cwd or Path.cwd()), Path(home or environment.get("HOME") or Path.home()), environment)
    layers = read_layers(where)
    known = catalog(layers.settings.catalog)
    names = list(dict.fromkeys([*known, *PRESETS]))
    pool = AgentPool(layers.settings.limits.max_parallel, layers.default_profile.name, layers.profiles)
    user = UserConfig(_keys(Reach(environment, find=find or Known(layers).find)), {"path": str(store_folder(layers))}, pool, layers)
    system = SystemConfig(Named("provider", names, partial(_provider, known, layers)))
    return Configuration(user, system, layers, known)


def _provider(known: Catalog, layers: Layers, name: str) -> ProviderConfig | None:
    if name not in known and name not in PRESETS:
        return None
    found = known.get(name)
    usual = PRESETS[name].base_url if name in PRESETS else None
    listens = base_url_of(name, layers.where.env) if name in PRESETS else None
    if listens == usual and found:
        listens = found.base_url or usual

    def model(called: str) -> ModelCard | None:
        told = card(known, Profile(provider=name, model=called))
        return told if told != ModelCard() else None

    models = Named(f"model of {name}", list(found.models) if found else [], model)
    return ProviderConfig(name, listens, found.tiers if found else {}, models)


def _keys(reach: Reach) -> Named[SecretStr]:
    found = {name: key for name, preset in PRESETS.items() if preset.key and (key := reach.credential(name, preset.key))}

    def secret(name: str) -> SecretStr | None:
        return _secret(found[name]) if name in found else None

    return Named("key for", list(found), secret, "add one: llm-orc auth add PROVIDER")


def _secret(credential: Credential) -> SecretStr:
    """The key, now; inside a running event loop too."""
    return wait(credential.secret())


def _default(layers: Layers) -> Profile:
    named = layers.default_profile
    try:
        return layers.profiles[named.name]
    except KeyError:
        hint = nearest(named.name, layers.profiles) or "see: llm-orc list profiles"
        raise ProblemError(Problem(f"no profile '{named.name}'", named.place, hint)) from None


def _settings(profile: Profile) -> dict[str, Any]:
    return {key: getattr(profile, key) for key in Parameters.model_fields if key in profile.model_fields_set}
