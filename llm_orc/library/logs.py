"""Logging, for programs that want it; nobody else's loggers are touched."""

import logging
import os
import stat
from pathlib import Path

from llm_orc.domain.problem import Place, Problem, ProblemError, nearest
from llm_orc.render.log import NAME, JsonLines, Lines

LEVELS = ("debug", "info", "warning", "error", "critical")
_MARK = "llm_orc"
"""The name of what we have added to our logger."""


def configure_logging(level: str | int = "INFO", file: str | os.PathLike[str] | None = None, module: str = NAME) -> logging.Logger:
    """Write down what happens in runs: as lines on stderr, or as JSON lines at the end of a file.

    Only the logger `llm_orc` is set up, and what it writes goes nowhere else; called again, it is set up anew. The logger that comes back
    is that one, or with a `module` one below it, for records of your own. Raises ProblemError for a level or a file that is none.
    """
    number = level_of(level)
    target: logging.Handler = logging.StreamHandler() if file is None else LogFile(Path(file))
    target.setFormatter(Lines() if file is None else JsonLines())
    target.set_name(_MARK)
    log = logging.getLogger(NAME)
    for old in [each for each in log.handlers if each.get_name() == _MARK]:
        log.removeHandler(old)
        old.close()
    log.addHandler(target)
    log.setLevel(number)
    log.propagate = False
    return log if module in ("", NAME) else log.getChild(module.removeprefix(f"{NAME}."))


def level_of(level: str | int, named: str = "level") -> int:
    """The number of a level; raises ProblemError."""
    if isinstance(level, int):
        return level
    if level.lower() not in LEVELS:
        close = nearest(level.lower(), LEVELS)
        raise ProblemError(Problem(f"{named}: '{level}' is no level", hint=close or f"there are: {', '.join(LEVELS)}"))
    return logging.getLevelNamesMapping()[level.upper()]


class LogFile(logging.Handler):
    """Adds to a file, a line at a time, so that several processes may write to it; only its owner may read a new one."""

    def __init__(self, file: Path, named: str = "") -> None:
        """Raises ProblemError where it cannot be written."""
        super().__init__()
        self.named = named or str(file)
        self.problem: Problem | None = None
        """What keeps it from being written any further."""
        try:
            self._number = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except (OSError, ValueError) as error:
            raise ProblemError(self._trouble(error)) from None
        os.set_blocking(self._number, True)
        if stat.S_ISREG(os.fstat(self._number).st_mode):
            self._end_line(file)

    def _end_line(self, file: Path) -> None:
        """What somebody's last breath left half written stands on a line of its own."""
        size = file.stat().st_size if os.access(file, os.R_OK) else 0
        if size:
            with file.open("rb") as written:
                written.seek(size - 1)
                if written.read(1) != b"\n":
                    os.write(self._number, b"\n")

    def emit(self, record: logging.LogRecord) -> None:
        """Write its line; a disk that is full ends no run."""
        if self.problem is None:
            try:
                line = memoryview(f"{self.format(record)}\n".encode(errors="replace"))
                while line:
                    line = line[os.write(self._number, line) :]
            except OSError as error:
                self.problem = self._trouble(error)

    def close(self) -> None:
        if self._number >= 0:
            os.close(self._number)
            self._number = -1
        super().close()

    def _trouble(self, error: Exception) -> Problem:
        reason = (getattr(error, "strerror", None) or "no file has such a name").lower()
        return Problem(f"the log cannot be written: {reason}", Place(self.named), "name another file: --log-file FILE")
