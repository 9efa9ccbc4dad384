"""`llm-orc plan`: what an ensemble would do."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.cli.options import Attach, Cache, Ensemble, Files, Json, MaxCost, MaxParallel, NoDeps, Only, Profiles, Var, refuse_empty
from llm_orc.domain.problem import Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_orc.app import Session
    from llm_orc.cli.terminal import Terminal
    from llm_orc.config.layers import Layers
    from llm_orc.domain.foresight import Foresight
    from llm_orc.domain.plan import Plan
    from llm_orc.domain.profile import Profile
    from llm_orc.models.auto import Choice

app = new_app()
NOBODY = "no model can be reached now"


@app.command(epilog=examples("llm-orc plan code-review", "llm-orc plan ./mine.yaml --var language=go --json"))
def plan(
    ctx: typer.Context,
    *,
    ensemble: Ensemble,
    text: Annotated[
        str, typer.Argument(metavar="INPUT", help="Shown in the prompts; without it they say <input>.", show_default=False)
    ] = "",
    file: Files = [],  # noqa: B006 - typer reads it and copies it
    attach: Attach = [],  # noqa: B006
    var: Var = [],  # noqa: B006
    only: Only = "",
    no_deps: NoDeps = False,
    profile: Profiles = [],  # noqa: B006
    max_parallel: MaxParallel = "",
    max_cost: MaxCost = "",
    cache: Cache = None,
    json: Json = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show long prompts whole.")] = False,
) -> int:
    """Show what an ensemble would do: its phases, who answers for each agent, what each would be sent, and what all of it may cost.

    Nothing is run and nothing is sent; only servers on this machine are asked which model they hold.
    """
    refuse_empty(ctx)
    from llm_orc.cli.input import Given, read_parts
    from llm_orc.cli.planning import choices_of, planned_from, warn, with_attachments
    from llm_orc.config.front_matter import informed

    terminal: Terminal = ctx.obj
    choices = choices_of(var, only, profile, no_deps=no_deps, max_parallel=max_parallel, max_cost=max_cost, cache=cache)
    layers, planned = planned_from(terminal, ensemble, with_attachments(terminal, choices, attach), later=True)
    planned, given, told = informed(planned, read_parts(terminal, Given(text, tuple(file))), choices.variables)
    warn(terminal, layers.warnings, told)
    _print(terminal, layers, planned, given or None, json=json, verbose=verbose)
    return 0


def _print(terminal: "Terminal", layers: "Layers", planned: "Plan", given: str | None, *, json: bool, verbose: bool) -> None:
    from llm_orc.cli.destinations import answering, bound_of
    from llm_orc.domain.profile import AUTO, WHICHEVER
    from llm_orc.render.json import to_json
    from llm_orc.render.plan import Settled, plan_document, plan_text

    session, choices, foresight = asyncio.run(_settled(terminal, layers, planned, given))
    reasons = [(answering(choice, planned), choice.why) for choice in choices]

    def destination(profile: "Profile") -> str:
        return NOBODY if profile.provider == AUTO else session.models.endpoint(profile).label

    def why(profile: "Profile") -> str:
        unsaid = "it does not say which model it has" if profile.model == WHICHEVER else ""
        return next((why for answers, why in reasons if answers(profile)), unsaid)

    cost = bound_of(session, given or planned.ensemble.default_task)
    if foresight is not None:
        from llm_orc.domain.foresight import needs_nothing, place_of

        known = {place for place, found in foresight.items() if needs_nothing(found)}
        cost = cost.without(lambda agent: place_of(agent) in known)
    settled = Settled(destination, why, cost, layers.settings.cache, foresight)
    if json:
        terminal.answer(to_json(plan_document(session.plan, settled, given), indent=2) + "\n")
    else:
        stdout = terminal.stdout
        terminal.answer(plan_text(session.plan, settled, given, verbose=verbose, color=stdout.color, width=stdout.width))


async def _settled(
    terminal: "Terminal", layers: "Layers", planned: "Plan", given: str | None
) -> "tuple[Session, Sequence[Choice], Foresight | None]":
    """A closed session whose plan names the models that would answer, as far as some can be reached; why those; what is there already."""
    from llm_orc.app import Session

    async with Session(layers, planned) as session:
        try:
            choices = await session.settle(near=True)
        except ProblemError:
            session.offline = True  # then it is no problem that there is none; what else is wrong is raised again
            choices = await session.settle(near=True)
        return session, choices, await _foreseen(terminal, session, given or planned.ensemble.default_task or "")


async def _foreseen(terminal: "Terminal", session: "Session", text: str) -> "Foresight | None":
    """What of a run on this text is there already; None where nobody could know, or nothing is to be used again."""
    plan, settings = session.plan, session.layers.settings
    if not plan.reuses(usually=settings.cache, drafts=True) or (plan.reads_input() and not (text.strip() or plan.attached)):
        return None
    from llm_orc.cli.planning import warn
    from llm_orc.config.keeping import store_folder
    from llm_orc.domain.reuse import Unkept
    from llm_orc.store.places import FILE
    from llm_orc.store.replies import SeenReplies
    from llm_orc.store.runs import Store

    warnings: list[Problem] = []
    try:
        folder = store_folder(session.layers)
        if settings.store == "off" or not (folder / FILE).exists():
            return await session.foresee(text, Unkept())
        with Store.open(folder, make=False) as store:
            return await session.foresee(text, SeenReplies(store, "", plan.ensemble.name, warnings.append))
    except ProblemError as error:
        warnings += (replace(each, warning=True) for each in error.problems)
        return await session.foresee(text, Unkept())
    finally:
        warn(terminal, warnings)
