"""The same transport for SDKs on httpx2, httpx's fork: anthropic and google-genai. Its import costs 0.1 s more."""

from collections.abc import Mapping

import httpx2
from httpx_aiohttp.httpx2 import AiohttpTransport

from llm_orc.models.target import Target
from llm_orc.models.transport import PATIENCE, Patience, Pieces, prepare, quiet, refuse_packed, settings


class _Stream(Pieces, httpx2.AsyncByteStream):
    pass


class _Transport(AiohttpTransport):
    def __init__(self, target: Target, env: Mapping[str, str], patience: Patience) -> None:
        verify, proxy = settings(target, env)
        limits = httpx2.Limits(max_connections=0)  # never queues
        super().__init__(verify=verify, limits=limits, proxy=httpx2.Proxy(proxy) if proxy else None)
        self._target, self._patience = target, patience

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        prepare(request, self._patience)
        response = await super().handle_async_request(request)
        await refuse_packed(response, self._target)
        quiet(response)
        if isinstance(body := response.stream, httpx2.AsyncByteStream):
            response.stream = _Stream(body, self._target, self._patience)
        return response


def transport2(target: Target, env: Mapping[str, str], patience: Patience = PATIENCE) -> httpx2.AsyncBaseTransport:
    """For `httpx2.AsyncClient(transport=...)`; see `transport.transport`."""
    return _Transport(target, env, patience)
