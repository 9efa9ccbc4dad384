import json
from typing import Any

import pytest

from llm_orc.domain.event import Happening, Warned
from llm_orc.domain.message import Message, Request
from llm_orc.domain.profile import Parameters, Profile
from llm_orc.models.base import Reach
from llm_orc.models.registry import Models
from tests.matrix.wire import NOT_SENT, WIRE
from tests.servers.matrix import MODEL, MatrixServer

GIVEN: dict[str, Any] = {
    "system_prompt": "You are sent.",
    "temperature": 0.25,
    "max_tokens": 777,
    "top_p": 0.75,
    "seed": 4711,
    "stop": ["END"],
}
SCHEMA = {"type": "object", "properties": {"found": {"type": "string"}}, "required": ["found"], "additionalProperties": False}


@pytest.mark.parametrize("provider", WIRE)
async def test_the_page_says_where_each_parameter_stands_on_the_wire(provider: str) -> None:
    told: list[Happening] = []
    models = Models(Reach())
    with MatrixServer() as server:
        profile = Profile(provider=provider, model=MODEL, base_url=server.url(provider, "ok", "wire"), **GIVEN)
        request = Request("a", (Message("user", "hello"),), profile, schema=SCHEMA)
        await models.ask(profile)(request, told.append)
        await models.close()
    [body] = map(json.loads, server.bodies)

    sent = {key: found(body, path) for key, path in WIRE[provider].items() if path != NOT_SENT}
    warned = " ".join(event.what for event in told if isinstance(event, Warned))
    assert sent == {key: value for key, value in (GIVEN | {"output_schema": SCHEMA}).items() if key in sent}
    assert [key for key in WIRE[provider] if key not in sent and key not in warned] == []


def found(body: Any, path: str) -> Any:
    for part in path.split("."):
        body = body[int(part)] if part.isdecimal() else body[part]
    return body


def test_every_parameter_is_there() -> None:
    wanted = {*Parameters.model_fields, "output_schema"} - {"cache", "options", "timeout_seconds"}
    assert {provider: {*row} for provider, row in WIRE.items()} == dict.fromkeys(WIRE, wanted)
