"""The files that a program leaves in its folder for artifacts: they are taken when it ends, however it does."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path

from llm_orc.domain.event import Produced, Warned
from llm_orc.domain.message import Tell
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.secret import LONG, holds_secret
from llm_orc.engine.bench import Bench, emptied
from llm_orc.engine.means import Keep

VARIABLE = "LLM_ORC_ARTIFACTS"
"""Tells a program where that folder is."""
LARGEST = 100_000_000
"""Bytes of a file that is kept, at most."""
TOGETHER = 1_000_000_000
"""Bytes of all files of one program."""
MOST = 1_000
"""Files of one program."""
DEEPEST = 16
"""Folders within one another."""
LONGEST = 500
"""Characters of a name."""
_SHOWN = 4
_CHUNK = 1 << 20
_HEAD = 1 << 16
_OVERLAP = 2_000
"""Characters in which a key would stand on two chunks."""
_BENCHES: dict[Path, Bench] = {}
"""Of this process, by the folder for what is temporary."""
_NOT_KEPT = "nothing of this run is kept"


@asynccontextmanager
async def folder_of(node: str, env: Mapping[str, str], keep: Keep | None, tell: Tell) -> AsyncIterator[Mapping[str, str]]:
    """The environment with a fresh folder for a program; what it leaves there is kept and told of when it has ended."""
    parent = Path(env.get("TMPDIR") or "/tmp")  # noqa: S108 - in it a new folder that only we may enter
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(_BENCHES.setdefault(parent, Bench(parent)).folder())
        except OSError:
            tell(Warned(node, f"has no folder for artifacts: {parent} cannot be written"))
            yield env
            return
        try:
            yield {**env, VARIABLE: str(folder)}
        finally:
            await _emptied(_Taking(node, keep), folder, tell)


async def _emptied(taking: "_Taking", folder: Path, tell: Tell) -> None:
    if taking.nothing_in(folder):
        return
    cut = None
    task = asyncio.ensure_future(asyncio.to_thread(taking.all_of, folder))
    while not task.done():  # also where we are cut off meanwhile: else the files would be lost
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cut = error
    task.result()
    for event in taking.told():
        tell(event)
    if cut is not None:
        raise cut


async def kept_bytes(node: str, data: bytes, keep: Keep | None, tell: Tell) -> str:
    """The name of an artifact with what a function of somebody's made, which is told of."""
    from mimetypes import guess_extension  # few functions make bytes

    from llm_orc.domain.media import media_type_of

    name = f"{node.rpartition('/')[2]}{guess_extension(media_type_of('', data[:_HEAD])) or ''}"
    taking = _Taking(node, keep)
    await asyncio.to_thread(taking.take, name, data)
    for event in taking.told():
        tell(event)
    return name


class _RefusedError(Exception):
    """Why a file is not kept."""


@dataclass(slots=True)
class _Taking:
    """Goes through the files that a program left; in a thread."""

    node: str
    keep: Keep | None
    left: int = TOGETHER
    """Bytes that may still be kept."""
    found: list[Produced] = field(default_factory=list)
    refused: dict[str, list[str]] = field(default_factory=dict)
    """Why not -> the names of these files."""

    def nothing_in(self, folder: Path) -> bool:
        """Whether the program left nothing, as nearly every one does; then the folder is removed."""
        try:
            folder.rmdir()
        except FileNotFoundError:  # it did so itself
            return True
        except OSError:
            return False
        return True

    def told(self) -> Iterator[Produced | Warned]:
        """What is to be told."""
        yield from self.found
        for why, names in self.refused.items():
            more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
            yield Warned(self.node, f"left {', '.join(names[:_SHOWN])}{more} as artifacts, not kept: {why}")

    def all_of(self, folder: Path) -> None:
        """Take every file, and remove the folder."""
        for name, file in self._files(folder):
            self._take(name, file)
        emptied(folder)

    def _files(self, folder: Path, below: str = "") -> Iterator[tuple[str, Path]]:
        """Whatever is no folder, by its name."""
        try:
            folder.chmod(0o700)  # it may have been shut
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            self._refuse(below.rstrip("/"), "the folder cannot be read")
            return
        for entry in entries:
            name = f"{below}{entry.name}"
            if not entry.is_dir(follow_symlinks=False):
                yield name, Path(entry.path)
            elif name.count("/") < DEEPEST:
                yield from self._files(Path(entry.path), f"{name}/")
            else:
                self._refuse(name, f"more than {DEEPEST} folders within one another")

    def _refuse(self, name: str, why: str) -> None:
        self.refused.setdefault(why, []).append("".join(letter if letter.isprintable() else "?" for letter in name)[:LONGEST])

    def take(self, name: str, data: bytes) -> None:
        """Take these bytes, as those of a file."""
        with self._refusing(name):
            self._keep(name, len(data), data[:_HEAD], BytesIO(data).read)

    def _take(self, name: str, file: Path) -> None:
        with self._refusing(name):
            self._check(name)
            with _opened(file) as opened:
                self._keep(name, os.fstat(opened).st_size, os.pread(opened, _HEAD, 0), partial(os.read, opened))

    @contextmanager
    def _refusing(self, name: str) -> Iterator[None]:
        try:
            yield
        except _RefusedError as error:
            self._refuse(name, str(error))
        except OSError:
            self._refuse(name, "cannot be read")
        except ProblemError as error:
            self._refuse(name, error.problems[0].what)

    def _keep(self, name: str, size: int, head: bytes, read: Callable[[int], bytes]) -> None:
        from llm_orc.domain.media import media_type_of

        found = Produced(self.node, name, media_type_of(name, head), size)
        self.found.append(found)  # should it be refused, it was there all the same
        self.found[-1] = replace(found, sha256=self._kept(read, size))

    def _check(self, name: str) -> None:
        if not name.isprintable():  # nor are the halves of characters that stand for bytes
            raise _RefusedError("the name is not printable UTF-8")
        if len(name) > LONGEST:
            raise _RefusedError(f"the name has more than {LONGEST} characters")
        if len(self.found) == MOST:
            raise _RefusedError(f"more than {MOST:,} files")

    def _kept(self, read: Callable[[int], bytes], size: int) -> str:
        if self.keep is None:
            raise _RefusedError(_NOT_KEPT)
        if size > LARGEST:
            raise _RefusedError(f"larger than {LARGEST // 1_000_000} MB")
        if size > self.left:
            raise _RefusedError(f"more than {TOGETHER // 1_000_000_000} GB together")
        self.left -= size
        return self.keep(_chunks(read, size))


@contextmanager
def _opened(file: Path) -> Iterator[int]:
    """A file that is no link, no pipe and no device; raises OSError, _RefusedError."""
    if not stat.S_ISREG(file.lstat().st_mode):
        raise _RefusedError("a link or a special file")
    opened = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield opened
    finally:
        os.close(opened)


def _chunks(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    """So many bytes of a file, or what there is, none of it a key."""
    before = ""
    while size and (chunk := read(min(_CHUNK, size))):
        size -= len(chunk)
        text = before + chunk.decode("latin-1")
        if holds_secret(text, LONG):
            raise _RefusedError("holds a key")
        before = text[-_OVERLAP:]
        yield chunk
