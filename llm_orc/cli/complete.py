"""What the shell completes: names that are really there. Nothing is imported before somebody presses Tab."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from llm_orc.domain.problem import ProblemError

if TYPE_CHECKING:
    from llm_orc.domain.ensemble import Ensemble


def ensembles(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of ensembles."""
    return _beginning(_known(ctx, "ensembles"), incomplete)


def profiles(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of profiles."""
    return _beginning(_known(ctx, "profiles"), incomplete)


def profile_lists(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of profiles, behind others and a comma too."""
    before, comma, start = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in profiles(ctx, start) if name not in before.split(",")]


def agent_profiles(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of profiles, behind `AGENT=` too."""
    agent, equals, start = incomplete.rpartition("=")
    return [f"{agent}{equals}{name}" for name in profiles(ctx, start)]


def agents(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of the agents of the ensemble that is called, behind others and a comma too."""
    before, comma, start = incomplete.rpartition(",")
    called = _called(ctx)
    return [f"{before}{comma}{name}" for name in _beginning((agent.name for agent in called.agents), start)] if called else []


def variables(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of the variables of the ensemble that is called, ready for a value."""
    called = _called(ctx)
    return _beginning((f"{name}=" for name in called.variables), incomplete) if called else []


def formats(ctx: typer.Context, incomplete: str) -> list[str]:  # noqa: ARG001
    """The names of output formats."""
    from llm_orc.render.formats import FORMATS

    return _beginning(FORMATS, incomplete)


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """The ids of the runs that began last, and `last`."""
    from llm_orc.cli.runs_opened import opened
    from llm_orc.store.pages import Sought, listed

    try:
        with opened(ctx.obj) as store:
            return _beginning(["last", *(run.id for run in listed(store, Sought(), 100)[0])], incomplete)
    except ProblemError:
        return []  # said by the command itself, once it is called


def nodes(ctx: typer.Context, incomplete: str) -> list[str]:
    """The ids of the nodes of the run that is named: those at the top, and with `agent[` or `agent/` typed those below it."""
    from llm_orc.cli.runs_opened import opened
    from llm_orc.store.nodes import known_nodes, tree

    named = ctx.params.get("run") or next(iter(ctx.args), "last")
    above = max((incomplete[:at] for at, letter in enumerate(incomplete) if letter in "[/"), key=len, default="")
    try:
        with opened(ctx.obj) as store:
            run_id = store.find(named)
            below = [node.id for node in tree(store, run_id, below=above, limit=100, children=0)] if above else []
            return _beginning([*below, *known_nodes(store, run_id, incomplete)], incomplete)
    except ProblemError:
        return []  # said by the command itself, once it is called


def artifacts(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of the artifacts of the run that is named."""
    from llm_orc.cli.runs_opened import opened
    from llm_orc.store.artifacts import artifacts as kept

    named = ctx.params.get("run") or next(iter(ctx.args), "last")
    try:
        with opened(ctx.obj) as store:
            known = kept(store, store.find(named), ctx.params.get("agent") or "", limit=1_000)
            return _beginning(dict.fromkeys(each.name for each in known), incomplete)
    except ProblemError:
        return []  # said by the command itself, once it is called


def _called(ctx: typer.Context) -> "Ensemble | None":
    from llm_orc.config.layers import read_layers

    name = ctx.params.get("ensemble") or next(iter(ctx.args), "")  # an option without its value keeps typer from telling them apart
    try:
        return read_layers(ctx.obj.where).ensemble(name)
    except ProblemError:
        return None  # said by the command itself, once it is called


def _beginning(names: Iterable[str], start: str) -> list[str]:
    return [name for name in names if name.startswith(start)]


def _known(ctx: typer.Context, kind: str) -> Iterable[str]:
    from llm_orc.config.layers import read_layers

    try:
        layers = read_layers(ctx.obj.where)
        return layers.ensembles if kind == "ensembles" else layers.profiles
    except ProblemError:
        return ()  # said by the command itself, once it is called
