"""Pages of the runs that are kept, read by SQL: nothing here grows with the size of a run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from llm_orc.domain.kept import KeptRun
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.record import json_of
from llm_orc.store.places import lives
from llm_orc.store.runs import Store
from llm_orc.store.sound import sound


@dataclass(frozen=True, slots=True)
class Sought:
    """Which runs are listed: those that everything here is true of."""

    ensemble: str = ""
    status: str = ""
    since: float = 0.0
    """Seconds since 1970 UTC."""
    text: str = ""
    """Stands in its input, a prompt or a reply, in small or capital letters."""


def listed(store: Store, sought: Sought, limit: int, offset: int = 0) -> tuple[list[KeptRun], bool]:
    """The runs that began last, and whether there are more. Raises ProblemError."""
    with store.asked():
        found = list(islice(_runs(store, sought), offset, offset + limit + 1))
    return found[:limit], len(found) > limit


def kept_run(store: Store, run_id: str) -> KeptRun:
    """One run; raises ProblemError."""
    number = store.number(run_id)
    with store.asked():
        columns = _columns(store)
        row = store.connection.execute(f"SELECT {columns} FROM runs WHERE number = ?", (number,)).fetchone()  # noqa: S608
        return _run(row)


def _living(store: Store) -> list[str]:
    """The owners that live."""
    rows = store.connection.execute("SELECT DISTINCT owner FROM runs WHERE owner IS NOT NULL")
    return [owner for (owner,) in rows if lives(store.folder, owner)]


def _columns(store: Store) -> str:
    """Those of a run; what nobody works on any more is not running."""
    alive = ", ".join(f"'{owner}'" for owner in _living(store))  # each is a number and eight digits
    lost = f"status = 'running' AND coalesce(owner, '') NOT IN ({alive})"
    status = f"CASE WHEN {lost} THEN 'cancelled' ELSE status END AS state"
    cause = f"CASE WHEN {lost} THEN 'lost' ELSE cause END"
    return f"id, ensemble, {status}, {cause}, started_at, last_at, cost, tokens, agents, failed, input, pinned, paused"


def _runs(store: Store, sought: Sought) -> Iterator[KeptRun]:
    conditions = {"ensemble = ?": sought.ensemble, "state = ?": sought.status, "started_at >= ?": sought.since}
    used = {condition: value for condition, value in conditions.items() if value}
    where = " AND ".join(used) or "TRUE"
    query = f"SELECT {_columns(store)}, number FROM runs WHERE {where} ORDER BY started_at DESC, number DESC"  # noqa: S608
    for *row, number in store.connection.execute(query, list(used.values())):
        if not sought.text or _says(store, number, sought.text):
            yield _run(row)


def _run(row: Iterable[Any]) -> KeptRun:
    return sound(KeptRun(*row))


def _says(store: Store, number: int, text: str) -> bool:
    """Whether a run holds this text, in a row or in a file."""
    escaped = json_of(text)[1:-1].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    query = "SELECT EXISTS (SELECT 1 FROM events WHERE run = ? AND event LIKE ? ESCAPE '\\')"
    if store.connection.execute(query, (number, f"%{escaped}%")).fetchone()[0]:
        return True
    names = store.connection.execute("SELECT name FROM texts WHERE run = ?", (number,))
    return any(text.lower() in _read(store, name).lower() for (name,) in names)


def _read(store: Store, name: str) -> str:
    try:
        return store.texts.read(name)
    except ProblemError:
        return ""  # what is lost is said to who wants to see it
