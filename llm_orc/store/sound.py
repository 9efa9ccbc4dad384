"""Whether rows are such as llm-orc writes: a store may have come with somebody's repository, and be made to break or drive a terminal."""

from typing import TypeVar, get_args

from llm_orc.domain.kept import KeptNode, KeptRun
from llm_orc.domain.message import Status
from llm_orc.domain.run import RunStatus

_Kept = TypeVar("_Kept", KeptRun, KeptNode)
_STATUSES = {*get_args(Status), *get_args(RunStatus)}
_NUMBERS = ("started_at", "last_at", "ended_at", "cost", "tokens", "agents", "paused", "earlier", "number", "items", "children", "failed")
_MOST = 1e11
"""As seconds since 1970, the year 5138."""


def sound(kept: _Kept) -> _Kept:
    """The same; raises ValueError or TypeError where nobody of us has written it."""
    numbers = (getattr(kept, name, None) for name in _NUMBERS)
    if not all(number is None or abs(number) < _MOST for number in numbers):
        raise ValueError("a number beyond all measure")
    if kept.status not in _STATUSES or not kept.id.isprintable():
        raise ValueError("a word that is none of ours")
    _ = kept.seconds  # of times that have to be there
    return kept
