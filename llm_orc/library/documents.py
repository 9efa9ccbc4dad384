"""Documents from Python, in the words of `OrchestrationEngine`: an idea goes in, deliverables and one merged document come out."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from llm_orc.app import Session, planned
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import Answered, Delta, Happening
from llm_orc.domain.message import FailedError
from llm_orc.domain.plan import Choices, Plan
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import WHICHEVER, Profile
from llm_orc.domain.run import Run
from llm_orc.library.deliverables import SHIPPED, DeliverableResult, DeliverableType, OrchestrationResult, Written
from llm_orc.library.logs import configure_logging
from llm_orc.library.modes import CompletionMode, OrchestrationConfig, usual_url
from llm_orc.library.prompts import PromptGenerator, merged, prompted, with_context, wrong_with
from llm_orc.library.run import arun
from llm_orc.library.unknown import UnknownError
from llm_orc.library.waiting import wait
from llm_orc.models.lmstudio import first_chat, no_chat
from llm_orc.models.look import Look

OnPiece = Callable[[DeliverableType, str], object]
_log = logging.getLogger("llm_orc")


class OrchestrationEngine:
    """Writes deliverables about an idea: each is an agent of an ensemble, and reads those before it that are asked for as well.

    Use it in a `with` or `async with` block; each method that asks somebody has an async twin, whose name begins with `a`.
    """

    def __init__(  # noqa: PLR0913 - keywords, each of which stands alone
        self,
        config: OrchestrationConfig | None = None,
        *,
        ensemble: str | os.PathLike[str] | Ensemble = SHIPPED,
        variables: Mapping[str, Any] | None = None,
        no_deps: bool = True,
        on_piece: OnPiece | None = None,
        listeners: Iterable[Callable[[Happening], None]] = (),
        providers: Mapping[str, Callable[..., Any]] | None = None,
        max_cost: float | None = None,
        offline: bool = False,
        cache: bool | None = None,
        store: bool | str | os.PathLike[str] = True,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`on_piece` hears each deliverable as it is written: in pieces where the mode is STREAMING, else whole.

        With `no_deps=False` what a deliverable reads is written as well, though it is not asked for. The rest is as in `llm_orc.run`.
        """
        surrounding = os.environ if env is None else env
        self.config = config or OrchestrationConfig(lm_studio_base_url=usual_url(surrounding))
        self.problem: Problem | None = None
        """Why it could not be initialized."""
        self._ensemble, self._cwd, self._surrounding = ensemble, cwd, surrounding
        self._variables, self._no_deps = dict(variables or {}), no_deps
        self._on_piece, self._listeners, self._providers = on_piece, tuple(listeners), dict(providers or {})
        self._options: dict[str, Any] = {"max_cost": max_cost, "offline": offline, "cache": cache, "store": store}
        self._closed = False
        self.prompt_generator = PromptGenerator()
        if self.config.enable_logging:
            configure_logging(self.config.log_level)

    # Beginning and end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Nothing more can be asked of it. May be called again."""
        self._closed = True

    def initialize(self) -> bool:
        """Whether the ensemble is in order and its models can be asked; if not, `problem` says why, and so does a warning of the log.

        Nothing is sent. It need not be called: whoever orchestrates without it is told the same by each deliverable.
        """
        return wait(self.ainitialize())

    async def ainitialize(self) -> bool:
        """See `initialize`."""
        self._check_open()
        self.problem = None
        try:
            await self._look()
        except ProblemError as error:
            self.problem = error.problems[0]
        except FailedError as error:
            self.problem = Problem(error.failure.what, hint=error.failure.hint)
        if self.problem:
            _log.warning("%s", self.problem)
        return self.problem is None

    async def _look(self) -> None:
        """Raises ProblemError or FailedError where something is in the way."""
        async with self._session() as session:
            await session.settle()
            for profile in session.plan.profiles():
                endpoint, listed = session.models.endpoint(profile), tuple(await session.models.listed(profile))
                if profile.model == WHICHEVER and first_chat(listed) is None:
                    raise FailedError(no_chat(endpoint.label, listed))
                look = Look(profile, endpoint, listed)
                if profile.model != WHICHEVER and look.is_truth and not look.has(profile.model):
                    raise ProblemError(Problem(f"{endpoint.label} has no model '{profile.model}'", hint=look.get(profile.model)))

    # Models

    def get_available_models(self) -> list[str]:
        """The models that can be talked to where the deliverables are written; raises ProblemError where that cannot be told."""
        return wait(self.aget_available_models())

    async def aget_available_models(self) -> list[str]:
        """See `get_available_models`."""
        self._check_open()
        names: dict[str, None] = {}
        try:
            async with self._session() as session:
                for profile in session.plan.profiles():
                    names |= {model.name: None for model in await session.models.listed(profile) if model.chat}
        except FailedError as error:
            raise ProblemError(Problem(error.failure.what, hint=error.failure.hint)) from None
        return [*names]

    def set_model(self, name: str) -> None:
        """Have another model write from now on; `initialize` says whether it is there."""
        self.config = self.config.with_model(name)

    # Prompts

    @property
    def prompt_generator(self) -> PromptGenerator:
        """Who says what is asked for each deliverable; another one may be put in its place."""
        return self._prompt_generator

    @prompt_generator.setter
    def prompt_generator(self, generator: PromptGenerator) -> None:
        generator.written = Written(self._ensemble, self._cwd, self._surrounding)
        self._prompt_generator = generator

    def validate_deliverable_templates(self) -> dict[str, dict[str, Any]]:
        """By deliverable: `is_valid`, and the `problems` as people read them. Raises ProblemError where there is no such ensemble."""
        return {
            name: {"is_valid": not problems, "problems": [*map(str, problems)]}
            for name, problems in wrong_with(self.prompt_generator, self._variables)
        }

    # Writing

    def orchestrate(
        self, user_input: str, deliverable_types: Iterable[DeliverableType | str], context: Mapping[str, Any] | None = None
    ) -> OrchestrationResult:
        """Write deliverables about an idea; what else is known of it goes along as `context`.

        There is a result for each, in the order they are asked for, whatever goes wrong. Raises ProblemError where none is asked for.
        """
        return wait(self.aorchestrate(user_input, deliverable_types, context))

    async def aorchestrate(
        self, user_input: str, deliverable_types: Iterable[DeliverableType | str], context: Mapping[str, Any] | None = None
    ) -> OrchestrationResult:
        """See `orchestrate`."""
        self._check_open()
        began, config = perf_counter(), self.config
        wanted = [deliverable_types] if isinstance(deliverable_types, str) else deliverable_types
        names = [DeliverableType(each) for each in wanted]
        if not names:
            raise ProblemError(Problem("no deliverable is asked for", hint="such as: [DeliverableType.PERSONAS]"))
        run: Run | None = None
        wrong: dict[str, Problem] = {}
        try:
            ensemble, wrong = prompted(self.prompt_generator, dict.fromkeys(names), user_input, context)
            if asked := [name for name in dict.fromkeys(names) if name not in wrong]:
                run = await self._written(merged(config.applied(ensemble), asked, config), asked, with_context(user_input, context))
        except ProblemError as error:
            wrong |= {name: error.problems[0] for name in names if name not in wrong}
        return _result(names, run, wrong, config, perf_counter() - began)

    async def _written(self, ensemble: Ensemble, asked: list[DeliverableType], text: str) -> Run:
        heard: set[str] = set()

        def hear(event: Happening) -> None:
            if isinstance(event, Delta | Answered) and event.node in asked and self._on_piece:
                piece = event.text if isinstance(event, Delta) else event.reply.text
                if not (isinstance(event, Delta) and event.thinking) and not (isinstance(event, Answered) and event.node in heard):
                    heard.add(event.node)
                    self._on_piece(DeliverableType(event.node), piece)

        profile = self.config.chosen
        return await arun(
            ensemble,
            text,
            variables=self._variables,
            only=asked,
            no_deps=self._no_deps,
            profile=profile.name if isinstance(profile, Profile) else profile,
            profiles=[profile] if isinstance(profile, Profile) else (),
            providers=self._providers,
            max_parallel=self.config.at_once,
            stream=self.config.completion_mode is CompletionMode.STREAMING,
            listeners=[*self._listeners, hear],
            cwd=self._cwd,
            env=self.config.environment(self._surrounding),
            **self._options,
        )

    # What it stands on

    def _session(self) -> Session:
        written = Written(self._ensemble, self._cwd, self.config.environment(self._surrounding))
        layers = written.layers
        plan = self._plan(written, layers)
        return Session(layers, plan, bool(self._options["offline"]), self._providers)

    def _plan(self, written: Written, layers: Any) -> Plan:
        profile = self.config.chosen
        given = {profile.name: profile} if isinstance(profile, Profile) else {}
        choices = Choices(self._variables, profile=profile.name if isinstance(profile, Profile) else profile)
        plan = planned(layers, self.config.applied(written.ensemble(layers)), choices, given)
        if plan.untrusted:
            raise ProblemError(*plan.untrusted)
        return plan

    def _check_open(self) -> None:
        if self._closed:
            raise ProblemError(Problem("the engine is closed", hint="ask inside of its with block, or make another one"))


def _result(
    names: list[DeliverableType], run: Run | None, wrong: Mapping[str, Problem], config: OrchestrationConfig, seconds: float
) -> OrchestrationResult:
    results = [_one(name, run, wrong.get(name)) for name in names]
    good = sum(each.success for each in results)
    document = run.result if run and good and config.merge_into_single_document and run.failure is None else None
    tokens = run.usage.total if run else 0
    return OrchestrationResult(results, document, seconds, tokens, good, len(results) - good, config, run)


def _one(name: DeliverableType, run: Run | None, wrong: Problem | None) -> DeliverableResult:
    if run and not wrong and name in run.nodes:
        return DeliverableResult.of(name, run.nodes[name])
    what = wrong.what if wrong else "not begun"
    return DeliverableResult(name, "", success=False, error_message=what, hint=wrong.hint if wrong else "")


def quick_generate(user_input: str, deliverable_types: Iterable[DeliverableType | str], **options: Any) -> OrchestrationResult:
    """Deliverables in one call: `options` are those of `OrchestrationConfig` and of `OrchestrationEngine`, and `context`."""
    known = {each.name for each in fields(OrchestrationConfig)}
    config = {name: options.pop(name) for name in known & options.keys()}
    context = options.pop("context", None)
    if strange := options.keys() - _OPTIONS:
        raise UnknownError.of("option", min(strange), sorted(known | _OPTIONS | {"context"}))
    with OrchestrationEngine(OrchestrationConfig(**config) if config else None, **options) as engine:
        return engine.orchestrate(user_input, deliverable_types, context)


_OPTIONS = frozenset(OrchestrationEngine.__init__.__kwdefaults__ or ())
