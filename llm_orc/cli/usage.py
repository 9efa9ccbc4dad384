"""What typer finds wrong with a command line, in our words."""

from collections.abc import Sequence

import typer

from llm_orc.cli.commands import COMMANDS, NAME
from llm_orc.domain.problem import Problem

_QUOTE = "a text of several words is one argument: quote it"


def problem_of(error: typer.TyperException, words: Sequence[str]) -> Problem:
    """The problem that a usage error in this command line stands for."""
    command = words[0] if words and words[0] in COMMANDS else ""
    path = _path(error) or ([command] if command else [])
    see = f"see: {' '.join((NAME, *path))} --help"
    name = getattr(error, "option_name", "")
    if hasattr(error, "possibilities"):
        close = (error.possibilities or [""])[0]
        return Problem(f"no option '{name}'", hint=f"did you mean '{close}'? {see}" if close else see)
    what, _, more = error.format_message().rstrip(".").partition(". ")
    if "extra argument" in what:
        return Problem(
            f"too many arguments: {what.rpartition('(')[2].rstrip(')')}", hint=_QUOTE if command in ("invoke", "continue") else see
        )
    for theirs, ours in (("Invalid value for ", ""), ("Missing argument", "missing:"), ("Option ", ""), ("No such command", "no command")):
        what = what.replace(theirs, ours)
    close = f"{more[:1].lower()}{more[1:]} " if more.startswith("Did you mean") else ""
    return Problem(what[:1].lower() + what[1:], hint=f"{close}{see}")


def _path(error: typer.TyperException) -> list[str]:
    """The commands that it is about, each below the one before; none where it is the first that is wrong."""
    context = getattr(error, "ctx", None)
    names: list[str] = []
    while context is not None and context.parent is not None:
        names.append(context.info_name)
        context = context.parent
    return names[::-1]
