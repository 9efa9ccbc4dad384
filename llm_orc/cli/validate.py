"""`llm-orc validate`: everything that is wrong, without running anything."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.cli.complete import ensembles
from llm_orc.domain.problem import Problem, ProblemError

if TYPE_CHECKING:
    from llm_orc.cli.terminal import Terminal
    from llm_orc.config.layers import Layers
    from llm_orc.config.shelf import Entry
    from llm_orc.domain.ensemble import Ensemble

    Found = tuple[Layers, Ensemble]

app = new_app()


@app.command(epilog=examples("llm-orc validate", "llm-orc validate code-review ./mine.yaml"))
def validate(
    ctx: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="ENSEMBLE",
            help="Names or paths; without any, all ensembles and profiles.",
            autocompletion=ensembles,
            show_default=False,
        ),
    ] = [],  # noqa: B006 - typer reads it and copies it
) -> int:
    """Check ensembles and profiles, and say everything that is wrong at once. Nothing is run, no connection is opened."""
    from llm_orc.cli.planning import warn
    from llm_orc.render.words import counted

    terminal: Terminal = ctx.obj
    layers, problems = _layers(terminal)
    profiles = 0
    readers = [partial(_named, layers, name) for name in names]
    if not names:
        readers = [partial(_in_layer, layers, entry) for alone in _each_alone(layers) for entry in alone.ensembles.entries()]
        profiles, found = _check_profiles(layers)
        problems += found
    for read in readers:
        problems += _problems_of(read)
    wrong = [problem for problem in problems if not problem.warning]
    warn(terminal, layers.warnings, (problem for problem in problems if problem.warning))
    if wrong:
        raise ProblemError(*wrong)
    checked = counted(len(readers), "ensemble") + (f" and {counted(profiles, 'profile')}" if profiles else "")
    terminal.answer(f"{checked}: nothing wrong\n")
    return 0


def _layers(terminal: "Terminal") -> "tuple[Layers, list[Problem]]":
    """The layers; where a config.yaml is broken, without any settings and with what is wrong."""
    from llm_orc.config.folders import layers_of
    from llm_orc.config.layers import Layers, read_layers
    from llm_orc.config.settings import Settings

    try:
        return read_layers(terminal.where), []
    except ProblemError as error:
        return Layers(terminal.where, Settings(), layers_of(terminal.where)), list(error.problems)


def _each_alone(layers: "Layers") -> Iterator["Layers"]:
    """Every layer without the others: what a higher layer hides can be broken, too."""
    from dataclasses import replace

    return (replace(layers, folders=(folder,)) for folder in layers.folders)


def _named(layers: "Layers", name: str) -> "Found":
    around = layers.around(name)
    return around, around.ensemble(name)


def _in_layer(layers: "Layers", entry: "Entry[Ensemble]") -> "Found":
    from llm_orc.config.rest import HalfReadError

    try:
        return layers, entry.read()
    except HalfReadError as error:
        rest = error.rest
        raise ProblemError(*error.problems, *_problems_of(lambda: (layers, rest))) from None


def _check_profiles(layers: "Layers") -> tuple[int, list[Problem]]:
    """How many profiles there are, and what is wrong with them."""
    problems: list[Problem] = []
    entries = {(entry.file, entry.name): entry for alone in _each_alone(layers) for entry in alone.profiles.entries()}
    for entry in entries.values():
        try:
            entry.read()
        except ProblemError as error:
            problems += error.problems
    return len(entries), problems


def _problems_of(read: "Callable[[], Found]") -> Iterable[Problem]:
    """What is wrong with one ensemble and everything that it names."""
    from llm_orc.app import Session, planned
    from llm_orc.cli.output import opened
    from llm_orc.domain.plan import Choices
    from llm_orc.domain.variable import stand_ins
    from llm_orc.render.formats import Paper

    try:
        layers, ensemble = read()
        plan = planned(layers, ensemble, Choices(stand_ins(ensemble)))
        Session(layers, plan)
        if ensemble.output_format:
            opened(ensemble.output_format, Paper(_nowhere, plan), (ensemble.output_format, ensemble.source.at("output_format")))
    except ProblemError as error:
        return error.problems
    # What may not run yet is well written all the same; what may not be read, above, was not checked.
    return (*plan.warnings, *map(_as_warning, plan.untrusted))


def _nowhere(text: str | bytes) -> None:
    """Takes what nobody reads."""


def _as_warning(problem: Problem) -> Problem:
    return Problem(problem.what, problem.place, problem.hint, warning=True)
