"""What is said on stderr in plain lines: each agent as it ends, and at last what became of the run."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from llm_orc.domain.event import (
    Answered,
    Cancelled,
    Failed,
    FellBack,
    Happening,
    Loading,
    Missed,
    Queued,
    Repairing,
    Retrying,
    RunStarted,
    Shortened,
    Skipped,
    Warned,
)
from llm_orc.domain.message import Failure, Status
from llm_orc.domain.run import Node, Run
from llm_orc.render.safe import harmless, one_line
from llm_orc.render.words import (
    HANGING,
    STATE_COLORS,
    changes,
    cost_of,
    counted,
    folded,
    how_shortened,
    ink,
    listed,
    saved_of,
    seconds,
    tokens,
)

WIDEST_NAME = 24
"""Columns that names are padded to at most."""
TAIL = 8
"""Lines of a cause, at most, below its first one: the last are those that say what went wrong."""
LONG = 5.0
"""Seconds between two attempts from which on everybody is told."""
ENDS = {"interrupt": "interrupted", "terminate": "terminated", "timeout": "the run's time is up", "budget": "the run's budget is spent"}
ORDER: tuple[Status, ...] = ("succeeded", "failed", "skipped", "cancelled", "running", "pending")


class Talk:
    """One line per agent as it ends, for `-v` and for terminals that cannot show more. The run hears each event first.

    What delays an agent is said too: with `verbose` all of it, else only what takes long or changes who answers.
    The whole of a cause and its hint are left to the summary, which says them once for all agents.
    """

    def __init__(
        self, write: Callable[[str], None], run: Run, *, verbose: bool = False, color: bool = False, width: int | None = None
    ) -> None:
        self._write, self._run, self._verbose, self._color, self._width = write, run, verbose, color, width
        self._widest = 0
        self._warned: set[tuple[str, str]] = set()

    def tell(self, event: Happening) -> None:
        """Write the line, if the event ends an agent, delays it or warns."""
        match event:
            case RunStarted():
                names = [name for phase in event.phases for name in phase]
                self._widest = min(WIDEST_NAME, max(map(len, names), default=0))
            case Answered() | Failed() | Skipped() | Cancelled():
                self._say(self._ended(self._run.nodes[event.node]))
            case Queued() | Loading() | Retrying() | FellBack() | Repairing() | Missed() | Shortened():
                if line := _delay(event, verbose=self._verbose):
                    self._say(f"{event.node:<{self._widest}}  {ink(line, 'dim', color=self._color)}")
            case Warned() if (event.node, event.what) not in self._warned:
                self._warned.add((event.node, event.what))
                self._say(_warning([event.node], event.what, color=self._color))
            case _:
                pass

    def _say(self, line: str) -> None:
        self._write("".join(f"{row}\n" for row in folded(line, self._width)))

    def _ended(self, node: Node) -> str:
        state = ink(f"{node.status:<9}", STATE_COLORS[node.status], color=self._color)
        rest = ("cached" if node.cached else "", _head(node.cause), seconds(node.seconds), tokens(node.usage))
        return "  ".join((f"{node.id:<{self._widest}}", state, *filter(None, rest))).rstrip()


class Patience:
    """A line for whoever only gets the result, as in a pipe, once a call has to wait long; each reason once."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._told: set[str] = set()

    def tell(self, event: Happening) -> None:
        """Write the line, if the event is a long wait for a reason that was not told yet."""
        if isinstance(event, Retrying) and event.seconds >= LONG and (why := _head(str(event.failure))) not in self._told:
            self._told.add(why)
            self._write(f"{event.node} retries in {seconds(event.seconds)}: {why}\n")


def _delay(event: Queued | Loading | Retrying | FellBack | Repairing | Missed | Shortened, *, verbose: bool) -> str:
    """Why an agent has no reply yet; nothing where that is not worth a line."""
    match event:
        case FellBack():
            return f"falls back to {one_line(event.profile)}  {_head(str(event.failure))}"
        case Loading():
            return f"waits until {one_line(event.model)} is loaded"
        case Retrying() if verbose or event.seconds >= LONG:
            return f"retries in {seconds(event.seconds)}  {_head(str(event.failure))}"
        case Repairing() if verbose:
            return f"is asked to mend its reply  {_head(event.what)}"
        case Missed() if verbose:
            return f"is asked anew: {one_line(changes(event.changed))} since its last kept reply"
        case Shortened() if verbose:
            return f"is sent {how_shortened(event)}"
        case Queued() if verbose:
            at = f" at {one_line(event.endpoint)}" if event.endpoint else ""
            return f"waits for a place{at}" if event.limit == event.endpoint else f"waits for {one_line(event.limit)}{at}"
        case _:
            return ""


def summary(run: Run, *, verbose: bool = False, color: bool = False, width: int | None = None) -> list[str]:
    """The last lines: warnings, what failed and why, what was skipped and why, who answered instead of whom, and what all of it took.

    With `verbose` also what each server and model took; wrapped where there is a width.
    """
    lines = (
        *_warnings(run, color=color),
        *_failed(run, color=color),
        *_without_reply(run, "skipped", color=color),
        *_without_reply(run, "cancelled", color=color),
        *_synthesis(run, color=color),
        *_fell_back(run, color=color),
        *_shortened(run, color=color),
        *_cut(run, color=color),
        *_artifacts(run, color=color),
        *(_use(run, color=color) if verbose else ()),
        *_unpriced(run, color=color),
        _totals(run, color=color),
    )
    return [*chain.from_iterable(folded(line, width) for line in lines)]


def _warnings(run: Run, *, color: bool) -> Iterator[str]:
    """Each once, with the agents that it is about."""
    groups: dict[str, dict[str, None]] = {}
    for node, what in run.warnings:
        groups.setdefault(what, {})[node] = None
    return (_warning(nodes, what, color=color) for what, nodes in groups.items())


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
    said: dict[str, str] = {"cancelled": ENDS.get(run.cause, "")}  # who is cancelled was cut off with the run
    return (_group(status, names, said.get(cause, cause), color=color) for cause, names in groups.items())


def _synthesis(run: Run, *, color: bool) -> Iterator[str]:
    if run.failure:
        cause = str(run.failure)
        yield _group("failed", ["synthesis"], f"{_head(cause)}; the agents' replies are printed instead", color=color)
        yield from _tail(cause)
        if run.failure.hint:
            yield _hint(run.failure, color=color)


def _fell_back(run: Run, *, color: bool) -> Iterator[str]:
    """Of replies whose profile is not the agent's own; how every profile failed is said of an agent without one."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for node in run.nodes.values():
        if node.fell_back and node.reply:
            causes = "; ".join(f"{profile}: {_head(str(failure))}" for profile, failure in node.fell_back)
            groups.setdefault((node.profile or node.model, node.fell_back[0][0], causes), []).append(node.id)
    for (answered, instead, causes), names in groups.items():
        told = one_line(f"{answered} answered instead of {instead} ({causes})")
        yield f"{ink('fell back', 'yellow', color=color)}  {listed(names)}: {told}"


def _shortened(run: Run, *, color: bool) -> Iterator[str]:
    """Of requests that were too long: how they were sent."""
    groups: dict[str, list[str]] = {}
    for node in run.nodes.values():
        if node.shortened:
            groups.setdefault(how_shortened(node.shortened), []).append(node.id)
    for how, names in groups.items():
        yield f"{ink('shortened', 'yellow', color=color)}  {listed(names)}: sent {how}"


def _cut(run: Run, *, color: bool) -> Iterator[str]:
    if names := [node.id for node in run.nodes.values() if (node.sent or node.cached) and node.reply and node.reply.finish == "length"]:
        yield f"{ink('cut', 'yellow', color=color)}  {listed(names)}: the reply is as long as it may be: raise max_tokens"


def _artifacts(run: Run, *, color: bool) -> Iterator[str]:
    """The files that programs left, and the command that gets one."""
    if names := dict.fromkeys(each.name for node in run.nodes.values() for each in node.artifacts if each.sha256):
        yield f"{ink('artifacts', 'green', color=color)}  {one_line(listed(names))}: llm-orc runs show {run.id} --artifact NAME"


def _use(run: Run, *, color: bool) -> Iterator[str]:
    """What each server had to do, and what each model took where there are several."""
    for name, use in run.endpoints.items():
        waited = f"{seconds(use.waited)} waited for a place" if use.waited else ""
        parts = (counted(use.requests, "request"), f"at most {use.peak:,} at once", waited)
        yield f"{ink(one_line(name), 'dim', color=color)}  {', '.join(filter(None, parts))}"
    if len(run.models) > 1:
        for name, spent in run.models.items():
            cost = cost_of(spent, unpriced=False) if name not in run.unpriced else ""
            yield "  ".join(filter(None, (ink(one_line(name), "dim", color=color), tokens(spent.usage), cost)))


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
    spent = (tokens(run.usage), cost_of(run, unpriced=bool(run.unpriced)), saved_of(run))
    parts = (ENDS.get(run.cause, ""), states, seconds(run.seconds), *spent)
    return "  ".join((ink(f"{run.ensemble} {run.status}", "bold", status, color=color), *filter(None, parts)))


def _group(status: Status, names: Iterable[str], cause: str, *, color: bool) -> str:
    known = list(names)
    what = listed(known) if len(known) > 1 else known[0]
    number = f" {counted(len(known), 'agent')}" if len(known) > 1 else ""
    return f"{ink(status, STATE_COLORS[status], color=color)}{number}  {what}" + (f": {one_line(cause)}" if cause else "")


def _head(cause: str) -> str:
    return one_line(cause.partition("\n")[0])


def _tail(cause: str) -> list[str]:
    """What stands below the first line: of a program its last words."""
    return [f"{HANGING}{line}" for line in harmless(cause).split("\n")[1:][-TAIL:]]


def _hint(failure: Failure, *, color: bool) -> str:
    return ink("hint:", "cyan", color=color) + f" {one_line(failure.hint)}"


def _warning(nodes: Iterable[str], what: str, *, color: bool) -> str:
    names = listed(filter(None, nodes))
    return f"{ink('warning', 'yellow', color=color)}  {f'{names}: ' if names else ''}{one_line(what)}"
