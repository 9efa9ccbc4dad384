"""Which calls are the same, so that one reply serves them all, and what tells two of them apart."""

import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Protocol

from llm_orc.domain.message import Attachment, Message, Reply, Request

Parts = Mapping[str, str]
"""What a call is made of, by names for people, each as the SHA-256 of its canonical JSON."""
SAME = "an equal call"
"""What a node waits for whose reply another one has asked for."""
PARAMETERS = ("temperature", "max_tokens", "top_p", "seed", "stop")
"""Of a profile, those that reach the model, besides its options; its limits, retries, timeouts and keys do not."""


class Replies(Protocol):
    """Where replies are kept to be used again. Nothing here raises: what cannot be read is not there."""

    def find(self, key: str) -> Reply | None:
        """The reply to this very call, with what it took when it was made."""
        ...

    def keep(self, key: str, parts: Parts, reply: Reply, node: str) -> None:
        """Keep what a node was replied, with what it took."""
        ...

    def use(self, key: str, node: str) -> None:
        """A node uses what is kept."""
        ...

    def kept_of(self, node: str) -> Iterable[Parts]:
        """The calls of this node whose replies are kept, the last first, as far back as a person would remember."""
        ...


class Unkept:
    """Replies of one run, for as long as it goes on."""

    def __init__(self) -> None:
        self._replies: dict[str, Reply] = {}

    def find(self, key: str) -> Reply | None:
        """The reply to this very call."""
        return self._replies.get(key)

    def keep(self, key: str, parts: Parts, reply: Reply, node: str) -> None:  # noqa: ARG002 - the contract
        """Keep it."""
        self._replies[key] = reply

    def use(self, key: str, node: str) -> None:
        """Nobody asks later who did."""

    def kept_of(self, node: str) -> Iterable[Parts]:  # noqa: ARG002 - the contract
        """None: this run is all that is known."""
        return ()


def key_of(parts: Parts) -> str:
    """Under which a reply is kept: equal exactly where all parts are."""
    return _hashed(dict(parts))


def parts_of(request: Request, address: str, schema: Mapping[str, Any] | None = None, refuses: frozenset[str] = frozenset()) -> Parts:
    """What a request is made of; raises TypeError or ValueError for options that JSON has no word for.

    `address` is wire format and base URL; `refuses` are the parameters that the model does not take and is not sent.
    """
    return {name: _hashed(value) for name, value in _parts(request, address, schema, refuses)}


def hashed(parts: Mapping[str, Any]) -> Parts:
    """Parts of anything else; what is None is no part of it. Raises as `parts_of` does."""
    return {name: _hashed(value) for name, value in parts.items() if value is not None}


def changed(parts: Parts, kept: Iterable[Parts]) -> tuple[str, ...]:
    """In what a call differs from the one of these that is nearest to it, the first of several; nothing where there is none."""
    differing = [tuple(name for name in {**parts, **other} if parts.get(name) != other.get(name)) for other in kept]
    return min(differing, key=len, default=())


def _parts(request: Request, address: str, schema: Mapping[str, Any] | None, refuses: frozenset[str]) -> Iterator[tuple[str, Any]]:
    profile = request.profile
    yield "address", address
    yield "model", profile.model
    system = [message.text for message in request.messages if message.role == "system"]
    *before, last = [message for message in request.messages if message.role != "system"] or [Message("user", "")]
    if system:
        yield "system prompt", system
    if before:
        yield "earlier messages", [(message.role, message.text) for message in before]
    yield "prompt", (last.role, last.text)
    if attached := [(number, *_sent(each)) for number, message in enumerate(request.messages) for each in message.attachments]:
        yield "attachments", attached
    for name in PARAMETERS:
        if name not in refuses and (value := getattr(profile, name)) is not None:
            yield name, value
    yield from ((f"option {name}", value) for name, value in profile.options.items())
    if schema is not None:
        yield "output_schema", schema


def _sent(attachment: Attachment) -> tuple[str, str, str]:
    """A picture is sent without its name, and a text without its type."""
    name = "" if attachment.is_image else attachment.name
    return name, "" if attachment.text is not None else attachment.media_type, attachment.sha256


def _hashed(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()
