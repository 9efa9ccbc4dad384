"""Which model answers for a tier: one of a server on this machine, else of a provider whose key is there, that can do what is wanted."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from llm_orc.domain.message import Usage
from llm_orc.domain.model import Capability, Catalog
from llm_orc.domain.price import Pricing
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.domain.profile import AUTO, Profile
from llm_orc.models.base import Listed, Reach
from llm_orc.models.ollama import with_tag
from llm_orc.models.presets import PRESETS
from llm_orc.models.probe import PATIENT_SECONDS, QUICK_SECONDS, Probe
from llm_orc.models.target import Target, aim

ANY = "*"
"""In the table of tiers: whichever chat model the server has."""
Wanted = tuple[str, frozenset[Capability]]
"""A tier, and what its model must be able to do."""
Priced = Callable[[Profile], Pricing | None]
_SAMPLE = Usage(1000, 1000)
_CALLED = {"lmstudio": "LM Studio's server", "ollama": "Ollama"}


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that answers for a tier."""

    tier: str
    provider: str
    model: str
    why: str
    """What made it possible: the variable of the key, or `running`; and where capabilities decided, how."""
    destination: str
    """The host that it sends to."""
    local: bool

    def __str__(self) -> str:
        """What a person is told before anything is sent."""
        going = f"stays on this machine ({self.destination})" if self.local else f"sends to {self.destination}"
        return f"{self.tier} -> {self.provider}/{self.model} ({self.why}); {going}"

    def applied(self, profile: Profile) -> Profile:
        """The profile with its tier replaced by the model chosen."""
        return profile.answered_by(self.provider, self.model)


@dataclass(frozen=True, slots=True)
class _Reached:
    """A provider that can be asked."""

    provider: str
    why: str
    target: Target
    running: Sequence[Listed] | None = None
    """Of a server on this machine: its chat models."""

    def choice(self, tier: str, model: str, how: str = "") -> Choice:
        server = self.target.address
        return Choice(tier, self.provider, model, f"{self.why}; {how}" if how else self.why, server.label, server.local)


_Looked = tuple[str, Target, Probe]


async def choose(
    wanted: Iterable[Wanted], catalog: Catalog, reach: Reach, pricing: Priced, *, offline: bool, all_of_them: bool = True
) -> dict[Wanted, Choice]:
    """A choice for each tier and set of capabilities.

    The first provider of the catalogue that can be reached answers: a server on this machine with a chat model, or one whose key is there.
    Where its model for the tier lacks a capability, the cheapest does that has it and can be reached; on this machine they are free.
    Offline only this machine is looked at. Raises ProblemError for an unknown tier, and with the ways out where something stays unchosen,
    unless that is no problem: offline, or where not all of them are needed.
    """
    asked = tuple(dict.fromkeys(wanted))
    if not asked:
        return {}
    _check_known(asked, catalog)
    reached = await _reached(asked, catalog, reach, offline=offline)
    found = {each: choice for each in asked if (choice := _chosen(*each, reached, catalog, reach, pricing))}
    missing = [each for each in asked if each not in found]
    if missing and all_of_them and not offline:
        raise ProblemError(*_none(missing, catalog))
    return found


def _check_known(asked: Iterable[Wanted], catalog: Catalog) -> None:
    known = {tier for card in catalog.values() for tier in card.tiers}
    if strange := [tier for tier in dict.fromkeys(tier for tier, _ in asked) if tier not in known]:
        ways = f"there are: {', '.join(sorted(known))}"
        raise ProblemError(*(Problem(f"provider auto has no tier '{tier}'", hint=nearest(tier, known) or ways) for tier in strange))


async def _reached(asked: Sequence[Wanted], catalog: Catalog, reach: Reach, *, offline: bool) -> list[_Reached]:
    """The providers that can be asked, in order."""
    able = any(capabilities for _, capabilities in asked)
    looked = _begun({tier for tier, _ in asked}, catalog, reach, able=able, offline=offline)
    await _look([each for each in looked if isinstance(each, tuple)])
    if not offline:
        _check_spoken(looked)
    found = []
    for each in looked:
        if isinstance(each, _Reached):
            found.append(each)
        elif models := (await each[2].detailed() if able else each[2].models):
            found.append(_Reached(each[0], "running", each[1], models))
    return found


def _begun(tiers: set[str], catalog: Catalog, reach: Reach, *, able: bool, offline: bool) -> list[_Reached | _Looked]:
    """Providers with a key, and probes that have begun; what follows keys for all tiers is looked at only where capabilities are wanted."""
    looked: list[_Reached | _Looked] = []
    for provider, card in catalog.items():
        if (target := _target(provider, reach)) is None:
            continue
        if PRESETS[provider].at_home:
            if target.address.local:
                looked.append((provider, target, Probe(provider, target.address)))
        elif target.credential and not offline:
            looked.append(_Reached(provider, target.credential.origin, target))
            tiers = tiers - card.tiers.keys()
            if not (tiers or able):
                break
    return looked


async def _look(looked: Sequence[_Looked]) -> None:
    """Wait until each server has said what it has, at most as long as a probe may take.

    One that took the connection and says nothing is busy: it is waited for where nothing else on this machine answers.
    """
    if not looked:
        return
    await asyncio.wait([probe.task for *_, probe in looked], timeout=QUICK_SECONDS)
    silent = [probe.task for *_, probe in looked if probe.silent]
    if silent and not any(probe.models for *_, probe in looked):
        await asyncio.wait(silent, timeout=PATIENT_SECONDS)
    for *_, probe in looked:
        probe.give_up()


def _check_spoken(looked: Sequence[_Reached | _Looked]) -> None:
    """Raises ProblemError where a server stays silent that would have come first: nobody else is sent what was meant for it."""
    first: _Looked | None = None
    for each in looked:
        if isinstance(each, _Reached) or each[2].models:
            break
        first = first or (each if each[2].gave_up else None)
    if first and not any(isinstance(each, tuple) and each[2].models for each in looked):
        provider, target, _ = first
        what = f"{_CALLED.get(provider, provider)} at {target.address.label} takes connections and does not say which models it has"
        raise ProblemError(Problem(what, hint="try again when it is not busy, or say who else may read your text: --profile NAME"))


def _target(provider: str, reach: Reach) -> Target | None:
    """Where a provider would be asked; None if it cannot be."""
    if provider not in PRESETS:
        return None
    try:
        target = aim(_profile(provider, ANY), reach)
    except ProblemError:
        return None
    return None if target.refusal else target


def _profile(provider: str, model: str) -> Profile:
    return Profile(name=AUTO, provider=provider, model=model)


def _chosen(
    tier: str, wanted: frozenset[Capability], reached: Sequence[_Reached], catalog: Catalog, reach: Reach, pricing: Priced
) -> Choice | None:
    for each in reached:
        if (model := _own_model(each, catalog[each.provider].tiers.get(tier))) is None:
            continue
        if wanted <= (_capabilities(each, model, catalog, reach) or frozenset()):
            return each.choice(tier, model)
        return _cheapest(tier, wanted, reached, catalog, pricing)
    return None


def _own_model(each: _Reached, told: str | None) -> str | None:
    """The provider's model for a tier, if it has one."""
    if told is None or each.running is None:
        return told
    if told == ANY:
        return each.running[0].name
    names = [model.name for model in each.running]
    return next((name for name in names if name in (told, with_tag(told))), None)


def _capabilities(each: _Reached, model: str, catalog: Catalog, reach: Reach) -> frozenset[Capability] | None:
    said = next((listed.capabilities for listed in each.running or () if listed.name == model), None)
    card = catalog[each.provider].models.get(model) or reach.card(_profile(each.provider, model))
    return card.capabilities if said is None else said


def _cheapest(tier: str, wanted: frozenset[Capability], reached: Sequence[_Reached], catalog: Catalog, pricing: Priced) -> Choice | None:
    fitting: list[tuple[float | None, _Reached, str]] = []
    for each in reached:
        if each.running is not None:
            fitting += [(0.0, each, model.name) for model in each.running if wanted <= (model.capabilities or frozenset())]
            continue
        for name, card in catalog[each.provider].models.items():
            if not card.gone and wanted <= (card.capabilities or frozenset()):
                price = pricing(_profile(each.provider, name))
                fitting.append((price.cost(_SAMPLE) if price else None, each, name))
    if not fitting:
        return None
    cost, each, model = min(fitting, key=lambda fit: (fit[0] is None, fit[0] or 0.0))
    words = _words(wanted)
    how = f"the first with {words}, none with a known price" if cost is None else f"cheapest with {words}: {_money(cost)} per 1k+1k tokens"
    return each.choice(tier, model, f"{how}, of {len(fitting)} that fit")


def _money(cost: float) -> str:
    return f"${cost:.6f}".rstrip("0").rstrip(".")


def _none(missing: Sequence[Wanted], catalog: Catalog) -> Iterable[Problem]:
    """The ways out, once for tiers and once for each set of capabilities."""
    servers = " or ".join(_CALLED.get(name, name) for name in catalog if name in PRESETS and PRESETS[name].at_home)
    clouds = [name for name in catalog if name in PRESETS and not PRESETS[name].at_home]
    others = f" (or {', '.join(clouds[1:])})" if clouds[1:] else ""
    keep = [f"keep a key: llm-orc auth add {clouds[0]}{others}"] if clouds else []
    if plain := [tier for tier, capabilities in missing if not capabilities]:
        start = [f"start {servers} with a chat model loaded"] if servers else []
        hint = ", or ".join([*start, *keep, "run what needs no model: --offline"])
        yield Problem(f"no model can be reached for {' and '.join(plain)}", hint=hint)
    for tier, capabilities in missing:
        if capabilities:
            words = _words(capabilities)
            give = [f"give {servers} a model with {words}"] if servers else []
            hint = ", or ".join([*give, *keep, "name a profile that has it: --profile NAME"])
            yield Problem(f"no model with {words} can be reached for {tier}", hint=hint)


def _words(capabilities: Iterable[Capability]) -> str:
    return " and ".join(sorted(capabilities)).replace("_", " ")
