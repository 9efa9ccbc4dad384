"""Anthropic's SDK, held to one server and told everything that it would look for itself. Its import costs 2 s."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx2
from anthropic import APIStatusError, AsyncAnthropic, AsyncStream, omit, transform_schema

from llm_orc.domain.message import NO_USAGE, FailedError
from llm_orc.models.anthropic_answer import Answer
from llm_orc.models.drained import drained
from llm_orc.models.refusals import refusal
from llm_orc.models.target import Target
from llm_orc.models.transport import PATIENCE, Patience, failure_of, translated
from llm_orc.models.transport2 import transport2

OAUTH_BETA = "oauth-2025-04-20"
"""Without it the API takes no access token."""


class Client:
    """Sends requests; every fault comes out as a FailedError without a word of another library.

    Replies are read as they came over the wire: what the SDK makes of them is a string where it is a web page, and nothing where a stream
    is not what it seems.
    """

    def __init__(self, target: Target, env: Mapping[str, str], patience: Patience | None = None) -> None:
        self._target = target
        self._shown: dict[str, str] = {}
        http = httpx2.AsyncClient(transport=transport2(target, env, patience or PATIENCE), auth=self._sign)
        # With a token given, if an empty one, it looks for keys neither in the environment nor in files.
        self._sdk = AsyncAnthropic(
            auth_token="",
            base_url=target.address.url.removesuffix("/v1"),
            max_retries=0,
            http_client=http,
            open_telemetry=False,
        )
        self._sdk._custom_headers = {}  # noqa: SLF001 - ANTHROPIC_CUSTOM_HEADERS may hold keys, whose host nobody has asked for

    def shape_of(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The schema as the API's grammar takes it; bounds go into descriptions."""
        return transform_schema(dict(schema))

    @asynccontextmanager
    async def post(self, body: bytes, headers: Mapping[str, str], model: str) -> AsyncIterator[httpx2.Response]:
        """A reply whose body is still to come."""
        sent = await self._headers(headers)
        with translated(self._target):
            try:
                answered = await self._sdk.post(
                    "/v1/messages",
                    content=body,
                    cast_to=httpx2.Response,
                    options={"headers": sent},
                    stream=True,
                    stream_cls=AsyncStream[object],
                )
            except APIStatusError as error:
                raise self._refused(error, model) from None
            response = cast("httpx2.Response", answered)  # the SDK gives what it is asked to cast to, streamed or not
            try:
                yield response
            finally:
                await response.aclose()

    async def read(self, response: httpx2.Response, answer: Answer) -> None:
        """Read a reply, whole or in events, whatever was asked for and whatever its type says."""
        if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            body = await response.aread()
            if not body.lstrip().startswith((b"event:", b"data:")):
                answer.add_whole(body)
                return
        events = AsyncStream.raw_events(response)
        async for event in events:
            answer.add_event(event.event, event.data)
            if answer.done:
                await drained(events)
        answer.end_stream()

    async def page(self, after: str, model: str) -> Any:
        """A page of the listing: the models after one, as parsed JSON."""
        params = {"limit": "1000", "after_id": after} if after else {"limit": "1000"}
        sent = await self._headers({})
        try:
            response = await self._sdk.get("/v1/models", cast_to=httpx2.Response, options={"headers": sent, "params": params})
            return json.loads(response.content)
        except APIStatusError as error:
            raise self._refused(error, model) from None
        except Exception as error:  # noqa: BLE001 - raised again as it is, if it is none of theirs
            raise failure_of(error, self._target) from None

    async def close(self) -> None:
        """Let go of all connections."""
        await self._sdk.close()

    async def _headers(self, headers: Mapping[str, str]) -> dict[str, Any]:
        """What goes with a request, besides the key: the SDK logs its headers where somebody debugs it."""
        key = await self._target.key()
        if key and self._target.credential and self._target.credential.oauth:
            self._shown = {"Authorization": f"Bearer {key}"}
            betas = ",".join(filter(None, (OAUTH_BETA, headers.get("anthropic-beta"))))
            return {**headers, "anthropic-beta": betas, "Authorization": omit}
        self._shown = {"X-Api-Key": key} if key else {}
        return {**headers, "Authorization": omit}

    def _sign(self, request: httpx2.Request) -> httpx2.Request:
        request.headers.update(self._shown)
        return request

    def _refused(self, error: APIStatusError, model: str) -> FailedError:
        return FailedError(refusal(self._target, model, error.status_code, error.body, error.response.headers), usage=NO_USAGE)
