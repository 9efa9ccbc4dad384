"""What can be wrong with one agent by itself, once its dependencies are known."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from llm_orc.domain.ensemble import SYNTHESIS, Agent, AgentSynthesis, DocumentSynthesis, Synthesis
from llm_orc.domain.fan_out import FanOut
from llm_orc.domain.plan import PlannedAgent
from llm_orc.domain.problem import KeyPath, nearest
from llm_orc.domain.said import identifier

_OURS = re.compile(r"\{\{[-+]? *((?:input|variables|agents|item|index)\b[^}]*?) *[-+]?\}\}")
"""A tag that names what only templates know; other programs have tags of their own, which are none of our business."""
UNFILLED = frozenset({"command", "parameters", "system_prompt", "script", "options", "model"})
"""Keys whose texts are taken as they are."""


class Fault(NamedTuple):
    """What is wrong, where below the agent, and a hint."""

    what: str
    path: KeyPath
    hint: str = ""


def faults_of(planned: PlannedAgent, names: Collection[str]) -> Iterator[Fault]:
    """Everything; `names` are those of all agents."""
    yield from _edges(planned.agent, names)
    yield from _counts(planned)
    for key in UNFILLED & planned.agent.model_fields_set:
        for path, text in _texts(getattr(planned.agent, key), (key,)):
            if tag := _OURS.search(text):
                hint = "templates are filled in where something is asked: prompt, when, fan_out, synthesis"
                yield Fault(f"'{tag[1]}' is not filled in here", path, hint)


def faults_of_synthesis(written: Synthesis | None, names: Collection[str]) -> Iterator[Fault]:
    """What is wrong with the agents that it names."""
    if isinstance(written, AgentSynthesis) and written.agent not in names:
        yield Fault(f"no agent '{written.agent}'", ("agent",), _the_nearest(written.agent, names))
    listed = [section.agent for section in written.document.sections or ()] if isinstance(written, DocumentSynthesis) else []
    for index, name in enumerate(listed):
        path = ("document", "sections", index)
        if name not in names:
            yield Fault(f"no agent '{name}'", path, _the_nearest(name, names))
        elif name in listed[:index]:
            yield Fault(f"a second section '{name}'", path, "leave one out")


def _the_nearest(name: str, names: Collection[str]) -> str:
    return nearest(name, names) or "the agents are: " + ", ".join([*names][:8])


def _edges(agent: Agent, names: Collection[str]) -> Iterator[Fault]:
    for index, name in enumerate(agent.depends_on):
        if name not in names and agent.name != SYNTHESIS:
            yield Fault(f"no agent '{name}'", ("depends_on", index), _the_nearest(name, names))
        elif name in agent.depends_on[:index]:
            yield Fault(f"'{name}' is named twice", ("depends_on", index))


def _counts(planned: PlannedAgent) -> Iterator[Fault]:
    agent, count = planned.agent, len(planned.depends_on)
    if isinstance(agent.require, int) and agent.require > count:
        yield Fault(f"'require: {agent.require}' of {count} dependencies can never be met", ("require",))
    if agent.fan_out is True and len(agent.depends_on) != 1:
        hint = 'or name them: fan_out: {items: "{{ agents.NAME.json }}"}'
        yield Fault("'fan_out: true' takes exactly one entry in 'depends_on'", ("fan_out",), hint)
    if agent.input_key is not None and not count:
        yield Fault("'input_key' needs a dependency to select from", ("input_key",))
    if agent.input_key is not None and isinstance(agent.fan_out, FanOut) and agent.body != "model":
        yield Fault(f"each child of this {agent.body} works on its item, not on 'input_key'", ("input_key",))
    if agent.fan_out is False and "gather" in agent.model_fields_set:
        yield Fault("'gather' needs a 'fan_out'", ("gather",))
    if agent.fan_out and agent.gather == "reduce" and planned.reduces is None:
        hint = 'let an agent after it do it: fan_out: {chunks: "{{ agents.' + identifier(agent.name) + ' }}"}, gather: reduce'
        yield Fault("'gather: reduce' belongs to fan_out over 'chunks'", ("gather",), hint)


def _texts(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every text in a value, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    elif isinstance(value, Sequence):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))
