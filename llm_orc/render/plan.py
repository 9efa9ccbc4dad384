"""A plan as text and as JSON: what would be run, by whom, and what it would be sent."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import inf
from textwrap import wrap
from typing import Any

from llm_orc.domain.bound import Bound
from llm_orc.domain.context import Context
from llm_orc.domain.ensemble import Agent, CommandAgent, DocumentSynthesis, EnsembleAgent, ModelAgent, ScriptAgent
from llm_orc.domain.fan_out import FanOut
from llm_orc.domain.foresight import Foreseen, Foresight
from llm_orc.domain.media import pixels
from llm_orc.domain.message import Attachment
from llm_orc.domain.plan import Plan, PlannedAgent
from llm_orc.domain.problem import Problem
from llm_orc.domain.profile import AUTO, Profile
from llm_orc.domain.prompt import Template
from llm_orc.render.cost import cost_document, whole_cost_text
from llm_orc.render.json import plain, to_json
from llm_orc.render.preview import preview
from llm_orc.render.reuse import cache_document, cache_text
from llm_orc.render.safe import harmless, one_line
from llm_orc.render.words import counted, folded, ink, size_text

Destination = Callable[[Profile], str]
"""Where a profile's calls go, for people: `api.openai.com`."""
Why = Callable[[Profile], str]
"""What made a model answer for a tier, for people; empty where it is named."""
VERSION = 1
SHOWN_LINES = 12
"""Of a text, unless all of it is wanted."""
INDENT = 14
"""Columns before a text."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What was found out about a plan besides what it says."""

    destination: Destination
    why: Why = lambda _: ""
    cost: Bound | None = None
    """Of the whole run."""
    usually: bool = False
    """Whether replies are used again where nothing says so or not."""
    foresight: Foresight | None = None
    """What will be used again, where somebody could know."""
    within: str = ""
    """The place of the agent that runs this plan, with a slash."""

    def below(self, name: str) -> "Settled":
        """The same of a child run of this agent."""
        return replace(self, cost=None, within=f"{self.within}{name}/")

    def found(self, name: str) -> tuple[Foreseen, ...] | None:
        """What is known of the reply of an agent; None where nobody could know."""
        return None if self.foresight is None else self.foresight.get(f"{self.within}{name}", ())


def plan_document(plan: Plan, settled: Settled, input: str | None = None) -> dict[str, Any]:
    """What `llm-orc plan --json` says."""
    return {
        "version": VERSION,
        "ensemble": plan.ensemble.name,
        "description": plan.ensemble.description,
        "execution": plan.ensemble.execution,
        "max_parallel": plan.max_parallel,
        "max_cost": plan.max_cost,
        "timeout_seconds": plan.timeout_seconds,
        "variables": plain(plan.variables),
        "phases": [list(phase) for phase in plan.phases],
        "result": _result(plan),
        "agents": [_agent(planned, plan, settled, input) for planned in plan.agents.values()],
        "cost": cost_document(settled.cost) if settled.cost else None,
        "warnings": [str(problem) for problem in plan.warnings],
        "untrusted": [str(problem) for problem in plan.untrusted],
    }


def _agent(planned: PlannedAgent, plan: Plan, settled: Settled, input: str | None) -> dict[str, Any]:
    agent = planned.agent
    return {
        "name": agent.name,
        "phase": planned.phase,
        "body": agent.body,
        "runs": _runs(agent),
        "profiles": [_profile(profile, settled) for profile in _profiles(planned)],
        "fallbacks": [_profile(profile, settled) for profile in planned.fallbacks],
        "attempts": planned.attempts if isinstance(agent, ModelAgent) else None,
        "requires": sorted(planned.requires),
        "attachments": [_attachment(each) for each in planned.attachments],
        "context": planned.context.model_dump() if isinstance(agent, ModelAgent) else None,
        "output_schema": plain(planned.schema),
        "on_mismatch": agent.on_mismatch if isinstance(agent, ModelAgent) and planned.schema is not None else None,
        "depends_on": [{"name": name, "implied": name in planned.implied} for name in planned.depends_on],
        "require": agent.require,
        "when": agent.when,
        "fan_out": plain(agent.fan_out.model_dump(exclude_none=True)) if isinstance(agent.fan_out, FanOut) else agent.fan_out,
        "items": _number(planned, settled),
        "gather": agent.gather if agent.fan_out else None,
        "input_key": agent.input_key,
        "prompt": preview(planned, plan, input),
        "unused": list(planned.unused),
        "cache": cache_document(settled.found(agent.name)) if planned.reuses(usually=settled.usually) else None,
        "children": [plan_document(child, settled.below(agent.name)) for child in _children(planned)],
    }


def _attachment(each: Attachment | Template) -> dict[str, Any]:
    """A file that is sent; of one that only the run names the template of its name."""
    if isinstance(each, Template):
        return {"name": each.text}
    width, height = pixels(each.media_type, each.data) or (None, None)
    known = {"name": each.name, "media_type": each.media_type, "bytes": len(each.data), "sha256": each.sha256}
    return {**known, "width": width, "height": height, "path": each.path or None}


def _attachment_text(each: Attachment | Template) -> str:
    if isinstance(each, Template):
        return f"{each.text}  named during the run"
    size = pixels(each.media_type, each.data)
    parts = (each.name, each.media_type, size_text(len(each.data)), f"{size[0]:,} x {size[1]:,} pixels" if size else "", each.remark)
    return "  ".join(filter(None, parts))


def _context_text(context: Context) -> str:
    """What is done with a request that is too long."""
    ways = {
        "error": "what is longer than the window fails",
        "truncate": "of what is longer than the window the oldest part is left out",
        "summarize": "of what is longer than the window the oldest part is summarised, by calls of their own",
    }
    kept = "" if context.policy == "error" else f"; the last {counted(context.keep_last, 'message')} of a conversation stay"
    again = f"; the task is repeated every {counted(context.reminder, 'turn')}" if context.reminder else ""
    return f"{ways[context.policy]}{kept}{again}"


def _profile(profile: Profile, settled: Settled) -> dict[str, Any]:
    found = {"destination": settled.destination(profile), "why": settled.why(profile) or None}
    return {**profile.model_dump(exclude_none=True, mode="json"), **found}


def _profiles(planned: PlannedAgent) -> list[Profile]:
    return [each for each in (planned.profile, *(variant.profile for variant in planned.variants)) if each]


def _children(planned: PlannedAgent) -> list[Plan]:
    return [each for each in (planned.child, *(variant.child for variant in planned.variants)) if each]


def _runs(agent: Agent) -> str | list[str] | None:
    """The script, command or ensemble."""
    match agent:
        case ScriptAgent():
            return agent.script
        case CommandAgent():
            return list(agent.command)
        case EnsembleAgent():
            return agent.ensemble
        case _:
            return None


def _result(plan: Plan) -> str:
    """What the result is made of, in words."""
    if plan.final is not None:
        return f"the reply of {plan.final}"
    kind = "a template" if plan.template and plan.synthesised else "one section each"
    if isinstance(plan.ensemble.synthesis, DocumentSynthesis):
        kind = "a document"
    return f"{kind}: {', '.join(plan.leaves)}"


def plan_text(
    plan: Plan,
    settled: Settled,
    input: str | None = None,
    *,
    verbose: bool = False,
    color: bool = False,
    width: int | None = None,
) -> str:
    """What `llm-orc plan` prints; with `verbose` every text whole; wrapped where there is a width."""
    sheet = _Sheet(settled, verbose, color, width)
    lines = [*sheet.lines(plan, input), *sheet.cost()]
    return "".join(f"{line.rstrip()}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class _Sheet:
    settled: Settled
    verbose: bool
    color: bool
    width: int | None

    def lines(self, plan: Plan, input: str | None) -> Iterator[str]:
        ensemble = plan.ensemble
        yield from folded(f"{self._ink(ensemble.name, 'bold')}  {one_line(ensemble.description)}", self.width)
        phased = "one after the other" if ensemble.execution == "phased" else "overlapping"
        phases = f"in {counted(len(plan.phases), 'phase')}{f', {phased}' if len(plan.phases) > 1 else ''}"
        yield from folded(f"{counted(len(plan.agents), 'agent')} {phases}; the result is {_result(plan)}", self.width)
        for name, value in plan.variables.items():
            yield from folded(self._ink(f"{name} = {one_line(str(plain(value)))}", "dim"), self.width)
        for number, phase in enumerate(plan.phases, 1):
            yield ""
            yield self._ink(f"phase {number}", "dim")
            loose = False
            for name in phase:
                agent = list(self._agent(plan.agents[name], plan, input))
                if loose:
                    yield ""
                yield from (f"  {line}" for line in agent)
                loose = len(agent) > 1
        for problem in (*plan.warnings, *plan.untrusted):
            yield ""
            yield from self._problem(problem)

    def cost(self) -> Iterator[str]:
        """The last line, where anybody asks a model."""
        if self.settled.cost and self.settled.cost.shares:
            yield ""
            yield from folded(f"{self._ink('cost', 'dim')}  {whole_cost_text(self.settled.cost)}", self.width)

    def _agent(self, planned: PlannedAgent, plan: Plan, input: str | None) -> Iterator[str]:
        agent = planned.agent
        runs = _runs(agent)
        what = " ".join(runs) if isinstance(runs, list) else runs or ""
        models = self._models(_profiles(planned))
        widest = max(map(len, plan.agents))
        head = f"{self._ink(f'{agent.name:<{widest}}', 'bold', 'cyan')}  {self._ink(f'{agent.body:<8}', 'dim')}  {one_line(what or models)}"
        yield from folded(head, self.width and self.width - 2)
        for key, text in self._facts(planned, plan, input):
            first, *rest = self._cut(list(self._wrapped(harmless(text).rstrip("\n"))))
            yield f"  {self._ink(f'{key:<8}', 'dim')}  {first}"
            yield from (f"            {line}" for line in rest)
        nested = replace(self, settled=self.settled.below(agent.name), width=self.width and self.width - 4)
        for child in _children(planned):
            for line in nested.lines(child, None):
                yield f"  {self._ink('|', 'dim')} {line}"

    def _wrapped(self, text: str) -> Iterator[str]:
        for line in text.split("\n"):
            yield from (wrap(line, max(self.width - INDENT, 20)) if self.width else [line]) or [""]

    def _models(self, profiles: Iterable[Profile]) -> str:
        return "; ".join(map(self._model, profiles))

    def _model(self, profile: Profile) -> str:
        # A tier without a model goes nowhere, and the destination says so.
        model = "" if profile.provider == AUTO else f"{profile.provider}/{profile.model} at "
        why = self.settled.why(profile)
        return f"{profile.name} -> {model}{self.settled.destination(profile)}{f' ({why})' if why else ''}"

    def _facts(self, planned: PlannedAgent, plan: Plan, input: str | None) -> Iterator[tuple[str, str]]:
        agent = planned.agent
        if planned.depends_on:
            yield "after", after(planned)
        if planned.depends_on and agent.require != "any":
            yield "require", str(agent.require)
        if agent.when is not None:
            yield "when", str(agent.when)
        if agent.fan_out:
            yield "fan out", f"one child per {_each(planned)}, {_gathered(planned)}{_so_many(planned, self.settled)}"
        if isinstance(agent, ModelAgent):
            yield from self._of_model(planned)
        if planned.attachments and not isinstance(agent, EnsembleAgent):
            yield "attached", "\n".join(map(_attachment_text, planned.attachments))
        text = preview(planned, plan, input)
        if text is not None:
            yield ("stdin" if isinstance(agent, CommandAgent) else "input" if isinstance(agent, EnsembleAgent) else "prompt"), text
        if planned.reuses(usually=self.settled.usually):
            yield "cache", cache_text(planned, self.settled.found(agent.name))
        if planned.unused:
            yield "unused", f"{', '.join(planned.unused)}: not in the prompt"

    def _of_model(self, planned: PlannedAgent) -> Iterator[tuple[str, str]]:
        if planned.fallbacks:
            yield "fallback", self._models(planned.fallbacks)
        if planned.requires:
            yield "requires", ", ".join(sorted(planned.requires))
        if planned.context != Context():
            yield "context", _context_text(planned.context)
        if planned.schema is not None:
            yield "schema", to_json(plain(planned.schema)) + ("; or free text, which is marked" if planned.may_be_free else "")
        yield from (("system", profile.system_prompt) for profile in _profiles(planned)[:1] if profile.system_prompt)

    def _cut(self, lines: list[str]) -> list[str]:
        if self.verbose or len(lines) <= SHOWN_LINES:
            return lines
        return [*lines[: SHOWN_LINES - 1], self._ink(f"... {counted(len(lines) - SHOWN_LINES + 1, 'more line')}: -v", "dim")]

    def _problem(self, problem: Problem) -> Iterator[str]:
        kind = "warning" if problem.warning else "untrusted"
        head, *rest = str(problem).split("\n")
        for line in (f"{self._ink(f'{kind}:', 'yellow')} {harmless(head)}", *map(harmless, rest)):
            yield from folded(line, self.width)

    def _ink(self, text: str, *styles: str) -> str:
        return ink(text, *styles, color=self.color)


def after(planned: PlannedAgent) -> str:
    """What an agent waits for, and whether only a template says so."""
    return ", ".join(f"{name} (implied)" if name in planned.implied else name for name in planned.depends_on)


def _number(planned: PlannedAgent, settled: Settled) -> int | None:
    """How many children a fan-out of the ensemble itself has at most, where that is known."""
    number = settled.cost.items.get(planned.name, inf) if settled.cost else inf
    return None if number == inf else int(number)


def _so_many(planned: PlannedAgent, settled: Settled) -> str:
    number = None if planned.compares else _number(planned, settled)
    return "" if number is None else f"; {'1 child' if number == 1 else f'{number:,} children'} at most"


def _gathered(planned: PlannedAgent) -> str:
    return "reduced to one" if planned.reduces else f"gathered as {planned.agent.gather}"


def _each(planned: PlannedAgent) -> str:
    """What a fan-out makes a child of."""
    fan_out = planned.agent.fan_out
    if not isinstance(fan_out, FanOut):
        return f"item of {planned.depends_on[0]}"
    written = getattr(fan_out, fan_out.source)
    listed = written if isinstance(written, str) else counted(len(written), "item")
    match fan_out.source:
        case "profiles":
            return "profile"
        case "chunks":
            measure = fan_out.measure
            again = f", {measure.overlap:,} repeated" if measure.overlap else ""
            return f"piece of {listed} with at most {measure.most:,} {measure.unit}{again}"
        case "files":
            return f"file of {one_line(written if isinstance(written, str) else ', '.join(written))}"
        case "errors":
            return f"{fan_out.group_by or 'finding'} in {listed}"
        case _:
            return f"item of {listed}"
