"""What was measured, held against its budget and against what was measured before."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SIGNS = {True: "<=", False: ">="}


@dataclass(frozen=True, slots=True)
class Result:
    """One row: a value in a unit, its budget, and the raw samples of the program and of the floor beside it."""

    name: str
    what: str
    budget: float | None
    """None: it is told, and nothing is asked of it."""
    unit: str
    value: float | None = None
    """None when the command did not end well; `note` says why."""
    at_most: bool = True
    tolerance: float = 0.15
    """By how much of the committed value a new one may be worse before it is said."""
    command: str = ""
    floor_command: str = ""
    ours: Sequence[Mapping[str, Any]] = ()
    floor: Sequence[Mapping[str, Any]] = ()
    note: str = ""
    profile: Sequence[str] = field(default=())

    @property
    def verdict(self) -> str:
        """`met`, `MISSED`, `told` where there is no budget, or `BROKEN` when there is no number."""
        if self.value is None:
            return "BROKEN"
        if self.budget is None:
            return "told"
        return "met" if (self.value <= self.budget if self.at_most else self.value >= self.budget) else "MISSED"

    @property
    def shown(self) -> str:
        """The value with its unit."""
        return "-" if self.value is None else f"{self.value:.3g} {self.unit}".rstrip()

    @property
    def shown_budget(self) -> str:
        """The budget with its sign and unit."""
        return "-" if self.budget is None else f"{SIGNS[self.at_most]} {self.budget:g} {self.unit}"

    def as_json(self) -> dict[str, Any]:
        """The row as it is committed."""
        return {**asdict(self), "verdict": self.verdict}


def worse(now: Mapping[str, Any], before: Mapping[str, Any]) -> str | None:
    """Say how a row got worse than the committed one by more than its tolerance; None when it did not."""
    new, old, unit, tolerance = now["value"], before["value"], now["unit"], now["tolerance"]
    name = now["name"]
    if new is None:
        return f"{name}: no number any more, was {old:.3g} {unit}" if old is not None else None
    if old is None or unit != before["unit"]:
        return None
    lost = (new - old if now["at_most"] else old - new) / abs(old) if old else 0.0
    return f"{name}: {new:.3g} {unit}, was {old:.3g} {unit} (tolerance {tolerance:.0%})" if lost > tolerance else None


def regressions(now: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence per row that got worse; rows that are new have nothing to be held against."""
    committed = {row["name"]: row for row in before}
    return [said for row in now if row["name"] in committed and (said := worse(row, committed[row["name"]]))]


def merged(now: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows measured now in the place of the old ones; rows that were not measured, or broke, stay."""
    known = {row["name"] for row in before}
    fresh = {row["name"]: row for row in now if row["value"] is not None or row["name"] not in known}
    kept = [fresh.pop(row["name"], row) for row in before]
    return [*kept, *fresh.values()]
