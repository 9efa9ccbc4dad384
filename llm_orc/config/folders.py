"""The folders that layers are made of, and the files that ensembles in them may name."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_orc.config.reading import Document, parse, read_text
from llm_orc.config.surroundings import Surroundings
from llm_orc.config.trust import is_trusted, refuse_foreign
from llm_orc.domain.message import Attachment
from llm_orc.domain.problem import Place, Problem, ProblemError
from llm_orc.domain.read import NAME_PATTERN

BUILT_IN, USER, PROJECT, CALLED = "built-in", "user", "project", "called"
SUFFIXES = (".yaml", ".yml")
UNTRUSTED = "if you know what is in this project: llm-orc trust"
MAGIC = frozenset("*?[")
"""What makes a pattern of the name of a file."""
_NAME = re.compile(rf"(?:examples/)?{NAME_PATTERN[1:-1]}")
_LAYERED = re.compile(rf"{NAME_PATTERN[1:-1]}/[^/]+")
"""The name of a template that other layers may have too: without a folder in it, it may well be meant for another ensemble."""


@dataclass(frozen=True, slots=True)
class Folder:
    """One layer's folder."""

    layer: str
    path: Path
    root: Path
    """What an untrusted project may read lies below it."""
    trusted: bool
    where: Surroundings

    def document(self, file: Path) -> Document:
        """What a YAML file says; raises ProblemError."""
        shown = self.where.shown(file)
        if problem := self.out_of_bounds(file, shown):
            raise ProblemError(problem)
        return parse(read_text(file, shown), shown)

    def file(self, kind: str, name: str) -> Path | None:
        """The file of that name in `ensembles` or `profiles`."""
        if not _NAME.fullmatch(name):
            return None
        candidates = (home / f"{name}{suffix}" for home in self._homes(kind) for suffix in SUFFIXES)
        return next((path for path in candidates if surely(path.is_file)), None)

    def files(self, kind: str, name: str | None = None) -> Iterator[tuple[str, Path]]:
        """Each name and its file in `ensembles` or `profiles`, or only that of `name`."""
        if name is None:
            yield from self._all_files(kind)
        elif path := self.file(kind, name):
            yield name, path

    def _all_files(self, kind: str) -> Iterator[tuple[str, Path]]:
        seen: set[str] = set()
        for home in self._homes(kind):
            for prefix, folder in (("", home), ("examples/", home / "examples")):
                for path in _yaml_files(folder):
                    name = prefix + path.stem
                    if _NAME.fullmatch(name) and name not in seen:
                        seen.add(name)
                        yield name, path

    def out_of_bounds(self, file: Path, named: str) -> Problem | None:
        """The problem of reading a file that lies outside of an untrusted project, links resolved."""
        if self.trusted or real(file).is_relative_to(self.root):
            return None
        return Problem(f"'{named}' lies outside of the project", hint=UNTRUSTED, untrusted=True)

    def _homes(self, kind: str) -> Iterable[Path]:
        own = self.path / kind
        return (own, self.path) if self.layer == CALLED and kind == "ensembles" else (own,)


def _unheard(_: Problem) -> None:
    """For whom nobody listens."""


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """The files that an ensemble in a folder may name."""

    folder: Folder
    beside: Path
    """The folder that the ensemble itself lies in."""
    higher: tuple[Folder, ...] = ()
    """The layers above, the highest last; their templates stand for those of the same name, if there is a folder in it."""
    warn: Callable[[Problem], None] = _unheard

    @property
    def trusted(self) -> bool:
        """Whether its scripts and commands may run."""
        return self.folder.trusted

    @property
    def bounds(self) -> str | None:
        """The folder that its agents may read files of; None where the user trusts whoever wrote it."""
        return None if self.folder.trusted else str(self.folder.root)

    def beyond(self, name: str) -> Problem | None:
        """What keeps its agents from reading the files of this name or pattern; a problem without a place."""
        return self.folder.out_of_bounds(self.folder.where.cwd / fixed_part(name), name)

    def text(self, name: str) -> str:
        """The text of a prompt or template; raises ProblemError without a place."""
        path = self._replaced(name) or self._find(name, "templates")
        try:
            return read_text(path, name)
        except ProblemError as error:
            raise ProblemError(*(Problem(_within(problem, name), hint=problem.hint) for problem in error.problems)) from None

    def data(self, name: str) -> Any:
        """What a JSON or YAML file holds; raises ProblemError without a place."""
        document = parse(self.text(name), name)
        try:
            document.check()
        except ProblemError as error:
            raise ProblemError(*(Problem(f"{problem.place}: {problem.what}", hint=problem.hint) for problem in error.problems)) from None
        return document.data

    def template(self, name: str) -> str:
        """The absolute path of a template; raises ProblemError without a place."""
        return str(self._find(name, "templates").absolute())

    def program(self, name: str) -> str:
        """The absolute path of a script; raises ProblemError without a place."""
        path = self._find(name, "scripts")
        if path.is_dir():
            raise ProblemError(Problem(f"'{name}' is a folder, not a script"))
        if not path.is_file():
            raise ProblemError(Problem(f"'{name}' is a pipe or a device, not a script"))
        if not os.access(path, os.R_OK):
            raise ProblemError(Problem(f"'{name}' cannot be read", hint=f"chmod u+r {self.folder.where.shown(path)}"))
        if path.suffix != ".py" and not os.access(path, os.X_OK):
            raise ProblemError(Problem(f"'{name}' is not executable", hint=f"chmod +x {self.folder.where.shown(path)}"))
        return str(path.absolute())

    def attachment(self, name: str, *, filled: bool = False) -> Attachment:
        """A file to send; raises ProblemError without a place. What is `filled` in is looked for below the working directory first.

        It may be the word of a model, which does not get to read what lies anywhere else, however much the ensemble is trusted.
        """
        from llm_orc.config.attachments import read_attachment  # most ensembles attach nothing

        cwd = self.folder.where.cwd
        path = self._find(name, "", *([cwd] if filled else []))
        if filled and not any(real(path).is_relative_to(real(home)) for home in (self.folder.path, self.beside, self.folder.root, cwd)):
            hint = "a name that is filled in leads no further than the project and the working directory"
            raise ProblemError(Problem(f"'{name}' lies outside of the project", hint=hint))
        return read_attachment(path, name)

    def _replaced(self, name: str) -> Path | None:
        """The template of a higher layer that stands for this one; raises ProblemError for one of a project that is not trusted."""
        layered = reversed(self.higher) if _LAYERED.fullmatch(name) else ()
        for folder in layered:
            found = folder.path / "templates" / name
            if not surely(found.is_file):
                continue
            whose = "the one that comes with llm-orc" if self.folder.layer == BUILT_IN else "your own"
            what = f"the template '{name}' is the project's, not {whose}"
            if not folder.trusted:
                raise ProblemError(Problem(what, hint=f"look at it, then: {UNTRUSTED.rpartition(': ')[2]}", untrusted=True))
            if folder.layer != USER:
                self.warn(Problem(what, warning=True))
            return found
        return None

    def _find(self, name: str, kind: str, *first: Path) -> Path:
        base = self.folder.path / "ensembles" if self.folder.layer == BUILT_IN else self.folder.path
        lowest = [_shipped() / "ensembles" / kind] if kind == "templates" and _LAYERED.fullmatch(name) else []
        homes = dict.fromkeys((*first, base, base / kind, self.beside, self.beside / kind, self.folder.root, *lowest))
        try:
            found = next((home / name for home in homes if (home / name).exists()), None)
        except (OSError, ValueError):  # too long, or with a NUL in it
            found = None
        if found is None:
            places = ", ".join(f"{self.folder.where.shown(home)}/" for home in homes)
            raise ProblemError(Problem(f"no file '{name}'", hint=f"looked in {places}"))
        if found not in [home / name for home in lowest] and (problem := self.folder.out_of_bounds(found, name)):
            raise ProblemError(problem)
        return found


def layers_of(where: Surroundings) -> tuple[Folder, ...]:
    """The folders there are, lowest layer first; raises ProblemError for a project folder that others may write."""
    built_in = _shipped()
    folders = [Folder(BUILT_IN, built_in, built_in, trusted=True, where=where)]
    user = where.settings
    folders.append(Folder(USER, user, user, trusted=True, where=where))
    project = project_folder(where)
    if project and real(project) != real(user):
        refuse_foreign(project, where)
        root = real(project.parent)
        folders.append(Folder(PROJECT, project, root, is_trusted(root, where), where))
    return tuple(folders)


def folder_of(file: Path, known: Iterable[Folder], where: Surroundings) -> Folder:
    """The layer of a file that was called by its path: the one it lies in, else its own folder.

    A link to the file does not move it: it would lend the trust in its target to whatever lies beside the link.
    """
    home = file.parent.parent if file.parent.name == "examples" and file.parent.parent.name == "ensembles" else file.parent
    home = home.parent if home.name == "ensembles" else home
    own = real(home)
    for folder in known:
        if own == real(folder.path):
            return folder
    if own.is_relative_to(real(where.settings)):
        return Folder(CALLED, home, own, trusted=True, where=where)
    marked = (above for above in (own, *own.parents) if surely((above / ".git").exists) or surely((above / ".llm-orc").is_dir))
    root = next((above for above in marked if above != real(where.home)), own)
    return Folder(CALLED, home, root, is_trusted(root, where), where)


def fixed_part(name: str) -> str:
    """What stands before the first part of a name that is a pattern."""
    parts = name.split("/")
    fixed = next((index for index, part in enumerate(parts) if MAGIC & set(part)), len(parts))
    return "/".join(parts[:fixed]) or ("/" if name.startswith("/") else ".")


def project_folder(where: Surroundings) -> Path | None:
    """The nearest `.llm-orc` upward, no further than the root of the repository or home."""
    home = real(where.home)
    for above in (where.cwd, *where.cwd.parents):
        if surely((above / ".llm-orc").is_dir):
            return above / ".llm-orc"
        if real(above) == home or surely((above / ".git").exists):
            return None
    return None


def real(path: Path) -> Path:
    """The path with links resolved, as far as they lead anywhere: `Path.resolve` raises where they lead in a circle."""
    return Path(os.path.realpath(path))


def _shipped() -> Path:
    """What comes with the program: below the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parents[1]
    return package / "shipped" if (package / "shipped").is_dir() else package.parent


def _yaml_files(folder: Path) -> list[Path]:
    try:
        found = [path for path in folder.iterdir() if path.suffix in SUFFIXES and surely(path.is_file)]
    except OSError:
        return []
    return sorted(found, key=lambda path: (path.stem, path.suffix))


def surely(question: Callable[[], bool]) -> bool:
    """What a path answers; a no where it lies in a folder that may not be looked into, or has too long a name."""
    try:
        return question()
    except OSError:
        return False


def _within(problem: Problem, name: str) -> str:
    place: Place | None = problem.place
    line = f" in line {place.line}" if place and place.line else ""
    return f"'{name}' {problem.what}{line}"
