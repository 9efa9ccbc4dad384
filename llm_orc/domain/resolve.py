"""`resolve`: an ensemble becomes a plan, or everything that is wrong with it is told at once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from llm_orc.domain.chosen import chosen, leaves_of, needs_of, synthesised, wrong_choices
from llm_orc.domain.ensemble import (
    SYNTHESIS,
    Agent,
    CommandAgent,
    DocumentSynthesis,
    Ensemble,
    EnsembleAgent,
    ModelAgent,
    ModelSynthesis,
    Prompted,
    ScriptAgent,
    TemplateSynthesis,
)
from llm_orc.domain.fan_out import FanOut
from llm_orc.domain.faults import faults_of, faults_of_synthesis
from llm_orc.domain.graph import cycles_of, phases_of
from llm_orc.domain.message import Attachment
from llm_orc.domain.naming import Naming, compared, with_defaults
from llm_orc.domain.plan import MAX_DEPTH, Choices, Plan, PlannedAgent, Variant
from llm_orc.domain.problem import KeyPath, Problem, ProblemError
from llm_orc.domain.profile import DefaultProfile, Profile
from llm_orc.domain.prompt import ALWAYS, IN_FAN_OUT, Template, Templates, check
from llm_orc.domain.remembered import Remembered
from llm_orc.domain.said import identifier
from llm_orc.domain.tree import names_of
from llm_orc.domain.variable import typed_variables

_REPLY_AS_JSON = re.compile(r"^(\{\{ *agents\.[A-Za-z_]\w*)\.json *\}\}$")
MOST_SHOWN = 60
"""Letters of a command that a person is shown who is asked to trust it."""


def resolve(
    ensemble: Ensemble,
    profiles: Mapping[str, Profile],
    ensembles: Mapping[str, Ensemble],
    choices: Choices = Choices(),  # noqa: B008 - unchangeable
    default: DefaultProfile = DefaultProfile("default"),  # noqa: B008 - likewise
    trail: tuple[str, ...] = (),
) -> Plan:
    """Look up every name and order the agents; raises ProblemError with all that is wrong, children included.

    `profiles` and `ensembles` may read their entries as they are asked for, and raise ProblemError themselves.
    `trail` are the ensembles that led to this one.
    """
    resolution = _Resolution(ensemble, profiles, ensembles, choices, default, (*trail, ensemble.name))
    plan = resolution.plan()
    if choices.attachments and not plan.takes_attachments:
        hint = "they go where the input goes: name input in a prompt, or write attachments: [...] on an agent"
        resolution.problems.append(Problem(f"no agent of '{ensemble.name}' is sent what is attached to the input", hint=hint))
    wrong = [problem for problem in resolution.problems if not problem.warning]
    if wrong:
        raise ProblemError(*resolution.problems)
    return plan


@dataclass(slots=True)
class _Resolution(Naming):
    templates: Templates = field(init=False)
    names: dict[str, None] = field(init=False)
    """Of all agents, in file order."""
    known: dict[str, str] = field(init=False)
    """The same, by how templates write them."""
    paths: dict[str, KeyPath] = field(init=False)
    """Where each agent stands in the file."""

    def __post_init__(self) -> None:
        self.ensemble = self.ensemble.found(self.ensemble.source, Remembered(self.ensemble.files))
        self.templates = Templates(self.ensemble.files)
        self.paths = {SYNTHESIS: ("synthesis",)}
        for index, agent in enumerate(self.ensemble.agents):
            self.paths.setdefault(agent.name, ("agents", index))
        self.names = dict.fromkeys(agent.name for agent in self.ensemble.agents)
        self.known = {identifier(name): name for name in self.names}

    def plan(self) -> Plan:
        variables, faults = typed_variables(self.ensemble, self.choices.variables)
        self.problems += faults
        self._check_names()
        agents = {agent.name: self._planned(with_defaults(agent, self.ensemble, self.choices)) for agent in self.ensemble.agents}
        agents |= self._model_synthesis(agents)
        self.problems += wrong_choices(self.ensemble, agents, self.choices)
        agents, missing = chosen(agents, self.choices)
        phases = self._phases(agents)
        agents = {name: replace(agents[name], phase=index) for index, phase in enumerate(phases) for name in phase}
        agents = {name: agents[name] for name in (*self.names, SYNTHESIS) if name in agents}
        for fault in faults_of_synthesis(self.ensemble.synthesis, self.names):
            self.wrong(fault.what, ("synthesis", *fault.path), fault.hint)
        template = self._synthesis_template()
        sections, titles = self._document()
        return Plan(
            self.ensemble,
            agents,
            phases,
            leaves_of(agents, self.choices, sections),
            variables,
            template,
            synthesised(self.ensemble, template, self.choices),
            missing,
            self.choices.max_parallel or self.ensemble.limits.max_parallel,
            self.choices.max_cost or self.ensemble.limits.max_cost,
            self.ensemble.limits.timeout_seconds,
            tuple(problem for problem in self.problems if problem.warning),
            tuple(self.untrusted),
            replace(self.basis, choices=self.choices, default=self.default.name),
            titles=titles,
            trail=self.trail,
            profile=self.choices.profile,
            cache=self.choices.cache,
            attached=self.choices.attachments,
        )

    # One agent

    def _check_names(self) -> None:
        first: dict[str, str] = {}
        for index, agent in enumerate(self.ensemble.agents):
            path: KeyPath = ("agents", index, "name")
            twin = first.setdefault(identifier(agent.name), agent.name)
            if agent.name == SYNTHESIS:
                self.wrong(f"the name '{SYNTHESIS}' is reserved", path, "give the agent another name")
            elif self.paths[agent.name][1] != index:
                self.wrong(f"a second agent named '{agent.name}'", path, f"the first is at {self.at(*self.paths[agent.name])}")
            elif twin != agent.name:
                self.wrong(f"'{agent.name}' and '{twin}' are one name in templates", path, "templates write '-' as '_': rename one")

    def _planned(self, agent: Agent) -> PlannedAgent:
        path = self.paths[agent.name]
        agent = self._with_files(agent, path)
        prompt, when, items = self._templates_of(agent, path)
        draft, files = self._draft(agent, path), self._files_of(agent, path)
        shape = self._shape(agent, path)
        templates = (prompt, when, items, shape, draft, *(file for file in files.values() if isinstance(file, Template)))
        named = [name for template in templates if template for name in template.names.agents]
        there = {self.known[name] for name in named if name in self.known}
        implied = tuple(sorted(there.difference(agent.depends_on), key=self.paths.__getitem__))
        planned = PlannedAgent(
            agent, (*dict.fromkeys(agent.depends_on), *implied), frozenset(implied), (), prompt, when, items, shape=shape, path=path
        )
        planned = replace(planned, draft=draft)
        for fault in faults_of(planned, self.names):
            self.wrong(fault.what, (*path, *fault.path), fault.hint)
        if prompt is not None and prompt.tagged:
            read = {*named, *map(identifier, planned.listed_by)} | ({identifier(planned.depends_on[0])} if agent.input_key else set())
            planned = replace(planned, unused=tuple(name for name in agent.depends_on if identifier(name) not in read))
        planned = self._with_body(self.with_attachments(planned, files), path)
        if planned.shape is not None and planned.schema is not None:
            for what, hint in self.templates.faults_of_shape(planned.shape, planned.schema):
                self.wrong(f"the template in 'template': {what}", (*path, "template"), hint)
        return planned

    def _with_files(self, agent: Agent, path: KeyPath) -> Agent:
        """The agent with the texts of the files it names for a prompt."""
        changes = {}
        for key in ("prompt", "system_prompt"):
            name = getattr(agent, f"{key}_file", None)
            if name is None:
                continue
            if key in agent.model_fields_set:
                self.wrong(f"'{key}' and '{key}_file' exclude one another", (*path, f"{key}_file"))
            changes[key] = self.file(self.ensemble.files.text, name, (*path, f"{key}_file"))
        return agent.model_copy(update=changes) if changes else agent

    def _templates_of(self, agent: Agent, path: KeyPath) -> tuple[Template | None, Template | None, Template | None]:
        prompt = when = items = None
        legal = ALWAYS | IN_FAN_OUT if agent.fan_out else ALWAYS
        if isinstance(agent, Prompted) and agent.prompt is not None:
            key = "prompt_file" if agent.prompt_file else "prompt"
            prompt = self._template(self.templates.read(agent.prompt, key), legal, (*path, key))
        if isinstance(agent.when, str):
            when = self._template(self.templates.expression(agent.when, "when"), ALWAYS, (*path, "when"))
        if isinstance(agent.fan_out, FanOut):
            items = self._items(agent.fan_out, (*path, "fan_out", agent.fan_out.source))
        return prompt, when, items

    def _items(self, fan_out: FanOut, path: KeyPath) -> Template | None:
        """The template that gives what a fan-out goes over."""
        key = fan_out.source
        written = getattr(fan_out, key)
        if key == "files":
            names = [written] if isinstance(written, str) else written
            template = self.templates.read("\n".join(names), key)
            if not template.tagged:
                problems = filter(None, map(self.ensemble.files.beyond, names_of(template.text)))
                self.untrusted += [replace(problem, place=self.at(*path)) for problem in problems]
        elif not isinstance(written, str):
            return None
        else:
            template = self.templates.read(written, key) if key == "errors" else self.templates.expression(written, key)
        return self._template(template, ALWAYS, path)

    def _draft(self, agent: Agent, path: KeyPath) -> Template | None:
        """The template that gives the text of an ensemble; of JSON too, for only a text has places to show what is wrong with it."""
        if not isinstance(agent, EnsembleAgent) or "{{" not in agent.ensemble:
            return None
        written = _REPLY_AS_JSON.sub(r"\1 }}", agent.ensemble.strip())
        legal = ALWAYS | IN_FAN_OUT if agent.fan_out else ALWAYS
        return self._template(self.templates.expression(written, "ensemble"), legal, (*path, "ensemble"))

    def _files_of(self, agent: Agent, path: KeyPath) -> dict[KeyPath, str | Template]:
        """The files that an agent names to be sent, by where they are named; as templates where only the run tells which."""
        legal = ALWAYS | IN_FAN_OUT if agent.fan_out else ALWAYS
        found: dict[KeyPath, str | Template] = {}
        for index, name in enumerate(agent.attachments if isinstance(agent, ModelAgent | ScriptAgent) else ()):
            spot, template = (*path, "attachments", index), self.templates.read(name, "attachments")
            found[spot] = self._template(template, legal, spot) if template.tagged else name
        return found

    def _shape(self, agent: Agent, path: KeyPath) -> Template | None:
        """The template of a reply that follows a schema."""
        if not isinstance(agent, ModelAgent) or agent.template is None:
            return None
        text = self.file(self.ensemble.files.text, agent.template, (*path, "template"))
        legal = ALWAYS | {"output"} | (IN_FAN_OUT if agent.fan_out else frozenset())
        return None if text is None else self._template(self.templates.read(text, "template"), legal, (*path, "template"))

    def _template(self, template: Template, legal: frozenset[str], path: KeyPath) -> Template:
        problems = check(template, legal, self.known, self.ensemble.variables)
        self.problems += [replace(problem, place=self.at(*path)) for problem in problems]
        return template

    def _with_body(self, planned: PlannedAgent, path: KeyPath) -> PlannedAgent:
        agent = planned.agent
        if isinstance(agent, ModelAgent):
            return self.with_model(planned, agent, path)
        if isinstance(agent, EnsembleAgent):
            return self._with_child(planned, agent, path)
        if planned.compares:
            hint = "it belongs to agents with a model"
            self.wrong(f"'profiles' makes no difference to a {agent.body}", (*path, "fan_out", "profiles"), hint)
        if isinstance(agent, ScriptAgent):
            self._needs_trust(agent, (*path, "script"))
            program = self.file(self.ensemble.files.program, agent.script, (*path, "script"))
            return replace(planned, program=program)
        if isinstance(agent, CommandAgent):
            self._needs_trust(agent, (*path, "command"))
        return planned

    def _needs_trust(self, agent: ScriptAgent | CommandAgent, path: KeyPath) -> None:
        if not self.ensemble.files.trusted:
            said = " ".join(agent.command) if isinstance(agent, CommandAgent) else agent.script
            shown = said if len(said) <= MOST_SHOWN else f"{said[:MOST_SHOWN]}..."
            what = f"the {agent.body} of '{agent.name}' comes from a project that is not trusted: {shown}"
            self.untrusted.append(Problem(what, self.at(*path), "look at it, then: llm-orc trust", untrusted=True))

    # Children

    def _with_child(self, planned: PlannedAgent, agent: EnsembleAgent, path: KeyPath) -> PlannedAgent:
        if planned.draft is not None:
            if planned.compares:
                self.wrong("'profiles' compares what is known before the run, and this ensemble is not", (*path, "fan_out", "profiles"))
            return planned
        if not planned.compares:
            return replace(planned, child=self._child(agent, path, self.choices.profile, planned.attached))
        names = [(self.choices.profile or name, spot) for name, spot in compared(agent, path)]
        known = [name for name, spot in names if self.profile(name, self.at(*spot))]
        return replace(planned, variants=tuple(Variant(name, child=self._child(agent, path, name, planned.attached)) for name in known))

    def _child(self, agent: EnsembleAgent, path: KeyPath, profile: str | None, attachments: tuple[Attachment, ...]) -> Plan | None:
        spot = (*path, "ensemble")
        ensemble = self.named("ensemble", self.ensembles, agent.ensemble, self.at(*spot))
        if ensemble is None:
            return None
        trail = (*self.trail, agent.ensemble)
        if agent.ensemble in self.trail:
            self.wrong("ensembles run one another: " + " -> ".join(trail[trail.index(agent.ensemble) :]), spot)
            return None
        if len(trail) > MAX_DEPTH + 1:
            self.wrong(f"ensembles nest deeper than {MAX_DEPTH}: " + " -> ".join(trail), spot)
            return None
        choices = Choices(agent.parameters, profile=profile, attachments=attachments, cache=self.choices.cache)
        child = _Resolution(ensemble, self.profiles, self.ensembles, choices, self.default, trail, self.basis)
        plan = child.plan()
        self.basis.ensembles[agent.ensemble] = plan.ensemble
        # A parameter has no place in the child's file: it stands here.
        here = self.at(*path, "parameters")
        self.problems += [problem if problem.place else replace(problem, place=here) for problem in child.problems]
        self.untrusted += child.untrusted
        return plan

    # The whole

    def _model_synthesis(self, agents: Mapping[str, PlannedAgent]) -> dict[str, PlannedAgent]:
        written = self.ensemble.synthesis
        if not isinstance(written, ModelSynthesis):
            return {}
        leaves = leaves_of(agents, self.choices)
        given = {key: getattr(written, key) for key in written.model_fields_set}
        agent = ModelAgent.model_construct(
            **{**ModelAgent(name=SYNTHESIS, depends_on=leaves).__dict__, **given}, _fields_set={"name", "depends_on", *given}
        )
        return {SYNTHESIS: self._planned(with_defaults(agent, self.ensemble, self.choices))}

    def _phases(self, agents: Mapping[str, PlannedAgent]) -> tuple[tuple[str, ...], ...]:
        needs = needs_of(agents)
        cycles = cycles_of(needs)
        for cycle in cycles:
            what = "agents wait for one another: " + " -> ".join(cycle)
            self.wrong(what, (*self.paths[cycle[0]], "depends_on"), "remove one of these edges")
        return () if cycles else phases_of(needs)

    def _synthesis_template(self) -> Template | None:
        written = self.ensemble.synthesis
        if not isinstance(written, TemplateSynthesis):
            return None
        spot = ("synthesis", "template")
        text = self.file(self.ensemble.files.text, written.template, spot)
        return None if text is None else self._template(self.templates.read(text, "template"), ALWAYS, spot)

    def _document(self) -> tuple[tuple[str, ...], dict[str, Template]]:
        """The agents that a document lists as its sections, and the titles that were written."""
        if not isinstance(self.ensemble.synthesis, DocumentSynthesis):
            return (), {}
        layout = self.ensemble.synthesis.document
        legal = frozenset({"input", "variables"})
        titles = {
            name: self._template(self.templates.read(text, "title"), legal, ("synthesis", *path)) for name, text, path in layout.titles()
        }
        return tuple(section.agent for section in layout.sections or ()), titles
