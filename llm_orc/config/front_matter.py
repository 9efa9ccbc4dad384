"""Variables that are written as YAML front matter at the head of what an ensemble works on.

They are read only where each of its keys is a variable of the ensemble; any other text that begins with `---` is nothing but text.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from llm_orc.config.reading import Document, parse
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.plan import Plan
from llm_orc.domain.problem import Place, Problem, ProblemError, nearest
from llm_orc.domain.variable import typed_variables

_BLOCK = re.compile(r"---[ \t]*\r?\n(.*?)(?<=\n)(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_KEY = re.compile(r"(?m)^([A-Za-z][\w-]*)[ \t]*:(?=\s|$)")
_LONGEST = 65_536
"""Characters of front matter; longer ones are text between two lines."""


class Part(NamedTuple):
    """A piece of the input."""

    text: str
    name: str = ""
    """Of the file that it comes from."""


@dataclass(slots=True)
class Brief:
    """What parts of an input say, and the variables that stand at their heads."""

    ensemble: Ensemble
    texts: list[str] = field(default_factory=list)
    given: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Place | None] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def read(self, part: Part) -> None:
        """One more part."""
        found = _BLOCK.match(part.text) if part.text.startswith("---") else None
        document = self._document(found[1], part.name) if found and len(found[1]) <= _LONGEST else None
        if found is None or document is None:
            self.texts.append(part.text)
            return
        self.texts.append(part.text[found.end() :].lstrip("\r\n"))
        lines = part.text.split("\n")
        for name, value in document.data.items():
            place = Place(part.name, *document.keys[name,]) if part.name else None
            if name in self.given:
                first = self.places[name]
                self.problems.append(Problem(f"a second '{name}'", place, f"the first is at {first}" if first else "leave one out"))
            elif value is not None:
                self.given[name], self.places[name] = _as_written(value, lines, document.source.at(name)), place

    def _document(self, block: str, name: str) -> Document | None:
        """What the block says, if it is about the variables; what is wrong with it then is a problem."""
        known = self.ensemble.variables
        keys = _KEY.findall(block)
        try:
            document = parse(f"\n{block}", name or "the input")
            document.check()
        except ProblemError as error:
            if keys and all(key in known for key in keys):
                self.problems += error.problems
            return None
        keys = [*document.data] if isinstance(document.data, Mapping) else []
        strange = [key for key in keys if key not in known]
        if len(strange) < len(keys) and strange:
            place = Place(name, *document.keys[strange[0],]) if name else None
            what = f"'{strange[0]}' is no variable of '{self.ensemble.name}': what stands with it between '---' is taken as text"
            self.problems.append(Problem(what, place, nearest(strange[0], known), warning=True))
        return document if keys and not strange else None


def informed(plan: Plan, parts: Iterable[Part], chosen: Mapping[str, Any]) -> tuple[Plan, str, list[Problem]]:
    """The plan with the variables that stand at the head of its input, the rest of the input, and warnings; raises ProblemError.

    What was `chosen` beats what is written there. The plan may have been made with stand-ins for variables that are required.
    """
    brief = Brief(plan.ensemble)
    for part in parts:
        brief.read(part)
    if not all(problem.warning for problem in brief.problems):
        raise ProblemError(*brief.problems)
    given = {**brief.given, **chosen}
    places = {name: place for name, place in brief.places.items() if name not in chosen}
    values, problems = typed_variables(plan.ensemble, given, places)
    if problems:
        raise ProblemError(*brief.problems, *problems)
    if values != plan.variables:
        choices = replace(plan.basis.choices, variables=given)
        plan = replace(plan, variables=values, basis=replace(plan.basis, choices=choices))
    return plan, joined(brief.texts), brief.problems


def joined(texts: Iterable[str]) -> str:
    """The parts that say something, a blank line between them; one alone stays as it is."""
    said = [text for text in texts if text.strip()]
    return "\n\n".join([*(text.rstrip("\n") for text in said[:-1]), *said[-1:]])


def _as_written(value: Any, lines: list[str], place: Place) -> Any:
    """A number as it stands there, for `1.10` may well be a version: it becomes what the variable is."""
    if isinstance(value, bool | int | float):
        return re.match(r"[^\s,}\]]*", lines[place.line - 1][place.column - 1 :])[0]  # type: ignore[index] # it fits everything
    return value
