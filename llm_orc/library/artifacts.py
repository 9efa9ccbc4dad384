"""Artifacts: whatever an agent or a program made, kept by its id in a folder or in a database."""

import asyncio
import json
import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from llm_orc.config.keeping import store_folder
from llm_orc.config.layers import read_layers
from llm_orc.config.surroundings import Surroundings
from llm_orc.domain.kept import KeptArtifact
from llm_orc.domain.media import media_type_of
from llm_orc.domain.problem import Place, Problem, ProblemError, nearest
from llm_orc.domain.run import Run
from llm_orc.library.graph import now
from llm_orc.library.unknown import UnknownError
from llm_orc.store.artifacts import chunks
from llm_orc.store.collection import Collection
from llm_orc.store.runs import Store
from llm_orc.store.trouble import trouble

_log = logging.getLogger("llm_orc")
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_SUFFIX = ".artifact"
_VERSION = 1
_HEAD = 1 << 16
Filter = Mapping[str, Any]
"""Fields and what they have to be; of `metadata` the keys that are given, and `image/*` is any kind of image."""


class Artifact(BaseModel):
    """One thing that was made; its data is a text, bytes, or what JSON knows."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    id: str = Field(default_factory=lambda: uuid4().hex)
    name: str = ""
    content_type: str = ""
    """A media type; told by the data and the name where it is not given."""
    data: Any = None
    path: str | None = None
    """The file that it lies in; without `data` its bytes are what is saved."""
    timestamp: AwareDatetime = Field(default_factory=now)
    metadata: dict[str, Any] = Field(default_factory=dict)

    @field_validator("id")
    @classmethod
    def _is_id(cls, value: str) -> str:
        if not _ID.fullmatch(value):
            raise ValueError("an id is made of letters, digits, '.', '-' and '_', 200 at most, and begins with a letter, a digit or '_'")
        return value

    @field_validator("path", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return os.fspath(value) if isinstance(value, os.PathLike) else value

    def model_post_init(self, context: Any, /) -> None:  # noqa: ARG002 - pydantic's signature
        """Say what it is, where nobody has."""
        if not self.content_type and self.data is not None:
            self.__dict__["content_type"] = _type_of(self.name, self.data)


Artifacts = list[Artifact]


class ArtifactStorage(ABC):
    """Keeps artifacts. Whatever goes wrong is raised as ProblemError, an id that is not there as UnknownError."""

    def save(self, artifact: Artifact) -> str:
        """Keep it, in the place of one with its id, whole or not at all; its id."""
        self._put(artifact.id, *_written(artifact))
        return artifact.id

    def load(self, id: str) -> Artifact:  # noqa: A002 - as outsiders know it
        """The artifact, equal to the one that was saved."""
        found = self._get(id) if _ID.fullmatch(id) else None
        if found is None:
            raise self._unknown(id)
        return _read(*found, self._place(id))

    def delete(self, id: str) -> None:  # noqa: A002
        """Forget it."""
        if not (_ID.fullmatch(id) and self._remove(id)):
            raise self._unknown(id)

    def list(self, filter: Filter | None = None) -> Artifacts:  # noqa: A002
        """Those that fit the filter, the oldest first. What is broken is left out, and a warning is logged."""
        wanted = _checked(filter or {})
        found = []
        for id_, head in self._heads():
            try:
                if _fits(_read(head, None, self._place(id_)), wanted):
                    found.append(self.load(id_))
            except UnknownError:
                continue  # somebody has just removed it
            except ProblemError as error:
                _log.warning("%s", error)
        return sorted(found, key=lambda each: (each.timestamp, each.id))

    async def save_async(self, artifact: Artifact) -> str:
        """`save`, while others go on."""
        return await asyncio.to_thread(self.save, artifact)

    async def load_async(self, id: str) -> Artifact:  # noqa: A002
        """`load`, while others go on."""
        return await asyncio.to_thread(self.load, id)

    async def delete_async(self, id: str) -> None:  # noqa: A002
        """`delete`, while others go on."""
        await asyncio.to_thread(self.delete, id)

    async def list_async(self, filter: Filter | None = None) -> Artifacts:  # noqa: A002
        """`list`, while others go on."""
        return await asyncio.to_thread(self.list, filter)

    def _unknown(self, id_: str) -> UnknownError:
        return UnknownError.of("artifact", id_, (known for known, _ in self._heads()))

    @abstractmethod
    def _put(self, id_: str, head: str, body: bytes) -> None: ...

    @abstractmethod
    def _get(self, id_: str) -> tuple[str, bytes] | None: ...

    @abstractmethod
    def _remove(self, id_: str) -> bool: ...

    @abstractmethod
    def _heads(self) -> Iterator[tuple[str, str]]: ...

    @abstractmethod
    def _place(self, id_: str) -> str: ...


class FileSystemArtifactStorage(ArtifactStorage):
    """In a folder, a file for each: a line of JSON, and behind it the data as it is. Only their owner may read them."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """The folder is made where it is not there."""
        self.path = Path(path)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _trouble(error, self.path) from None

    def _put(self, id_: str, head: str, body: bytes) -> None:
        file = self._file(id_)
        new = file.with_name(f"{token_hex(8)}.new")
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
                opened.writelines((head.encode(), b"\n", body))
                opened.flush()
                os.fsync(opened.fileno())
            new.replace(file)
        except OSError as error:
            raise _trouble(error, file) from None
        finally:
            new.unlink(missing_ok=True)

    def _get(self, id_: str) -> tuple[str, bytes] | None:
        try:
            head, _, body = self._file(id_).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _trouble(error, self._file(id_)) from None
        return head.decode(errors="replace"), body

    def _remove(self, id_: str) -> bool:
        try:
            self._file(id_).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _trouble(error, self._file(id_)) from None
        return True

    def _heads(self) -> Iterator[tuple[str, str]]:
        for file in sorted(self.path.glob(f"*{_SUFFIX}")):
            try:
                with file.open("rb") as opened:
                    head = opened.readline().decode(errors="replace")
            except FileNotFoundError:
                continue  # somebody has just removed it
            except OSError as error:
                raise _trouble(error, file) from None
            yield file.name.removesuffix(_SUFFIX).partition("~")[0], head

    def _place(self, id_: str) -> str:
        return str(self._file(id_))

    def _file(self, id_: str) -> Path:
        # There are file systems that do not tell `a` from `A`.
        told_apart = "" if id_ == id_.lower() else f"~{sha256(id_.encode()).hexdigest()[:16]}"
        return self.path / f"{id_}{told_apart}{_SUFFIX}"


class DatabaseArtifactStorage(ArtifactStorage):
    """In an SQLite file; without one in `artifacts.db`, where `llm-orc` keeps its runs."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """The file is made where it is not there."""
        self.path = Path(path) if path is not None else _ours() / "artifacts.db"
        self._kept = Collection(self.path)

    def _put(self, id_: str, head: str, body: bytes) -> None:
        self._kept.put(id_, head, body)

    def _get(self, id_: str) -> tuple[str, bytes] | None:
        return self._kept.get(id_)

    def _remove(self, id_: str) -> bool:
        return self._kept.remove(id_)

    def _heads(self) -> Iterator[tuple[str, str]]:
        return iter(self._kept.heads())

    def _place(self, id_: str) -> str:
        return f"{self.path}: {id_}"


def artifacts_of(run: Run, store: str | os.PathLike[str] | None = None) -> Artifacts:
    """The files that the scripts and commands of a run left, with their bytes; `store` is its folder where it is not the usual one."""
    with Store.open(_ours() if store is None else Path(store), make=False) as opened:
        found = []
        for made in (each for node in run.nodes.values() for each in node.artifacts if each.sha256):
            kept = KeptArtifact(made.node, made.name, made.media_type, made.size, made.sha256)
            data = b"".join(chunks(opened, kept))
            of = {"run": run.id, "node": made.node, "sha256": made.sha256}
            id_ = sha256(json.dumps([run.id, made.node, made.name]).encode()).hexdigest()[:32]
            moment = now().fromtimestamp(made.at, now().tzinfo)
            found.append(Artifact(id=id_, name=made.name, content_type=made.media_type, data=data, timestamp=moment, metadata=of))
        return found


def _ours() -> Path:
    env = dict(os.environ)
    return store_folder(read_layers(Surroundings(Path.cwd(), Path(env.get("HOME") or Path.home()), env)))


def _trouble(error: OSError, file: Path) -> ProblemError:
    return ProblemError(Problem(trouble(error, file).what, Place(str(file))))


# An artifact as a head and a body


def _written(artifact: Artifact) -> tuple[str, bytes]:
    kind, body = _body(artifact)
    kept = artifact.model_dump(exclude={"data", "timestamp"}) | {"version": _VERSION, "kind": kind}
    kept["content_type"] = artifact.content_type or _type_of(artifact.name or artifact.path or "", body)
    return _said({**kept, "timestamp": artifact.timestamp.isoformat()}, artifact.id), body


def _type_of(name: str, data: Any) -> str:
    match data:
        case str():
            return media_type_of(name, data[:_HEAD].encode(errors="replace"))
        case bytes() | bytearray():
            return media_type_of(name, bytes(data[:_HEAD]))
        case _:
            return "application/json"


def _body(artifact: Artifact) -> tuple[str, bytes]:
    match artifact.data:
        case str() as text:
            return "text", text.encode(errors="surrogatepass")
        case bytes() | bytearray() as data:
            return "bytes", bytes(data)
        case None if artifact.path is not None:
            try:
                return "bytes", Path(artifact.path).read_bytes()
            except OSError as error:
                raise _trouble(error, Path(artifact.path)) from None
        case value:
            return "json", _said(value, artifact.id).encode()


def _said(value: Any, id_: str) -> str:
    """A value as JSON, from which it comes back as it was."""
    try:
        text = json.dumps(value, allow_nan=False)
        if json.loads(text) == value:
            return text
    except (TypeError, ValueError, RecursionError):
        pass
    hint = "texts, numbers, True and False, None, lists, and dicts with texts as keys; or bytes"
    raise ProblemError(Problem(f"the artifact '{id_}' holds what JSON cannot say", hint=hint))


def _read(head: str, body: bytes | None, place: str) -> Artifact:
    """The artifact; without a body it has no data."""
    try:
        kept = json.loads(head)
        kind = kept.pop("kind")
        if (version := kept.pop("version")) > _VERSION:
            raise ProblemError(Problem(f"was written by a newer llm-orc, as version {version}", Place(place), "update this one"))
        data = None if body is None else _data(kind, body)
        return Artifact(**kept, data=data)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, ValidationError):
        raise ProblemError(Problem("is no artifact that was saved", Place(place), "remove it")) from None


def _data(kind: str, body: bytes) -> Any:
    match kind:
        case "text":
            return body.decode(errors="surrogatepass")
        case "json":
            return json.loads(body)
        case "bytes":
            return body
        case _:
            raise ValueError(kind)


def _checked(wanted: Filter) -> Filter:
    known = [name for name in Artifact.model_fields if name != "data"]
    for key in wanted:
        if key not in known:
            raise ProblemError(Problem(f"no field '{key}' to filter by", hint=nearest(key, known) or f"there are: {', '.join(known)}"))
    return wanted


def _fits(artifact: Artifact, wanted: Filter) -> bool:
    for key, value in wanted.items():
        held = getattr(artifact, key)
        if key == "metadata":
            if not all(name in held and held[name] == each for name, each in value.items()):
                return False
        elif key == "content_type" and str(value).endswith("/*"):
            if not held.startswith(value[:-1]):
                return False
        elif held != value:
            return False
    return True
