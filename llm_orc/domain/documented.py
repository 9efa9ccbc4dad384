"""A finished run as a document."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from llm_orc.domain.document import Document, Section, markdown
from llm_orc.domain.layout import Layout
from llm_orc.domain.message import FailedError, Failure, Kind, Outcome
from llm_orc.domain.plan import Plan
from llm_orc.domain.result import UNASKED, Made
from llm_orc.domain.said import Scope

CUT = "*(cut short: the reply reached the model's max_tokens)*"
FREE = "*(free text: the model did not keep to the form that was asked for)*"


def documented(plan: Plan, layout: Layout, outcomes: Mapping[str, Outcome], scope: Scope, made: Made) -> str:
    """The document; raises FailedError where a section is missing that must not."""
    sections = tuple(sections_of(plan, layout, outcomes, scope))
    title = plan.titles[""].render(scope) if "" in plan.titles else ""
    facts = tuple(_facts([outcomes[name] for name in plan.leaves if name in outcomes], made)) if layout.metadata else ()
    return markdown(Document(title.strip() or _spoken(plan.ensemble.name), sections, facts, layout.toc.depth, layout.number))


def sections_of(plan: Plan, layout: Layout, outcomes: Mapping[str, Outcome], scope: Scope) -> Iterator[Section]:
    """What the document has to say, in order; raises FailedError where a section is missing that must not."""
    for name, title, outcome in _parts(plan, outcomes, scope):
        if outcome.reply is not None:
            notes = (FREE if outcome.reply.mismatch else "", CUT if outcome.reply.finish == "length" else "")
            yield Section(name, outcome.reply.text, title, "\n\n".join(filter(None, notes)))
        elif outcome.cause in UNASKED or layout.on_missing == "omit":
            continue
        elif layout.on_missing == "fail":
            kind = outcome.failure.kind if outcome.failure else Kind.EMPTY
            raise FailedError(Failure(kind, f"the document lacks the section '{name}': {outcome.cause}"))
        else:
            yield Section(name, title=title, note=f"*(missing: {outcome.cause})*")


def _parts(plan: Plan, outcomes: Mapping[str, Outcome], scope: Scope) -> Iterator[tuple[str, str, Outcome]]:
    """Each section with the title that is written for it; of a fan-out over profiles each profile is one."""
    for name in plan.leaves:
        outcome = outcomes.get(name, Outcome("cancelled", cause="cancelled"))
        title = plan.titles[name].render(scope) if name in plan.titles else ""
        variants = plan.agents[name].variants
        if not variants or len(variants) != len(outcome.children):
            yield name, title, outcome
            continue
        above = title or (name if len(plan.leaves) > 1 else "")
        for variant, child in zip(variants, outcome.children, strict=True):
            yield section_name(name, variant.name), f"{above}: {variant.name}" if above else variant.name, child


def section_name(agent: str, profile: str) -> str:
    """The name of the section with what an agent said under a profile."""
    return f"{agent}-{profile}"


def _facts(outcomes: Iterable[Outcome], made: Made) -> Iterator[str]:
    yield f"{datetime.fromtimestamp(made.at, UTC):%Y-%m-%d}"
    if models := ", ".join(dict.fromkeys(_models(outcomes))):
        yield models
    yield f"run {made.run}"


def _models(outcomes: Iterable[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        if outcome.reply and outcome.reply.model:
            yield outcome.reply.model
        yield from _models(outcome.children)


def _spoken(name: str) -> str:
    """A name as a person would say it."""
    words = name.replace("-", " ").replace("_", " ")
    return words[:1].upper() + words[1:]
