"""Ensembles, profiles and settings of all layers together: built-in < user < project < environment < flags."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from llm_orc.config.expansion import expand
from llm_orc.config.folders import PROJECT, SUFFIXES, USER, Folder, FolderFiles, folder_of, layers_of, surely
from llm_orc.config.reading import Document
from llm_orc.config.rest import HalfReadError
from llm_orc.config.settings import ENVIRONMENT, Config, Settings, merged, read_config, read_environment
from llm_orc.config.shelf import Entry, Shelf
from llm_orc.config.surroundings import Surroundings
from llm_orc.config.written import ensemble_of, file_name, profile_of
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.problem import Problem, ProblemError, in_order, nearest
from llm_orc.domain.profile import DefaultProfile, Profile

__all__ = ["Layers", "Surroundings", "normalised_host", "read_layers"]

_PORTS = {"http": 80, "https": 443}


def read_layers(where: Surroundings) -> "Layers":
    """Settings, and where everything else is; raises ProblemError. No ensemble and no profile is read yet."""
    folders = layers_of(where)
    configs = [config for folder in folders if (config := read_config(folder, where.env))]
    variables, warnings = read_environment(where.env)
    told = [problem for config in configs for problem in config.document.problems]
    return Layers(where, merged([*configs, *variables]), folders, (*configs, *variables), [*told, *warnings])


@dataclass(frozen=True, slots=True)
class Layers:
    """Everything that the files and the environment say; read as far as it is asked for."""

    where: Surroundings
    settings: Settings
    folders: tuple[Folder, ...]
    """Lowest layer first."""
    configs: tuple[Config, ...] = ()
    """The config.yaml of each layer that has one, then the environment's variables."""
    told: list[Problem] = field(default_factory=list)
    """Warnings so far."""
    templates: tuple[Folder, ...] = ()
    """The folders whose templates may stand for those of lower ones; all, unless told."""
    ensembles: Shelf[Ensemble] = field(init=False)
    profiles: Shelf[Profile] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "templates", self.templates or self.folders)
        object.__setattr__(self, "ensembles", Shelf("ensemble", self._ensemble_entries, self.told.append))
        object.__setattr__(self, "profiles", Shelf("profile", self._profile_entries, self.told.append))

    @property
    def project(self) -> Path | None:
        """The folder that holds `.llm-orc/`, if there is one."""
        return next((folder.path.parent for folder in self.folders if folder.layer == PROJECT), None)

    @property
    def trusted(self) -> bool:
        """Whether the user trusts every folder here."""
        return all(folder.trusted for folder in self.folders)

    @property
    def default_profile(self) -> DefaultProfile:
        """The profile of agents that name none, and where it was set."""
        origin = self.settings.origin("default_profile")
        return DefaultProfile(origin.value, origin.place)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What should be said on stderr about all that was read so far."""
        return in_order(self.told)

    @property
    def trusted_hosts(self) -> frozenset[str]:
        """The servers, as scheme://host:port, that the user lets see a provider's key."""
        named = [*self.settings.trusted_hosts, *(card.base_url or "" for card in self.settings.catalog.values())]
        for entry in self._profile_entries(None):
            if entry.layer in (USER, ENVIRONMENT):
                try:
                    named.append(entry.read().base_url or "")
                except ProblemError:
                    continue  # told when it is used
        return frozenset(host for host in map(normalised_host, named) if host)

    def ensemble(self, name_or_path: str) -> Ensemble:
        """The ensemble of that name, or in that file; raises ProblemError with all that is wrong, in what it names too."""
        try:
            return self._called(name_or_path)
        except HalfReadError as error:
            raise ProblemError(*error.problems, *self._wrong_in_the_rest(error)) from None

    def _called(self, name_or_path: str) -> Ensemble:
        if self.is_path(name_or_path):
            path = self.where.cwd / name_or_path
            return self._read_ensemble(folder_of(path, self.folders, self.where), path)
        try:
            return self.ensembles[name_or_path]
        except KeyError:
            close = nearest(name_or_path, self.ensembles)
            if surely((self.where.cwd / name_or_path.replace("\0", "")).is_file):
                close = f"a file is called by its path: ./{name_or_path}"
            hint = f"{close} see: llm-orc list ensembles".strip()
            raise ProblemError(Problem(f"no ensemble '{name_or_path}'", hint=hint)) from None

    def _wrong_in_the_rest(self, error: HalfReadError) -> list[Problem]:
        from llm_orc.domain.resolve import resolve  # needed only when something is wrong

        try:
            resolve(error.rest, self.profiles, self.ensembles, default=self.default_profile)
        except ProblemError as more:
            return [problem for problem in more.problems if not problem.warning]
        return []

    def around(self, name_or_path: str) -> "Layers":
        """These layers; for an ensemble that is called by its path, with its own folder on top."""
        if not self.is_path(name_or_path):
            return self
        folder = folder_of(self.where.cwd / name_or_path, self.folders, self.where)
        if folder in self.folders:
            return self
        return replace(self, folders=(*self.folders, folder), templates=(*self.templates, folder))

    def knowing(self, ensemble: Ensemble) -> "Layers":
        """These layers, with this ensemble by its name."""
        layers = replace(self)
        layers.ensembles.put(ensemble.name, ensemble)
        return layers

    def is_path(self, name_or_path: str) -> bool:
        """Whether an ensemble is called by its path and not by its name."""
        if "\0" in name_or_path:
            return False  # nothing has such a name
        if name_or_path.endswith(SUFFIXES) or name_or_path.startswith("."):
            return True
        return "/" in name_or_path and not any(folder.file("ensembles", name_or_path) for folder in self.folders)

    def _ensemble_entries(self, name: str | None) -> Iterator[Entry[Ensemble]]:
        for folder in reversed(self.folders):
            for found, path in folder.files("ensembles", name):
                yield Entry(found, folder.layer, path, partial(self._read_ensemble, folder, path))

    def _profile_entries(self, name: str | None) -> Iterator[Entry[Profile]]:
        yield from self._configured(ENVIRONMENT, None, name)
        for folder in reversed(self.folders):
            for found, path in folder.files("profiles", name):
                yield Entry(found, folder.layer, path, partial(self._read_profile, folder, path, found))
            yield from self._configured(folder.layer, folder, name)

    def _configured(self, layer: str, folder: Folder | None, name: str | None) -> Iterator[Entry[Profile]]:
        """The profiles under `model_profiles` in one layer."""
        for config in self.configs:
            profiles = config.data.get("model_profiles", {}) if config.layer == layer else {}
            for found in profiles if name is None else profiles.keys() & {name}:
                read = partial(self._finished_profile, folder, config.document, found, ("model_profiles", found))
                yield Entry(found, layer, Path(config.document.source.file), read)

    def _read_ensemble(self, folder: Folder, path: Path) -> Ensemble:
        document = folder.document(path)
        higher = self.templates[self.templates.index(folder) + 1 :] if folder in self.templates else ()
        ensemble = ensemble_of(document, FolderFiles(folder, path.parent, higher, self.told.append), file_name(path))
        self.told.extend(document.problems)
        return ensemble

    def _read_profile(self, folder: Folder, path: Path, name: str) -> Profile:
        return self._finished_profile(folder, folder.document(path), name)

    def _finished_profile(self, folder: Folder | None, document: Document, name: str, path: tuple[str, ...] = ()) -> Profile:
        part = document.copy()
        if folder:
            expand(part, path, self.where.env, folder)
        profile = profile_of(part, name, path)
        self.told.extend(part.problems)
        return profile


def normalised_host(url: str) -> str:
    """`scheme://host:port` of an address, in small letters and with the port; empty where it is none."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port}" if parts.hostname and port else ""
