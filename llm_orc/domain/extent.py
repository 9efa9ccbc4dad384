"""How much a model may send back, as its profile and the options in it have it: what a call can cost hangs on it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from llm_orc.domain.model import ModelCard
from llm_orc.domain.profile import Profile

LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "num_predict")
"""Options by which a provider bounds a reply."""
REPLIES = ("n", "best_of", "candidate_count", "candidateCount")
"""Options by which a request is given several replies."""
UNPRICED = (
    *("service_tier", "speed", "inference_geo", "models", "prediction", "ttl"),
    *("tools", "plugins", "mcp_servers", "web_search_options", "cached_content", "cachedContent"),
    *("modalities", "audio", "responseModalities", "response_modalities"),
)
"""Options that change what a call costs in ways that no price list says."""
LABELS = ("metadata", "labels", "chat_template_kwargs")
"""Options in which people write what they like."""


class Extent(NamedTuple):
    """What one request may bring."""

    length: int | None
    """Tokens that each reply is not longer than; None where nothing says so."""
    replies: int
    settable: bool
    """Whether the model can be told how long a reply may be."""
    unpriced: str
    """An option whose price is in no list, if there is one."""


def extent(profile: Profile, card: ModelCard) -> Extent:
    """What one request to this model may bring."""
    options = list(_within(profile.options))
    lengths = [value for key, value in options if key in LENGTHS and type(value) is int]
    replies = max((value for key, value in options if key in REPLIES and type(value) is int), default=1)
    unpriced = next((key for key, _ in options if key in UNPRICED), "")
    if "max_tokens" in card.refuses or not all(length > 0 for length in lengths):
        return Extent(card.max_output, replies, settable=False, unpriced=unpriced)
    said = max([*lengths, *([profile.max_tokens] if profile.max_tokens else [])], default=None)
    return Extent(said, replies, settable=True, unpriced=unpriced)


def _within(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The options, and those within them."""
    for key, value in options.items():
        yield key, value
        if isinstance(value, Mapping) and key not in LABELS:
            yield from _within(value)
