"""Where runs are kept, and how many of them."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

from llm_orc.domain.read import Read
from llm_orc.domain.wrong import shown

AGE = re.compile(r"([1-9][0-9]{0,8})(h|d|w)")

_HOURS = {"h": 1, "d": 24, "w": 7 * 24}


def seconds_of(age: str) -> float:
    """`12h`, `90d` or `2w` in seconds; raises ValueError."""
    found = AGE.fullmatch(age)
    if found is None:
        raise ValueError(f"'{age}' is no age")
    return int(found[1]) * _HOURS[found[2]] * 3600.0


def _how_many(value: Any) -> Any:
    if (isinstance(value, int) and value > 0) or (isinstance(value, str) and AGE.fullmatch(value)):
        return value
    raise ValueError(f"'keep' must be a number of runs or an age such as 90d, not {shown(value)}")


class Keeping(Read):
    """What is kept of what is run."""

    path: str | None = None
    """The folder; without it `.llm-orc/store` of the project, else `~/.local/state/llm-orc`."""
    keep: Annotated[int | str, BeforeValidator(_how_many)] | None = None
    """So many runs, or those that are younger than an age such as `90d`, and those that are pinned; all without it."""
