"""What typer finds wrong with a command line, in our words."""

import typer

from llm_orc.domain.problem import Problem

UNBUILT = ("--attach", "--max-cost", "--cache", "--no-cache", "--no-store", "--chat", "--split")
"""Flags of `invoke` that no code stands behind yet: refused, so that nobody believes they do something."""
_QUOTE = "a text of several words is one argument: quote it"


def problem_of(error: typer.TyperException) -> Problem:
    """The problem that a usage error stands for."""
    name = getattr(error, "option_name", "")
    see = _see(error)
    if name in UNBUILT and _command(error) == "llm-orc invoke":
        return Problem(f"'{name}' is not supported yet", hint="leave it out")
    if hasattr(error, "possibilities"):
        close = (error.possibilities or [""])[0]
        return Problem(f"no option '{name}'", hint=f"did you mean '{close}'? {see}" if close else see)
    what = error.format_message().rstrip(".")
    if "extra argument" in what:
        words = what.partition("(")[2].removesuffix(")")
        return Problem(f"too many arguments: {words}", hint=_QUOTE if _command(error) == "llm-orc invoke" else see)
    what = what.removeprefix("Invalid value for ").replace("Missing argument", "missing:").replace("Option ", "")
    return Problem(what[:1].lower() + what[1:], hint=see)


def _command(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context else "llm-orc"


def _see(error: typer.TyperException) -> str:
    return f"see: {_command(error)} --help"
