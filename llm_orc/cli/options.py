"""Flags that several commands have."""

from typing import Annotated

import typer

from llm_orc.cli.complete import agent_profiles, ensembles

Ensemble = Annotated[str, typer.Argument(metavar="ENSEMBLE", help="Its name, or the path of its file.", autocompletion=ensembles)]
Files = Annotated[list[str], typer.Option("--file", "-f", metavar="FILE", help="Add a file to the input. Repeatable.")]
Var = Annotated[list[str], typer.Option("--var", metavar="NAME=VALUE", help="Set a variable of the ensemble. Repeatable.")]
Only = Annotated[str, typer.Option("--only", metavar="A,B", help="Run only these agents, and what they depend on.")]
NoDeps = Annotated[bool, typer.Option("--no-deps", help="With --only: without what they depend on.")]
Profiles = Annotated[
    list[str],
    typer.Option(
        "--profile",
        metavar="[AGENT=]NAME",
        help="The profile of every model agent, or of one. Repeatable.",
        autocompletion=agent_profiles,
    ),
]
MaxParallel = Annotated[str, typer.Option("--max-parallel", metavar="N", help="Calls at once, at most.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
