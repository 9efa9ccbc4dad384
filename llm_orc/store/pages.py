"""Pages of what is kept, read by SQL: nothing here grows with the size of a run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from llm_orc.domain.kept import KeptNode, KeptRun
from llm_orc.domain.record import json_of
from llm_orc.store.places import lives
from llm_orc.store.runs import Store

_NODE = "n.id, n.parent, n.number, t.depth, n.body, {status}, n.cause, n.started_at, n.ended_at, n.cost, n.tokens, n.model"
_TREE = """
    WITH RECURSIVE tree (id, parent, number, depth) AS (
        SELECT id, parent, number, 0 FROM nodes WHERE run = :run AND parent = :below AND number >= :offset
        UNION ALL
        SELECT n.id, n.parent, n.number, t.depth + 1 FROM nodes n JOIN tree t ON n.run = :run AND n.parent = t.id AND n.number < :children
        ORDER BY 4 DESC, 3 LIMIT :limit)
"""


@dataclass(frozen=True, slots=True)
class Sought:
    """Which runs are listed: those that everything here is true of."""

    ensemble: str = ""
    status: str = ""
    since: float = 0.0
    """Seconds since 1970 UTC."""
    text: str = ""
    """Stands in its input, a prompt or a reply, in small or capital letters."""


def listed(store: Store, sought: Sought, limit: int) -> tuple[list[KeptRun], bool]:
    """The runs that began last, and whether there are more. Raises ProblemError."""
    with store.asked():
        found = list(islice(_runs(store, sought), limit + 1))
    return found[:limit], len(found) > limit


def kept_run(store: Store, run_id: str) -> KeptRun:
    """One run; raises ProblemError."""
    number = store.number(run_id)
    with store.asked():
        columns = _columns(store)
        row = store.connection.execute(f"SELECT {columns} FROM runs WHERE number = ?", (number,)).fetchone()  # noqa: S608
    return _run(row)


def tree(store: Store, run_id: str, *, below: str = "", limit: int, children: int, offset: int = 0) -> list[KeptNode]:
    """The nodes below one, or the top ones, each followed by so many of its own children; raises ProblemError."""
    number = store.number(run_id)
    over = "" if store.alive(run_id) else "CASE WHEN n.status IN ('pending', 'running') THEN 'cancelled' ELSE n.status END"
    columns = _NODE.format(status=over or "n.status")
    counts = "(SELECT count(*) FROM nodes c WHERE c.run = :run AND c.parent = n.id{0})"
    query = f"""{_TREE}
        SELECT {columns}, {counts.format("")}, {counts.format(" AND c.status = 'succeeded'")}
        FROM tree t CROSS JOIN nodes n ON n.run = :run AND n.parent = t.parent AND n.number = t.number"""  # noqa: S608
    values = {"run": number, "below": below, "offset": offset, "limit": limit, "children": children}
    with store.asked():
        return [KeptNode(*row) for row in store.connection.execute(query, values)]


def edges(store: Store, run_id: str) -> list[tuple[str, str]]:
    """Which node waits for which, as (what is needed, who needs it); raises ProblemError."""
    number = store.number(run_id)
    with store.asked():
        rows = store.connection.execute("SELECT source, target FROM edges WHERE run = ? ORDER BY target, source", (number,))
        return [(source, target) for source, target in rows]


def known_nodes(store: Store, run_id: str, like: str) -> list[str]:
    """The ids of the nodes at the top, and of the one that is called so, wherever it is; raises ProblemError."""
    number = store.number(run_id)
    with store.asked():
        query = "SELECT id FROM nodes WHERE run = ? AND (parent = '' OR id = ?) LIMIT 10000"
        return [row[0] for row in store.connection.execute(query, (number, like))]


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
    return f"id, ensemble, {status}, {cause}, started_at, last_at, cost, tokens, agents, failed, input, pinned"


def _runs(store: Store, sought: Sought) -> Iterator[KeptRun]:
    conditions = {"ensemble = ?": sought.ensemble, "state = ?": sought.status, "started_at >= ?": sought.since}
    used = {condition: value for condition, value in conditions.items() if value}
    where = " AND ".join(used) or "TRUE"
    query = f"SELECT {_columns(store)}, number FROM runs WHERE {where} ORDER BY started_at DESC, number DESC"  # noqa: S608
    for *row, number in store.connection.execute(query, list(used.values())):
        if not sought.text or _says(store, number, sought.text):
            yield _run(row)


def _run(row: Iterable[Any]) -> KeptRun:
    return KeptRun(*row)


def _says(store: Store, number: int, text: str) -> bool:
    """Whether a run holds this text, in a row or in a file."""
    escaped = json_of(text)[1:-1].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    query = "SELECT EXISTS (SELECT 1 FROM events WHERE run = ? AND event LIKE ? ESCAPE '\\')"
    if store.connection.execute(query, (number, f"%{escaped}%")).fetchone()[0]:
        return True
    names = store.connection.execute("SELECT name FROM texts WHERE run = ?", (number,))
    return any(text.lower() in store.texts.read(name).lower() for (name,) in names)
