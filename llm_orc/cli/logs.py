"""What is logged of a call: requests, waits and sizes on stderr with `-vv`, everything as JSON lines with `--log-file`."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llm_orc.domain.problem import Problem

if TYPE_CHECKING:
    from llm_orc.cli.terminal import Terminal

LOG_FILE, LOG_LEVEL = "LLM_ORC_LOG_FILE", "LLM_ORC_LOG_LEVEL"
OURS = "llm_orc"
DETAILED = 2
"""So many `-v` show what is logged."""
QUIET = (*("aiohttp", "anthropic", "google_genai", "google", "httpcore", "httpx", "httpx2", "keyring", "ollama", "openai", "urllib3"),)
"""Libraries whose warnings are no news to a person: what matters of them is an event."""


def hush() -> None:
    """Python prints warnings for which nobody has set up logging; those of the libraries below us it does not."""
    for name in QUIET:
        logging.getLogger(name).addHandler(logging.NullHandler())


@contextmanager
def logged(terminal: "Terminal", log_file: str, verbose: int) -> Iterator[None]:
    """Log what happens meanwhile, where that is wanted; raises ProblemError where the file cannot be written."""
    log_file = log_file or terminal.where.env.get(LOG_FILE, "")
    hush()
    if not log_file and verbose < DETAILED:
        yield
        return
    from llm_orc.cli.logged import opened

    with opened(terminal, log_file, detailed=verbose >= DETAILED):
        yield


def note(problems: Iterable[Problem], run: str) -> None:
    """Log what is no event: where nothing is set up, a person alone is told of it."""
    log = logging.getLogger(OURS)
    if log.handlers:
        for problem in problems:
            log.warning("%s", problem, extra={"run": run})
