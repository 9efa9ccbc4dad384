"""What is said to one Ollama server, through its SDK. Costs 300 ms to import, so only when a plan needs it."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx
import ollama
import pydantic

from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind
from llm_orc.models.refusals import event_refusal, refusal
from llm_orc.models.target import Target
from llm_orc.models.transport import failure_of, transport

_NO_KEY = "none"
"""The SDK looks for a key of its own where it is not given one; this one never leaves."""
_UNCUT = b'{"truncate":false,"shift":false,'
"""The SDK has no words for these: a server that knows them refuses what does not fit, instead of cutting it."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a server says of one of its models; None where it does not."""

    name: str
    window: int | None = None
    """What the model was made for."""
    abilities: frozenset[str] | None = None
    """As Ollama calls them: completion, vision, tools, thinking, embedding."""
    family: str = ""


class Server:
    """Speaks to one server; every fault comes out as a FailedError without a word of another library."""

    def __init__(self, target: Target, env: Mapping[str, str]) -> None:
        """Opens no connection; raises FailedError for a proxy or certificates that cannot be used."""
        self._target = target
        self._client = ollama.AsyncClient(
            target.address.url,
            transport=_Wire(transport(target, env), target),
            follow_redirects=False,
            trust_env=False,
            headers={"authorization": _NO_KEY},
        )

    async def pulled(self) -> list[Known]:
        """The models that are there."""
        with _unbilled(self._target):
            said = await self._client.list()
        return [Known(each.model, family=(each.details.family if each.details else "") or "") for each in said.models if each.model]

    async def resident(self) -> dict[str, int | None]:
        """The models in memory, each with the window it was loaded with, where that is said."""
        with _unbilled(self._target):
            said = await self._client.ps()
        return {name: each.context_length or None for each in said.models if (name := each.model or each.name)}

    async def show(self, model: Known) -> Known:
        """The same model with all that the server knows of it; older servers know little."""
        try:
            with _unbilled(self._target, model.name):
                said = await self._client.show(model.name)
        except FailedError as error:
            if error.failure.kind is not Kind.MALFORMED:
                raise
            return model
        windows = (value for key, value in (said.modelinfo or {}).items() if key.endswith(".context_length"))
        window = next((value for value in windows if isinstance(value, int) and value > 0), None)
        abilities = None if said.capabilities is None else frozenset(said.capabilities)
        return Known(model.name, window, abilities, model.family)

    async def load(self, model: str, options: Mapping[str, Any], keep_alive: float | str | None) -> None:
        """Have a model in memory."""
        with _unbilled(self._target, model):
            await self._client.generate(model, options=options, keep_alive=keep_alive)

    async def whole(self, model: str, messages: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> ollama.ChatResponse:
        """A reply in one piece; `settings` are options, format, think and keep_alive."""
        with _understood(self._target, model):
            whole: ollama.ChatResponse = await self._client.chat(model, messages, **settings)
        return whole

    async def pieces(
        self, model: str, messages: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]
    ) -> AsyncGenerator[ollama.ChatResponse, None]:
        """A reply as it comes."""
        pieces = cast("AsyncGenerator[ollama.ChatResponse, None]", await self._client.chat(model, messages, stream=True, **settings))
        async with aclosing(pieces):
            with _understood(self._target, model):
                async for piece in pieces:
                    yield piece

    async def close(self) -> None:
        """Let go of every connection."""
        await self._client.close()  # type: ignore[no-untyped-call]


@contextmanager
def _understood(target: Target, model: str) -> Iterator[None]:
    try:
        with _refusing(target, model):
            yield
    except ollama.ResponseError as error:
        raise FailedError(event_refusal(target, model, {"error": _inner(error.error)})) from None
    except (pydantic.ValidationError, AttributeError, TypeError) as error:  # JSON of another shape, which the SDK takes apart unseen
        said = error.errors()[0]["input"] if isinstance(error, pydantic.ValidationError) else None
        if isinstance(said, dict) and said.get("error"):
            raise FailedError(event_refusal(target, model, {"error": _inner(said["error"])})) from None
        what = f"{target.address.label} sent a reply in no known form"
        raise FailedError(Failure(Kind.MALFORMED, what, f"is base_url right? {target.address.url}")) from None
    except Exception as error:  # noqa: BLE001 - raised again as it is, if it is none of theirs
        raise failure_of(error, target) from None


@contextmanager
def _unbilled(target: Target, model: str = "") -> Iterator[None]:
    """Likewise where no model is asked, which costs nothing."""
    try:
        with _understood(target, model):
            yield
    except FailedError as error:
        error.usage = NO_USAGE
        raise


@contextmanager
def _refusing(target: Target, model: str) -> Iterator[None]:
    """What the SDK makes of an error status keeps neither headers nor body, and fails for some bodies; what it was made from has all."""
    try:
        yield
    except Exception as error:
        if isinstance(error.__context__, httpx.HTTPStatusError):
            raise _refused(error.__context__.response, target, model) from None
        raise


def _refused(response: httpx.Response, target: Target, model: str) -> FailedError:
    if response.status_code == 404 and not model:
        hint = f"is base_url right? {target.address.url}; it is without /v1 for provider ollama"
        return FailedError(Failure(Kind.NOT_FOUND, f"{target.address.label} does not speak Ollama's format", hint), usage=NO_USAGE)
    try:
        said = json.loads(response.content)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict):
        said = {**said, "error": _inner(said.get("error"))}
    return FailedError(refusal(target, model, response.status_code, said, response.headers), usage=NO_USAGE)


def _inner(error: Any) -> Any:
    """The error that Ollama hands on from its engine is JSON inside of a string."""
    try:
        said = json.loads(error)
    except (ValueError, TypeError, RecursionError):
        return error
    return said.get("error", error) if isinstance(said, dict) else error


_SAID_ANEW = (b"authorization", b"content-length", b"user-agent")
"""Headers that the SDK or httpx has set: the length follows from the body, whatever that is by then."""


class _Wire(httpx.AsyncBaseTransport):
    """Signs requests with our key alone, asks for uncut prompts, and hands lines over in a form that survives the SDK."""

    def __init__(self, below: httpx.AsyncBaseTransport, target: Target) -> None:
        self._below, self._target = below, target

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        key = await self._target.key()
        kept = [header for header in request.headers.raw if header[0].lower() not in _SAID_ANEW]
        signed = [(b"authorization", b"Bearer " + key.encode())] if key else []
        request.headers = httpx.Headers([*kept, (b"user-agent", b"llm-orc"), *signed])
        if not request.url.path.endswith("/api/chat"):
            return await self._below.handle_async_request(request)
        uncut = _Uncut(request)
        response = await self._below.handle_async_request(uncut)
        if uncut.streams and isinstance(pieces := response.stream, httpx.AsyncByteStream):
            response.stream = _Lines(pieces)
        return response

    async def aclose(self) -> None:
        await self._below.aclose()


class _Uncut(httpx.Request):
    """The same request with our words in its body. To have httpx make another one would take a tenth of the whole call."""

    def __init__(self, request: httpx.Request) -> None:
        self.method, self.url, self.headers = request.method, request.url, request.headers
        self.extensions, self.stream = request.extensions, request.stream
        self._body = _UNCUT + request.content.removeprefix(b"{")

    @property
    def content(self) -> bytes:
        return self._body

    @property
    def streams(self) -> bool:
        """Whether the reply is read line by line."""
        return b'"stream":true' in self._body


_SEPARATORS = {"\x85".encode(): b"\\u0085", "\u2028".encode(): b"\\u2028", "\u2029".encode(): b"\\u2029"}
_BEGUN = (b"\xe2\x80", b"\xe2", b"\xc2")
"""How the bytes of one of them may begin at the end of a piece."""


class _Lines(httpx.AsyncByteStream):
    """JSON in which no letter is taken for the end of a line: httpx breaks at every separator that Unicode knows."""

    def __init__(self, pieces: httpx.AsyncByteStream) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        kept = b""
        async for piece in self._pieces:
            data = kept + piece
            kept = next((begun for begun in _BEGUN if data.endswith(begun)), b"")
            data = data[: len(data) - len(kept)]
            for letter, written in _SEPARATORS.items():
                data = data.replace(letter, written)
            yield data
        yield kept

    async def aclose(self) -> None:
        await self._pieces.aclose()
