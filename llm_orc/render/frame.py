"""One picture of a run for a terminal: its phases as a tree, the text of one agent, a line of totals; never too high or wide."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from textwrap import wrap

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.style import Style

from llm_orc.domain.event import (
    Answered,
    Cancelled,
    Delta,
    Failed,
    FellBack,
    Happening,
    Repairing,
    Resumed,
    Retrying,
    Skipped,
    Started,
    Submitted,
)
from llm_orc.domain.message import Status
from llm_orc.domain.run import Node, Run
from llm_orc.domain.use import EndpointUse
from llm_orc.render.safe import harmless, one_line
from llm_orc.render.words import STATE_COLORS, changes, cost_of, counted, how_shortened, listed, saved_of, seconds, tokens

Row = list[Segment]
MARKS: dict[Status, str] = {"pending": "·", "running": "●", "succeeded": "✓", "failed": "✗", "skipped": "-", "cancelled": "✗"}
BECOMES: Mapping[type[Happening], Status] = {
    Started: "running",
    Answered: "succeeded",
    Failed: "failed",
    Skipped: "skipped",
    Cancelled: "cancelled",
}
UNENDED: tuple[Status, ...] = ("pending", "running")
PLAIN_MARKS: dict[Status, str] = {"pending": ".", "running": "*", "succeeded": "+", "failed": "x", "skipped": "-", "cancelled": "x"}
TREE = ("├─ ", "└─ ", "│  ", "   ")
PLAIN_TREE = ("|- ", "`- ", "|  ", "   ")
STYLES = {status: Style(color=color) if color != "dim" else Style(dim=True) for status, color in STATE_COLORS.items()}
BOLD, DIM, PLAIN = Style(bold=True), Style(dim=True), Style()
WIDEST_NAME = 28
LETTERS_PER_TOKEN = 4
FOCUS_ROWS = 6
SERVERS_ROWS = 6
"""Rows of a terminal from which on one tells of the servers."""
RETRY = "retry"
LOADING = "loading "
"""How a node says that it waits for another attempt, or for a model."""


@dataclass(slots=True)
class View:
    """What has to be known of a run to draw it without looking at every node: constant work per event."""

    run: Run
    states: dict[str, Status] = field(default_factory=dict)
    phase_of: dict[str, int] = field(default_factory=dict)
    """Of each node, that of the agent at the top."""
    running: dict[str, None] = field(default_factory=dict)
    failed: dict[str, None] = field(default_factory=dict)
    counts: Counter[Status] = field(default_factory=Counter)
    by_phase: dict[int, Counter[Status]] = field(default_factory=lambda: defaultdict(Counter))
    ended_below: Counter[str] = field(default_factory=Counter)
    """Children that have ended, per parent."""
    letters: Counter[str] = field(default_factory=Counter)
    """Streamed so far, per node."""
    anew: dict[str, Retrying | FellBack | Repairing] = field(default_factory=dict)
    """Why a node's reply begins anew, as told last."""
    focus: str = ""
    """The agent whose text is shown: it keeps the place until it ends."""

    def tell(self, event: Happening) -> None:
        """Remember what happened."""
        match event:
            case Delta():
                self.letters[event.node] += len(event.text)
                if self.focus not in self.running:
                    self.focus = event.node
            case Retrying() | FellBack() | Repairing():
                self.letters[event.node] = 0
                self.anew[event.node] = event
            case Resumed():
                for node in [node for node, status in self.states.items() if status in UNENDED]:
                    self._becomes(node, "cancelled")
            case Submitted():
                self.phase_of[event.node] = self.phase_of[event.parent] if event.parent else event.phase
                self._becomes(event.node, "pending")
            case Started() | Answered() | Failed() | Skipped() | Cancelled():
                self._becomes(event.node, BECOMES[type(event)])
            case _:
                pass

    def _becomes(self, node: str, status: Status) -> None:
        phase, before = self.by_phase[self.phase_of[node]], self.states.get(node)
        parent = self.run.nodes[node].parent
        if before:
            self.counts[before] -= 1
            phase[before] -= 1
            self.ended_below[parent] -= before not in UNENDED
        self.states[node] = status
        self.counts[status] += 1
        phase[status] += 1
        self.running.pop(node, None)
        self.failed.pop(node, None)
        self.ended_below[parent] += status not in UNENDED
        if status == "running":
            self.running[node] = None
        elif status == "failed":
            self.failed[node] = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture of the run at one moment; `now` in seconds since 1970. Rich prints it."""

    view: View
    now: float
    width: int
    height: int
    plain: bool = False
    """With ASCII marks only."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Every row, cut to the width."""
        for index, row in enumerate(self.rows()):
            if index:
                yield Segment.line()
            yield from Segment.adjust_line_length(row, self.width - 1, pad=False)

    def rows(self) -> list[Row]:
        """At most `height` of them."""
        focus = self._focus(min(FOCUS_ROWS, self.height // 4)) if self.height >= 10 else []
        servers = self._servers() if self.height >= SERVERS_ROWS else []
        tree = self._tree(self.height - len(focus) - len(servers) - 1)
        return [*tree, *focus, *servers, self._totals()][-self.height :]

    # The tree

    def _tree(self, room: int) -> list[Row]:
        run = self.view.run
        heads = len(run.phases) if len(run.phases) > 1 else 0
        if 1 + heads + len(run.nodes) <= room:
            phases = {index: [run.nodes[name] for name in names if name in run.nodes] for index, names in enumerate(run.phases)}
            return self._drawn(phases, whole=True)
        return self._folded(room)

    def _folded(self, room: int) -> list[Row]:
        """Phases with their counts; of their nodes those that run, then the last that failed."""
        view, count = self.view, len(self.view.run.phases)
        notable = list(chain(islice(view.running, 4 * room), islice(reversed(view.failed), room)))
        shown = list(range(count))
        if 2 * count > room:
            shown = sorted(set(islice(dict.fromkeys(view.phase_of[node] for node in notable), max(1, room // 2 - 1))))
        hidden = count - len(shown)
        room -= 1 + len(shown) + (hidden > 0)
        phases: dict[int, list[Node]] = {phase: [] for phase in shown}
        for node in islice((node for node in notable if view.phase_of[node] in phases), max(room, 0)):
            phases[view.phase_of[node]].append(view.run.nodes[node])
        rows = self._drawn(phases, whole=False)
        return [*rows, [Segment(f"{counted(hidden, 'more phase')}", DIM)]] if hidden else rows

    def _drawn(self, phases: dict[int, list[Node]], *, whole: bool) -> list[Row]:
        branch, last_branch, pipe, gap = PLAIN_TREE if self.plain else TREE
        rows: list[Row] = [[Segment(one_line(self.view.run.ensemble), BOLD)]]
        widest = self._widest(chain.from_iterable(phases.values()), nested=whole)
        last = max(phases, default=0)
        for phase, nodes in phases.items():
            edge, indent = (last_branch, gap) if phase == last else (branch, pipe)
            if len(self.view.run.phases) > 1:
                counts = "" if whole else f"  {_states(self.view.by_phase[phase])}"
                rows.append([Segment(edge, DIM), Segment(f"phase {phase + 1}{counts}", DIM)])
            else:
                indent = ""
            rows += self._branches(nodes, indent, widest, nested=whole)
        return rows

    def _branches(self, nodes: list[Node], indent: str, widest: int, *, nested: bool) -> Iterator[Row]:
        branch, last_branch, pipe, gap = PLAIN_TREE if self.plain else TREE
        for index, node in enumerate(nodes):
            last = index == len(nodes) - 1
            before = indent + (last_branch if last else branch)
            name = node.name if nested else node.id
            yield [Segment(before, DIM), *self._node(node, set_cell_size(one_line(name), max(1, widest - cell_len(before))))]
            if nested:
                yield from self._branches(list(self.view.run.below(node)), indent + (gap if last else pipe), widest, nested=True)

    def _widest(self, nodes: Iterable[Node], depth: int = 2, *, nested: bool) -> int:
        """Columns up to the end of the longest name, with the branches before it."""
        widest = 0
        for node in nodes:
            widest = max(widest, 3 * depth + cell_len(node.name if nested else node.id))
            if nested:
                widest = max(widest, self._widest(self.view.run.below(node), depth + 1, nested=True))
        return min(widest, 6 + WIDEST_NAME, self.width // 2)

    def _node(self, node: Node, name: str) -> Row:
        status, marks = node.status, PLAIN_MARKS if self.plain else MARKS
        end = self.now if status == "running" else node.ended_at
        timer = "" if node.started_at is None or end is None else seconds(end - node.started_at)
        used = tokens(node.usage)
        if status == "running" and (letters := self.view.letters[node.id]):
            used = f"~{counted(node.usage.total + letters // LETTERS_PER_TOKEN, 'token')}"
        style = STYLES[status]
        return [
            Segment(f"{marks[status]} ", style),
            Segment(name, BOLD if status == "running" else DIM if status == "pending" else PLAIN),
            Segment(f"{timer:>9}{used:>15}", PLAIN if status == "running" else DIM),
            Segment(f"  {self._detail(node)}", style if status == "failed" else DIM),
        ]

    def _detail(self, node: Node) -> str:
        match node.status:
            case "running" if node.waiting_for == RETRY and isinstance(again := self.view.anew.get(node.id), Retrying):
                return f"tries again in {seconds(again.at + again.seconds - self.now)}: {again.failure.kind}"
            case "pending" | "running" if node.waiting_for:
                return _waits(node.waiting_for)
            case "pending":
                waited = [name for name in node.depends_on if self.view.states.get(name) in {"pending", "running"}]
                return f"after {listed(waited)}" if waited else ""
            case "running" if node.expected is not None:
                return f"{self.view.ended_below[node.id]:,} of {max(node.expected, len(node.children)):,}"  # who reduces adds to them
            case "running" | "succeeded":
                instead = f"{node.fell_back[0][0]} failed" if node.fell_back else ""
                known = "cached" if node.cached else changes(node.changed)
                short = how_shortened(node.shortened) if node.shortened else ""
                return one_line(", ".join(filter(None, (node.model or node.body, instead, known, short))))
            case _:
                return one_line(f"{node.status}: {node.cause}")

    # The rest

    def _focus(self, room: int) -> list[Row]:
        """The last lines of what the agent in focus has said, or else thought, so far."""
        view = self.view
        if view.focus not in view.running:
            return []
        node = view.run.nodes[view.focus]
        text = _tail(node.pieces, room * self.width) or _tail(node.thinking, room * self.width)
        if not text:
            return []
        lines = [part for line in text.rstrip().split("\n")[-room:] for part in _wrapped(line, self.width - 3)][-room:]
        style = PLAIN if node.pieces else DIM
        return [[], [Segment(one_line(node.id), STYLES["running"])], *([Segment(f"  {line}", style)] for line in lines), []]

    def _servers(self) -> list[Row]:
        """One row for all of them, in the order in which they came."""
        used = self.view.run.endpoints
        return [[Segment("; ".join(f"{one_line(name)} {_calls(name, use)}" for name, use in used.items()), DIM)]] if used else []

    def _totals(self) -> Row:
        run = self.view.run
        cost = cost_of(run, unpriced=bool(run.unpriced))
        took = seconds(self.now - run.started_at - run.paused) if run.started_at else ""
        parts = (_states(self.view.counts), tokens(run.usage), cost, saved_of(run), took)
        return [Segment("  ".join(filter(None, parts)))]


def _calls(name: str, use: EndpointUse) -> str:
    """`3 running, 12 queued (requests_per_minute), peak 5`."""
    limits = ", ".join(one_line(limit) for limit in use.queued if limit != name)
    queued = f"{use.waiting:,} queued{f' ({limits})' if limits else ''}" if use.queued else ""
    return ", ".join(filter(None, (f"{use.running:,} running", queued, f"peak {use.peak:,}")))


def _waits(what: str) -> str:
    return one_line(what if what.startswith(LOADING) else f"waits: {what}")


def _states(counts: Counter[Status]) -> str:
    """`4 done, 2 running, 1 failed, 93 pending`."""
    words: dict[Status, str] = {"succeeded": "done"}
    order: tuple[Status, ...] = ("succeeded", "running", "failed", "skipped", "cancelled", "pending")
    return ", ".join(f"{counts[status]:,} {words.get(status, status)}" for status in order if counts[status])


def _wrapped(line: str, width: int) -> Iterator[str]:
    """The line in parts of this many columns, broken between words where there are any."""
    for part in wrap(line, width) or [""]:
        yield from chop_cells(part, width) or [""]  # letters may take two columns


def _tail(pieces: list[str], letters: int) -> str:
    """The end of a text that comes in pieces."""
    kept: list[str] = []
    for piece in reversed(pieces):
        kept.append(piece)
        letters -= len(piece)
        if letters <= 0:
            break
    return harmless("".join(reversed(kept))).expandtabs(4)
