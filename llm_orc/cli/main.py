"""The console script: the one place where an error becomes words and an exit code."""

import errno
import gc
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_orc.cli.terminal import Terminal

COMPLETE = "_LLM_ORC_COMPLETE"
DEBUG = "LLM_ORC_DEBUG"
OK, BAD_INPUT, BUG, INTERRUPTED = 0, 2, 70, 130  # as in domain.run.ExitCode, which costs too much for `--version`


def main(args: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code."""
    gc.set_threshold(100_000, 20, 100)  # nearly all that a start makes stays: looking for rubbish took 7 % of it, and 15 % of large runs
    words = list(sys.argv[1:] if args is None else args)
    if sys.platform == "win32":
        sys.stderr.write("llm-orc runs on Linux and macOS. On Windows, use it inside WSL.\n")
        return BAD_INPUT
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    # Imported from here on, so that Ctrl-C is quiet while that goes on.
    from llm_orc.cli.terminal import HungUpError, here
    from llm_orc.domain.problem import Problem, ProblemError

    try:
        terminal = here()
    except ProblemError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_INPUT
    try:
        return _called(terminal, words)
    except HungUpError:
        return OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except ProblemError as error:
        terminal.tell(error.problems)
        return BAD_INPUT
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            _apologise(terminal, error)
            return BUG
        # What is read late, as modules are, meets this first.
        terminal.tell([Problem("this system lets no more files be open", hint="lower --max-parallel, or raise ulimit -n")])
        return BAD_INPUT
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets words and a shell gets 70
        _apologise(terminal, error)
        return BUG


def _leave(number: int, frame: object) -> None:  # noqa: ARG001 - Python's own signature
    """Ctrl-C before a run, which has ways of its own: nothing is open yet, and an exception might be swallowed by a library that loads."""
    os._exit(INTERRUPTED)


def _called(terminal: "Terminal", words: list[str]) -> int:
    if words == ["--version"]:
        from llm_orc import __version__

        terminal.answer(f"llm-orc {__version__}\n")
        return OK
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for them reads every installed package
    import typer

    from llm_orc.cli.commands import NAME, root

    try:
        # Typer swallows Ctrl-C and returns 130, and a command returns its exit code.
        # Options of the whole command line stand before any command.
        completion = not words or words[0].startswith("-") or COMPLETE in terminal.where.env
        code = root(completion=completion).main(words, prog_name=NAME, standalone_mode=False, obj=terminal)
    except typer.TyperException as error:
        from llm_orc.cli.usage import problem_of
        from llm_orc.domain.problem import ProblemError

        raise ProblemError(problem_of(error, words)) from None
    except typer.Abort:
        return INTERRUPTED
    return code if isinstance(code, int) else OK


def _apologise(terminal: "Terminal", error: Exception) -> None:
    import traceback

    env = terminal.where.env
    if env.get(DEBUG):
        terminal.say(_without_secrets("".join(traceback.format_exception(error)), env))
    last = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")][-1]
    where = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
    more = "" if env.get(DEBUG) else f"\nhint: {DEBUG}=1 shows where it happened, which helps to mend it"
    terminal.say(
        f"This is a mistake in llm-orc, not yours: {type(error).__name__} at {where}. Please report it with the command you ran.{more}\n"
    )


def _without_secrets(text: str, env: Mapping[str, str]) -> str:
    """Neither those of the environment nor those that were read elsewhere, however they are written."""
    from llm_orc.domain.secret import names_secret, remember, without_secrets

    for name, value in env.items():
        if len(value) >= 4 and names_secret(name):
            text = text.replace(value, f"[{name}]")
            remember(value)
    return without_secrets(text)
