"""The files that a fan-out goes over: found by name, folder or pattern, and read when it is their turn."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING

from llm_orc.config.folders import MAGIC, UNTRUSTED, fixed_part, real
from llm_orc.config.layers import Layers
from llm_orc.config.reading import reason
from llm_orc.config.trust import is_trusted
from llm_orc.domain.item import Unread
from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.tree import Found

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

MAX_BYTES = 1_000_000
"""The largest file that is given to an agent as text."""
MAX_ENTRIES = 1_000_000
"""Files and folders that are looked at."""
NAMED = 3
"""Files that are named where more were passed over."""
_HEAD = 8_192
IGNORED, BINARY, LARGE, OUTSIDE = ("in .gitignore", "binary", "larger than 1 MB", "outside of the project")


@dataclass(frozen=True, slots=True)
class Tree:
    """The files below the working directory, and those beside it that may be read."""

    cwd: Path
    project: str
    """The folder that what an agent replied may name files in."""
    trusted: Callable[[], bool] = lambda: True
    """Whether links may lead out of it: who cloned it has not seen where they go."""

    def find(self, names: Sequence[str], bounds: str | None) -> Found:
        """The files of these names, folders and patterns, each once; `bounds` is the folder they must lie in. Raises FailedError."""
        files: dict[str, Unread] = {}
        passed: dict[str, list[str]] = {}
        empty = []
        beyond = partial(self._beyond, bounds=bounds)
        for name in filter(None, map(self._exact, names)):
            before, walk = len(files), _Walk(self.cwd, beyond, passed)
            for path in walk.named(name):
                shown = self._shown(path)
                files.setdefault(shown, Unread(shown, partial(_text, path, shown, beyond, self.cwd), _size(path)))
            if len(files) == before and walk.searched:
                empty.append(name)
        if empty and not files:
            raise FailedError(Failure(Kind.NOT_FOUND, f"no file matches {_quoted(empty)}", _hint(passed, self.cwd)))
        warnings = [f"no file matches {_quoted(empty)}"] if empty else []
        return Found(tuple(files.values()), (*warnings, *(_passed_over(why, paths) for why, paths in passed.items() if why != IGNORED)))

    def naming(self) -> Callable[[str], str]:
        """Gives every file one name, as it is seen from the working directory, whatever spellings and links lead to it."""
        home, known = real(self.cwd), dict[tuple[int, int], str]()

        def name(file: str) -> str:
            path = real(self.cwd / file.replace("\0", "?"))
            shown = str(path.relative_to(home) if path.is_relative_to(home) else path)
            try:
                found = path.stat()
            except OSError:
                return shown
            return known.setdefault((found.st_dev, found.st_ino), shown)

        return name

    def _exact(self, name: str) -> str:
        """The name without the blanks round it, if none is called so with them."""
        return name if "\0" in name or os.path.lexists(self.cwd / name) else name.strip()

    def _beyond(self, path: Path, bounds: str | None) -> str:
        """Why a file may not be read: it lies outside of the bounds, or where a link leads out of a project that nobody trusts."""
        whole = Path(os.path.normpath(path))
        if bounds is not None:
            return "" if real(path).is_relative_to(bounds) else UNTRUSTED
        inside = whole.is_relative_to(self.cwd) or whole.is_relative_to(self.project)
        return "" if not inside or real(path).is_relative_to(self.project) or self.trusted() else f"it is reached by a link; {UNTRUSTED} ."

    def _shown(self, path: Path) -> str:
        whole = os.path.normpath(path)
        return os.path.relpath(whole, self.cwd) if Path(whole).is_relative_to(self.cwd) else whole


def tree_of(layers: Layers) -> Tree:
    """The files below the working directory, and the project that it lies in."""
    project = layers.project or layers.where.cwd
    return Tree(layers.where.cwd, str(real(project)), partial(_is_trusted, project, layers))


def _is_trusted(project: Path, layers: Layers) -> bool:
    try:
        return is_trusted(project, layers.where)
    except ProblemError:  # nobody can tell
        return False


@dataclass(slots=True)
class _Walk:
    """One look for what a name stands for."""

    cwd: Path
    beyond: Callable[[Path], str]
    passed: dict[str, list[str]]
    searched: bool = False
    """Whether it was a folder or a pattern: what is named outright is an item even where it cannot be read."""
    _seen: int = 0

    def named(self, name: str) -> Iterable[Path]:
        if "\0" in name:
            return [self.cwd / name.replace("\0", "?")]
        path = self.cwd / name
        if MAGIC & set(name) and not os.path.lexists(path):
            self.searched = True
            fixed = fixed_part(name)
            rest = [part for part in name.removeprefix(fixed if fixed != "." else "").split("/") if part not in ("", ".")]
            return self._below(self.cwd / fixed, rest)
        if path.is_dir():
            self.searched = True
            return self._below(path, ["**"])
        return [path]

    def _below(self, top: Path, pattern: Sequence[str]) -> Iterator[Path]:
        top = Path(os.path.normpath(top))
        ignored = _Ignored(top)
        hidden = any(part.startswith(".") for part in pattern)
        yield from self._files(top, (), pattern, ignored, hidden=hidden)

    def _files(self, folder: Path, parts: tuple[str, ...], pattern: Sequence[str], ignored: "_Ignored", *, hidden: bool) -> Iterator[Path]:
        for entry in _entries(folder):
            self._seen += 1
            if self._seen > MAX_ENTRIES:
                what = f"there are more than {MAX_ENTRIES:,} files and folders below '{folder}'"
                raise FailedError(Failure(Kind.INVALID_REQUEST, what, "name a smaller folder"))
            if entry.name == ".git" or (entry.name.startswith(".") and not hidden):
                continue
            path, own = folder / entry.name, (*parts, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if not ignored.matches(path, folder=True):
                    yield from self._files(path, own, pattern, ignored, hidden=hidden)
            elif _matches(own, pattern) and self._takes(path, ignored):
                yield path

    def _takes(self, path: Path, ignored: "_Ignored") -> bool:
        """Whether a file that was found is worth an agent; if not, it is remembered why."""
        why = IGNORED if ignored.matches(path) else _unfit(path, self.beyond)
        if why:
            self.passed.setdefault(why, []).append(os.path.relpath(path, self.cwd))
        return not why


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:  # not there, or not ours to look into: it holds nothing that could be read
        return []


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path is what a pattern says; `*` and `**` stand for nothing hidden."""
    if not pattern:
        return not parts
    if pattern[0] == "**" and _matches(parts, pattern[1:]):
        return True
    if not parts or (parts[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    if pattern[0] == "**":
        return _matches(parts[1:], pattern)
    return fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _unfit(path: Path, beyond: Callable[[Path], str]) -> str:
    """Why a file is passed over that nobody named outright."""
    if beyond(path):
        return OUTSIDE
    try:
        found = path.stat()
        if not S_ISREG(found.st_mode):
            return "neither files nor folders"
        if found.st_size > MAX_BYTES:
            return LARGE
        with path.open("rb") as file:
            return BINARY if b"\0" in file.read(_HEAD) else ""
    except OSError:
        return ""  # told when it is read


def _size(path: Path) -> int:
    try:
        return min(path.stat().st_size, MAX_BYTES)
    except OSError:
        return 0


def _text(path: Path, shown: str, beyond: Callable[[Path], str], cwd: Path) -> str:
    """The text of a file; raises FailedError."""
    if hint := beyond(path):
        raise FailedError(Failure(Kind.PERMISSION, f"'{shown}' lies outside of the project", hint))
    try:
        mode = path.stat().st_mode
        if not S_ISREG(mode):
            what = "a folder" if S_ISDIR(mode) else "a pipe or a device"
            raise FailedError(Failure(Kind.INVALID_REQUEST, f"'{shown}' is {what}, not a file"))
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise FailedError(Failure(Kind.NOT_FOUND, f"there is no file '{shown}'", f"looked from {cwd}")) from None
    except OSError as error:
        kind = Kind.PERMISSION if isinstance(error, PermissionError) else Kind.INVALID_REQUEST
        raise FailedError(Failure(kind, f"'{shown}' cannot be read: {reason(error)}")) from None
    if b"\0" in raw[:_HEAD]:
        raise FailedError(Failure(Kind.INVALID_REQUEST, f"'{shown}' is {BINARY}", "only text is given to agents"))
    if len(raw) > MAX_BYTES:
        raise FailedError(Failure(Kind.INVALID_REQUEST, f"'{shown}' is {LARGE}", "pipe it in, and split it: fan_out: {chunks: ...}"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FailedError(Failure(Kind.INVALID_REQUEST, f"'{shown}' is no UTF-8 text", "save the file as UTF-8")) from None


@dataclass(slots=True)
class _Ignored:
    """What the .gitignore files say of a folder and of what is below it, the nearest one last."""

    top: Path
    _root: Path = field(init=False)
    _read: "dict[Path, GitIgnoreSpec | None]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._root = next((above for above in (self.top, *self.top.parents) if (above / ".git").exists()), self.top)

    def matches(self, path: Path, *, folder: bool = False) -> bool:
        """Whether a file or folder is left out."""
        for above in path.parents:
            spec = self._of(above)
            said = spec.check_file(f"{path.relative_to(above).as_posix()}{'/' if folder else ''}").include if spec else None
            if said is not None:
                return said
            if above == self._root:
                break
        return False

    def _of(self, folder: Path) -> "GitIgnoreSpec | None":
        if folder not in self._read:
            self._read[folder] = _ignoring(folder / ".gitignore")
        return self._read[folder]


def _ignoring(file: Path) -> "GitIgnoreSpec | None":
    try:
        lines = file.read_bytes()[:MAX_BYTES].decode(errors="replace").splitlines()
    except OSError:
        return None
    from pathspec import GitIgnoreSpec  # costs 10 ms, and most folders have no such file

    return GitIgnoreSpec.from_lines(lines)


def _passed_over(why: str, paths: Sequence[str]) -> str:
    more = f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else ""
    return f"passed over, {why}: {', '.join(paths[:NAMED])}{more}"


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _hint(passed: dict[str, list[str]], cwd: Path) -> str:
    if not passed:
        return f"looked from {cwd}"
    return "; ".join(f"{len(paths):,} passed over, {why}" for why, paths in passed.items())
