"""Problems as text on stderr: where, what, and what to do next."""

from collections.abc import Iterable

from llm_orc.domain.problem import Problem
from llm_orc.render.safe import harmless
from llm_orc.render.words import folded, ink


def told(problems: Iterable[Problem], *, color: bool = False, width: int | None = None) -> str:
    """Each problem on lines of its own: `file:line:column: what`, then `hint: ...`; wrapped where there is a width."""
    return "".join(f"{row}\n" for problem in problems for line in _lines(problem, color=color) for row in folded(line, width))


def _lines(problem: Problem, *, color: bool) -> list[str]:
    place = ink(f"{harmless(str(problem.place))}:", "bold", color=color) if problem.place else ""
    kind = ink("warning:", "yellow", color=color) if problem.warning else "" if place else ink("error:", "red", color=color)
    what = harmless(problem.what)
    if place and not problem.warning:
        what = ink(what, "red", color=color)
    lines = [" ".join(filter(None, (place, kind, what)))]
    if problem.hint:
        lines.append(ink("hint:", "cyan", color=color) + f" {harmless(problem.hint)}")
    return lines
