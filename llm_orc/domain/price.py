"""What tokens cost, and how many a text may be."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Protocol

from pydantic import BeforeValidator, Field

from llm_orc.domain.message import Attachment, Message, Usage
from llm_orc.domain.read import Read


def _counted(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"a price is a number of dollars, not {str(value).lower()}")  # noqa: TRY004 - pydantic's way to refuse a value
    return value


Dollars = Annotated[float, Field(ge=0), BeforeValidator(_counted)]
_MILLION = 1_000_000
_ROUNDED_UP = 1 + 1e-12  # so that a sum of floats is never a hair above its bound
_AROUND = 64
"""Tokens that a provider may put round a message, and once round a request."""
_SCHEMA = 1_000
"""Tokens of what a provider says to the model about following a schema."""
_IMAGE, _USUAL_IMAGE = 6_000, 1_500


class Pricing(Protocol):
    """What a model costs."""

    def cost(self, usage: Usage) -> float:
        """US dollars for so many tokens."""
        ...

    def most(self, input_tokens: int, output_tokens: int) -> float:
        """US dollars that no usage of at most so many tokens is above, however much of it is cached, written to a cache or thought."""
        ...


class Price(Read):
    """US dollars per million tokens."""

    input: Dollars
    """Tokens of the prompt."""
    output: Dollars
    """Tokens of the reply, thinking included."""
    cached_input: Dollars | None = None
    """Tokens of the prompt that the provider had in its cache; `input` where it is not given."""

    def cost(self, usage: Usage) -> float:
        """US dollars for so many tokens; those written to a cache cost what others do."""
        uncached, cached, written = parts(usage)
        return ((uncached + written) * self.input + cached * self._cached + usage.output * self.output) / _MILLION

    def most(self, input_tokens: int, output_tokens: int) -> float:
        """US dollars that no usage of at most so many tokens is above."""
        return (input_tokens * max(self.input, self._cached) + output_tokens * self.output) / _MILLION * _ROUNDED_UP

    @property
    def _cached(self) -> float:
        return self.input if self.cached_input is None else self.cached_input


FREE = Price(input=0, output=0)
"""Of a model on this machine."""


def parts(usage: Usage) -> tuple[int, int, int]:
    """The input as uncached, read from a cache and written to one, even where a server's numbers do not add up."""
    cached = min(max(usage.cached, 0), usage.input)
    written = min(max(usage.cache_write, 0), usage.input - cached)
    return usage.input - cached - written, cached, written


def most_tokens(messages: Iterable[Message], schema: Mapping[str, Any] | None = None) -> int:
    """Tokens that the request is surely not above: a token of text is at least one byte. Of documents that are not text it is a guess."""
    total = _AROUND
    for message in messages:
        total += _AROUND + len(message.text.encode(errors="surrogatepass"))
        total += sum(_IMAGE if each.is_image else _AROUND + len(each.data) for each in message.attachments)
    if schema is not None:
        total += _SCHEMA + 2 * len(json.dumps(schema))
    return total


def likely_tokens(messages: Iterable[Message]) -> int:
    """Tokens as they usually come: one for four characters."""
    total = 0
    for message in messages:
        total += -(-len(message.text) // 4) + likely_tokens_of(message.attachments)
    return total


def likely_tokens_of(attachments: Iterable[Attachment]) -> int:
    """Likewise, of files."""
    return sum(_USUAL_IMAGE if each.is_image else -(-len(each.data) // 4) for each in attachments)


def least_tokens(messages: Iterable[Message]) -> int:
    """Tokens that the request is surely not below: eight letters are at least one, and many blanks may be none."""
    return sum(len(message.text) - sum(map(message.text.count, " \n\t\r")) for message in messages) // 8
