"""Runs of ensembles built in Python, on models that answer when the test says so."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import Cause, Happening
from llm_orc.domain.foresight import Foresight
from llm_orc.domain.message import Ask, FailedError, Failure, Kind, Reply, Request, Tell
from llm_orc.domain.model import ModelCard
from llm_orc.domain.past import NO_PAST, Past
from llm_orc.domain.plan import Choices, Plan
from llm_orc.domain.price import FREE, Pricing
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.domain.resolve import resolve
from llm_orc.domain.reuse import Replies
from llm_orc.domain.run import Run, fold
from llm_orc.engine.foresight import foresee
from llm_orc.engine.limits import Bounds
from llm_orc.engine.means import Means
from llm_orc.engine.open_run import Talk
from llm_orc.engine.perform import perform
from llm_orc.engine.reuse import Reuse
from tests.engine.virtual import in_virtual_time

Answer = Callable[[Request], str]


@dataclass
class Lab:
    """A model that takes its time: seconds by agent name, failures by agent name; counts what runs at once."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    failing: frozenset[str] = frozenset()
    answer: Answer = lambda request: f"{request.node} says: {request.messages[-1].text}"
    endpoint: Endpoint = Endpoint("lab", "lab", None, local=True)  # noqa: RUF009 - unchangeable
    profiles: Mapping[str, Profile] = field(default_factory=lambda: {"default": Profile(name="default", model="m", provider="lab")})
    ensembles: Mapping[str, Ensemble] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    events: list[Happening] = field(default_factory=list)
    pricing: Pricing | None = FREE
    card: ModelCard = ModelCard()  # noqa: RUF009 - unchangeable
    shown: str = ""
    server: Ask | None = None
    """What answers instead, after the seconds of the node."""
    at: Mapping[str, Endpoint] = field(default_factory=dict)
    """Provider -> where it listens, if not at `endpoint`."""
    bounds: Bounds = field(default_factory=lambda: Bounds(4))
    reachable: Callable[[Profile], bool] = lambda _: True
    so_far: Run = field(default_factory=Run)
    """The run as it is folded."""
    replies: Replies | None = None
    """Those that may be used again, where the agents say `cache: true`."""
    running: int = 0
    peak: int = 0

    async def ask(self, request: Request, tell: Tell) -> Reply:
        self.requests.append(request)
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            await asyncio.sleep(self.seconds.get(request.node, self.seconds.get(request.node.partition("[")[0], 1.0)))
        finally:
            self.running -= 1
        if self.server is not None:
            return await self.server(request, tell)
        if request.node in self.failing:
            raise FailedError(Failure(Kind.INVALID_REQUEST, "it broke", "try again"))
        return Reply(self.answer(request))

    def run(
        self, ensemble: Mapping[str, Any] | Ensemble, text: str = "input", *, stop_after: tuple[float, Cause] | None = None, **more: Any
    ) -> Run:
        """The run of an ensemble written as YAML would say it, in virtual time."""

        async def alone() -> Run:
            run = await self.performed(ensemble, text, stop_after=stop_after, **more)
            assert asyncio.all_tasks() == {asyncio.current_task()}, "no task is left behind"
            return run

        return in_virtual_time(alone())

    async def performed(
        self,
        ensemble: Mapping[str, Any] | Ensemble,
        text: str = "input",
        *,
        stop_after: tuple[float, Cause] | None = None,
        offline: bool = False,
        past: Run | None = None,
        talk: Talk | None = None,
        **choices: Any,
    ) -> Run:
        """Likewise, in the loop that runs; `past` is gone on with."""
        read = ensemble if isinstance(ensemble, Ensemble) else Ensemble.model_validate({"name": "test", **ensemble})
        plan = resolve(read, self.profiles, self.ensembles, Choices(**choices))
        return await self.carried_out(plan, text, stop_after=stop_after, offline=offline, past=past, talk=talk)

    async def carried_out(
        self,
        plan: Plan,
        text: str,
        *,
        stop_after: tuple[float, Cause] | None = None,
        offline: bool = False,
        past: Run | None = None,
        talk: Talk | None = None,
    ) -> Run:
        """Likewise, of a plan."""
        run, loop = past or Run(), asyncio.get_running_loop()
        self.so_far = run

        def tell(event: Happening) -> None:
            self.events.append(event)
            fold(run, event)

        stop: asyncio.Future[Cause] = loop.create_future()
        if stop_after is not None:
            loop.call_later(stop_after[0], stop.set_result, stop_after[1])
        await perform(
            plan, text, self._means(offline=offline), tell, run="r", past=Past.of(past) if past else NO_PAST, stop=stop, talk=talk
        )
        return run

    def foreseen(self, ensemble: Mapping[str, Any], text: str = "input") -> Foresight:
        """What is known before a run of the replies that it will use again."""
        plan = resolve(Ensemble.model_validate({"name": "test", **ensemble}), self.profiles, self.ensembles)

        async def looked() -> Foresight:
            found = await foresee(plan, text, self._means())
            assert asyncio.get_running_loop().time() < 1, "it is seen that nothing more will happen"
            assert asyncio.all_tasks() == {asyncio.current_task()}, "no task is left behind"
            return found

        return in_virtual_time(looked())

    def _means(self, *, offline: bool = False) -> Means:
        ask: Ask = self.ask
        return Means(
            lambda _: ask,
            lambda profile: self.at.get(profile.provider, self.endpoint),
            self.bounds,
            Path.cwd(),
            {},
            "python",
            pricing=lambda profile: profile.price or self.pricing,
            card=lambda _: self.card,
            reachable=lambda profile: not offline and self.reachable(profile),
            clock=asyncio.get_running_loop().time,
            stream=bool(self.shown),
            shown=self.shown,
            reuse=Reuse(self.replies) if self.replies else None,
        )


def names(run: Run, status: str) -> set[str]:
    """The ids of the nodes with this status."""
    return {node.id for node in run.nodes.values() if node.status == status}
