"""Makes a patch of the edits in a reply: each is looked up in the file, and what does not fit or would break the file is left out and told.

The file is only read. What it would be is left in $LLM_ORC_ARTIFACTS under its own name.
"""

import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import Any, NamedTuple

EDIT = re.compile(r"^<{5,9}[^\n]*\n(.*?)^={5,9}[ \t]*\n(.*?)^>{5,9}[^\n]*$", re.MULTILINE | re.DOTALL)
LEFT = re.compile(r"^\W*left:\s*(.+)$", re.MULTILINE | re.IGNORECASE)
HEAD = 60
MARK = "\ufeff"  # some editors begin a file with it; models do not see it


class Edit(NamedTuple):
    """Lines as they are, and as they shall be."""

    old: str
    new: str


def main() -> None:
    """Read the edits of the one dependency, and write the patch below lines that begin with `#`."""
    request = json.load(sys.stdin)
    (reply,) = (dependency["text"] or "" for dependency in request["dependencies"].values())
    (file,) = request["attachments"]
    name = file["name"]
    text = read(file["path"], name)
    edits = [Edit(*found) for found in EDIT.findall(reply.replace("\r\n", "\n"))]
    left = LEFT.findall(EDIT.sub("", reply))
    if not edits and not left:
        sys.exit(f"the reply holds no edit of {name}: {_head(reply)}")
    fixed, notes = applied(edits, text, name)
    if edits and fixed == text:
        sys.exit(f"no edit of {name} can be used: {'; '.join(notes)}")
    told = [f"# {name}: {line}" for line in (*notes, *(f"left: {why}" for why in left))]
    sys.stdout.write("".join(f"{line}\n" for line in told) + "".join(patch(name, text, fixed)))
    if fixed != text:
        leave(name, fixed)


def read(path: str, name: str) -> str:
    """The text of the file; ends the program where it is none."""
    try:
        return Path(path).read_bytes().decode()
    except UnicodeDecodeError:
        sys.exit(f"{name} is no UTF-8 text, and is not patched")


def applied(edits: list[Edit], text: str, name: str) -> tuple[str, list[str]]:
    """The text with every edit that fits, one after the other, and what became of the others; lines keep the ends they have."""
    notes: list[str] = []
    mark = MARK if text.startswith(MARK) else ""
    plain = fixed = text.removeprefix(MARK).replace("\r\n", "\n")
    for edit in edits:
        where = places(edit.old, fixed)
        if len(where) != 1:
            notes.append(f"not used, for its lines stand {f'{len(where)} times' if where else 'nowhere'} in the file: {_head(edit.old)}")
            continue
        start, end = where[0]
        changed = fixed[:start] + edit.new + fixed[end:]
        if end == len(fixed) and not fixed.endswith("\n"):
            changed = changed.removesuffix("\n")
        if why := broken(name, fixed, changed):
            notes.append(f"not used, for {why}: {_head(edit.new)}")
        elif changed == fixed:
            notes.append(f"not used, for it changes nothing: {_head(edit.old)}")
        else:
            fixed = changed
    if fixed == plain:
        return text, notes
    return mark + (fixed.replace("\n", "\r\n") if "\r\n" in text else fixed), notes


def places(old: str, text: str) -> list[tuple[int, int]]:
    """Where these lines stand as they are; else where they do but for blanks at the ends of lines. No lines stand before the first one."""
    if not old.strip():
        return [(0, 0)]
    for wanted in (
        re.escape(old.removesuffix("\n")),
        r"[ \t]*\n".join(re.escape(line.rstrip()) for line in old.removesuffix("\n").split("\n")),
    ):
        found = [(each.start(), each.end()) for each in re.finditer(rf"^{wanted}[ \t]*(?:\n|\Z)", text, re.MULTILINE)]
        if found:
            return found
    return []


def broken(name: str, before: str, after: str) -> str:
    """Why a file that could be read as what it is no longer can."""
    reads = {".py": ast.parse, ".json": json.loads}.get(Path(name).suffix)
    if reads is None or (why := _fault(reads, after)) is None or _fault(reads, before) is not None:
        return ""
    return f"with it the file is broken ({why})"


def _fault(reads: Any, text: str) -> str | None:
    try:
        reads(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        return f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError | json.JSONDecodeError) else "it cannot be read"
    return None


def patch(name: str, old: str, new: str) -> Iterator[str]:
    """A unified diff, as `git apply` and `patch -p1` take it in the folder that the name is seen from."""
    tab = "\t" if re.search(r"\s", name) else ""
    for line in unified_diff(_lines(old), _lines(new), f"a/{name}{tab}", f"b/{name}{tab}"):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(text: str) -> list[str]:
    """Lines that end in a line feed, and in nothing else."""
    return re.findall(r"[^\n]*\n|[^\n]+\Z", text)


def leave(name: str, text: str) -> None:
    """Leave the fixed file as an artifact."""
    folder = os.environ.get("LLM_ORC_ARTIFACTS")
    if folder and not Path(name).is_absolute() and ".." not in Path(name).parts:
        file = Path(folder, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())


def _head(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= HEAD else line[:HEAD] + "…")


if __name__ == "__main__":
    main()
