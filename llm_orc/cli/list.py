"""`llm-orc list`: what can be called."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.cli.options import Json
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.domain.secret import PIECE, without_secrets

if TYPE_CHECKING:
    from llm_orc.cli.terminal import Terminal
    from llm_orc.config.layers import Layers
    from llm_orc.config.shelf import Entry
    from llm_orc.domain.profile import Profile

app = new_app()
KINDS = ("ensembles", "profiles")
"""Listed where no kind is named: those that no server is asked for."""
ALL_KINDS = (*KINDS, "providers", "models")
EXAMPLES = "examples/"


@app.command("list", epilog=examples("llm-orc list ensembles --all", "llm-orc list models ollama --json"))
def list_(
    ctx: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="ensembles, profiles, providers or models; the first two if left out.",
            autocompletion=lambda: list(ALL_KINDS),
        ),
    ] = "",
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="With models: whose.", show_default=False)] = "",
    every: Annotated[bool, typer.Option("--all", help="The examples, too.")] = False,
    json: Json = False,
) -> int:
    """List the ensembles and profiles that can be called, the providers there are, or the models that they have.

    Only for models servers are asked, all at once and for two seconds at most. Exit code 1 where PROVIDER cannot be asked.
    """
    from llm_orc.cli.planning import warn
    from llm_orc.config.layers import read_layers

    _check(kind, provider)
    terminal: Terminal = ctx.obj
    layers = read_layers(terminal.where)
    if kind in ("providers", "models"):
        from llm_orc.cli import reachable

        code = (
            reachable.list_providers(terminal, layers, json=json)
            if kind == "providers"
            else reachable.list_models(terminal, layers, provider, json=json)
        )
        warn(terminal, layers.warnings)
        return code
    listed = {each: _rows(layers, each, every=every) for each in KINDS if kind in ("", each)}
    _print(terminal, listed, json=json)
    warn(terminal, layers.warnings)
    warn(terminal, (problem for rows in listed.values() for row in rows for problem in row["problems"]))
    return 0


def _check(kind: str, provider: str) -> None:
    if kind and kind not in ALL_KINDS:
        raise ProblemError(
            Problem(f"nothing to list called '{kind}'", hint=nearest(kind, ALL_KINDS) or f"there are: {', '.join(ALL_KINDS)}")
        )
    if provider and kind != "models":
        raise ProblemError(Problem(f"'list {kind}' takes no more words: {provider}", hint="llm-orc list models PROVIDER"))


def _rows(layers: "Layers", kind: str, *, every: bool) -> list[dict[str, Any]]:
    entries: list[Entry[Any]] = layers.ensembles.entries() if kind == "ensembles" else layers.profiles.entries()
    return [_row(layers, kind, entry) for entry in entries if every or not entry.name.startswith(EXAMPLES)]


def _row(layers: "Layers", kind: str, entry: "Entry[Any]") -> dict[str, Any]:
    row = {"name": entry.name, "layer": entry.layer, "file": layers.where.shown(entry.file)}
    try:
        thing = entry.read()
    except ProblemError as error:
        return {**row, "description": f"broken: {error.problems[0].what}", "problems": error.problems}
    description = thing.description if kind == "ensembles" else _described(thing)
    return {**row, "description": description, "problems": ()}


def _described(profile: "Profile") -> str:
    at = f" at {profile.base_url}" if profile.base_url else ""
    return without_secrets(f"{profile.provider}/{profile.model}{at}", PIECE)


def _print(terminal: "Terminal", listed: dict[str, list[dict[str, Any]]], *, json: bool) -> None:
    if json:
        from llm_orc.render.json import to_json

        shown = {kind: [{**row, "problems": [str(each) for each in row["problems"]]} for row in rows] for kind, rows in listed.items()}
        terminal.answer(to_json(shown, indent=2) + "\n")
        return
    from llm_orc.cli.table import table

    for number, (kind, rows) in enumerate(listed.items()):
        if len(listed) > 1:
            terminal.answer(("\n" if number else "") + f"{kind}\n")
        terminal.answer(
            table(((row["name"], row["layer"], row["description"]) for row in rows), terminal.stdout.width, indent="  " * (len(listed) > 1))
        )
