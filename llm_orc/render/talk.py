"""What is said on stderr in plain lines: each agent as it ends, and at last what became of the run."""

from collections.abc import Callable, Iterable, Iterator

from llm_orc.domain.event import Answered, Cancelled, Failed, Happening, RunStarted, Skipped, Warned
from llm_orc.domain.message import Failure, Status
from llm_orc.domain.run import Node, Run
from llm_orc.render.safe import one_line
from llm_orc.render.words import STATE_COLORS, cost_of, counted, ink, listed, seconds, tokens

WIDEST_NAME = 24
"""Columns that names are padded to at most."""
ENDS = {"interrupt": "interrupted", "terminate": "terminated", "timeout": "the run's time is up", "budget": "the run's budget is spent"}
ORDER: tuple[Status, ...] = ("succeeded", "failed", "skipped", "cancelled", "running", "pending")


class Talk:
    """One line per agent as it ends, for `-v` and for terminals that cannot show more. The run hears each event first."""

    def __init__(self, write: Callable[[str], None], run: Run, *, color: bool = False) -> None:
        self._write, self._run, self._color = write, run, color
        self._width = 0

    def tell(self, event: Happening) -> None:
        """Write the line, if the event ends an agent or warns."""
        match event:
            case RunStarted():
                names = [name for phase in event.phases for name in phase]
                self._width = min(WIDEST_NAME, max(map(len, names), default=0))
            case Answered() | Failed() | Skipped() | Cancelled():
                self._write("".join(f"{line}\n" for line in self._ended(self._run.nodes[event.node])))
            case Warned():
                self._write(_warning(event.node, event.what, color=self._color) + "\n")
            case _:
                pass

    def _ended(self, node: Node) -> Iterator[str]:
        state = ink(f"{node.status:<9}", STATE_COLORS[node.status], color=self._color)
        rest = (one_line(node.cause), seconds(node.seconds), tokens(node.usage))
        yield "  ".join((f"{node.id:<{self._width}}", state, *filter(None, rest))).rstrip()
        if node.failure and node.failure.hint:
            yield _hint(node.failure, color=self._color)


def summary(run: Run, *, color: bool = False) -> list[str]:
    """The last lines: warnings, what failed and why, what was skipped and why, and what all of it took."""
    return [
        *(_warning(node, what, color=color) for node, what in dict.fromkeys(run.warnings)),
        *_failed(run, color=color),
        *_without_reply(run, "skipped", color=color),
        *_without_reply(run, "cancelled", color=color),
        *_synthesis(run, color=color),
        *_unpriced(run, color=color),
        _totals(run, color=color),
    ]


def _failed(run: Run, *, color: bool) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Node]] = {}
    for node in run.nodes.values():
        if node.status == "failed":
            groups.setdefault((node.cause, node.failure.hint if node.failure else ""), []).append(node)
    for (cause, _), nodes in groups.items():
        yield _group("failed", (node.id for node in nodes), cause, color=color)
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
        yield _group("failed", ["synthesis"], f"{run.failure}; the agents' replies are printed instead", color=color)
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


def _hint(failure: Failure, *, color: bool) -> str:
    return ink("hint:", "cyan", color=color) + f" {one_line(failure.hint)}"


def _warning(node: str, what: str, *, color: bool) -> str:
    return f"{ink('warning', 'yellow', color=color)}  {f'{node}: ' if node else ''}{one_line(what)}"
