"""The nodes of a run that is kept, by SQL and by the page: no event is read for them, and nothing here grows with the texts of a run."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from llm_orc.domain.kept import KeptNode
from llm_orc.domain.message import Status
from llm_orc.store.runs import Store
from llm_orc.store.sound import sound

_OPEN = "('pending', 'running')"
_COLUMNS = """
    n.id, n.parent, n.number, {depth}, n.body, {status}, n.cause, n.started_at, n.ended_at, n.cost, n.tokens, n.model, n.items, n.cached,
    (SELECT count(*) FROM nodes c WHERE c.run = :run AND c.parent = n.id),
    (SELECT count(*) FROM nodes c WHERE c.run = :run AND c.parent = n.id AND {ended}),
    (SELECT count(*) FROM nodes c WHERE c.run = :run AND c.parent = n.id AND c.status = 'failed'), n.earlier
"""
_TREE = """
    WITH RECURSIVE tree (id, parent, number, depth) AS (
        SELECT id, parent, number, 0 FROM nodes WHERE run = :run AND parent = :below AND number >= :offset
        UNION ALL
        SELECT n.id, n.parent, n.number, t.depth + 1 FROM nodes n JOIN tree t ON n.run = :run AND n.parent = t.id
            AND n.number < CASE WHEN substr(n.id, length(n.parent) + 1, 1) = '[' THEN :items ELSE :children END
        ORDER BY 4 DESC, 3 LIMIT :limit)
"""


@dataclass(frozen=True, slots=True)
class SoughtNodes:
    """Which nodes are listed: those that everything here is true of."""

    status: str = ""
    body: str = ""
    model: str = ""
    since: float = 0.0
    """Began at this time, in seconds since 1970 UTC, or later."""


def tree(
    store: Store, run_id: str, *, below: str = "", limit: int, children: int, items: int | None = None, offset: int = 0
) -> list[KeptNode]:
    """The nodes below one, or the top ones, each followed by so many of its own children, or `items` of a fan-out; raises ProblemError."""
    items = children if items is None else items
    values = {"below": below, "offset": offset, "limit": limit, "children": children, "items": items}
    from_tree = "FROM tree t CROSS JOIN nodes n ON n.run = :run AND n.parent = t.parent AND n.number = t.number"
    return list(_read(store, run_id, _TREE, "t.depth", from_tree, values))


def chosen(store: Store, run_id: str, sought: SoughtNodes, *, below: str = "", limit: int, offset: int = 0) -> list[KeptNode]:
    """The nodes that are sought, wherever they stand in the run or `below` a node; raises ProblemError."""
    conditions = {"state = :status": sought.status, "n.body = :body": sought.body, "n.model = :model": sought.model}
    where = [condition for condition, value in conditions.items() if value]
    where += ["n.started_at >= :since"] if sought.since else []
    where += ["((n.id >= :below || '/' AND n.id < :below || '0') OR (n.id >= :below || '[' AND n.id < :below || '\\'))"] if below else []
    rest = f"FROM nodes n WHERE n.run = :run AND {' AND '.join(where) or 'TRUE'} ORDER BY n.parent, n.number LIMIT :limit OFFSET :offset"
    values = {"status": sought.status, "body": sought.body, "model": sought.model, "since": sought.since, "below": below}
    return list(_read(store, run_id, "", "0", rest, {**values, "limit": limit, "offset": offset}))


def every(store: Store, run_id: str) -> Iterator[KeptNode]:
    """All nodes one after the other, the children of each together and in order; raises ProblemError."""
    return _read(store, run_id, "", "0", "FROM nodes n WHERE n.run = :run ORDER BY n.parent, n.number", {})


def _read(store: Store, run_id: str, before: str, depth: str, rest: str, values: dict[str, object]) -> Iterator[KeptNode]:
    number = store.number(run_id)
    status, ended = "n.status", f"c.status NOT IN {_OPEN}"
    if not store.alive(run_id):
        status, ended = f"CASE WHEN n.status IN {_OPEN} THEN 'cancelled' ELSE n.status END", "TRUE"
    columns = _COLUMNS.format(depth=depth, status=f"{status} AS state", ended=ended)
    with store.asked():
        for row in store.connection.execute(f"{before} SELECT {columns} {rest}", {"run": number, **values}):
            yield sound(KeptNode(*row))


def counted(store: Store, run_id: str) -> Counter[tuple[str, Status]]:
    """How many nodes there are of each body and status; raises ProblemError."""
    number, over = store.number(run_id), not store.alive(run_id)
    found: Counter[tuple[str, Status]] = Counter()
    with store.asked():
        query = "SELECT body, status, count(*) FROM nodes WHERE run = ? GROUP BY body, status"
        for body, status, count in store.connection.execute(query, (number,)):
            found[body, "cancelled" if over and status in {"pending", "running"} else status] += count
    return found


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
