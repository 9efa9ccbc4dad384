"""What can be called by its name: looked up through the layers, and read only when it is asked for."""

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, cast

from llm_orc.config.folders import BUILT_IN, CALLED, PROJECT, USER
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import Profile

Thing = TypeVar("Thing", Ensemble, Profile)


@dataclass(frozen=True, slots=True)
class Entry(Generic[Thing]):
    """An ensemble or a profile under the name it is called by: its layer, its file, and how to read it."""

    name: str
    layer: str
    file: Path
    """Of a profile in config.yaml that file; of one in the environment the variable."""
    read: Callable[[], Thing]
    """Raises ProblemError."""


class Shelf(Mapping[str, Thing]):
    """The ensembles or the profiles of all layers. A lookup raises KeyError for an unknown name, ProblemError for a broken file."""

    def __init__(self, kind: str, found: Callable[[str | None], Iterator[Entry[Thing]]], warn: Callable[[Problem], None]) -> None:
        """`found` gives the entries of a name, or all, highest layer first."""
        self._kind = kind
        self._found: Callable[[str | None], Iterator[Entry[Thing]]] = found
        self._warn = warn
        self._read: dict[tuple[Path, str], Thing] = {}
        self._by_name: dict[str, Thing] = {}

    def __getitem__(self, name: str) -> Thing:
        if name not in self._by_name:  # every agent asks, and the layers are looked through once
            self._by_name[name] = self._looked_up(name)
        return self._by_name[name]

    def _looked_up(self, name: str) -> Thing:
        same = list(self._found(name))
        if not same:
            return self._named_inside(name)
        hidden = next((entry.layer for entry in same if entry.layer in (BUILT_IN, USER)), None)
        if same[0].layer in (PROJECT, CALLED) and hidden:
            whose = "the one that comes with llm-orc" if hidden == BUILT_IN else "your own"
            self._warn(Problem(f"{self._kind} '{name}' is the project's, not {whose} ({same[0].file.name})", warning=True))
        return self._once(same[0])

    def put(self, name: str, thing: Thing) -> None:
        """Let this be found by the name, whatever the layers have."""
        self._by_name[name] = thing

    def __iter__(self) -> Iterator[str]:
        return (entry.name for entry in self.entries())

    def __len__(self) -> int:
        return len(self.entries())

    def entries(self) -> list[Entry[Thing]]:
        """Every name with what it stands for, sorted; nothing is read."""
        highest: dict[str, Entry[Thing]] = {}
        for entry in self._found(None):
            highest.setdefault(entry.name, entry)
        return [highest[name] for name in sorted(highest)]

    def _once(self, entry: Entry[Thing]) -> Thing:
        key = (entry.file, entry.name)
        if key not in self._read:
            self._read[key] = entry.read()
        return self._read[key]

    def _named_inside(self, name: str) -> Thing:
        """The one whose `name:` it is; broken files are passed over."""
        for entry in self._found(None):
            try:
                thing = self._once(entry)
            except ProblemError:
                continue
            if thing.name == name:
                return thing
        raise KeyError(name)


def overlaid(above: Mapping[str, Thing], below: Mapping[str, Thing]) -> Mapping[str, Thing]:
    """Both, `above` winning; nothing of what is below is read before somebody asks for it."""
    return ChainMap(dict(above), cast("MutableMapping[str, Thing]", below))
