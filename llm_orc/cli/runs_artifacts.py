"""Getting an artifact out of the store."""

from shlex import quote

from llm_orc.cli.runs_opened import opened
from llm_orc.cli.terminal import Terminal
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.render.safe import harmless
from llm_orc.store.artifacts import artifact, chunks

_TEXTS = ("application/json",)


def printed(terminal: Terminal, run: str, agent: str, name: str) -> int:
    """Print a file that a program left, byte for byte; the exit code. Raises ProblemError."""
    with opened(terminal) as store:
        run_id = store.find(run)
        found = artifact(store, run_id, name, agent)
        seen = terminal.stdout.is_terminal
        if seen and not (found.media_type.startswith("text/") or found.media_type in _TEXTS):
            of = f" --agent {quote(agent)}" if agent else ""
            hint = f"llm-orc runs show {run_id}{of} --artifact {quote(name)} > {quote(name.rpartition('/')[2])}"
            raise ProblemError(Problem(f"'{name}' is no text, but {found.media_type}", hint=hint))
        for chunk in chunks(store, found):
            terminal.answer(harmless(chunk.decode(errors="replace")) if seen else chunk)
    return 0
