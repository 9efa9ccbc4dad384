"""`llm-orc trust`: let a project's ensembles run scripts and commands."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.domain.problem import Place, Problem, ProblemError

if TYPE_CHECKING:
    from llm_orc.cli.terminal import Terminal
    from llm_orc.config.surroundings import Surroundings
    from llm_orc.domain.ensemble import Agent

app = new_app()
HOMES = (".", "ensembles", "ensembles/examples", ".llm-orc", ".llm-orc/ensembles", ".llm-orc/ensembles/examples")
"""Where a project's ensembles lie: those called by their names, and beside them those called by their paths."""


@app.command(epilog=examples("llm-orc trust", "llm-orc trust ~/src/cloned --revoke"))
def trust(
    ctx: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="The project; without it the one you are in.", show_default=False)] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the trust back.")] = False,
) -> int:
    """Let a project's ensembles run scripts and commands, read ${VAR} and files outside of the project.

    Shows what would be allowed, and asks on a terminal. Remembered by folder, in your own settings.
    """
    from llm_orc.config.trust import is_trusted, trusted_folders, untrust
    from llm_orc.config.trust import trust as remember
    from llm_orc.render.safe import one_line

    terminal: Terminal = ctx.obj
    root = _project(terminal.where, folder)
    shown = one_line(str(root))
    if revoke:
        was = str(root) in trusted_folders(terminal.where)
        untrust(root, terminal.where)
        terminal.say(f"no longer trusted: {shown}\n" if was else f"it was not trusted: {shown}\n")
        return 0
    if is_trusted(root, terminal.where):
        terminal.say(f"trusted already: {shown}\n")
        return 0
    found = "".join(f"  {one_line(line)}\n" for line in _runs(replace(terminal.where, cwd=root)))
    terminal.say(f"in {shown} these would run:\n{found}" if found else f"in {shown} nothing is found that would run now\n")
    if not yes and terminal.can_ask and not terminal.agrees("Trust everything in this folder, now and later?"):
        terminal.say("not trusted\n")
        return 1
    remember(root, terminal.where)
    terminal.say(f"trusted: {shown}\n")
    return 0


def _project(where: "Surroundings", folder: str) -> Path:
    """The folder that trust is given to; raises ProblemError."""
    from llm_orc.config.folders import project_folder, real

    start = real(where.cwd / folder)
    if not start.is_dir():
        raise ProblemError(Problem("is no folder", Place(folder)))
    found = project_folder(replace(where, cwd=start))
    if found is not None:
        return real(found.parent)
    if folder:
        return start
    raise ProblemError(
        Problem("there is no project here", hint="llm-orc init makes one; another one is trusted by its folder: llm-orc trust FOLDER")
    )


def _runs(where: "Surroundings") -> Iterator[str]:
    """Every script and command in the project's ensembles, by name and by path, with its place; broken files run nothing."""
    from llm_orc.config.folders import SUFFIXES, layers_of
    from llm_orc.config.layers import Layers
    from llm_orc.config.settings import Settings

    layers = Layers(where, Settings(), layers_of(where))
    for path in sorted(path for home in HOMES for path in (where.cwd / home).glob("*") if path.suffix in SUFFIXES and path.is_file()):
        try:
            ensemble = layers.ensemble(f"./{path.relative_to(where.cwd)}")
        except ProblemError:
            continue
        for index, agent in enumerate(ensemble.agents):
            if agent.body in ("script", "command"):
                yield f"{ensemble.source.at('agents', index, agent.body)}: {_program(agent)}"


def _program(agent: "Agent") -> str:
    if agent.body == "script":
        return str(getattr(agent, "script", ""))
    return " ".join(getattr(agent, "command", ()))
