"""Google's SDK on our transport, and what its exceptions mean. Its import costs 0.7 s, so only when a plan needs it."""

import json
import logging
import re
import ssl
import warnings
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, cast

import httpx2
from google import genai
from google.genai import errors, types
from google.genai.client import DebugConfig
from google.oauth2.credentials import Credentials

from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind
from llm_orc.models.google_options import GoogleOptions, Vertex
from llm_orc.models.google_wire import Asked
from llm_orc.models.refusals import event_refusal, refusal
from llm_orc.models.target import Target
from llm_orc.models.transport import PATIENCE, Patience, failure_of
from llm_orc.models.transport2 import transport2

_NOBODY = "none"
"""Stands where the SDK wants a key, or would look for one itself; the true one is put in as the request leaves."""
_BEGUN: ContextVar[list[httpx2.Response] | None] = ContextVar("_BEGUN", default=None)
"""The responses of the stream that this task reads."""
_MOST_MODELS = 5_000
_MODEL = re.compile(r"/models/([^/:]+)")
_NO_REPLAY = DebugConfig(client_mode=None, replays_directory=None, replay_id=None)
_NO_TOOLS_OF_ITS_OWN = types.AutomaticFunctionCallingConfig(disable=True)
logging.getLogger("google_genai").addHandler(logging.NullHandler())  # or Python prints its warnings on stderr


@dataclass(frozen=True, slots=True)
class Offered:
    """A model as the server lists it."""

    name: str
    actions: tuple[str, ...] | None
    window: int | None
    thinks: bool


class Line:
    """One server, asked through one client that stays open; every fault comes out as a FailedError in our words."""

    def __init__(self, target: Target, env: Mapping[str, str], vertex: Vertex | None, patience: Patience | None = None) -> None:
        """Nothing is sent. The SDK is given everything, lest it read keys, addresses and credentials from the environment itself."""
        warnings.filterwarnings("ignore", category=UserWarning, module=r"google\.genai\._common")  # one for each finish reason that is new
        self.target = target
        self._http = httpx2.AsyncClient(
            transport=transport2(target, env, patience or PATIENCE),
            event_hooks={"request": [self._enter], "response": [self._look_at]},
        )
        http = types.HttpOptions(
            base_url=target.address.url,  # with its port, at which the SDK leaves the host as it is
            api_version="v1beta1" if vertex else "v1beta",
            httpx_async_client=self._http,
            httpx_client=httpx2.Client(transport=httpx2.BaseTransport()),  # it wants one, and nothing is sent by it
            async_client_args={"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)},  # of its websockets, which are not used either
        )
        self._client = genai.Client(
            vertexai=vertex is not None,
            api_key=None if vertex else _NOBODY,
            credentials=Credentials(_NOBODY) if vertex else None,  # type: ignore[no-untyped-call] # google-auth has no types
            project=vertex.project if vertex else None,
            location=vertex.location if vertex else None,
            debug_config=_NO_REPLAY,
            http_options=http,
        )

    async def close(self) -> None:
        """Let go of every connection."""
        await self._http.aclose()

    async def whole(self, model: str, asked: Asked, options: GoogleOptions) -> Any:
        """A reply in one piece, parsed."""
        config = _config(asked, options)
        config.should_return_http_response = True  # as it came: what the SDK makes of it would fail for one unknown word
        with self._understood(model):
            contents = cast("types.ContentListUnionDict", asked.contents)
            said = await self._client.aio.models.generate_content(model=model, contents=contents, config=config)
            return json.loads(cast("types.HttpResponse", said.sdk_http_response).body or "")

    async def streamed(self, model: str, asked: Asked, options: GoogleOptions) -> AsyncGenerator[dict[str, Any]]:
        """The pieces of a reply as they come."""
        begun: list[httpx2.Response] = []
        _BEGUN.set(begun)
        try:
            async for piece in self._pieces(model, asked, options):
                yield piece.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"sdk_http_response"})
        finally:  # the SDK leaves a response that is not read to its end to the garbage collector
            _BEGUN.set(None)
            for response in begun:
                await response.aclose()

    async def _pieces(self, model: str, asked: Asked, options: GoogleOptions) -> AsyncGenerator[types.GenerateContentResponse]:
        contents = cast("types.ContentListUnionDict", asked.contents)
        config = _config(asked, options)
        with self._understood(model):
            pieces = await self._client.aio.models.generate_content_stream(model=model, contents=contents, config=config)
        while True:
            with self._understood(model):
                piece = await anext(pieces, None)
            if piece is None:
                return
            yield piece

    async def offered(self, options: GoogleOptions) -> list[Offered]:
        """The models that the server lists."""
        found: list[Offered] = []
        with self._understood(""):
            http = _http_options(options)
            config = types.ListModelsConfig(page_size=1000, http_options=http)
            async for each in await self._client.aio.models.list(config=config):
                name = (each.name or "").rpartition("/")[2]
                actions = None if each.supported_actions is None else tuple(each.supported_actions)
                found.append(Offered(name, actions, each.input_token_limit, bool(each.thinking)))
                if len(found) == _MOST_MODELS:
                    break
        return found

    async def _enter(self, request: httpx2.Request) -> None:
        key = await self.target.key()
        for name in ("x-goog-api-key", "authorization"):
            request.headers.pop(name, None)
        if key and self.target.credential and self.target.credential.oauth:
            request.headers["authorization"] = f"Bearer {key}"
        elif key:
            request.headers["x-goog-api-key"] = key

    async def _look_at(self, response: httpx2.Response) -> None:
        """Statuses are read before the SDK reads them: it knows no pages, and no bodies that are broken."""
        if response.status_code != 200:
            try:
                said = json.loads(await response.aread())
            except (ValueError, RecursionError):
                said = None
            model = _MODEL.search(response.request.url.path)
            failure = refusal(self.target, model[1] if model else "", response.status_code, said, response.headers)
            if model is None and failure.kind is Kind.NOT_FOUND:  # of a listing
                failure = replace(failure, hint=f"is base_url right? {self.target.address.url}")
            raise FailedError(failure, usage=NO_USAGE)
        if (begun := _BEGUN.get()) is not None:
            begun.append(response)
        if "html" in response.headers.get("content-type", "").lower():
            raise self._malformed("a web page")

    @contextmanager
    def _understood(self, model: str) -> Iterator[None]:
        """Only round calls of the SDK: whatever is raised within is the server's fault or the network's."""
        try:
            yield
        except errors.APIError as error:  # inside a stream; those of a status were raised as our own
            raise FailedError(event_refusal(self.target, model, error.details)) from None
        except Exception as error:  # noqa: BLE001 - raised again as what it stands for, or as it is
            try:
                failed = failure_of(error, self.target)
            except (ValueError, TypeError, AttributeError, LookupError):  # what the SDK trips over in a reply of another shape
                failed = self._malformed("a reply in no known form")
            raise failed from None

    def _malformed(self, what: str) -> FailedError:
        address = self.target.address
        return FailedError(Failure(Kind.MALFORMED, f"{address.label} sent {what}", f"is base_url right? {address.url}"))


def _config(asked: Asked, options: GoogleOptions) -> types.GenerateContentConfig:
    """One request per call, and its body as it is: the SDK's own types would refuse options that are newer than they are."""
    http = _http_options(options)
    http.extra_body = asked.body
    return types.GenerateContentConfig(http_options=http, automatic_continuation=False, automatic_function_calling=_NO_TOOLS_OF_ITS_OWN)


def _http_options(options: GoogleOptions) -> types.HttpOptions:
    headers = {"x-goog-user-project": options.quota_project} if options.quota_project else None
    return types.HttpOptions(api_version=options.api_version, headers=headers)
