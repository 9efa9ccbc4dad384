"""One call of `llm-orc invoke`, from its flags to its exit code."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from llm_orc.app import Session
from llm_orc.cli.ahead import importing
from llm_orc.cli.input import Given, names_a_file, read_parts
from llm_orc.cli.logs import note
from llm_orc.cli.next_steps import comes_with_us, next_steps
from llm_orc.cli.output import Target, format_of, opened, style_sheet, target_of
from llm_orc.cli.planning import is_offline, trusted_plan, warn, with_attachments
from llm_orc.cli.terminal import HungUpError, Terminal
from llm_orc.config.front_matter import informed
from llm_orc.config.layers import Layers
from llm_orc.domain.event import Happening, Submitted
from llm_orc.domain.fan_out import FanOut
from llm_orc.domain.message import Tell
from llm_orc.domain.plan import Choices, Plan
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.run import ExitCode, Run, fold
from llm_orc.engine.signals import stopped_by_signals
from llm_orc.render.formats import Format, Paper
from llm_orc.render.talk import Patience, Talk, summary

if TYPE_CHECKING:
    from llm_orc.cli.chatting import TalkAt
    from llm_orc.cli.gate import Gate
    from llm_orc.cli.split import Split
    from llm_orc.engine.chat import Turn

AT_THE_END = ("docx", "html", "json", "page", "pdf", "rich")
"""The formats that have nothing to write before the end."""
QUIET_UNTIL_THE_END = (*AT_THE_END, "markdown", "text")
"""Likewise unless they stream: a live view may be drawn meanwhile."""
View = Literal["live", "lines", "waits", "none"]
"""How a person follows a run on stderr: a picture of it, a line per agent as it ends, or nothing before the end."""


class Wanted(NamedTuple):
    """What the flags of `invoke` say of the run and of its result."""

    output_format: str | None
    output: str | None
    fail_on: str
    force: bool
    stream: bool
    offline: bool
    verbose: bool
    keep: bool = True
    css: str | None = None
    """A file with a style sheet for pages."""
    split: str | None = None
    """The folder that sections are written to."""
    chat: bool = False


def carried_out(terminal: Terminal, name: str, choices: Choices, given: Given, wanted: Wanted) -> int:
    """Run the ensemble and print its result; the exit code. Raises ProblemError."""
    if wanted.chat:
        _check_chat(terminal, wanted)
    target = target_of(terminal, wanted.output, force=wanted.force, split=wanted.split)
    layers, plan = trusted_plan(terminal, name, with_attachments(terminal, choices, given.attached), later=True)
    call, text = ready(terminal, layers, plan, given, wanted, target, choices.variables)
    if wanted.chat:
        from llm_orc.cli.chatting import chatted

        return chatted(terminal, call, text)
    code = ran(call, text)
    if code in (ExitCode.OK, ExitCode.SOME_FAILED) and (terminal.stderr.is_terminal or wanted.offline) and comes_with_us(layers, name):
        call.say(next_steps(terminal, layers, call.run, name, choices, given))
    return code


def ready(
    terminal: Terminal, layers: Layers, plan: Plan, given: Given, wanted: Wanted, target: Target, chosen: Mapping[str, Any] | None = None
) -> "tuple[Call, str]":
    """A plan that can be run, and its input, which may give variables that were not `chosen`; raises ProblemError."""
    call = call_of(terminal, layers, plan, wanted, target)
    with importing(terminal, given, plan):
        parts = read_parts(terminal, given)
    call.plan, text, told = informed(plan, parts, chosen or {})
    warn(terminal, layers.warnings, plan.warnings, told, names_a_file(terminal, given.text, are_read=_reads_files(plan)))
    return call, text


def ran(call: "Call", text: str) -> int:
    """Run it and print its result; the exit code."""
    gc.freeze()  # what is loaded by now stays
    asyncio.run(call.performed(text))
    return call.ended()


def _check_chat(terminal: Terminal, wanted: Wanted) -> None:
    """Raise ProblemError where nobody is there to talk, and for flags that say something of a result: a chat has many."""
    flags = {"-o": wanted.output, "--output-format": wanted.output_format, "--fail-on": wanted.fail_on}
    flags |= {"--css": wanted.css, "--split": wanted.split}
    problems = [Problem(f"{flag} does nothing with --chat", hint="leave one of them out") for flag, given in flags.items() if given]
    if not terminal.can_ask:
        hint = "go on with a run from a script: llm-orc continue RUN TEXT"
        problems.append(Problem("--chat needs a terminal to type at", hint=hint))
    if problems:
        raise ProblemError(*problems)


def _reads_files(plan: Plan) -> bool:
    """Whether a fan-out goes over files, which the input may name."""
    return any(isinstance(it := each.agent.fan_out, FanOut) and it.source == "files" for each in plan.agents.values())


def call_of(terminal: Terminal, layers: Layers, plan: Plan, wanted: Wanted, target: Target) -> "Call":
    """The plan with everything that its result goes through; raises ProblemError."""
    gate = _gate(wanted.fail_on, plan)
    written = [
        (plan.ensemble.output_format, plan.ensemble.source.at("output_format")),
        (layers.settings.output_format, layers.settings.origin("output_format").place),
    ]
    chosen = format_of(target, wanted.output_format, *(name for name, _ in written))
    if wanted.stream and chosen in AT_THE_END:
        raise ProblemError(Problem(f"--stream does nothing with the format '{chosen}'", hint="take --output-format text or markdown"))
    css = None if wanted.css is None else style_sheet(terminal, wanted.css, wanted.output_format or chosen)
    paper = Paper(target.write, plan, wanted.stream, wanted.verbose, target.width, target.color, css)
    shape = opened(chosen, paper, *(() if wanted.output_format else written))
    early = wanted.stream or chosen not in QUIET_UNTIL_THE_END
    view = _view_for(terminal, wanted, busy=early and target.width is not None)
    return Call(terminal, layers, plan, wanted, target, shape, view, gate, _split(terminal, plan, wanted, css))


def _split(terminal: Terminal, plan: Plan, wanted: Wanted, css: str | None) -> "Split | None":
    if wanted.split is None:
        return None
    from llm_orc.cli.split import split_of

    return split_of(terminal, plan, wanted.split, wanted.output_format, css, force=wanted.force)


def _gate(expression: str, plan: Plan) -> "Gate | None":
    if not expression.strip():
        return None
    from llm_orc.cli.gate import gate_of

    return gate_of(expression, plan)


def _view_for(terminal: Terminal, wanted: Wanted, *, busy: bool) -> View:
    """How a person follows the run; `busy` is a terminal to which the result is written meanwhile."""
    stderr = terminal.stderr
    if wanted.verbose:
        return "lines"
    if stderr.file is not None and not stderr.is_terminal:
        return "waits"
    if busy or stderr.file is None:
        return "none"
    from llm_orc.render.live import can_show

    return "live" if can_show(stderr.file, terminal.where.env) else "lines"


@dataclass(slots=True)
class Call:
    """One run for one person at one terminal."""

    terminal: Terminal
    layers: Layers
    plan: Plan
    wanted: Wanted
    target: Target
    shape: Format
    view: View
    gate: "Gate | None" = None
    split: "Split | None" = None
    run: Run = field(default_factory=Run)
    past: Sequence[Happening] = ()
    """What has happened in it already."""
    store: Path | None = None
    """The folder that it is kept in already."""
    is_kept: bool = False
    whole: Run = field(default_factory=Run)
    """Of a turn: the run that it joins, of which `run` is then only what happens now."""
    turn: "Turn | None" = None
    talk: "TalkAt | None" = None
    """Keeps the run open."""
    error: Exception | None = None
    """What went wrong while the format wrote."""
    unkept: Sequence[Problem] = ()
    """What keeps the run from being kept, of which so many are said."""
    said: int = 0

    async def performed(self, text: str) -> None:
        """Choose models, say which, and run; everything ends up in `run`."""
        async with Session(self.layers, self.plan, is_offline(self.terminal, given=self.wanted.offline)) as session:
            choices = await session.settle()
            text = session.input_of(text)
            self._keep(session)
            self._unlock(session)
            if choices or self.wanted.verbose:
                from llm_orc.cli.destinations import first_lines

                self.say(first_lines(session, self.plan, choices, self._before + text, verbose=self.wanted.verbose))

            def tell(event: Happening) -> None:
                self._format(event, session)

            with stopped_by_signals(session.stop):
                for event in self.past:
                    tell(event)
                async with self._view() as listeners:
                    stream, shown = self.wanted.stream or self.view == "live", ""
                    if self.wanted.stream:
                        from llm_orc.render.text import final_node

                        shown = final_node(session.plan)
                    whole, hear = self.run, [tell, *listeners]
                    if self.turn is not None:
                        whole, hear = self.whole, [partial(fold, self.run), *hear]
                    talk = self.talk(session.stop) if self.talk else None
                    await session.perform(text, hear, stream=stream, shown=shown, run=whole, talk=talk, turn=self.turn)

    @property
    def _before(self) -> str:
        """Of a turn: what is sent before what is said."""
        if self.turn is None:
            return ""
        from llm_orc.domain.conversation import messages_of

        return "".join(message.text for message in messages_of(self.whole, self.turn.after))

    def _keep(self, session: Session) -> None:
        """Open the store; what is in the way of that is said now, and what comes later at the end."""
        if self.store is not None or (self.wanted.keep and self.layers.settings.store != "off"):
            from llm_orc.config.keeping import how_many, store_folder

            try:
                self.unkept = session.keep(self.store or store_folder(self.layers), how_many(self.layers))
            except ProblemError as error:
                self.unkept = [replace(each, warning=True) for each in error.problems]
            warn(self.terminal, self.unkept)
            self.said = len(self.unkept)
            self.is_kept = session.kept is not None and session.kept.store is not None
        warn(self.terminal, session.forgets())

    def _unlock(self, session: Session) -> None:
        """Ask for the passphrase of the vault, where a key in it is needed and a person is there."""
        if self.terminal.can_ask and (stores := session.stores()):
            from llm_orc.cli.typed import unlock

            unlock(self.terminal, session.known.keychain, stores)

    def _format(self, event: Happening, session: Session) -> None:
        """Let the format hear of it; where it cannot write, nobody needs the rest of the run."""
        if self.error is None:
            try:
                self.shape.tell(event)
            except Exception as error:  # noqa: BLE001 - raised again when the run is over
                self.error = error
                session.stop("terminate")

    @asynccontextmanager
    async def _view(self) -> AsyncIterator[list[Tell]]:
        """Who tells a person meanwhile how far the run has come."""
        stderr = self.terminal.stderr
        if self.view == "live" and stderr.file is not None:
            from llm_orc.render.live import Live

            async with Live(stderr.file, self.run, color=stderr.color) as live:
                for event in self.past:
                    live.tell(event)
                yield [live.tell]
        elif self.view == "lines":
            talk = Talk(self.terminal.say, self.run, verbose=self.wanted.verbose, color=stderr.color, width=stderr.width)
            yield [talk.tell if self.talk is None else _until_turns(talk.tell)]
        elif self.view == "waits":
            yield [Patience(self.terminal.say).tell]
        else:
            yield []

    def tell_again(self) -> None:
        """Let the format hear of a run that is over."""
        for event in self.past:
            self.shape.tell(event)

    def ended(self) -> int:
        """Print the result, and say what became of the run; the exit code."""
        if self.error is not None:
            raise self.error
        problems: list[Problem] = []
        closed = False
        try:
            self._print()
            if self.split:
                self.split.write(self.run)
            closed = self.gate is not None and self.gate.closes(self.run)
        except ProblemError as error:
            problems += error.problems
        stderr = self.terminal.stderr
        self.say(summary(self.run, verbose=self.wanted.verbose, color=stderr.color, width=stderr.width))
        self.terminal.tell([*self.unkept[self.said :], *problems])
        if self.run.cause and self.is_kept and not self.unkept:
            self.say([f"to go on with it: llm-orc runs resume {self.run.id}"])
        note(self.unkept, self.run.id)
        if closed:
            self.say([f"failed on: {self.wanted.fail_on}"])
        return _exit_code(self.run, wrong=bool(problems), closed=closed)

    def _print(self) -> None:
        try:
            self.shape.close(self.run)
        except HungUpError:
            return  # whoever read it has read enough
        except ProblemError:
            if self.target.holds:  # the result in another form
                self.target.finish()
            raise
        self.target.finish()
        if self.shape.cut:
            self.say(["the text on stdout is cut: its agent failed while it was streaming"])

    def say(self, lines: Iterable[str]) -> None:
        """Write lines on stderr."""
        self.terminal.say("".join(f"{line}\n" for line in lines))


def _until_turns(tell: Tell) -> Tell:
    """Told no more once somebody talks: what becomes of a turn is said where it is said."""
    talks = False

    def told(event: Happening) -> None:
        nonlocal talks
        talks = talks or (isinstance(event, Submitted) and event.turn is not None)
        if not talks:
            tell(event)

    return told


def _exit_code(run: Run, *, wrong: bool, closed: bool) -> int:
    """The first that holds of 143, 130, 2, 4, 1, 3, 0."""
    code = run.exit_code
    if code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        return code
    if wrong:
        return ExitCode.BAD_INPUT
    return ExitCode.NO_LEAF if closed and code != ExitCode.SPENT else code
