"""The files that `--attach` names."""

import os
from collections.abc import Sequence

from llm_orc.cli.input import FROM_STDIN, PATIENCE, STDIN
from llm_orc.cli.terminal import Terminal, reason
from llm_orc.config.attachments import attachments_of
from llm_orc.domain.attached import LARGEST, attachment_of, too_large
from llm_orc.domain.message import Attachment
from llm_orc.domain.problem import Problem, ProblemError

_CHUNK = 1 << 20


def attached(terminal: Terminal, names: Sequence[str]) -> tuple[Attachment, ...]:
    """Each once, in order; `-` is what comes through stdin. Raises ProblemError with all that is wrong."""
    given = [_of_stdin(terminal) if name == FROM_STDIN else name for name in dict.fromkeys(names)]
    return attachments_of(given, terminal.where.cwd)


def _of_stdin(terminal: Terminal) -> Attachment:
    if terminal.stdin is None or not terminal.has_input:
        raise ProblemError(Problem("--attach -: nothing comes through stdin", hint="cat FILE | llm-orc invoke ENSEMBLE --attach -"))
    if terminal.silent(PATIENCE):
        terminal.say("waiting for a file on stdin\n")
    chunks: list[bytes] = []
    try:
        while chunk := os.read(terminal.stdin, _CHUNK):
            chunks.append(chunk)
            if len(chunks) * _CHUNK > LARGEST and sum(map(len, chunks)) > LARGEST:
                raise too_large(STDIN)
    except OSError as error:
        raise ProblemError(Problem(f"'{STDIN}' cannot be read: {reason(error)}")) from None
    return attachment_of(STDIN, b"".join(chunks))
