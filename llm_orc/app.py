"""The one place that wires config, catalog, models and engine together."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from secrets import token_hex
from time import gmtime, strftime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

from llm_orc.catalog.tiers import read_tiers
from llm_orc.config.layers import Layers
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import Cause, Happening
from llm_orc.domain.message import Tell
from llm_orc.domain.plan import Choices, Plan, Variant
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import AUTO, Profile
from llm_orc.domain.resolve import resolve
from llm_orc.domain.run import Run, fold
from llm_orc.engine.limits import Bounds
from llm_orc.engine.means import Means
from llm_orc.engine.perform import perform
from llm_orc.models.registry import Models

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_orc.models.auto import Choice

PROGRAMS_PER_CORE = 2
_log = logging.getLogger("llm_orc")
_bounds: WeakKeyDictionary[asyncio.AbstractEventLoop, Bounds] = WeakKeyDictionary()


def planned(layers: Layers, named: str | Ensemble, choices: Choices, profiles: Mapping[str, Profile] | None = None) -> Plan:
    """The plan of an ensemble by name, path or as an object; `profiles` given in Python go before those of files. Raises ProblemError."""
    around = layers.around(named) if isinstance(named, str) else layers
    ensemble = around.ensemble(named) if isinstance(named, str) else named
    known = {**around.profiles, **profiles} if profiles else around.profiles
    plan = resolve(ensemble, known, around.ensembles, choices, layers.default_profile)
    limits = layers.settings.limits
    return replace(
        plan, max_parallel=plan.max_parallel or limits.max_parallel, timeout_seconds=plan.timeout_seconds or limits.timeout_seconds
    )


@dataclass(slots=True)
class Session:
    """A plan together with the open ways to its models: settle it, perform it, close it."""

    layers: Layers
    plan: Plan
    offline: bool = False
    providers: Mapping[str, Any] = field(default_factory=dict)
    """Async callables, given in Python, by the provider name that profiles use."""
    models: Models = field(init=False)
    _stop: "asyncio.Future[Cause] | None" = None

    def __post_init__(self) -> None:
        self.models = Models(self.layers.where.env, self.layers.trusted_hosts, self.providers)
        _check_providers(self.plan, self.models)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.models.close()

    async def settle(self) -> "Sequence[Choice]":
        """Choose a model for each tier; raises ProblemError with the ways out where none can be reached, unless offline."""
        choices = await self.models.choose(self.plan.profiles(), read_tiers(), offline=self.offline)

        def settled(profile: Profile) -> Profile:
            choice = choices.get(profile.model) if profile.provider == AUTO else None
            return choice.applied(profile) if choice else profile

        self.plan = self.plan.with_profiles(settled)
        return tuple(choices.values())

    def input_of(self, text: str) -> str:
        """The input, else the ensemble's own task; raises ProblemError where neither is there and somebody would read it."""
        text = text if text.strip() else self.plan.ensemble.default_task or ""
        if not text.strip() and self.plan.reads_input(self._reachable):
            hint = "pipe something in, name a file with -f, or pass a text after the ensemble's name"
            raise ProblemError(Problem(f"'{self.plan.ensemble.name}' has nothing to work on", hint=hint))
        return text

    def _reachable(self, profile: Profile) -> bool:
        """Whether its model may be asked."""
        return not self.offline or (profile.provider != AUTO and self.models.endpoint(profile).local)

    async def perform(self, text: str, listeners: Iterable[Tell] = (), *, stream: bool = False, run: Run | None = None) -> Run:
        """Run the plan; `run` knows of every event before the listeners hear it, and a listener that raises is no longer told."""
        loop = asyncio.get_running_loop()
        run, told = Run() if run is None else run, _Told(listeners)

        def tell(event: Happening) -> None:
            fold(run, event)
            told.tell(event)

        means = Means(
            self.models.ask,
            self.models.endpoint,
            _bounds.setdefault(loop, Bounds(PROGRAMS_PER_CORE * (os.cpu_count() or 1))),
            self.layers.where.cwd,
            self.layers.where.env,
            sys.executable,
            reachable=self._reachable,
            stream=stream,
        )
        for profile in filter(self._reachable, self.plan.profiles()):
            self.models.ready(profile)
        self._stop = loop.create_future()
        await perform(self.plan, text, means, tell, run=_run_id(), stop=self._stop)
        return run

    def stop(self, cause: Cause) -> None:
        """End the run early; what is finished is kept."""
        if self._stop is not None and not self._stop.done():
            self._stop.set_result(cause)

    @contextmanager
    def stopped_by_signals(self) -> "Iterator[None]":
        """Ctrl-C, SIGTERM and a closed terminal end the run, however often they come; a second Ctrl-C ends the program at once."""
        loop = asyncio.get_running_loop()
        causes: Mapping[signal.Signals, Cause] = {
            signal.SIGINT: "interrupt",
            signal.SIGTERM: "terminate",
            signal.SIGHUP: "terminate",
        }

        def stop(number: signal.Signals) -> None:
            if number == signal.SIGINT:
                loop.remove_signal_handler(number)
            self.stop(causes[number])

        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where our parent had it ignored, no exit code would reach us
        for number in causes:
            loop.add_signal_handler(number, stop, number)
        try:
            yield
        finally:
            for number in causes:
                loop.remove_signal_handler(number)


class _Told:
    """Listeners, of which one that raises harms nobody."""

    def __init__(self, listeners: Iterable[Tell]) -> None:
        self._listeners = list(listeners)

    def tell(self, event: Happening) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - a stranger's code
                self._listeners.remove(listener)
                _log.exception("a listener failed and is not told anything more")


def _run_id() -> str:
    """Sorts by time, and is short enough to type."""
    return f"{strftime('%Y%m%d-%H%M%S', gmtime())}-{token_hex(3)}"


def _check_providers(plan: Plan, models: Models) -> None:
    """Raises ProblemError, at the agents that name them, for providers that are not there and profiles that they cannot use."""
    problems: list[Problem] = []
    for planned_agent in plan.agents.values():
        given = planned_agent.agent.model_fields_set
        key = next((key for key in ("provider", "model_profile", "fan_out") if key in given), "name")
        for variant in (Variant("", planned_agent.profile, planned_agent.child), *planned_agent.variants):
            try:
                if variant.profile is not None:
                    models.ask(variant.profile)
                if variant.child is not None:
                    _check_providers(variant.child, models)
            except ProblemError as error:
                place = plan.ensemble.source.at(*planned_agent.path, key)
                problems += [problem if problem.place else replace(problem, place=place) for problem in error.problems]
    if problems:
        raise ProblemError(*problems)
