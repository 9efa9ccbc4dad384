"""What several profiles made of one input: as Markdown, in columns on a terminal and on a page, and as JSON."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from llm_orc.domain.comparison import Answer, Ranked, Verdict, answers_of, verdict_of
from llm_orc.domain.document import Document, Section, markdown
from llm_orc.domain.event import Happening
from llm_orc.domain.plan import Plan
from llm_orc.domain.run import Node, Run
from llm_orc.render.formats import Format, Paper
from llm_orc.render.json import document, plain, to_json
from llm_orc.render.safe import one_line
from llm_orc.render.words import cost_of, counted, dollars, seconds, tokens

CUT = "length"


@dataclass(frozen=True, slots=True)
class Column:
    """An answer, with what it took."""

    answer: Answer
    state: str
    """How it ended, in words."""
    facts: tuple[str, ...]
    """Time, tokens and cost, as far as they are known."""
    models: tuple[str, ...]
    text: str
    """The answer; what had come of it where there is none."""
    note: str
    """Why there is none, or what else should be known."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A finished comparison."""

    title: str
    columns: tuple[Column, ...]
    verdict: Verdict | None
    by: str = ""
    """The model that judged."""
    spent: tuple[str, ...] = ()
    """What that took."""

    @property
    def judged(self) -> str:
        """Both."""
        return one_line("  ".join(("judged by", ", ".join(filter(None, (self.by, *self.spent)))))) if self.by else ""


def comparison(run: Run, plan: Plan) -> Comparison:
    """What there is to see of it."""
    answers = answers_of(run, plan)
    verdict = verdict_of(run, answers)
    by = "" if verdict is None else ", ".join(dict.fromkeys(each.model for each in run.below(verdict.node) if each.model))
    spent = () if verdict is None else tuple(_facts(verdict.node))
    return Comparison(str(run.variables["title"]), tuple(_column(run, each) for each in answers), verdict, by, spent)


def _column(run: Run, answer: Answer) -> Column:
    node = answer.node
    if node is None:
        return Column(answer, "not run", (), (), "", "its turn never came")
    below = list(_below(run, node))
    failed = sum(each.status == "failed" for each in below)
    note = node.cause
    if answer.ok:
        note = f"{counted(failed, 'agent')} failed in it" if failed else ""
        if any(each.reply and each.reply.finish == CUT for each in below):
            note = "; ".join(filter(None, (note, "a reply in it is cut short, by max_tokens")))
    models = dict.fromkeys(each.model for each in below if each.model)
    return Column(answer, node.status, tuple(_facts(node)), tuple(models), node.text, one_line(note))


def _below(run: Run, node: Node) -> Iterator[Node]:
    for child in run.below(node):
        yield child
        yield from _below(run, child)


def _facts(node: Node) -> Iterator[str]:
    """Seconds, tokens, cost: each where there is any."""
    yield seconds(node.seconds)
    yield tokens(node.usage)
    yield _cost(node)


def _cost(node: Node) -> str:
    if not node.usage.total:
        return ""
    if node.cost is None:
        return "no known price"
    known = "at least " if node.unpriced else ""
    return f"{known}{'~' if node.usage.estimated and node.cost else ''}{dollars(node.cost)}"


# Words


def in_order(shown: Comparison, run: Run) -> str:
    """All of it as one Markdown document: the facts, the verdict, then answer by answer."""
    sections = [Section("overview", "\n".join(_table(shown, run)), "In short")]
    if shown.verdict is not None:
        sections.append(Section("verdict", judgement(shown), "Verdict"))
    for column in shown.columns:
        note = f"*({column.note})*" if column.note else ""
        sections.append(Section(column.answer.profile, column.text, column.answer.profile, note))
    return markdown(Document(shown.title, tuple(sections), depth=0)) + "\n"


def _table(shown: Comparison, run: Run) -> Iterator[str]:
    yield "| profile | model | status | time | tokens | cost |"
    yield "|---|---|---|---:|---:|---:|"
    for column in shown.columns:
        yield _row(column.answer.profile, ", ".join(column.models), column.state, *column.facts)
    if shown.verdict is not None and shown.verdict.node.usage.total:
        yield _row("the judge", shown.by, shown.verdict.node.status, *shown.spent)
    yield _row("all", "", run.status, seconds(run.seconds), tokens(run.usage), cost_of(run, unpriced=bool(run.unpriced)))


def _row(*cells: str) -> str:
    padded = (*cells, *[""] * (6 - len(cells)))
    return f"| {' | '.join(one_line(cell).replace('|', chr(92) + '|') for cell in padded)} |"


def judgement(shown: Comparison) -> str:
    """The ranking as a Markdown list, and how far the two orders agree."""
    verdict = shown.verdict
    if verdict is None:
        return ""
    rows = [_ranked(each, verdict) for each in verdict.ranking]
    return "\n\n".join(filter(None, ("\n".join(rows), " ".join(said(verdict)), f"*{shown.judged}*" if shown.judged else "")))


def _ranked(ranked: Ranked, verdict: Verdict) -> str:
    most = len(verdict.orders) * (len(verdict.ranking) - 1)
    reasons = "".join(f"\n   - {each}" for each in dict.fromkeys(map(one_line, ranked.reasons)))
    shared = " (shared)" if sum(each.place == ranked.place for each in verdict.ranking) > 1 else ""
    return f"- {ranked.place}{shared}: **{ranked.profile}**, {ranked.wins:g} of {most} comparisons won{reasons}"


def said(verdict: Verdict) -> Iterator[str]:
    """How far the ranking can be relied on, in sentences."""
    if verdict.node.status == "skipped":
        yield (
            "Nothing was judged: there are fewer than two answers."
            if verdict.node.cause == "when"
            else f"Nothing was judged: {verdict.node.cause}."
        )
        return
    for order, why in verdict.unusable:
        yield f"The ranking of the answers in {order} order cannot be used: {one_line(why)}."
    match len(verdict.orders):
        case 0:
            yield "There is no ranking."
        case 1:
            yield "Only one order was ranked, so nobody knows how much the order matters."
        case _:
            yield from _agreement(verdict)


def _agreement(verdict: Verdict) -> Iterator[str]:
    yield f"Ranked in both orders: they agree on {verdict.agreed:,} of {counted(verdict.pairs, 'pair')}."
    if verdict.ties:
        yield f"{counted(verdict.ties, 'tie')}: equal in both."
    if verdict.undecided:
        yield f"{counted(verdict.undecided, 'half tie')}: equal in one order, not in the other."
    if verdict.contradictions:
        yield f"{counted(verdict.contradictions, 'contradiction')}: there the order decided who came first, and not the answers."


# Formats


def compared(name: str, shape: Format, paper: Paper) -> Format:
    """The format of this name for a comparison."""
    if paper.plan is None or name in ("jsonl", "page"):
        return shape
    plan = paper.plan
    if name in ("html", "rich"):
        from llm_orc.render.columns import on_a_page, on_a_terminal  # the others have no columns

        return AtTheEnd(plan, paper, on_a_page if name == "html" else on_a_terminal)
    if name == "json":
        return AtTheEnd(plan, paper, in_json)
    return InOrder(plan, shape)


@dataclass(slots=True)
class AtTheEnd:
    """Writes a finished comparison in one piece."""

    plan: Plan
    paper: Paper
    made: Callable[[Comparison, Run, Paper], str]
    cut: bool = False

    def tell(self, event: Happening) -> None:
        """Nothing is written before the end."""

    def close(self, run: Run) -> None:
        """Write it."""
        self.paper.write(self.made(comparison(run, self.plan), run, self.paper))


@dataclass(slots=True)
class InOrder:
    """Writes a finished comparison as a format writes any result."""

    plan: Plan
    shape: Format

    @property
    def cut(self) -> bool:
        """Nothing of it is written before the end."""
        return False

    def tell(self, event: Happening) -> None:
        """Nothing is written before the end."""

    def close(self, run: Run) -> None:
        """Write it."""
        self.shape.close(replace(run, result=in_order(comparison(run, self.plan), run)))


def in_json(shown: Comparison, run: Run, paper: Paper) -> str:
    """The run as JSON, with the comparison beside it."""
    return to_json({**document(run, verbose=paper.verbose), "comparison": _plain(shown)}, indent=2) + "\n"


def _plain(shown: Comparison) -> dict[str, Any]:
    return {"answers": [_answer(column) for column in shown.columns], "judge": _verdict(shown.verdict) if shown.verdict else None}


def _answer(column: Column) -> dict[str, Any]:
    node = column.answer.node
    return {
        "profile": column.answer.profile,
        "models": list(column.models),
        "status": node.status if node else "pending",
        "cause": node.cause or None if node else None,
        "text": node.reply.text if node and node.reply else None,
        **_spent(node),
    }


def _spent(node: Node | None) -> dict[str, Any]:
    if node is None:
        return {"usage": None, "cost": None, "seconds": None}
    known = None if node.unpriced else node.cost
    return {"usage": plain(node.usage), "cost": known, "seconds": None if node.seconds is None else round(node.seconds, 3)}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "status": verdict.node.status,
        "ranking": [each._asdict() for each in verdict.ranking],
        "orders": list(verdict.orders),
        "unusable": dict(verdict.unusable),
        "pairs": verdict.pairs,
        "agreed": verdict.agreed,
        "ties": verdict.ties,
        "undecided": verdict.undecided,
        "contradictions": verdict.contradictions,
        **_spent(verdict.node),
    }
