"""Where what a run sends goes, and what that can cost at most: said before anything is sent."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from llm_orc.domain.profile import AUTO, Profile
from llm_orc.render.words import counted, size_text

if TYPE_CHECKING:
    from llm_orc.app import Session
    from llm_orc.domain.bound import Bound
    from llm_orc.domain.plan import Plan
    from llm_orc.models.auto import Choice

Uses = Callable[[Profile], bool]


def bound_of(session: "Session", text: str | None) -> "Bound":
    """What the plan of a settled session may cost on this input; None is not known yet. Prices are looked up, which may take 0.3 s."""
    from llm_orc.config.tree import tree_of
    from llm_orc.domain.bound import bound

    return bound(
        session.plan,
        text,
        lambda profile: session.known.pricing(profile, local=session.models.endpoint(profile).local),
        session.known.card,
        tree_of(session.layers),
    )


def answering(choice: "Choice", written: "Plan") -> Uses:
    """Which profiles of the settled plan a choice answers for; `written` is the plan before it was settled."""
    names = {profile.name for profile in written.profiles() if profile.tier == choice.tier}
    return lambda profile: (profile.provider, profile.model) == (choice.provider, choice.model) and profile.name in names


def first_lines(session: "Session", written: "Plan", choices: "Sequence[Choice]", text: str, *, verbose: bool) -> Iterator[str]:
    """Each choice with its destination and the most it can cost; with `verbose` every other destination too."""
    costs = _Costs(session, text)
    for choice in choices:
        uses = answering(choice, written)
        why = f"{choice.tier} -> {choice.provider}/{choice.model} ({choice.why})"
        yield f"{why}; {_going(choice.destination, costs, uses, local=choice.local)}"
    if verbose:
        chosen = [answering(choice, written) for choice in choices]
        yield from _others(session, costs, lambda profile: any(uses(profile) for uses in chosen))


def _others(session: "Session", costs: "_Costs", chosen: Uses) -> Iterator[str]:
    groups: dict[tuple[str, bool], list[Profile]] = {}
    for profile in session.plan.profiles():
        if profile.provider == AUTO or chosen(profile):
            continue
        endpoint = session.models.endpoint(profile)
        if endpoint.local or not session.offline:
            groups.setdefault((endpoint.label, endpoint.local), []).append(profile)
    for (label, local), profiles in groups.items():
        names = _joined(profile.name for profile in profiles)
        models = _joined(f"{profile.provider}/{profile.model}" for profile in profiles)
        who = f"{names} -> {models}" if names else models
        yield f"{who}; {_going(label, costs, profiles.__contains__, local=local)}"


class _Costs:
    """What is sent, and the bound of a run, worked out when the first destination off this machine asks for it."""

    def __init__(self, session: "Session", text: str) -> None:
        self._session, self._text = session, text
        self._bound: Bound | None = None

    def size(self, uses: Uses) -> str:
        """How much it is, what is attached counted apart."""
        text, files = size_text(len(self._text.encode(errors="replace"))), self._session.plan.sent(uses)
        if not files:
            return text
        return f"{text} and {counted(len(files), 'attachment')} ({size_text(sum(len(file.data) for file in files))})"

    def of(self, uses: Uses) -> str:
        """What may be spent on these profiles, in words."""
        from llm_orc.render.cost import cost_text

        if self._bound is None:
            self._bound = bound_of(self._session, self._text)
        return cost_text(self._bound.of(uses))


def _going(destination: str, costs: _Costs, uses: Uses, *, local: bool) -> str:
    if local:
        return f"stays on this machine ({destination})"
    return "; ".join(filter(None, (f"sends {costs.size(uses)} to {destination}", costs.of(uses))))


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, words)))
