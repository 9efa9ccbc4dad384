"""What `--only`, `--no-deps` and `--profile` make of an ensemble's agents."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf

from llm_orc.domain.ensemble import SYNTHESIS, AgentSynthesis, Ensemble
from llm_orc.domain.graph import with_all_needed
from llm_orc.domain.message import Outcome
from llm_orc.domain.plan import Choices, PlannedAgent
from llm_orc.domain.problem import Problem, nearest
from llm_orc.domain.prompt import Template
from llm_orc.domain.said import identifier

Agents = Mapping[str, PlannedAgent]


def needs_of(agents: Agents) -> dict[str, list[str]]:
    """For each agent those it needs, as far as they are there."""
    return {name: [need for need in planned.depends_on if need in agents] for name, planned in agents.items()}


def leaves_of(agents: Agents, choices: Choices, sections: Sequence[str] = ()) -> tuple[str, ...]:
    """Whom nobody depends on but the synthesis, or who was chosen; of a document that lists its sections, these."""
    chosen = tuple(name for name in (*sections, *agents) if name in choices.only and name != SYNTHESIS)
    if sections:
        return tuple(dict.fromkeys(chosen or (name for name in sections if name in agents)))
    needed = {need for name, planned in agents.items() if name != SYNTHESIS for need in planned.depends_on}
    return chosen or tuple(name for name in agents if name not in needed and name != SYNTHESIS)


def wrong_choices(ensemble: Ensemble, agents: Agents, choices: Choices) -> list[Problem]:
    """Flags that name no agent, or one that they do not fit, and bounds that are none."""
    problems = []
    if choices.max_parallel is not None and choices.max_parallel < 1:
        problems.append(Problem(f"max_parallel: {choices.max_parallel} calls at once are none", hint="a whole number, 1 or more"))
    if choices.max_cost is not None and not _is_money(choices.max_cost):
        problems.append(Problem(f"max_cost: {choices.max_cost!r} is no amount of money", hint="US dollars, above 0: max_cost=0.50"))
    named = [("--only", name) for name in choices.only] + [("--profile", name) for name in choices.profiles]
    for flag, name in named:
        if name not in agents:
            hint = nearest(name, agents) or "the agents are: " + ", ".join(agents)
            problems.append(Problem(f"{flag}: no agent '{name}' in '{ensemble.name}'", hint=hint))
        elif flag == "--profile" and agents[name].agent.body != "model":
            problems.append(Problem(f"--profile: '{name}' is a {agents[name].agent.body}, it has no model"))
        elif flag == "--only" and choices.no_deps and agents[name].listed_by:
            problems.append(Problem(f"--no-deps: '{name}' fans out over a reply that is then missing"))
    return problems


def _is_money(dollars: object) -> bool:
    return isinstance(dollars, int | float) and not isinstance(dollars, bool) and 0 < dollars < inf


def chosen(agents: Agents, choices: Choices) -> tuple[dict[str, PlannedAgent], dict[str, Outcome]]:
    """The agents that run, and what templates see of the others."""
    wanted = [name for name in choices.only if name in agents]
    if not wanted:
        return dict(agents), {}
    needs = needs_of(agents)
    kept = set(wanted) if choices.no_deps else with_all_needed(wanted, needs)
    if SYNTHESIS in agents and kept.issuperset(needs[SYNTHESIS]):
        kept.add(SYNTHESIS)
    left_out = {name: Outcome("skipped", cause="left out by --no-deps") for name in agents if name not in kept}
    return {name: _without(planned, left_out) for name, planned in agents.items() if name in kept}, left_out


def _without(planned: PlannedAgent, left_out: Mapping[str, Outcome]) -> PlannedAgent:
    if not any(name in left_out for name in planned.depends_on):
        return planned
    agent = planned.agent
    if isinstance(agent.require, int):
        agent = agent.model_copy(update={"require": "any"})
    return replace(planned, agent=agent, depends_on=tuple(name for name in planned.depends_on if name not in left_out))


def synthesised(ensemble: Ensemble, template: Template | None, choices: Choices) -> bool:
    """Whether every agent that the synthesis names was chosen."""
    if not choices.only:
        return True
    there = {identifier(name) for name in choices.only}
    if isinstance(ensemble.synthesis, AgentSynthesis):
        return identifier(ensemble.synthesis.agent) in there
    return template is None or template.names.agents <= there
