"""Run an ensemble from Python."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_orc.app import Session, planned
from llm_orc.config.attachments import Given, attachments_of
from llm_orc.config.keeping import how_many, store_folder
from llm_orc.config.layers import Layers, read_layers
from llm_orc.config.surroundings import Surroundings
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import Happening
from llm_orc.domain.plan import Choices, Plan
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import Profile
from llm_orc.domain.run import Run
from llm_orc.library.waiting import wait

_log = logging.getLogger("llm_orc")
Listener = Callable[[Happening], None]


async def arun(  # noqa: PLR0913 - keywords, each of which stands alone
    ensemble: str | os.PathLike[str] | Ensemble,
    input: str = "",
    *,
    variables: Mapping[str, Any] | None = None,
    only: Iterable[str] = (),
    no_deps: bool = False,
    profile: str | None = None,
    agent_profiles: Mapping[str, str] | None = None,
    attachments: Iterable[Given] = (),
    profiles: Iterable[Profile] = (),
    providers: Mapping[str, Callable[..., Any]] | None = None,
    max_parallel: int | None = None,
    max_cost: float | None = None,
    offline: bool = False,
    stream: bool = False,
    store: bool | str | os.PathLike[str] = False,
    cache: bool | None = None,
    listeners: Iterable[Listener] = (),
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Run:
    """Run an ensemble, by name, by path or as an object, and give its run; raises ProblemError when something is wrong before it starts.

    `variables`, `only`, `no_deps`, `max_parallel`, `max_cost`, `offline`, `cache` are the flags of `llm-orc invoke`; `profile` and
    `agent_profiles` are `--profile NAME` and `--profile AGENT=NAME`. `attachments` are paths, bytes or `Attachment`. `profiles` go to
    those of the files; `providers` are async callables by the provider name that profiles use: from a prompt to a text, or a whole `Ask`.
    Each listener hears every event; one that raises is told no more. With `stream` the events hold the replies piece by piece. With `store`
    the run is kept, where `llm-orc` keeps its runs or in that folder; what is in the way is a warning of the logger `llm_orc`.
    """
    environment = dict(os.environ if env is None else env)
    where = Surroundings(Path(cwd or Path.cwd()), Path(environment.get("HOME") or Path.home()), environment)
    files = attachments_of(attachments, where.cwd)
    choices = Choices(variables or {}, tuple(only), no_deps, profile, agent_profiles or {}, max_parallel, max_cost, files, cache)
    layers = read_layers(where)
    plan = _trusted(layers, ensemble, choices, profiles)
    async with Session(layers, plan, offline, providers or {}) as session:
        await session.settle()
        with _kept(session, layers, store, cache=cache) as run:
            return await session.perform(session.input_of(input), listeners, stream=stream, run=run)


def _trusted(layers: Layers, ensemble: str | os.PathLike[str] | Ensemble, choices: Choices, profiles: Iterable[Profile]) -> Plan:
    """The plan; raises ProblemError where something in it may not run until it is trusted."""
    named = ensemble if isinstance(ensemble, Ensemble) else os.fspath(ensemble)
    plan = planned(layers, named, choices, {each.name: each for each in profiles})
    if plan.untrusted:
        raise ProblemError(*plan.untrusted)
    return plan


@contextmanager
def _kept(
    session: Session,
    layers: Layers,
    store: bool | str | os.PathLike[str],  # noqa: FBT001 - as it was given
    *,
    cache: bool | None,
) -> Iterator[Run]:
    """A run of which what happens meanwhile is kept, as far as it can be."""
    warnings: Sequence[Problem] = ()
    if store is not False:
        folder, keep = (store_folder(layers), how_many(layers)) if store is True else (Path(store), None)
        warnings = session.keep(folder, keep)
    yield (run := Run())
    for warning in (*warnings, *(session.forgets() if cache else ())):
        _log.warning("%s", warning, extra={"run": run.id})


def run(ensemble: str | os.PathLike[str] | Ensemble, input: str = "", **options: Any) -> Run:
    """`arun` for programs that do not await; works inside a running event loop too, which stands still meanwhile."""
    return wait(arun(ensemble, input, **options))
