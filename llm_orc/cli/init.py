"""`llm-orc init`: a project that runs at once."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.domain.problem import Place, Problem, ProblemError

if TYPE_CHECKING:
    from llm_orc.cli.terminal import Terminal

app = new_app()
FOLDER = ".llm-orc"
IGNORE = "gitignore"
"""The template of `.gitignore`, which would hide files of its own repository under that name."""


@app.command(epilog=examples("llm-orc init", "llm-orc invoke my-first"))
def init(ctx: typer.Context) -> int:
    """Make a project here: `.llm-orc/` with an ensemble that runs at once and shows each kind of agent.

    What is made is trusted: its script and its command may run.
    """
    from llm_orc.cli.terminal import reason
    from llm_orc.config.folders import layers_of
    from llm_orc.config.trust import trust

    terminal: Terminal = ctx.obj
    target = terminal.where.cwd / FOLDER
    if os.path.lexists(target):
        raise ProblemError(Problem("exists already", Place(FOLDER), "see what is in it: llm-orc list"))
    trust(terminal.where.cwd, terminal.where)  # first: where that cannot be remembered, nothing is made
    try:
        made = _copy(layers_of(terminal.where)[0].path / "ensembles" / "init", target)
    except OSError as error:
        raise ProblemError(Problem(f"cannot be made: {reason(error)}", Place(FOLDER))) from None
    terminal.say("".join(f"made {FOLDER}/{name}\n" for name in made))
    terminal.say(
        "\nIt is yours, and trusted: its script and command may run. Next:\n"
        "  llm-orc invoke my-first\n"
        f"  llm-orc plan my-first\n  edit {FOLDER}/ensembles/my-first.yaml\n"
    )
    return 0


def _copy(source: Path, target: Path) -> list[str]:
    """Copy the templates; the names of the files made. Raises OSError."""
    made: list[str] = []
    target.mkdir(mode=0o755)
    for file in sorted(path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        name = file.relative_to(source)
        if name.name == IGNORE:
            name = name.with_name(".gitignore")
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_bytes()
        place.write_bytes(text)
        if text.startswith(b"#!"):
            place.chmod(0o755)
        made.append(str(name))
    return made
