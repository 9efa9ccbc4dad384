"""`llm-orc compare`: one ensemble under several profiles, side by side."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.cli.complete import profile_lists, profiles
from llm_orc.cli.options import (
    Attach,
    Cache,
    Css,
    Ensemble,
    Files,
    Force,
    Format,
    LogFile,
    MaxCost,
    MaxParallel,
    NoStdin,
    NoStore,
    Offline,
    Output,
    Text,
    Var,
    Verbose,
    refuse_empty,
)
from llm_orc.domain.problem import COMPARED, Problem, ProblemError

if TYPE_CHECKING:
    from llm_orc.config.layers import Layers
    from llm_orc.domain.plan import Choices, Plan

app = new_app()
SEE = "see: llm-orc list profiles"
_Profiles = Annotated[
    str, typer.Option("--profiles", metavar="A,B,...", help="The profiles to compare.", autocompletion=profile_lists, show_default=False)
]
_Judge = Annotated[
    str,
    typer.Option(
        "--judge",
        metavar="PROFILE",
        help="Let this profile rank the answers, in both orders and without names.",
        autocompletion=profiles,
        show_default=False,
    ),
]


@app.command(
    epilog=examples(
        "llm-orc compare summarize --profiles fast,careful -f report.txt",
        "git diff | llm-orc compare code-review --profiles fast,careful,local --judge careful -o it.html",
    )
)
def compare(
    ctx: typer.Context,
    *,
    ensemble: Ensemble,
    text: Text = "",
    profiles: _Profiles = "",
    judge: _Judge = "",
    file: Files = [],  # noqa: B006 - typer reads it and copies it
    attach: Attach = [],  # noqa: B006
    no_stdin: NoStdin = False,
    var: Var = [],  # noqa: B006
    max_parallel: MaxParallel = "",
    max_cost: MaxCost = "",
    cache: Cache = None,
    offline: Offline = False,
    output_format: Format = None,
    output: Output = None,
    force: Force = False,
    css: Css = None,
    no_store: NoStore = False,
    verbose: Verbose = 0,
    log_file: LogFile = "",
) -> int:
    """Run an ensemble on the same input once for each profile, and show what comes of it side by side, with cost, time and tokens."""
    refuse_empty(ctx)
    from llm_orc.cli.input import FROM_STDIN, Given
    from llm_orc.cli.invocation import Wanted, ran, ready
    from llm_orc.cli.logs import logged
    from llm_orc.cli.output import target_of
    from llm_orc.cli.planning import choices_of, trusted, with_attachments
    from llm_orc.config.layers import read_layers

    names = _names(profiles)
    choices = choices_of(var, "", [], no_deps=False, max_parallel=max_parallel, max_cost=max_cost, cache=cache)
    wanted = Wanted(output_format, output, "", force, stream=False, offline=offline, verbose=bool(verbose), keep=not no_store, css=css)
    given = Given(text, tuple(file), stdin=not no_stdin and FROM_STDIN not in attach, attached=tuple(attach))
    with logged(ctx.obj, log_file, verbose):
        target = target_of(ctx.obj, output, force=force)
        choices = with_attachments(ctx.obj, choices, attach)
        layers, plan = trusted(ctx.obj, ensemble, lambda: comparison(read_layers(ctx.obj.where), ensemble, names, judge, choices))
        return ran(*ready(ctx.obj, layers, plan, given, wanted, target))


def _names(profiles: str) -> list[str]:
    """The profiles that are named; raises ProblemError where there is nothing to compare."""
    names = [name.strip() for name in profiles.split(",") if name.strip()]
    problems = [Problem(f"--profiles: '{name}' stands there twice", hint="leave one out") for name in names if names.count(name) > 1]
    if len(set(names)) < 2:
        which = f"only '{names[0]}'" if names else "no profile"
        problems.append(Problem(f"--profiles names {which}: there is nothing to compare", hint=f"--profiles A,B; {SEE}"))
    if problems:
        raise ProblemError(*problems)
    return names


def comparison(layers: "Layers", name: str, names: Sequence[str], judge: str, choices: "Choices") -> "tuple[Layers, Plan]":
    """The layers round an ensemble, and the plan that compares; raises ProblemError with all that is wrong under any of the profiles."""
    from llm_orc.app import planned
    from llm_orc.domain.comparison import ANSWERS, asks, comparing, unsigned
    from llm_orc.domain.problem import in_order

    around = layers.around(name)
    target = around.ensemble(name)
    ensemble = comparing(target, names, choices.variables, judge or None)
    compared = unsigned(target) if judge else target
    try:
        plan = planned(around.knowing(compared), ensemble, replace(choices, variables={}))
    except ProblemError as error:
        raise ProblemError(*map(_placed, error.problems)) from None
    if not any(variant.child and asks(variant.child) for variant in plan.agents[ANSWERS].variants):
        hint = "profiles say which models answer; llm-orc plan shows who does what"
        raise ProblemError(Problem(f"'{target.name}' asks no model, so there is nothing to compare", hint=hint))
    warnings = [*map(_placed, plan.warnings), *([_own_judge(judge)] if judge in names else [])]
    return around, replace(plan, warnings=in_order(warnings), untrusted=in_order(plan.untrusted))


def _own_judge(judge: str) -> Problem:
    return Problem(f"'{judge}' judges its own answer, too", hint="models like what is like them: take another one", warning=True)


def _placed(problem: Problem) -> Problem:
    """The problem without a place, where that is in no file."""
    return replace(problem, place=None) if problem.place and problem.place.file == COMPARED else problem
