"""What can still be looked at in an ensemble with faults, so that a person hears of everything at once."""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from llm_orc.config.foreign import REFUSED
from llm_orc.config.reading import Document
from llm_orc.domain.ensemble import BODY_KEYS, Common, Ensemble
from llm_orc.domain.files import Files
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.read import NAME_PATTERN

_TELLING = ("prompt", "prompt_file", *REFUSED, *BODY_KEYS, *Common.model_fields)


class HalfReadError(ProblemError):
    """The problems of an ensemble, and the rest of it, where an agent whose faults may mislead is but a name for others to refer to."""

    def __init__(self, problems: Iterable[Problem], rest: Ensemble) -> None:
        super().__init__(*problems)
        self.rest = rest


def half_read(document: Document, data: dict[str, Any], files: Files, error: ProblemError) -> ProblemError:
    """The error with the rest of the ensemble, if enough is sound; else as it is."""
    agents = data.get("agents")
    if not isinstance(agents, list) or not all(_named(agent) for agent in agents):
        return error
    faults: dict[str | int, set[str]] = {}
    for path in document.faulty:
        if path[:1] == ("agents",) and len(path) > 1:
            faults.setdefault(path[1], set()).add(str(path[2]) if len(path) > 2 else "name")
    unsound = {index for index, keys in faults.items() if any(map(_telling, keys))}
    rest: dict[str, Any] = {"name": data["name"] if _named(data) else "ensemble"}
    rest["agents"] = [
        {"name": agent["name"]} if index in unsound else {key: agent[key] for key in agent.keys() - faults.get(index, set())}
        for index, agent in enumerate(agents)
    ]
    if isinstance(variables := data.get("variables"), dict):
        rest["variables"] = {name: {} for name in variables if _named({"name": name})}
    faulty = {path[:1] for path in document.faulty}
    rest |= {key: data[key] for key in ("defaults", "synthesis") if key in data and (key,) not in faulty}
    try:
        sound = Ensemble.model_validate(rest).found(document.source, files)
    except ValidationError:  # something else is wrong, and was told
        return error
    return HalfReadError(error.problems, sound)


def _telling(key: str) -> bool:
    """Whether other keys could look wrong once this one, perhaps misspelt, is left out."""
    from difflib import get_close_matches  # costs 5 ms, needed only when something is wrong

    return bool(get_close_matches(key, _TELLING, n=1))


def _named(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get("name"), str) and re.match(NAME_PATTERN, data["name"]) is not None
