"""The table of commands. A command's module is imported when it is called, not before."""

from collections.abc import Mapping
from importlib import import_module
from keyword import iskeyword
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

import llm_orc
from llm_orc.domain.problem import Problem, ProblemError, nearest

COMMANDS: Mapping[str, str] = {
    "invoke": "Run an ensemble on some input",
    "continue": "Say something to the model that spoke last in a run",
    "compare": "Run an ensemble under several profiles, side by side",
    "plan": "Show what an ensemble would do: phases, models, prompts",
    "validate": "Check ensembles, and say everything that is wrong",
    "list": "List the ensembles and profiles that can be called",
    "show": "Show what an ensemble is, or draw its graph",
    "runs": "List, show and draw the runs that are kept",
    "init": "Make a project here, with an ensemble that runs at once",
    "trust": "Let this project's ensembles run scripts and commands",
    "auth": "Keep keys, log in, and see which of them work",
    "doctor": "Say what works here, what does not, and what to do about it",
    "config": "Show the settings, and where each comes from",
    "schema": "Print a JSON Schema, for editors and programs",
}
"""Name -> one line of help; the module is `llm_orc.cli.NAME`, or `NAME_` where that is a word of Python."""
NAME = "llm-orc"
EPILOG = "cat code.py | llm-orc invoke code-review --offline", "llm-orc init && llm-orc invoke my-first"


def app(**settings: Any) -> typer.Typer:
    """An empty command line in our style: plain help, no handling of errors."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, **settings)


def examples(first: str, second: str) -> str:
    """The end of a command's help."""
    return f"\b\nExamples:\n  {first}\n  {second}"


class Commands(TyperGroup):
    """The commands of the table."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        return _ours(get_command(import_module(f"llm_orc.cli.{module}").app), ctx)

    def get_help_option(self, ctx: Any) -> Any:
        return _our_help(super().get_help_option(ctx))

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from llm_orc.cli.complete import ensembles

            meant = next((word for word in args[:2] if word in ensembles(ctx, word)), "")
            see = f"an ensemble is run with: {NAME} invoke {meant}" if meant else f"see: {NAME} --help"
            close = "" if meant and name == "run" else nearest(name, COMMANDS)  # `run echo` is no slip of `runs`
            raise ProblemError(Problem(f"no command '{name}'", hint=f"{close} {see}".strip()))
        return super().resolve_command(ctx, args)


class _AsItIs:
    """Takes a word as it is, where typer would import all of pydantic and build an adapter."""

    @staticmethod
    def coerce(value: Any, param: Any, ctx: Any) -> Any:  # noqa: ARG004
        return () if value is None and param.multiple else value


def _ours(command: Any, ctx: Any) -> Any:
    """The command, and those below it, with what typer does otherwise."""
    _our_help(command.get_help_option(ctx))
    for param in command.params:
        _take_as_it_is(param)
    for below in getattr(command, "commands", {}).values():
        _ours(below, ctx)
    return command


def _take_as_it_is(param: Any) -> None:
    # Another typer may have no such thing: then it starts slower, and works as well.
    if getattr(getattr(param, "type_descriptor", None), "annotation", None) in (str, bool, list[str]) or getattr(param, "count", False):
        param.get_runtime_param = _AsItIs


def _our_help(help_option: Any) -> Any:
    """The option `--help`, writing where every command does."""

    def show(ctx: Any, param: Any, value: Any) -> None:  # noqa: ARG001
        if value and not ctx.resilient_parsing:
            ctx.obj.answer(ctx.get_help() + "\n")
            ctx.exit()

    _take_as_it_is(help_option)
    help_option.callback = show
    return help_option


def root(*, completion: bool) -> Any:
    """The whole command line; the options for completion cost 100 ms wherever they may stand."""
    whole = typer.Typer(
        name=NAME,
        cls=Commands,
        add_completion=completion,
        rich_markup_mode=None,
        help="Run ensembles of language models from YAML files.",
        epilog=examples(*EPILOG),
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @whole.callback(invoke_without_command=True)
    def start(ctx: typer.Context, *, wants_version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
        if wants_version:
            ctx.obj.answer(version())
            ctx.exit()
        elif ctx.invoked_subcommand is None:
            ctx.obj.answer(ctx.get_help() + "\n")

    return get_command(whole)


def version() -> str:
    """What `--version` prints."""
    return f"{NAME} {llm_orc.__version__}\n"
