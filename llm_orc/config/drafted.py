"""An ensemble that an agent replied with: data, checked as a file is, and never code."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from pydantic import BaseModel

from llm_orc.config.layers import Layers
from llm_orc.config.reading import parse
from llm_orc.config.written import ensemble_of
from llm_orc.domain.ensemble import Ensemble, ModelAgent
from llm_orc.domain.fan_out import FanOut
from llm_orc.domain.files import NoFiles
from llm_orc.domain.message import Attachment, FailedError, Failure, Kind
from llm_orc.domain.plain import split_plain
from llm_orc.domain.plan import MAX_DEPTH, Choices, Plan, PlannedAgent
from llm_orc.domain.problem import KeyPath, Problem, ProblemError
from llm_orc.domain.resolve import resolve

SHOWN = 3
"""Problems that are told of one reply."""
_FENCE = re.compile(r"(?ms)^[ \t]*```[^\n`]*\n(.*?)^[ \t]*```[ \t]*$")
_CHOSEN = ("provider", "model", "options")
"""What a reply does not choose: servers, and what is passed on to them as it is."""


class _Nothing(NoFiles):
    """A reply names no files."""

    def text(self, name: str) -> str:
        raise ProblemError(Problem(f"'{name}' is a file, which an agent's reply cannot name", hint="it holds the text itself"))

    def program(self, name: str) -> str:
        return self.text(name)

    def attachment(self, name: str, *, filled: bool = False) -> Attachment:  # noqa: ARG002 - the contract
        raise ProblemError(Problem(f"'{name}' is a file, which an agent's reply cannot name"))


def drafted(text: str, planned: PlannedAgent, parent: Plan, layers: Layers) -> Plan:
    """The plan of the ensemble in a reply, run by this agent of the parent; raises FailedError `malformed` with places in the reply."""
    with held_to_rules(planned):
        if len(parent.trail) > MAX_DEPTH:
            raise ProblemError(Problem(f"ensembles nest deeper than {MAX_DEPTH}: {' -> '.join((*parent.trail, planned.name))}"))
        ensemble = _ensemble_in(text, _author(planned), planned.name)
        around = layers if parent.ensemble.source.file.startswith("<") else layers.around(parent.ensemble.source.file)
        choices = Choices(getattr(planned.agent, "parameters", {}), profile=parent.profile, cache=parent.cache)
        plan = resolve(ensemble, around.profiles, around.ensembles, choices, layers.default_profile, parent.trail)
        if refused := [*_chosen(ensemble), *_computed(ensemble), *_beyond(plan), *plan.untrusted]:
            raise ProblemError(*refused)
        return plan


@contextmanager
def held_to_rules(planned: PlannedAgent) -> Iterator[None]:
    """Makes of what is wrong with the reply that this agent would run a failure of the agent."""
    try:
        yield
    except ProblemError as error:
        problems = [problem for problem in error.problems if not problem.warning]
        told = "; ".join(f"{problem.place}: {problem.what}" if problem.place else problem.what for problem in problems[:SHOWN])
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        hint = next((problem.hint for problem in problems if problem.hint), "")
        what = f"the reply of '{_author(planned)}' is no ensemble that can be run: {told}{more}"
        raise FailedError(Failure(Kind.MALFORMED, what, hint)) from None


def _author(planned: PlannedAgent) -> str:
    return next(iter(planned.draft.names.agents), planned.name) if planned.draft else planned.name


def _ensemble_in(text: str, who: str, name: str) -> Ensemble:
    """The ensemble in a text or in its only fenced block, whose lines keep their numbers."""
    blocks = list(_FENCE.finditer(text))
    if len(blocks) == 1:
        text = "\n" * text.count("\n", 0, blocks[0].start(1)) + blocks[0][1]
    return ensemble_of(parse(text, who), _Nothing(), name)


def _chosen(ensemble: Ensemble) -> Iterator[Problem]:
    """What a reply must not choose."""
    parts: list[tuple[Any, tuple[str | int, ...]]] = [(agent, ("agents", index)) for index, agent in enumerate(ensemble.agents)]
    parts += [(ensemble.defaults, ("defaults",)), (ensemble.synthesis, ("synthesis",))]
    for part, path in parts:
        for key in _CHOSEN:
            if part is not None and key in part.model_fields_set and key in (*ModelAgent.model_fields,):
                hint = "model_profile: takes one of your profiles: llm-orc list profiles"
                yield Problem(f"'{key}' is nothing that an agent's reply may choose", ensemble.source.at(*path, key), hint)


def _computed(ensemble: Ensemble) -> Iterator[Problem]:
    """Tags that are more than names: loops and filters are code, which could go on for ever or fill all memory."""
    parts: list[tuple[KeyPath, object]] = [(("agents", index), agent) for index, agent in enumerate(ensemble.agents)]
    for path, text in chain.from_iterable(_texts(part, path) for path, part in [*parts, (("synthesis",), ensemble.synthesis)]):
        if split_plain(text) is None:
            hint = "as {{ input }}, {{ item.name }} or {{ agents.NAME.json.key }}"
            yield Problem("a tag in what an agent replies is a name and nothing more", ensemble.source.at(*path), hint)


def _texts(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every text that was written in it."""
    match value:
        case str():
            yield path, value
        case BaseModel():
            for key in value.model_fields_set:
                yield from _texts(getattr(value, key), (*path, key))
        case list() | tuple():
            for index, each in enumerate(value):
                yield from _texts(each, (*path, index))


def _beyond(plan: Plan) -> Iterator[Problem]:
    """Whatever would run a program or read a file, in its children too."""
    for planned in plan.agents.values():
        fan_out = planned.agent.fan_out
        at = plan.ensemble.source.at
        if planned.agent.body in ("script", "command"):
            what = f"'{planned.name}' is a {planned.agent.body}, and what an agent replies never runs one"
            yield Problem(what, at(*planned.path, planned.agent.body), "it may ask models, and name ensembles that only ask models")
        if isinstance(fan_out, FanOut) and fan_out.source == "files":
            yield Problem(f"'{planned.name}' reads files, and what an agent replies never does", at(*planned.path, "fan_out", "files"))
        if planned.attachments:
            yield Problem(f"'{planned.name}' sends files, and what an agent replies never does", at(*planned.path, "attachments"))
        for child in (planned.child, *(variant.child for variant in planned.variants)):
            if child is not None:
                yield from _beyond(child)
