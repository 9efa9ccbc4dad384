"""YAML text to plain data that knows where each of its values stands."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from llm_orc.config.broken import TOO_DEEP, broken
from llm_orc.domain.problem import KeyPath, Place, Problem, ProblemError, Source

MAX_BYTES = 8_000_000
"""The largest file that is read."""
MAX_VALUES = 100_000
"""The most values a file may hold once its anchors are filled in."""
MAX_DEPTH = 100

_TAG = "tag:yaml.org,2002:"
_STR, _NULL, _BOOL, _INT, _FLOAT = (_TAG + name for name in ("str", "null", "bool", "int", "float"))
_MAP, _SEQ, _MERGE = (_TAG + name for name in ("map", "seq", "merge"))
_CORE = (
    (_NULL, re.compile(r"(?:~|null|Null|NULL|)")),
    (_BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)")),
    (_INT, re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)")),
    (_FLOAT, re.compile(r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))")),
    (_MERGE, re.compile("<<")),
)
_VALUES: dict[str, Callable[[str], Any]] = {
    _NULL: lambda _: None,
    _BOOL: lambda text: {"true": True, "false": False}[text.lower()],
    _INT: lambda text: int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)),
    _FLOAT: lambda text: float(text.replace(".", "") if text[-1:].isalpha() else text),
    _MERGE: str,
}
_MAY_BE_OTHER = frozenset("~nNtTfF+-.0123456789<")
_LADDER = re.compile(r"(?<![-? \t])[ \t]*(?:[-?][ \t]+){1000}")  # the C parser takes quadratic time for it
_UNSEEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")


@dataclass(slots=True)
class Document:
    """What a file says, where it says it, and what is wrong with it so far."""

    data: Any
    source: Source
    spots: dict[KeyPath, tuple[int, int]]
    """Where each value stands; the same as `source.spots`, while it is being filled."""
    keys: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    """Where each key stands."""
    problems: list[Problem] = field(default_factory=list)
    faulty: set[KeyPath] = field(default_factory=set)
    """The paths with a fault that is worse than a warning."""
    filled: dict[KeyPath, str] = field(default_factory=dict)
    """Texts as they were before an environment variable, perhaps a secret, was filled in."""

    def fault(self, path: KeyPath, what: str, hint: str = "", *, warning: bool = False) -> None:
        """Note what is wrong with the value at `path`."""
        self._note(path, Problem(what, self.source.at(*path), hint, warning=warning))

    def fault_of_key(self, path: KeyPath, what: str, hint: str = "", *, warning: bool = False) -> None:
        """Note what is wrong with the key at `path`."""
        place = Place(self.source.file, *self.keys[path]) if path in self.keys else self.source.at(*path)
        self._note(path, Problem(what, place, hint, warning=warning))

    def _note(self, path: KeyPath, problem: Problem) -> None:
        self.problems.append(problem)
        if not problem.warning:
            self.faulty.add(path)

    def moved(self, old: KeyPath, new: KeyPath) -> None:
        """Let the value at `old` be found at `new` as well, because its key was translated."""
        self.spots[new] = self.spots[old]
        self.keys[new] = self.keys[old]

    def copy(self) -> "Document":
        """The same values, with nothing wrong yet."""
        return Document(deepcopy(self.data), self.source, self.spots, self.keys)

    def check(self) -> None:
        """Raise what is wrong, if anything is worse than a warning."""
        if not all(problem.warning for problem in self.problems):
            raise ProblemError(*self.problems)


def read_text(path: Path, shown: str) -> str:
    """The text of a file; raises ProblemError with the file as its place."""
    place = Place(shown)
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe that nobody writes to would never be open
            raise ProblemError(Problem("is a pipe or a device, not a file", place, "save what it holds as a file"))
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ProblemError(Problem("there is no such file", place)) from None
    except IsADirectoryError:
        raise ProblemError(Problem("is a folder, not a file", place)) from None
    except OSError as error:
        raise ProblemError(Problem(f"cannot be read: {reason(error)}", place)) from None
    except ValueError:  # a NUL in the name
        raise ProblemError(Problem("is no name of a file", place)) from None
    if len(raw) > MAX_BYTES:
        raise ProblemError(Problem(f"is larger than {MAX_BYTES // 1_000_000} MB", place, hint="is it the right file?"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig", errors="replace")
        where = _place_of(before, len(before), shown)
        raise ProblemError(Problem("is no UTF-8 text", where, hint="save the file as UTF-8")) from None


def reason(error: OSError) -> str:
    """Why the system refused, in its own words."""
    return (error.strerror or "the system says no").lower()


def parse(text: str, file: str) -> Document:
    """What the YAML says; raises ProblemError where it is broken. `file` is what places are named by."""
    if unseen := _UNSEEN.search(text):
        place = _place_of(text, unseen.start(), file)
        raise ProblemError(
            Problem(f"an invisible character (U+{ord(unseen[0]):04X})", place, hint="is it a text file? remove the character")
        )
    if ladder := _LADDER.search(text):
        raise ProblemError(Problem(TOO_DEEP, _place_of(text, ladder.start(), file)))
    loader = Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise ProblemError(broken(error, text, file)) from None
    finally:
        loader.dispose()
    spots: dict[KeyPath, tuple[int, int]] = {}
    document = Document(None, Source(file, spots), spots)
    if node is not None:
        document.data = _Construction(document, text).build(node, ())
    return document


def _place_of(text: str, index: int, file: str) -> Place:
    return Place(file, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # one of two, chosen when it runs
    """Composes nodes with the scalars of YAML 1.2's core schema; the C loader recurses, so depth is bounded here."""

    depth = 0

    def resolve(self, kind: type, value: str | None, implicit: Any) -> str:
        """The tag of a node that has none."""
        if kind is not yaml.ScalarNode:
            return _SEQ if kind is yaml.SequenceNode else _MAP
        if not implicit[0] or (value and value[0] not in _MAY_BE_OTHER):
            return _STR
        return next((tag for tag, pattern in _CORE if pattern.fullmatch(value or "")), _STR)

    def descend_resolver(self, parent: yaml.Node | None, _index: object) -> None:
        """Called on the way into each node."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="too deep", problem_mark=parent.start_mark if parent else None)

    def ascend_resolver(self) -> None:
        """Called on the way out."""
        self.depth -= 1


class _Construction:
    """Makes data of composed nodes, filling in aliases and `<<`."""

    def __init__(self, document: Document, text: str) -> None:
        self._document = document
        self._spots = document.spots
        self._text = text
        self._count = 0
        self._open: set[int] = set()

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        mark = node.start_mark
        self._spots[path] = (mark.line + 1, mark.column + 1)
        self._counted(node)
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.tag == _STR else self._scalar(node, path)
        if node.tag not in (_MAP, _SEQ):
            self._document.fault(path, f"the tag '{_short(node.tag)}' is not known here", "leave it out")
        with self._opened(node):
            return self._list(node, path) if isinstance(node, yaml.SequenceNode) else self._mapping(node, path)

    @contextmanager
    def _opened(self, node: yaml.Node) -> Iterator[None]:
        """While a node is being filled in, so that aliases neither lead back to it nor deeper than the text itself may."""
        if id(node) in self._open:
            raise ProblemError(Problem("an anchor that contains itself", self._place(node)))
        if len(self._open) >= MAX_DEPTH:
            raise ProblemError(Problem(TOO_DEEP, self._place(node)))
        self._open.add(id(node))
        yield
        self._open.discard(id(node))

    def _list(self, node: yaml.SequenceNode, path: KeyPath) -> list[Any]:
        return [self.build(child, (*path, index)) for index, child in enumerate(node.value)]

    def _mapping(self, node: yaml.Node, path: KeyPath) -> Any:
        if _is_bare_template(node):
            return self._bare_template(node, path)
        data = {}
        for name, (key, value) in self._entries(node).items():
            here = (*path, name)
            self._document.keys[here] = (key.start_mark.line + 1, key.start_mark.column + 1)
            data[name] = self.build(value, here)
        return data

    def _entries(self, node: yaml.Node) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The keys of a mapping; its own win over those merged into it."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                for name, entry in self._merged(value):
                    merged.setdefault(name, entry)
            elif not isinstance(key, yaml.ScalarNode):
                self._problem(key, "a key has to be a plain text", "quote a text that begins with a bracket")
            elif key.value in own:
                first = self._place(own[key.value][0])
                self._problem(key, f"the key '{_cut(key.value)}' stands twice", f"the first is in line {first.line}; keep one")
            else:
                own[key.value] = (key, value)
        return merged | own

    def _merged(self, node: yaml.Node) -> Iterator[tuple[str, tuple[yaml.Node, yaml.Node]]]:
        for one in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            self._counted(one)
            if not isinstance(one, yaml.MappingNode):
                self._problem(one, "'<<' takes keys and values, by an alias such as *base")
            else:
                with self._opened(one):
                    entries = self._entries(one)
                self._count += len(entries)
                yield from entries.items()

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        if node.tag not in _VALUES:
            self._document.fault(path, f"the tag '{_short(node.tag)}' is not known here", "leave it out")
            return node.value
        try:
            return _VALUES[node.tag](node.value)
        except (ValueError, KeyError):
            self._document.fault(path, f"'{_cut(node.value)}' is no {_short(node.tag).removeprefix('!!')} that can be read")
            return node.value

    def _bare_template(self, node: yaml.Node, path: KeyPath) -> str:
        line = self._text.splitlines()[node.start_mark.line]
        end = node.end_mark.column if node.end_mark.line == node.start_mark.line else len(line)
        written = line[node.start_mark.column : end]
        key = f"{path[-1]}: " if path and isinstance(path[-1], str) else ""
        quote = "'" if '"' in written else '"'
        self._document.fault(path, "a template without quotes is read as brackets by YAML", f"quote it: {key}{quote}{written}{quote}")
        return written

    def _counted(self, node: yaml.Node) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            what = f"holds more than {MAX_VALUES:,} values once its anchors are filled in"
            raise ProblemError(Problem(what, self._place(node), hint="do its anchors repeat one another?"))

    def _problem(self, node: yaml.Node, what: str, hint: str = "") -> None:
        self._document.problems.append(Problem(what, self._place(node), hint))

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._document.source.file, node.start_mark.line + 1, node.start_mark.column + 1)


def _is_bare_template(node: yaml.Node) -> bool:
    """Whether this is `{{ x }}` as YAML sees it: a mapping whose one key is a mapping."""
    keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) and node.flow_style else []
    return len(keys) == 1 and isinstance(keys[0], yaml.MappingNode) and bool(keys[0].flow_style)


def _short(tag: str) -> str:
    return tag.replace(_TAG, "!!")


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
