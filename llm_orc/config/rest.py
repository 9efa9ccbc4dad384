"""What can still be looked at in an ensemble with faults, so that a person hears of everything at once."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from llm_orc.config.reading import Document
from llm_orc.domain.ensemble import Ensemble, Files
from llm_orc.domain.problem import Place, Problem, ProblemError
from llm_orc.domain.profile import NAME_PATTERN


class HalfReadError(ProblemError):
    """The problems of an ensemble, and the rest of it: each faulty agent is but a name there, so that others may refer to it."""

    def __init__(self, problems: Iterable[Problem], rest: Ensemble, tells: Callable[[Problem], bool]) -> None:
        super().__init__(*problems)
        self.rest = rest
        self.tells = tells
        """Whether a problem of the rest is one of the whole too."""


def half_read(document: Document, data: dict[str, Any], files: Files, error: ProblemError) -> ProblemError:
    """The error with the rest of the ensemble, if enough is sound; else as it is."""
    agents = data.get("agents")
    if not isinstance(agents, list) or not all(_named(agent) for agent in agents):
        return error
    unsound = {path[1] for path in document.faulty if path[:1] == ("agents",) and len(path) > 1}
    rest: dict[str, Any] = {"name": data["name"] if _named(data) else "ensemble"}
    rest["agents"] = [{"name": agent["name"]} if index in unsound else agent for index, agent in enumerate(agents)]
    if isinstance(variables := data.get("variables"), dict):
        rest["variables"] = {name: {} for name in variables if _named({"name": name})}
    faulty = {path[:1] for path in document.faulty}
    rest |= {key: data[key] for key in ("defaults", "synthesis") if key in data and (key,) not in faulty}
    try:
        sound = Ensemble.model_validate(rest).found(document.source, files)
    except ValidationError:  # something else is wrong, and was told
        return error
    starts = sorted((spot, path[1] if len(path) > 1 else "") for path, spot in _parts(document))

    def tells(problem: Problem) -> bool:
        return problem.place is not None and not problem.warning and _part_at(starts, problem.place) not in unsound

    return HalfReadError(error.problems, sound, tells)


def _named(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get("name"), str) and re.match(NAME_PATTERN, data["name"]) is not None


def _parts(document: Document) -> Iterable[tuple[tuple[str | int, ...], tuple[int, int]]]:
    """Where each agent and each key at the top begins."""
    yield from ((path, spot) for path, spot in document.keys.items() if len(path) == 1)
    yield from ((path, spot) for path, spot in document.spots.items() if len(path) == 2 and path[0] == "agents")


def _part_at(starts: list[tuple[tuple[int, int], Any]], place: Place) -> Any:
    index = bisect_right(starts, (place.line, place.column), key=lambda start: start[0])
    return starts[index - 1][1] if index else ""
