"""config.yaml and LLM_ORC_*: what holds for every ensemble, and which layer said so."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, PrivateAttr

from llm_orc.config.expansion import expand
from llm_orc.config.folders import PROJECT, Folder, FolderFiles
from llm_orc.config.reading import Document, parse, reason
from llm_orc.config.secrets import refuse_keys
from llm_orc.config.written import screen, validated
from llm_orc.domain.ensemble import Limits
from llm_orc.domain.keeping import Keeping
from llm_orc.domain.model import ModelCard, ProviderCard, overlaid
from llm_orc.domain.problem import KeyPath, Place, Problem, ProblemError, nearest
from llm_orc.domain.read import Name, Read

PREFIX = "LLM_ORC_"
ENVIRONMENT = "environment"
TEMPLATE_SUFFIX = ".j2"
_NOT_SETTINGS = (
    "LLM_ORC_TRUST",
    "LLM_ORC_OFFLINE",
    "LLM_ORC_DEBUG",
    "LLM_ORC_PASSPHRASE",
    "LLM_ORC_ARTIFACTS",
    "LLM_ORC_LOG_FILE",
    "LLM_ORC_LOG_LEVEL",
    "LLM_ORC_TEST_DATABASE_URL",
)
_FOREIGN = ("project", "performance")


class Origin(NamedTuple):
    """The value of a setting, the layer that set it, and where; the place of a variable is its name."""

    value: Any
    layer: str
    place: Place | None = None


class Settings(Read):
    """What config.yaml may say; each key is also read from `LLM_ORC_<KEY>`."""

    default_profile: Name = "default"
    """The profile of agents that name none."""
    model_profiles: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """Profiles by name, as in `profiles/NAME.yaml`."""
    limits: Limits = Limits()
    """Bounds on every run."""
    output_format: str | None = None
    """The format of results when neither flag nor ensemble says one."""
    store: Literal["on", "off"] | Keeping = "on"
    """Whether runs are kept: on, off, or where and how many."""
    cache: bool = False
    """Whether replies are used again where no ensemble, agent or profile says so or not."""
    trusted_hosts: tuple[str, ...] = ()
    """Servers, as scheme://host:port, that may be sent the key of a provider; in the user's own config.yaml only."""

    catalog: dict[Name, ProviderCard] = Field(default_factory=dict)
    """What is known of providers and models, over what is shipped, by provider; those that have `tiers` here are tried first."""

    _origins: Mapping[str, Origin] = PrivateAttr(default_factory=dict)

    def origin(self, key: str) -> Origin:
        """What a key (`limits.max_parallel`, `default_profile`) is, and who said so; raises KeyError."""
        return self.origins()[key]

    def origins(self) -> Mapping[str, Origin]:
        """Every key, in order; what nobody set comes from the program."""
        values: dict[str, Any] = {}
        for key in type(self).model_fields:
            if key == "limits":
                values |= {f"limits.{inner}": getattr(self.limits, inner) for inner in Limits.model_fields}
            elif key == "model_profiles":
                values |= {f"model_profiles.{name}": _in_short(profile) for name, profile in self.model_profiles.items()}
            elif key == "catalog":
                values |= {f"catalog.{'.'.join(path)}": value for path, value in _cards(self.catalog)}
            else:
                values[key] = getattr(self, key)
        return {key: self._origins.get(key, Origin(value, "built-in"))._replace(value=value) for key, value in values.items()}


@dataclass(frozen=True, slots=True)
class Config:
    """The config.yaml of one layer, or a variable of the environment."""

    layer: str
    document: Document

    @property
    def data(self) -> dict[str, Any]:
        """The keys it sets."""
        return self.document.data or {}

    def place(self, *path: str) -> Place:
        """Where a value stands; one of the environment has the name of its variable."""
        return self.document.source.at(*path)


def read_config(folder: Folder, env: Mapping[str, str]) -> Config | None:
    """The config.yaml of a folder, checked; None where there is none; raises ProblemError."""
    try:
        file = next((path for name in ("config.yaml", "config.yml") if (path := folder.path / name).exists()), None)
    except OSError as error:
        raise ProblemError(Problem(f"cannot be read: {reason(error)}", Place(folder.where.shown(folder.path)))) from None
    if file is None:
        return None
    document = folder.document(file)
    if document.data is None:
        return Config(folder.layer, document)
    if not isinstance(document.data, dict):
        document.fault((), "holds no keys and values", "such as: default_profile: fast")
        document.check()
    profiles = document.data.pop("model_profiles", None)  # each looked at when it is read
    if "trusted_hosts" in document.data and folder.layer == PROJECT:
        hint = f"a project cannot trust hosts for you; write it in {folder.where.shown(folder.where.settings / 'config.yaml')}"
        document.fault_of_key(("trusted_hosts",), "'trusted_hosts' in a project's config.yaml", hint)
        del document.data["trusted_hosts"]
    if folder.layer == PROJECT:
        _keep_addresses(
            document, f"a project cannot move a provider; write it in {folder.where.shown(folder.where.settings / 'config.yaml')}"
        )
    _screen(document, document.data)
    expand(document, (), env, folder)
    _find_template(document, folder)
    _find_store(document, folder)
    if profiles is not None:
        document.data["model_profiles"] = profiles
    validated(document, Settings)
    return Config(folder.layer, document)


def read_environment(env: Mapping[str, str]) -> tuple[list[Config], list[Problem]]:
    """What LLM_ORC_* variables set, and warnings for those that are nobody's; raises ProblemError."""
    found: list[Config] = []
    problems: list[Problem] = []
    known: dict[str, KeyPath] = {f"{PREFIX}{key.upper()}": (key,) for key in Settings.model_fields}
    known |= {f"{PREFIX}LIMITS_{key.upper()}": ("limits", key) for key in Limits.model_fields}
    for variable in sorted(name for name in env if name.startswith(PREFIX) and env[name]):
        if variable in known:
            found.append(_from_variable(variable, known[variable], env[variable]))
        elif variable not in _NOT_SETTINGS:
            hint = nearest(variable, [*known, *_NOT_SETTINGS])
            problems.append(Problem(f"the environment variable {variable} means nothing here", hint=hint, warning=True))
    return found, problems


def merged(layers: Iterable[Config]) -> Settings:
    """The settings of all layers, the later winning; `limits` and `model_profiles` merge by key, `catalog` by model and field."""
    data: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for config in layers:
        for key, value in config.data.items():
            if key in ("limits", "model_profiles"):
                data[key] = {**data.get(key, {}), **value}
                origins |= {f"{key}.{inner}": Origin(None, config.layer, config.place(key, inner)) for inner in value}
            elif key == "catalog":
                cards = Settings.model_validate({key: value}).catalog
                data[key] = overlaid(data.get(key, {}), cards)
                origins |= {f"{key}.{'.'.join(path)}": Origin(None, config.layer, config.place(key, *path)) for path, _ in _cards(cards)}
            else:
                data[key] = value
                origins[key] = Origin(None, config.layer, config.place(key))
    settings = Settings.model_validate(data)
    settings._origins = origins  # noqa: SLF001 - our own, just made
    return settings


def _find_template(document: Document, folder: Folder) -> None:
    """A format that is a template is looked up where the layer's files are, and read only where those may be."""
    name = document.data.get("output_format")
    if not (isinstance(name, str) and name.endswith(TEMPLATE_SUFFIX)):
        return
    try:
        document.data["output_format"] = FolderFiles(folder, folder.path).template(name)
    except ProblemError as error:
        place = document.source.at("output_format")
        document.problems += [replace(problem, place=place) for problem in error.problems]


def _find_store(document: Document, folder: Folder) -> None:
    """The folder of the store as a full path; a project that is not trusted keeps its runs below itself."""
    store = document.data.get("store")
    if not (isinstance(store, dict) and isinstance(name := store.get("path"), str)):
        return
    path = folder.root / (folder.where.home / name[2:] if name.startswith("~/") else Path(name))
    if problem := folder.out_of_bounds(path, name):
        document.problems.append(replace(problem, place=document.source.at("store", "path")))
        del store["path"]
    else:
        store["path"] = str(path)


def _cards(catalog: Mapping[str, ProviderCard]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What a catalogue says, key by key."""
    for provider, card in catalog.items():
        if card.base_url is not None:
            yield (provider, "base_url"), card.base_url
        for tier, model in card.tiers.items():
            yield (provider, "tiers", tier), model
        for name, model_card in card.models.items():
            yield from (((provider, "models", name, key), value) for key, value in _fields(model_card))


def _fields(card: ModelCard) -> Iterator[tuple[str, Any]]:
    for key, value in card.model_dump(mode="json", exclude_unset=True).items():
        yield key, sorted(value) if isinstance(value, list) else value


def _keep_addresses(document: Document, hint: str) -> None:
    """A cloned repository must not say which server gets a provider's key."""
    cards = document.data.get("catalog")
    for name, card in cards.items() if isinstance(cards, dict) else ():
        if isinstance(card, dict) and card.pop("base_url", None) is not None:
            document.fault_of_key(("catalog", name, "base_url"), "'base_url' in the catalogue of a project's config.yaml", hint)


def _refuse_truths(document: Document, value: Any, path: KeyPath) -> None:
    """Note `true` and `false` at or below `path`, which pydantic would take for numbers."""
    for key, inner in list(value.items()) if isinstance(value, dict) else ():
        if isinstance(inner, bool):
            document.fault((*path, key), f"'{key}' must not be {str(value.pop(key)).lower()}")
        elif key != "price":  # which looks after itself
            _refuse_truths(document, inner, (*path, key))


def _screen(document: Document, data: dict[str, Any]) -> None:
    refuse_keys(document, data, ())
    for key in ("catalog", "store"):
        _refuse_truths(document, data.get(key), (key,))
    screen(document, data, (), Settings.model_fields)
    if isinstance(limits := data.get("limits"), dict):
        screen(document, limits, ("limits",))
    for key in [key for key in data if key not in Settings.model_fields]:
        if key in _FOREIGN or not nearest(key, Settings.model_fields):
            document.fault_of_key((key,), f"'{key}' means nothing here", warning=True)
            del data[key]


def _in_short(profile: Mapping[str, Any]) -> str:
    return "/".join(str(profile.get(key, "?")) for key in ("provider", "model"))


def _from_variable(variable: str, path: KeyPath, text: str) -> Config:
    value = parse(text, variable)
    if path == ("trusted_hosts",) and isinstance(value.data, str):
        value.data = [host.strip() for host in value.data.split(",")]
    data: Any = value.data
    for key in reversed(path):
        data = {key: data}
    value.data = data
    value.spots.clear()
    value.keys.clear()
    _screen(value, data)
    validated(value, Settings)
    return Config(ENVIRONMENT, value)
