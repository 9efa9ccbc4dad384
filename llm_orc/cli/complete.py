"""What the shell completes: names that are really there. Nothing is imported before somebody presses Tab."""

from collections.abc import Iterable

import typer

from llm_orc.domain.problem import ProblemError


def ensembles(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of ensembles."""
    return _beginning(_known(ctx, "ensembles"), incomplete)


def profiles(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of profiles."""
    return _beginning(_known(ctx, "profiles"), incomplete)


def agent_profiles(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of profiles, behind `AGENT=` too."""
    agent, equals, start = incomplete.rpartition("=")
    return [f"{agent}{equals}{name}" for name in profiles(ctx, start)]


def formats(ctx: typer.Context, incomplete: str) -> list[str]:  # noqa: ARG001
    """The names of output formats."""
    from llm_orc.render.formats import FORMATS

    return _beginning(FORMATS, incomplete)


def _beginning(names: Iterable[str], start: str) -> list[str]:
    return [name for name in names if name.startswith(start)]


def _known(ctx: typer.Context, kind: str) -> Iterable[str]:
    from llm_orc.config.layers import read_layers

    try:
        layers = read_layers(ctx.obj.where)
        return layers.ensembles if kind == "ensembles" else layers.profiles
    except ProblemError:
        return ()  # said by the command itself, once it is called
