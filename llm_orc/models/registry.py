"""All ways to reach a model: our own from a table, strangers' by entry point, and callables from Python."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from llm_orc.domain.message import Ask, FailedError, Failure, Kind, Reply, Request, Tell
from llm_orc.domain.model import Catalog
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.domain.profile import AUTO, WHICHEVER, Endpoint, Profile
from llm_orc.models.base import Listed, Open, Provider, Reach
from llm_orc.models.from_python import FromPython, Prompted
from llm_orc.models.hushed import hush, hushed, listed

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from llm_orc.domain.plan import Wanted as Named
    from llm_orc.models.auto import Choice, Priced, Wanted

ENTRY_POINTS = "llm_orc.providers"
_OPENAI = "llm_orc.models.openai_compatible:OpenAICompatible"
BUILT_IN: Mapping[str, str] = {
    "anthropic": "llm_orc.models.anthropic:Anthropic",
    AUTO: "llm_orc.models.unchosen:Unchosen",
    "embedded": "llm_orc.models.embedded:Embedded",
    "google": "llm_orc.models.google:Google",
    "llamacpp": _OPENAI,
    "lmstudio": _OPENAI,
    "ollama": "llm_orc.models.ollama:Ollama",
    "openai": _OPENAI,
    "openai-compatible": _OPENAI,
    "openrouter": _OPENAI,
    "vllm": _OPENAI,
}
"""Provider -> where it is; imported when a plan needs it."""


class Models:
    """The providers of one process, opened as they are needed; close it when done."""

    def __init__(self, reach: Reach, extra: Mapping[str, Ask | Prompted] | None = None) -> None:
        """`extra` are providers from Python: a full `Ask` takes a request and a tell, the short form the prompt alone."""
        self._reach = reach
        self._opened: dict[str, Provider] = {name: FromPython(name, ask) for name, ask in (extra or {}).items()}

    def ask(self, profile: Profile) -> Ask:
        """How to ask this profile's model; raises ProblemError for an unknown provider or a profile it cannot use."""
        ask = self._provider(profile.provider).ask(profile)
        return hushed(ask if profile.provider in BUILT_IN else _of_a_stranger(ask, profile.provider))

    def endpoint(self, profile: Profile) -> Endpoint:
        """The server that limits belong to; opens no connection."""
        return self._provider(profile.provider).endpoint(profile)

    def ready(self, profile: Profile) -> None:
        """Let the provider import what asking this profile's model takes, so that no clock of a run or an agent counts it."""
        if warm := getattr(self._provider(profile.provider), "ready", None):
            warm()

    async def listed(self, profile: Profile) -> Sequence[Listed]:
        """The models of the profile's server, best first; none where its provider lists none. Raises FailedError, ProblemError."""
        models = getattr(self._provider(profile.provider), "models", None)
        try:
            return listed(await models(profile)) if models else ()
        except FailedError as error:
            hush(error)
            raise

    async def choose(
        self, wanted: "Iterable[Wanted]", catalog: Catalog, pricing: "Priced", *, offline: bool, all_of_them: bool = True
    ) -> "dict[Wanted, Choice]":
        """Tier and capabilities -> the model that answers for them; see `auto.choose`."""
        asked = list(wanted)
        if not asked:
            return {}
        from llm_orc.models.auto import choose

        return await choose(asked, catalog, self._reach, pricing, offline=offline, all_of_them=all_of_them)

    async def whichever(self, ways: "Sequence[Sequence[Named]]", *, near: bool) -> "dict[Wanted, Choice]":
        """The same for profiles that name no model; see `whichever.whichever`."""
        if all(each.profile.model != WHICHEVER for agent in ways for each in agent):
            return {}
        from llm_orc.models.whichever import whichever

        return await whichever(self, ways, near=near)

    async def close(self) -> None:
        """Let go of every connection."""
        for provider in self._opened.values():
            await provider.close()

    def _provider(self, name: str) -> Provider:
        if name not in self._opened:
            self._opened[name] = self._find(name)(name, self._reach)
        return self._opened[name]

    def _find(self, name: str) -> Open:
        if dotted := BUILT_IN.get(name):
            module, _, attribute = dotted.partition(":")
            return cast("Open", getattr(import_module(module), attribute))
        from importlib.metadata import entry_points  # scanning costs 100 ms, so only for a name that is not built in

        strangers = entry_points(group=ENTRY_POINTS)
        for stranger in strangers.select(name=name):
            return partial(_opened, stranger)
        known = {*BUILT_IN, *self._opened, *strangers.names}
        raise ProblemError(Problem(f"no provider '{name}'", hint=nearest(name, known) or f"there are: {', '.join(sorted(known))}"))


def _opened(plugin: "EntryPoint", name: str, reach: Reach) -> Provider:
    """A stranger's provider, whose prints are no answer of ours; raises ProblemError where it cannot be had, its author's to mend."""
    try:
        with redirect_stdout(sys.stderr):
            provider = plugin.load()(name, reach)
            wanting = [each for each in ("endpoint", "ask", "close") if not callable(getattr(provider, each, None))]
    except (ProblemError, FailedError):
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code
        why = f"it broke off with {type(error).__name__}"
    else:
        if not wanting:
            return cast("Provider", provider)
        why = f"it has no {' and no '.join(wanting)}"
    origin = f"of {plugin.dist.name} " if plugin.dist else ""
    hint = f"update or uninstall it, or tell its author; to see more: python -c 'import {plugin.module}'"
    raise ProblemError(Problem(f"the provider '{name}' {origin}cannot be loaded: {why}", hint=hint))


def _of_a_stranger(ask: Ask, name: str) -> Ask:
    """The same ask; what its author did not think of fails one agent, not the run with all that others said."""

    async def asked(request: Request, tell: Tell) -> Reply:
        try:
            reply: object = await ask(request, tell)
        except (FailedError, ProblemError):
            raise
        except Exception as error:  # noqa: BLE001 - a stranger's code
            what = f"the provider '{name}' broke off with {type(error).__name__} at {_place(error)}"
            raise FailedError(Failure(Kind.SERVER, what, "tell its author")) from None
        if not isinstance(reply, Reply):
            what = f"the provider '{name}' returned {type(reply).__name__}, not a Reply"
            raise FailedError(Failure(Kind.MALFORMED, what, "tell its author"))
        return reply

    return asked


def _place(error: Exception) -> str:
    """Where it was raised; its text may hold anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "no known place"
