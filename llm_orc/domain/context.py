"""What happens to a request that is longer than its model's context window."""

from typing import Annotated, Literal

from pydantic import Field

from llm_orc.domain.read import Read

Policy = Literal["error", "truncate", "summarize"]
FULL = 0.9
"""The share of a window up to which it is filled: nobody but the model itself counts exactly."""
MOST_REPLY = 0.75
"""The share of a window that is left free for a reply, at most."""
USUAL_REPLY = 1_000
"""Tokens that are left free for a reply where nobody says how long it may be, in a window that has so many to spare."""


class Context(Read):
    """What to do where a request is longer than its model's window."""

    policy: Policy = "error"
    """Fail; truncate leaves the oldest part out; summarize has the agent's own model summarise it."""
    keep_last: Annotated[int, Field(ge=1, strict=True)] = 4
    """How many messages at the end of a conversation stay as they are, the newest included."""
    reminder: Annotated[int, Field(ge=1, strict=True)] | None = None
    """After how many turns of a conversation its task is repeated."""


def room_of(window: int, max_tokens: int | None) -> int:
    """Tokens that a prompt may have in a window, by our own count, so that a reply has room."""
    reply = min(max_tokens, int(window * MOST_REPLY)) if max_tokens is not None else min(USUAL_REPLY, window // 4)
    return max(int(window * FULL) - reply, 1)
