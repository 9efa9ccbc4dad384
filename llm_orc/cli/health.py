"""How everything is that a run needs: what `doctor` tells, found out all at once."""

import asyncio
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import which

from pydantic import SecretStr

from llm_orc import __version__
from llm_orc.app import planned
from llm_orc.cli.answers import PULLED, Answers, Written
from llm_orc.cli.commands import NAME
from llm_orc.cli.terminal import Terminal
from llm_orc.cli.trying import try_key
from llm_orc.config import folders as config
from llm_orc.config.layers import Layers
from llm_orc.credentials.index import last_four
from llm_orc.credentials.keychain import VARIABLES
from llm_orc.domain.credential import Credential, Given
from llm_orc.domain.ensemble import CommandAgent
from llm_orc.domain.health import AgentState, EnsembleState, Fault, Folder, Health, Key, ProfileState, Program, Server, State
from llm_orc.domain.message import FailedError, Failure, Kind
from llm_orc.domain.plan import Choices, Plan, PlannedAgent, Variant, Wanted
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.domain.profile import AUTO
from llm_orc.domain.variable import stand_ins
from llm_orc.models.look import Look
from llm_orc.render.words import listed

VERSION = 1
WHOLE_SECONDS = 4.0
"""For everything; a server that says nothing for the rest of it is given up."""
LEAST_SECONDS = 2.0
_REFUSED = (Kind.AUTHENTICATION, Kind.PERMISSION)


@dataclass(frozen=True, slots=True)
class _Held:
    """A key or login that there is."""

    provider: str
    credential: Credential
    last_four: str
    name: str | None = None


@dataclass(slots=True)
class Examination:
    """One look at everything."""

    terminal: Terminal
    layers: Layers
    answers: Answers = field(init=False)
    plans: dict[str, Plan | Problem] = field(init=False)
    """The shipped ensembles."""
    _keys: dict[str, Key] = field(default_factory=dict)
    """By what tells credentials apart."""
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.answers = Answers(self.layers)
        entries = [entry for entry in self.layers.ensembles.entries() if entry.layer == config.BUILT_IN and "/" not in entry.name]
        self.plans = {entry.name: self._planned(entry.name) for entry in entries}

    async def health(self) -> Health:
        """Ask everybody, and put together what they say."""
        tiers = {(each.profile.model, each.requires) for each in self._wanted() if each.profile.provider == AUTO}
        held = [*self._held()]
        try:
            await self.answers.look(self._rest, sorted(tiers, key=str), *(self._try(each) for each in held))
            return self._told(held)
        finally:
            await self.answers.close()

    def _wanted(self) -> Iterator[Wanted]:
        yield from (Wanted(each.profile) for each in self.answers.written if each.profile)
        for plan in self.plans.values():
            yield from plan.wanted() if isinstance(plan, Plan) else ()

    def _rest(self) -> float:
        """Seconds until the answer has to be there."""
        return max(LEAST_SECONDS, WHOLE_SECONDS - (time.monotonic() - self._began))

    def _planned(self, name: str) -> Plan | Problem:
        try:
            return planned(self.layers, name, Choices(stand_ins(self.layers.ensemble(name))))
        except ProblemError as error:
            return error.problems[0]

    # Keys

    def _held(self) -> Iterator[_Held]:
        for provider, variable in VARIABLES.items():
            if key := self.layers.where.env.get(variable, "").strip():
                yield _Held(provider, Given(variable, SecretStr(key)), last_four(key))
        keychain = self.answers.known.keychain
        for kept in keychain.kept():
            yield _Held(kept.provider, keychain.credential(kept), kept.last_four, kept.name)

    async def _try(self, held: _Held) -> None:
        """Whether the provider lets it in."""
        failure, asked = None, False
        try:
            async with asyncio.timeout(self._rest()):
                asked = await try_key(self.layers, held.provider, held.credential)
        except FailedError as error:
            failure = error.failure
        except TimeoutError:
            failure = Failure(Kind.TIMEOUT, f"{held.provider} did not answer in time", "try it alone: llm-orc auth test")
        except ProblemError as error:
            failure = Failure(Kind.INVALID_REQUEST, error.problems[0].what, error.problems[0].hint)
        works = (asked or None) if failure is None else False if failure.kind in _REFUSED else None
        state = {"cause": failure.what, "hint": failure.hint} if failure else {}
        self._keys[held.credential.identity] = Key(held.provider, held.name, held.credential.origin, held.last_four, works, **state)

    # What is told

    def _told(self, held: Iterable[_Held]) -> Health:
        keys = tuple(self._keys[each.credential.identity] for each in held)
        profiles = tuple(self._profile(each) for each in self.answers.written)
        ensembles = tuple(EnsembleState(name, tuple(self._agents(plan))) for name, plan in self.plans.items())
        default = self.layers.default_profile.name
        program, folders = _program(self.terminal), tuple(map(_folder, self.layers.folders))
        servers = tuple(map(_server, self.answers.looks.values()))
        ok = any(each.name == default and each.answers for each in profiles)
        health = Health(VERSION, ok, default, program, folders, servers, keys, profiles, ensembles)
        return replace(health, faults=tuple(_grouped(self._faults(health))))

    def _profile(self, written: Written) -> ProfileState:
        profile = written.profile
        if profile is None:
            problem = written.problem or Problem("cannot be read")
            return ProfileState(written.name, written.layer, cause=problem.what, hint=_at(problem))
        verdict = self.answers.verdict(profile)
        resolved, endpoint, note = verdict.profile, verdict.endpoint, verdict.note
        return ProfileState(
            written.name,
            written.layer,
            profile.provider,
            profile.model,
            f"{resolved.provider}/{resolved.model}" if resolved else None,
            endpoint.label if endpoint else None,
            self.answers.price(resolved) if resolved and endpoint else None,
            answers=not verdict.cause,
            cause=verdict.cause or (note.what if note else None),
            hint=verdict.hint or (note.hint if note else None),
        )

    def _agents(self, plan: Plan | Problem) -> Iterator[AgentState]:
        if isinstance(plan, Problem):
            yield AgentState("all", runs=False, cause=plan.what, hint=_at(plan))
            return
        for agent in plan.agents.values():
            fault = self._hindered(agent)
            yield AgentState(agent.name, fault is None, cause=fault.what if fault else None, hint=fault.hint if fault else None)

    def _hindered(self, planned: PlannedAgent) -> Fault | None:
        """Why an agent cannot run now, if it cannot."""
        if isinstance(planned.agent, CommandAgent):
            word = planned.agent.command[0]
            there = which(word, path=self.layers.where.env.get("PATH"))
            return None if there else Fault(f"there is no program '{word}'", f"install it, or put it on the PATH: command -v {word}")
        for variant in planned.variants or (Variant("", planned.profile, planned.child),):
            asked = [each for each in (variant.profile, *planned.fallbacks) if each]
            verdicts = [self.answers.verdict(each, planned.requires) for each in asked]
            if verdicts and all(verdict.cause for verdict in verdicts):
                return Fault(verdicts[0].cause, verdicts[0].hint)
            if variant.child and (inner := next(filter(None, map(self._hindered, variant.child.agents.values())), None)):
                return inner
        return None

    def _faults(self, health: Health) -> Iterator[tuple[str, str, Fault]]:
        """What kind of thing and which of them each concerns, the most important first."""
        names = [each.name for each in health.profiles]
        if health.default_profile not in names:
            hint = f"{nearest(health.default_profile, names)} see: llm-orc list profiles".strip()
            yield "", "", Fault(f"there is no profile '{health.default_profile}', which is the default", hint)
        known = sorted(health.profiles, key=lambda each: (each.answers, each.name != health.default_profile))
        yield from (("profile", each.name, fault) for each in known if (fault := _fault(each)))
        yield from (("key", f"{each.provider} ({each.origin})", fault) for each in health.keys if (fault := _fault(each)))
        yield from (("", "", fault) for each in (health.program, *health.folders) if (fault := _fault(each)))
        for ensemble in health.ensembles:
            yield from (("agent", f"{each.name} of {ensemble.name}", fault) for each in ensemble.agents if (fault := _fault(each)))
        # Somebody else may listen at the usual places of these two.
        servers = (each for each in health.servers if each.provider not in ("vllm", "llamacpp"))
        yield from (("server", each.provider, fault) for each in servers if (fault := _fault(each)))
        yield from (("server", provider, Fault(problem.what, problem.hint)) for provider, problem in self.answers.wrong.items())


def _grouped(faults: Iterable[tuple[str, str, Fault]]) -> Iterator[Fault]:
    """What is the same is told once, of the first kind of thing that it concerns."""
    whom: dict[Fault, tuple[str, list[str]]] = {}
    for kind, name, fault in faults:
        first, names = whom.setdefault(fault, (kind, []))
        names += [name] if kind == first else []
    for fault, (kind, names) in whom.items():
        named = f"{kind}{'' if len(names) == 1 else 's'} {listed(names)}: " if kind else ""
        yield Fault(named + fault.what, fault.hint)


def _fault(state: State) -> Fault | None:
    return Fault(state.cause, state.hint or "") if state.cause else None


def _at(problem: Problem) -> str:
    return f"{problem.place}; {problem.hint}".removesuffix("; ") if problem.place else problem.hint


def _server(look: Look) -> Server:
    failure = look.failure
    chat = [model for model in look.models if model.chat]
    off = look.absent and look.endpoint.local  # not every server has to run
    cause, hint = (None, None) if failure is None or off else (failure.what, failure.hint)
    if failure is None and not chat and look.endpoint.local:
        cause, hint = f"{look.endpoint.label} has no chat model", look.get(PULLED)
    return Server(
        look.profile.provider,
        look.endpoint.label,
        look.endpoint.local,
        not look.absent,
        None if look.milliseconds is None else round(look.milliseconds, 1),
        None if failure else len(look.models),
        tuple(model.name for model in look.models if model.loaded),
        cause=cause,
        hint=hint,
    )


def _program(terminal: Terminal) -> Program:
    where = terminal.where
    path = where.env.get("PATH", "")
    called = terminal.called if os.sep in terminal.called else which(terminal.called, path=path) or terminal.called
    file = where.cwd / called
    ours = {os.path.realpath(each) for each in (file, Path(sys.executable).with_name(NAME))}
    there = [Path(folder) / NAME for folder in path.split(os.pathsep) if folder]
    on_path = dict.fromkeys(os.path.realpath(each) for each in there if each.is_file() and os.access(each, os.X_OK))
    others = tuple(each for each in on_path if each not in ours)
    state: dict[str, str] = {}
    if others:
        first = next(iter(on_path)) in others
        which_one = (
            f"'{NAME}' on the PATH is {others[0]}, not the one that runs now"
            if first
            else f"there is a second '{NAME}' on the PATH: {others[0]}"
        )
        state = {"cause": which_one, "hint": f"see which there are: type -a {NAME}; then remove one, or put its folder later in PATH"}
    return Program(__version__, str(file), platform.python_version(), sys.executable, others, **state)


def _folder(folder: config.Folder) -> Folder:
    state = {}
    if not folder.trusted:
        state = {
            "cause": f"the project {folder.root} is not trusted: its scripts and commands do not run",
            "hint": "look at it, then: llm-orc trust",
        }
    return Folder(folder.layer, str(folder.path), folder.path.is_dir(), folder.trusted, **state)
