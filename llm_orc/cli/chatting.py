"""`llm-orc invoke --chat`: a person at a terminal and a run that is kept open."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from llm_orc.cli.terminal import Terminal
from llm_orc.domain.conversation import cannot_go_on_from, ends
from llm_orc.domain.event import Cause
from llm_orc.domain.message import Outcome
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.run import ExitCode, Node, Run
from llm_orc.engine.chat import Chat
from llm_orc.render.formats import Paper
from llm_orc.render.spoken import Spoken
from llm_orc.render.words import cost_of, ink, seconds, tokens

if TYPE_CHECKING:
    from llm_orc.cli.invocation import Call

PROMPT = "> "
Stop = Callable[[Cause], None]
TalkAt = Callable[[Stop], Callable[[Chat], Awaitable[None]]]


class _EndedError(Exception):
    """A signal that ends the program came while it waited for a person."""


def chatted(terminal: Terminal, call: "Call", text: str) -> int:
    """Run the ensemble on the text, or on what is typed first, and talk with it; the exit code. Raises ProblemError."""
    if not text.strip() and not call.plan.ensemble.default_task and call.plan.reads_input():
        try:
            first = typed(terminal)
        except _EndedError:
            return ExitCode.TERMINATED
        if first is None:
            return ExitCode.OK
        text = first
    spoken = Spoken(Paper(terminal.answer, call.plan, stream=True, width=terminal.stdout.width))
    call.shape, call.talk = spoken, _talking(terminal, call.run, spoken)
    call.view = "lines" if call.wanted.verbose or len(call.plan.agents) > 1 else "none"
    asyncio.run(call.performed(text))
    code = call.ended()
    if call.is_kept and any(node.status == "succeeded" for node in call.run.top()):
        call.say([f"to go on with it: llm-orc continue {call.run.id} TEXT"])
    return code


def typed(terminal: Terminal) -> str | None:
    """The next line that says something; None at Ctrl-D. Raises `_EndedError`."""
    with _waiting():
        while True:
            try:
                line = _line(terminal)
            except EOFError:
                terminal.say("\n")
                return None
            except KeyboardInterrupt:
                terminal.say("\nCtrl-D ends the chat\n")
                continue
            except UnicodeDecodeError:
                terminal.say("that is not UTF-8 text\n")
                continue
            if line.strip():
                return line


@dataclass(slots=True)
class Talking:
    """One chat."""

    terminal: Terminal
    run: Run
    spoken: Spoken
    turn: str = ""
    """The one that is under way."""

    async def __call__(self, stop: Stop, chat: Chat) -> None:
        """Print what the ensemble came to; then answer what is typed, until Ctrl-D."""
        self.spoken.reply(chat.whole.result()[0])
        after = ends(self.run, chat.making.plan.final)
        if problems := cannot_go_on_from(self.run, after):
            self.terminal.tell(problems)
            return
        self._say_what(*(self.run.nodes[id_] for id_ in after))
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._end, chat)
        try:
            while (line := typed(self.terminal)) is not None:
                after = [*filter(None, [await self._answered(chat, line, after)])] or after
        except _EndedError:
            stop("terminate")
            await asyncio.Event().wait()  # until that is heard

    async def _answered(self, chat: Chat, line: str, after: list[str]) -> str:
        """The turn, where it got a reply."""
        try:
            self.turn = await chat.say(line, after, shown=True)
        except ProblemError as error:
            self.terminal.tell(error.problems)
            return ""
        outcome = await chat.outcome(self.turn)
        turn, self.turn = self.turn, ""
        self.spoken.reply(outcome.text)
        self._say_how(self.run.nodes[turn], outcome)
        return turn if outcome.ok else ""

    def _end(self, chat: Chat) -> None:
        if self.turn:
            chat.end(self.turn)

    def _say_what(self, *nodes: Node) -> None:
        known = dict.fromkeys(f"{node.provider}/{node.model}" for node in nodes if node.model)
        who = f"you talk with {', '.join(known)}; " if known else ""
        self.terminal.say(f"{ink(f'{who}Ctrl-C ends a reply, Ctrl-D the chat', 'dim', color=self.terminal.stderr.color)}\n")

    def _say_how(self, node: Node, outcome: Outcome) -> None:
        """What a turn took, or why it has no reply."""
        self.terminal.tell([Problem(what, warning=True) for of, what in self.run.warnings if of == node.id])
        if outcome.failure is not None:
            self.terminal.tell([Problem(str(outcome.failure), hint=outcome.failure.hint, warning=True)])
        elif not outcome.ok:
            self.terminal.say(f"\n{outcome.status}{f': {outcome.cause}' if outcome.cause != outcome.status else ''}\n")
        took = (seconds(node.seconds), tokens(node.usage), cost_of(node, unpriced=node.unpriced))
        if any(took):
            self.terminal.say(f"{ink('  '.join(filter(None, took)), 'dim', color=self.terminal.stderr.color)}\n")


def _line(terminal: Terminal) -> str:
    """What a person types, edited where both ends are a terminal; raises EOFError at the end."""
    if terminal.stdout.is_terminal:
        with suppress(ImportError):
            import readline  # noqa: F401 - `input` uses it once it is there
        return input(PROMPT)
    terminal.say(PROMPT)
    import sys

    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


@contextmanager
def _waiting() -> Iterator[None]:
    """Signals are exceptions meanwhile: nothing else goes on while a person is waited for, the event loop neither."""
    numbers: dict[int, Callable[..., None]] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: _ended, signal.SIGHUP: _ended}
    wakeup = signal.set_wakeup_fd(-1)
    before = {number: signal.signal(number, handler) for number, handler in numbers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)


def _ended(number: int, frame: object) -> None:  # noqa: ARG001 - Python's own signature
    raise _EndedError


def _talking(terminal: Terminal, run: Run, spoken: Spoken) -> TalkAt:
    """The talk, once it is known how the run is stopped."""
    return lambda stop: partial(Talking(terminal, run, spoken), stop)
