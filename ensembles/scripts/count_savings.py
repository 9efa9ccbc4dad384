"""Puts the answers together, and counts: what went to the careful model, the cost, and what it would be without the cheap one."""

import json
import sys
from typing import Any

MILLION = 1_000_000


def main() -> None:
    """Reply with `answers`, each {item, answer, by, why}, the share that was escalated, and the money."""
    told: dict[str, Any] = json.load(sys.stdin)["dependencies"]
    items, failures = told["items"]["json"], told["failures"]["json"]
    answers = [*answered(items, told["cheap"]["json"], told["careful"], failures)]
    escalated = failures["indices"]
    spent = total(each["spent"]["cost"] for each in told.values() if each["spent"])
    alone = careful_alone(told["cheap"]["spent"], told["careful"]["spent"], escalated)
    saved = None if spent is None or alone is None else alone - spent
    share = len(escalated) / len(items)
    report = {"answers": answers, "items": len(items), "escalated": len(escalated), "share": share}
    report |= {"cost": spent, "careful_alone": alone, "saved": saved}
    report["summary"] = f"{len(escalated)} of {len(items)} went to the careful model ({share:.0%}); {in_words(spent, alone)}"
    json.dump(report, sys.stdout, ensure_ascii=False)


def answered(items: list[Any], cheap: list[Any] | None, careful: dict[str, Any], failures: dict[str, Any]) -> Any:
    """Each item with its answer, who gave it, and why not the cheap model."""
    better = careful["json"] or [None] * len(failures["indices"])
    mended = {index: (why, answer) for index, why, answer in zip(failures["indices"], failures["whys"], better, strict=True)}
    for index, item in enumerate(items):
        why, answer = mended.get(index, ("", cheap[index] if cheap else None))
        by = None if answer is None else "careful" if index in mended else "cheap"
        if why and answer is None:
            why = f"{why.rstrip('.')}; careful has no answer ({careful['cause'] or 'it failed'})"
        yield {"item": text(item), "answer": None if answer is None else text(answer), "by": by, "why": why or None}


def text(value: object) -> str:
    """A value as people read it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def careful_alone(cheap: dict[str, Any], careful: dict[str, Any], escalated: list[int]) -> float | None:
    """What the careful model would have cost for all items.

    For those that it did not see: as much for each token of the cheap model as it took for those it saw; where it saw none, by its price.
    """
    each = [child["usage"] for child in cheap["children"] or []]
    seen = sum(size(usage) for index, usage in enumerate(each) if index in escalated)
    unseen = [usage for index, usage in enumerate(each) if index not in escalated]
    if careful["cost"] is None:
        return None
    if not unseen:
        return float(careful["cost"])
    if seen and careful["cost"]:
        return float(careful["cost"] * (1 + sum(map(size, unseen)) / seen))
    if (price := careful["price"]) is None:
        return None
    more = sum(usage["input"] * price["input"] + usage["output"] * price["output"] for usage in unseen) / MILLION
    return float(careful["cost"] + more)


def size(usage: dict[str, Any]) -> int:
    """Tokens of prompt and reply."""
    return int(usage["input"] + usage["output"])


def total(costs: Any) -> float | None:
    """All of it; None where a part is not known."""
    known = list(costs)
    return None if None in known else sum(known)


def in_words(spent: float | None, alone: float | None) -> str:
    """The money, for people."""
    if spent is None:
        return "what it cost is not known: a model has no known price"
    if alone is None:
        return f"{dollars(spent)} spent; what it would have cost without the cheap model is not known"
    if not (spent or alone):
        return "nothing spent: these models are free"
    saved = f"saved about {dollars(alone - spent)}" if alone >= spent else f"about {dollars(spent - alone)} more than that"
    return f"{dollars(spent)} spent, the careful model alone about {dollars(alone)}: {saved}"


def dollars(cost: float) -> str:
    """Two significant digits at least."""
    return "$0" if not cost else f"${cost:.2f}" if cost >= 0.1 else f"${cost:.2g}" if cost >= 0.0001 else "less than $0.0001"


if __name__ == "__main__":
    main()
