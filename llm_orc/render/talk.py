"""What is said on stderr in plain lines: each agent as it ends, and at last what became of the run."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from llm_orc.domain.event import Answered, Cancelled, Failed, Happening, RunStarted, Skipped, Warned
from llm_orc.domain.message import Failure, Status
from llm_orc.domain.run import Node, Run
from llm_orc.render.safe import harmless, one_line
from llm_orc.render.words import HANGING, STATE_COLORS, cost_of, counted, folded, ink, listed, seconds, tokens

WIDEST_NAME = 24
"""Columns that names are padded to at most."""
TAIL = 8
"""Lines of a cause, at most, below its first one: the last are those that say what went wrong."""
ENDS = {"interrupt": "interrupted", "terminate": "terminated", "timeout": "the run's time is up", "budget": "the run's budget is spent"}
ORDER: tuple[Status, ...] = ("succeeded", "failed", "skipped", "cancelled", "running", "pending")


class Talk:
    """One line per agent as it ends, for `-v` and for terminals that cannot show more. The run hears each event first.

    The whole of a cause and its hint are left to the summary, which says them once for all agents.
    """

    def __init__(self, write: Callable[[str], None], run: Run, *, color: bool = False, width: int | None = None) -> None:
        self._write, self._run, self._color, self._width = write, run, color, width
        self._widest = 0

    def tell(self, event: Happening) -> None:
        """Write the line, if the event ends an agent or warns."""
        match event:
            case RunStarted():
                names = [name for phase in event.phases for name in phase]
                self._widest = min(WIDEST_NAME, max(map(len, names), default=0))
            case Answered() | Failed() | Skipped() | Cancelled():
                self._say(self._ended(self._run.nodes[event.node]))
            case Warned():
                self._say(_warning(event.node, event.what, color=self._color))
            case _:
                pass

    def _say(self, line: str) -> None:
        self._write("".join(f"{row}\n" for row in folded(line, self._width)))

    def _ended(self, node: Node) -> str:
        state = ink(f"{node.status:<9}", STATE_COLORS[node.status], color=self._color)
        rest = (_head(node.cause), seconds(node.seconds), tokens(node.usage))
        return "  ".join((f"{node.id:<{self._widest}}", state, *filter(None, rest))).rstrip()


def summary(run: Run, *, color: bool = False, width: int | None = None) -> list[str]:
    """The last lines: warnings, what failed and why, what was skipped and why, and what all of it took; wrapped where there is a width."""
    lines = (
        *(_warning(node, what, color=color) for node, what in dict.fromkeys(run.warnings)),
        *_failed(run, color=color),
        *_without_reply(run, "skipped", color=color),
        *_without_reply(run, "cancelled", color=color),
        *_synthesis(run, color=color),
        *_unpriced(run, color=color),
        _totals(run, color=color),
    )
    return [*chain.from_iterable(folded(line, width) for line in lines)]


def _failed(run: Run, *, color: bool) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Node]] = {}
    for node in run.nodes.values():
        if node.status == "failed":
            groups.setdefault((node.cause, node.failure.hint if node.failure else ""), []).append(node)
    for (cause, _), nodes in groups.items():
        yield _group("failed", (node.id for node in nodes), _head(cause), color=color)
        yield from _tail(cause)
        if nodes[0].failure and nodes[0].failure.hint:
            yield _hint(nodes[0].failure, color=color)


def _without_reply(run: Run, status: Status, *, color: bool) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for node in run.nodes.values():
        if node.status == status:
            groups.setdefault(node.cause, []).append(node.id)
    return (_group(status, names, cause, color=color) for cause, names in groups.items())


def _synthesis(run: Run, *, color: bool) -> Iterator[str]:
    if run.failure:
        cause = str(run.failure)
        yield _group("failed", ["synthesis"], f"{_head(cause)}; the agents' replies are printed instead", color=color)
        yield from _tail(cause)
        if run.failure.hint:
            yield _hint(run.failure, color=color)


def _unpriced(run: Run, *, color: bool) -> Iterator[str]:
    if run.unpriced:
        models = listed(sorted(map(one_line, run.unpriced)))
        yield f"{ink('unpriced', 'yellow', color=color)}  {models}: no known price"


def _totals(run: Run, *, color: bool) -> str:
    counts = dict.fromkeys(ORDER, 0)
    for node in run.nodes.values():
        counts[node.status] += 1
    states = ", ".join(f"{number:,} {status}" for status, number in counts.items() if number)
    status = "green" if run.status == "succeeded" else "yellow" if run.status == "partial" else "red"
    parts = (ENDS.get(run.cause, ""), states, seconds(run.seconds), tokens(run.usage), cost_of(run))
    return "  ".join((ink(f"{run.ensemble} {run.status}", "bold", status, color=color), *filter(None, parts)))


def _group(status: Status, names: Iterable[str], cause: str, *, color: bool) -> str:
    known = list(names)
    what = listed(known) if len(known) > 1 else known[0]
    number = f" {counted(len(known), 'agent')}" if len(known) > 1 else ""
    return f"{ink(status, STATE_COLORS[status], color=color)}{number}  {what}: {one_line(cause)}"


def _head(cause: str) -> str:
    return one_line(cause.partition("\n")[0])


def _tail(cause: str) -> list[str]:
    """What stands below the first line: of a program its last words."""
    return [f"{HANGING}{line}" for line in harmless(cause).split("\n")[1:][-TAIL:]]


def _hint(failure: Failure, *, color: bool) -> str:
    return ink("hint:", "cyan", color=color) + f" {one_line(failure.hint)}"


def _warning(node: str, what: str, *, color: bool) -> str:
    return f"{ink('warning', 'yellow', color=color)}  {f'{node}: ' if node else ''}{one_line(what)}"
