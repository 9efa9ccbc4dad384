"""A request as chat completions want it: JSON, with pictures and files in its messages."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_orc.domain.message import NO_USAGE, Attachment, FailedError, Failure, Kind, Message, Request
from llm_orc.models.base import messages_of
from llm_orc.models.enclosed import enclosed
from llm_orc.models.structured import response_format, with_schema
from llm_orc.models.target import Target

PLAIN = ("temperature", "top_p", "seed", "stop")
"""Parameters that the wire calls what we call them."""


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent, and which parameters are not."""

    json: Mapping[str, Any]
    left_out: tuple[str, ...] = ()

    def encoded(self) -> bytes:
        """As bytes; raises FailedError for options that are no JSON."""
        try:
            return json.dumps(self.json, allow_nan=False).encode()
        except (TypeError, ValueError):
            failure = Failure(Kind.INVALID_REQUEST, "options hold something that JSON has no word for", "check the options")
            raise FailedError(failure, usage=NO_USAGE) from None


def body_of(request: Request, target: Target, refuses: frozenset[str] = frozenset(), *, native: bool = True) -> Body:
    """The JSON of a request; `options` go over its parameters. With `native` the server sees to the schema, else the model is told it."""
    profile, preset = request.profile, target.preset
    given = {name: value for name in (*PLAIN, "max_tokens") if (value := getattr(profile, name)) is not None}
    left_out = tuple(name for name in given if name in refuses)
    body: dict[str, Any] = {"model": profile.model}
    body |= {preset.longest if name == "max_tokens" else name: value for name, value in given.items() if name not in left_out}
    messages = messages_of(request)
    if request.schema is not None and native:
        body["response_format"] = response_format(request.schema)
    elif request.schema is not None:
        messages = with_schema(messages, request.schema)
    if target.provider == "openrouter":
        body["usage"] = {"include": True}  # the price of this very reply
    body |= profile.options
    body["messages"] = [{"role": message.role, "content": _content(message)} for message in messages]
    body["stream"] = request.stream
    if request.stream:
        body["stream_options"] = {**body.get("stream_options", {}), "include_usage": True}
    else:
        body.pop("stream_options", None)  # servers refuse it where nothing is streamed
    return Body(body, left_out)


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.attachments:
        return message.text
    text = [{"type": "text", "text": message.text}] if message.text else []
    return [*text, *(_part(each) for each in message.attachments)]


def _part(attachment: Attachment) -> dict[str, Any]:
    if (text := enclosed(attachment)) is not None:
        return {"type": "text", "text": text}
    url = f"data:{attachment.media_type};base64,{b64encode(attachment.data).decode()}"
    if attachment.is_image:
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "file", "file": {"filename": attachment.name, "file_data": url}}
