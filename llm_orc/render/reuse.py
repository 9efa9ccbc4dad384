"""What will be used again of what is kept, as `llm-orc plan` says it."""

from collections.abc import Mapping
from typing import Any

from llm_orc.domain.foresight import Foreseen, State, in_short
from llm_orc.domain.plan import PlannedAgent
from llm_orc.render.safe import one_line
from llm_orc.render.words import changes, listed

NO_INPUT = "not known: there is no input"
WORDS: Mapping[State, str] = {"cached": "reused", "shared": "shared with an equal call", "asked": "asked", "unknown": "not known yet"}
DONE: Mapping[State, str] = {"asked": "run"}
"""What programs are instead."""


def cache_text(planned: PlannedAgent, found: tuple[Foreseen, ...] | None) -> str:
    """`reused`, `asked: prompt changed`, `3 reused, 1 asked: prompt changed`; found is None where there is no input."""
    if found is None:
        return NO_INPUT
    counts, changed, waits_for = in_short(found or (Foreseen("unknown"),))
    counts = {state: number for state, number in counts.items() if state != "decided"}
    each = [_state(planned, state, changed, waits_for) for state in counts]
    if sum(counts.values()) == 1:
        return ", ".join(each)
    return ", ".join(f"{number:,} {text}" for number, text in zip(counts.values(), each, strict=True))


def cache_document(found: tuple[Foreseen, ...] | None) -> dict[str, Any]:
    """The same as JSON; null where it is not known at all."""
    counts, changed, waits_for = in_short(found or ())
    number = {str(state): counts.get(state, 0) if found else None for state in WORDS}
    return {**number, "changed": list(changed), "waits_for": list(waits_for)}


def _state(planned: PlannedAgent, state: State, changed: tuple[str, ...], waits_for: tuple[str, ...]) -> str:
    word = DONE.get(state, WORDS[state]) if planned.profile is None and not planned.variants else WORDS[state]
    if state == "asked":
        return f"{word}: {one_line(changes(changed)) or 'nothing like it is kept'}"
    return f"{word}: waits for {listed(waits_for)}" if state == "unknown" and waits_for else word
