"""What a command is called with: its streams and its surroundings, asked once in `main` and handed down."""

import os
import select
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from llm_orc.config.surroundings import Surroundings
from llm_orc.domain.problem import Problem, ProblemError

NO_HOME = Path("/nonexistent")
"""For users without a home: nothing is ever found there."""


class HungUpError(Exception):
    """Nobody reads stdout any more, as in `llm-orc list | head -1`: no mistake, but nothing more to do."""


@dataclass(slots=True)
class Stream:
    """A standard stream that is written to."""

    file: TextIO | None
    """None where the caller closed it."""
    is_terminal: bool = False
    color: bool = False

    @property
    def width(self) -> int | None:
        """Columns; None where it is no terminal."""
        if not self.is_terminal or self.file is None:
            return None
        try:
            return os.get_terminal_size(self.file.fileno()).columns or 80
        except OSError:
            return 80

    def write(self, text: str | bytes) -> None:
        """Let the text out at once, or bytes as they are; raises OSError."""
        if self.file is None:
            return
        try:
            if isinstance(text, str):
                self.file.write(text)
            else:
                self.file.buffer.write(text)
            self.file.flush()
        except OSError:
            self._shut()
            raise

    def _shut(self) -> None:
        # What is left in the buffer goes nowhere, or Python complains of it at its end.
        assert self.file is not None, "only a stream that was written to can fail"  # noqa: S101
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)
        self.file = None


@dataclass(frozen=True, slots=True)
class Terminal:
    """Everything that a command may know of where it was called."""

    where: Surroundings
    stdin: int | None
    """The descriptor to read from; None where the caller closed it."""
    stdout: Stream
    stderr: Stream
    called: str = ""
    """The program as the command line names it."""

    def answer(self, text: str | bytes) -> None:
        """Write to stdout; raises HungUpError where nobody reads any more, ProblemError where it cannot be written."""
        if self.stdout.file is None:
            raise ProblemError(Problem("stdout is closed", hint="name a file for the result: -o FILE"))
        try:
            self.stdout.write(text)
        except BrokenPipeError:
            raise HungUpError from None
        except OSError as error:
            raise ProblemError(Problem(f"stdout cannot be written: {reason(error)}")) from None

    def say(self, text: str) -> None:
        """Write to stderr. Nobody may be listening there: the answer matters more."""
        try:
            self.stderr.write(text)
        except OSError:
            return

    def tell(self, problems: Iterable[Problem]) -> None:
        """Say what is wrong."""
        from llm_orc.render.problems import told  # nearly every call has nothing to tell

        if known := list(problems):
            self.say(told(known, color=self.stderr.color, width=self.stderr.width))

    @property
    def can_ask(self) -> bool:
        """Whether a person is there to answer a question."""
        return self.stderr.is_terminal and self.stdin is not None and os.isatty(self.stdin)

    def agrees(self, question: str) -> bool:
        """Whether the person answers yes; anything else is a no."""
        self.say(f"{question} [y/N] ")
        line = os.read(self.stdin, 1000) if self.stdin is not None else b""
        if not line.endswith(b"\n"):
            self.say("\n")
        return line.strip().lower() in (b"y", b"yes")

    @property
    def has_input(self) -> bool:
        """Whether stdin is a pipe or a file, so that somebody meant it to be read."""
        if self.stdin is None:
            return False
        mode = os.fstat(self.stdin).st_mode
        return not stat.S_ISCHR(mode) and not stat.S_ISBLK(mode)

    def silent(self, seconds: float) -> bool:
        """Wait on stdin; whether nothing came in that time."""
        return self.stdin is not None and not select.select([self.stdin], [], [], seconds)[0]


def here() -> Terminal:
    """The terminal that this process was started from; raises ProblemError where the working directory is gone."""
    open_descriptors = [_is_open(number) for number in range(3)]
    for is_open in open_descriptors:
        if not is_open:  # else the next file to be opened would take its place
            os.open(os.devnull, os.O_RDWR)
    env = dict(os.environ)
    stdout, stderr = (
        _stream(file if is_open else None, env) for file, is_open in zip((sys.stdout, sys.stderr), open_descriptors[1:], strict=True)
    )
    return Terminal(Surroundings(_cwd(), _home(env), env), 0 if open_descriptors[0] else None, stdout, stderr, sys.argv[0])


def reason(error: OSError) -> str:
    """Why the system refused, in its own words."""
    return (error.strerror or "the system says no").lower()


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _stream(file: TextIO | None, env: Mapping[str, str]) -> Stream:
    if file is None:
        return Stream(None)
    is_terminal = file.isatty()
    # Files and pipes are UTF-8 whatever the locale; a terminal that cannot show a character shows another one.
    file.reconfigure(encoding=None if is_terminal else "utf-8", errors="replace")  # type: ignore[attr-defined]
    return Stream(file, is_terminal, _has_color(env, is_terminal=is_terminal))


def _has_color(env: Mapping[str, str], *, is_terminal: bool) -> bool:
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return is_terminal and env.get("TERM", "dumb") != "dumb"


def _cwd() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise ProblemError(Problem("the working directory does not exist any more", hint="cd to one that does")) from None


def _home(env: Mapping[str, str]) -> Path:
    if home := env.get("HOME"):
        return Path(home)
    try:
        return Path("~").expanduser() if "HOME" not in env else NO_HOME
    except RuntimeError:
        return NO_HOME
