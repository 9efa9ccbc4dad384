"""What a run may cost, in words and as JSON."""

from math import inf, isinf
from typing import Any

from llm_orc.domain.bound import Bound
from llm_orc.render.safe import one_line
from llm_orc.render.words import dollars, listed


def cost_text(bound: Bound) -> str:
    """`at most $0.02`, or which agents have no bound and why; of what costs nothing, nothing."""
    if bound.most == inf:
        why = listed(f"{one_line(agent)} ({one_line(reason)})" for agent, reason in bound.unbounded.items())
        return f"no upper bound: {why}; --max-cost sets one"
    return f"at most {dollars(bound.most)}{_on_top(bound)}" if bound.most else ""


def whole_cost_text(bound: Bound) -> str:
    """The same of a whole run, with and without retries; `$0` of what costs nothing."""
    if bound.most in (inf, 0):
        return cost_text(bound) or dollars(0)
    if bound.most == bound.max_cost:
        return f"at most {dollars(bound.most)}, the max_cost"
    once = dollars(bound.once)
    most = f" with one request each, {dollars(bound.most)} with every retry, repair and fallback" if dollars(bound.most) != once else ""
    return f"at most {once}{most}{_on_top(bound)}"


def _on_top(bound: Bound) -> str:
    return f"; summaries of what is too long come on top ({listed(map(one_line, bound.on_top))})" if bound.on_top else ""


def cost_document(bound: Bound) -> dict[str, Any]:
    """What the JSON of a plan says of it; null where there is no bound."""
    return {
        "at_most": _or_none(bound.once),
        "with_retries": _or_none(bound.most),
        "unbounded": [{"agent": agent, "why": why} for agent, why in bound.unbounded.items()],
        "summaries": list(bound.on_top),
        "max_cost": bound.max_cost,
    }


def _or_none(value: float) -> float | None:
    return None if isinf(value) else value
