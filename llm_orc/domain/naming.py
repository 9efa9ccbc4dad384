"""Looking up what an ensemble names: files, profiles with their fallbacks, other ensembles."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from llm_orc.domain.ensemble import Agent, Ensemble, ModelAgent
from llm_orc.domain.fan_out import FanOut
from llm_orc.domain.message import Attachment
from llm_orc.domain.plan import Basis, Choices, PlannedAgent, Variant
from llm_orc.domain.problem import KeyPath, Place, Problem, ProblemError, nearest
from llm_orc.domain.profile import WHICHEVER, DefaultProfile, Profile
from llm_orc.domain.prompt import Template

_Named = TypeVar("_Named")


@dataclass(slots=True)
class Naming:
    """What names are looked up in, and what was found wrong with them."""

    ensemble: Ensemble
    profiles: Mapping[str, Profile]
    ensembles: Mapping[str, Ensemble]
    choices: Choices
    default: DefaultProfile
    trail: tuple[str, ...]
    """The ensembles that led here, this one last."""
    basis: Basis = field(default_factory=Basis)
    """What was found so far, by all the ensembles together."""
    problems: list[Problem] = field(default_factory=list)
    untrusted: list[Problem] = field(default_factory=list)

    def at(self, *path: str | int) -> Place:
        return self.ensemble.source.at(*path)

    def wrong(self, what: str, path: KeyPath, hint: str = "") -> None:
        self.problems.append(Problem(what, self.at(*path), hint))

    def file(self, find: Callable[[str], _Named], name: str, path: KeyPath) -> _Named | None:
        """What `find` says of the file `name`, or None; what is wrong with it is told at `path` where it has no place of its own."""
        try:
            return find(name)
        except ProblemError as error:
            self.problems += [problem if problem.place else replace(problem, place=self.at(*path)) for problem in error.problems]
            return None

    def with_attachments(self, planned: PlannedAgent, named: Mapping[KeyPath, str | Template]) -> PlannedAgent:
        """The agent with the files that it is sent: those of the input, then its own, each once."""
        sent: dict[Attachment | str, Attachment | Template] = {each: each for each in self.choices.attachments if planned.sees_input}
        for path, name in named.items():
            each = name if isinstance(name, Template) else self.file(self.ensemble.files.attachment, name, path)
            if each is not None:
                sent.setdefault(each.text if isinstance(each, Template) else each, each)
        return replace(planned, attachments=tuple(sent.values()), files=self.ensemble.files)

    def with_model(self, planned: PlannedAgent, agent: ModelAgent, path: KeyPath) -> PlannedAgent:
        flag = self._by_flag(agent.name)
        if planned.compares:
            variants = tuple(self._variant(agent, flag or name, spot) for name, spot in compared(agent, path))
            return replace(planned, variants=variants, schema=self._schema(agent, path))
        if flag is not None:
            profile = self.profile(flag, None)
        elif agent.provider:
            profile = Profile(model=agent.model or WHICHEVER, provider=agent.provider)
        elif agent.model_profile is None:
            profile = self.profile(self.default.name, self.default.place or self.at(*path))
        else:
            profile = self.profile(agent.model_profile, self.at(*self._profile_path(agent, path)))
        if profile is None:
            return planned
        names = profile.fallback if flag is not None or agent.fallback is None else agent.fallback
        fallbacks = tuple(each.with_parameters(agent) for each in self._fallbacks(profile, names or (), (*path, "fallback")))
        return replace(planned, profile=profile.with_parameters(agent), fallbacks=fallbacks, schema=self._schema(agent, path))

    def _fallbacks(self, profile: Profile, names: Iterable[str], path: KeyPath) -> Iterator[Profile]:
        """The profiles of these names, then those that they themselves fall back to; each once."""
        waiting, known = deque(names), {profile.name}
        while waiting:
            name = waiting.popleft()
            if name not in known and (found := self.profile(name, self.at(*path))):
                known.add(name)
                waiting += found.fallback or ()
                yield found

    def _by_flag(self, name: str) -> str | None:
        return self.choices.profiles.get(name) or self.choices.profile

    def _variant(self, agent: ModelAgent, name: str, spot: KeyPath) -> Variant:
        profile = self.profile(name, self.at(*spot))
        return Variant(name, profile.with_parameters(agent) if profile else None)

    def _profile_path(self, agent: ModelAgent, path: KeyPath) -> KeyPath:
        if "model_profile" in self.ensemble.defaults.model_fields_set and agent.model_profile == self.ensemble.defaults.model_profile:
            return ("defaults", "model_profile")
        return (*path, "model_profile")

    def profile(self, name: str, place: Place | None) -> Profile | None:
        """The profile of that name; without a place it was named by a flag."""
        found = self.named("profile", self.profiles, name, place)
        if found is not None:
            self.basis.profiles[name] = found
        return found

    def named(self, kind: str, known: Mapping[str, _Named], name: str, place: Place | None) -> _Named | None:
        """What is called `name`; what keeps it from being read is told where it is, or else at `place`."""
        try:
            return known[name]
        except KeyError:
            hint = " ".join(filter(None, (nearest(name, known), f"see: llm-orc list {kind}s")))
            self.problems.append(Problem(f"no {kind} '{name}'", place, hint))
        except ProblemError as error:
            self.problems += [problem if problem.place else replace(problem, place=place) for problem in error.problems]
        return None

    def _schema(self, agent: ModelAgent, path: KeyPath) -> Mapping[str, Any] | None:
        if not isinstance(agent.output_schema, str):
            return agent.output_schema
        written = self.file(self.ensemble.files.data, agent.output_schema, (*path, "output_schema"))
        if isinstance(written, dict):
            return written
        if written is not None:
            self.wrong(f"'{agent.output_schema}' holds no JSON Schema", (*path, "output_schema"), "such as: {type: object}")
        return None


def compared(agent: Agent, path: KeyPath) -> list[tuple[str, KeyPath]]:
    """The profiles that a fan-out compares, each with its place."""
    names = agent.fan_out.profiles if isinstance(agent.fan_out, FanOut) else None
    return [(name, (*path, "fan_out", "profiles", index)) for index, name in enumerate(names or ())]


def with_defaults(agent: Agent, ensemble: Ensemble, choices: Choices) -> Agent:
    """The agent with what the ensemble says for all of them, where it says nothing itself, and what the caller chose."""
    defaults, known = ensemble.defaults, type(agent).model_fields
    given = {key: value for key in defaults.model_fields_set if key in known and (value := getattr(defaults, key)) is not None}
    if isinstance(agent, ModelAgent) and (agent.provider or agent.model_profile):
        given.pop("model_profile", None)
    if ensemble.cache is not None and "cache" in known:
        given.setdefault("cache", ensemble.cache)
    changes = {key: value for key, value in given.items() if key not in agent.model_fields_set}
    if isinstance(agent, ModelAgent) and "options" in given:
        changes["options"] = defaults.options | agent.options
    if choices.cache is not None and "cache" in known:
        changes["cache"] = choices.cache
    return agent.model_copy(update=changes) if changes else agent
