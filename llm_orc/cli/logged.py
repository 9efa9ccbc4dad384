"""The logs of a call, set up for as long as it goes on."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from llm_orc.cli.logs import LOG_LEVEL
from llm_orc.cli.terminal import Terminal
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.secret import PIECE, without_secrets
from llm_orc.library.logs import LogFile, level_of
from llm_orc.render.log import NAME, JsonLines
from llm_orc.render.safe import harmless, one_line
from llm_orc.render.words import ink

SAID = frozenset(
    {"answered", "cancelled", "failed", "fell_back", "loading", "queued", "repairing", "retrying", "run_ended", "skipped", "warned"}
)
"""The events that are told a person anyway."""


class Details(logging.Handler):
    """Says on stderr what `-v` leaves out."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal
        self._began: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self._began is None:
            self._began = record.created
        event = getattr(record, "event", "")
        if event in SAID or (record.name == NAME and not event):
            return
        parts = (f"+{record.created - self._began:.3f} s", getattr(record, "node", "") or (not event and record.name), record.getMessage())
        text = "  ".join(one_line(without_secrets(part, PIECE)) for part in parts if part)
        trace = harmless(without_secrets(logging.Formatter().formatException(record.exc_info), PIECE)) if record.exc_info else ""
        lines = "\n".join(filter(None, (text, trace)))
        self._terminal.say(f"{ink(lines, 'dim', color=self._terminal.stderr.color)}\n")


@contextmanager
def opened(terminal: Terminal, log_file: str, *, detailed: bool) -> Iterator[None]:
    """Whatever is logged goes to the file, and with `detailed` to stderr; of other libraries their warnings. Raises ProblemError."""
    level = level_of(terminal.where.env.get(LOG_LEVEL) or "debug", LOG_LEVEL)
    with ExitStack() as stack:
        if log_file:
            stack.enter_context(_file(terminal, log_file, level))
        if detailed:
            stack.enter_context(_heard(Details(terminal)))
        yield


@contextmanager
def _file(terminal: Terminal, named: str, level: int) -> Iterator[None]:
    """Everything goes to this file; also what ends the call before there is a run."""
    file = LogFile(terminal.where.cwd / named, named)
    file.setFormatter(JsonLines())
    file.setLevel(level)
    with _heard(file):
        try:
            yield
        except ProblemError as error:
            for problem in error.problems:
                logging.getLogger(NAME).log(logging.ERROR, "%s", problem)
            raise
        finally:
            terminal.tell([replace(file.problem, warning=True)] if file.problem else [])


@contextmanager
def _heard(listener: logging.Handler) -> Iterator[None]:
    """Let it hear all of ours, and the warnings of all others: this process is ours alone."""
    ours, others = logging.getLogger(NAME), logging.getLogger()
    ours.setLevel(logging.DEBUG)
    ours.propagate = False
    for log in (ours, others):
        log.addHandler(listener)
    try:
        yield
    finally:
        for log in (ours, others):
            log.removeHandler(listener)
        listener.close()
