"""What is asked for each deliverable."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llm_orc.app import planned
from llm_orc.config.layers import Layers
from llm_orc.domain.ensemble import DocumentSynthesis, Ensemble, ModelAgent, Prompted
from llm_orc.domain.layout import Layout, SectionLayout, Toc
from llm_orc.domain.message import FailedError
from llm_orc.domain.plan import Choices
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.read import NAME_PATTERN
from llm_orc.domain.said import Scope
from llm_orc.domain.wrong import NAME_RULE
from llm_orc.library.deliverables import DeliverableType, Written
from llm_orc.library.modes import OrchestrationConfig
from llm_orc.library.unknown import UnknownError
from llm_orc.render.preview import preview


def with_context(user_input: str, context: Mapping[str, Any] | None) -> str:
    """The idea, and what else is known of it."""
    if not context:
        return user_input
    return f"{user_input}\n\n## Context\n\n```json\n{json.dumps(context, indent=2, ensure_ascii=False, default=str)}\n```"


class PromptGenerator:
    """The prompts of an ensemble; those who inherit from it say other ones.

    `_get_deliverable_instructions` gives the prompt of an agent, as an ensemble writes it: without a tag a task, before the idea; with tags
    all of it, and `{{ agents.personas }}` is what another deliverable says. What `generate_prompt` says otherwise is sent word for word.
    """

    written = Written()
    """Where the prompts come from; an engine that it is given to puts its own there."""

    def generate_prompt(self, deliverable_type: DeliverableType | str, user_input: str, context: Mapping[str, Any] | None = None) -> str:
        """What is sent for a deliverable that is asked for alone; raises ProblemError."""
        layers = self.written.layers
        ensemble = with_instructions(self.written.ensemble(layers), deliverable_type, self._get_deliverable_instructions(deliverable_type))
        return shown(layers, ensemble, deliverable_type, with_context(user_input, context))

    def _get_deliverable_instructions(self, deliverable_type: DeliverableType | str) -> str:
        """The prompt of its agent, as it is written; raises UnknownError."""
        layers = self.written.layers
        ensemble = self.written.ensemble(layers)
        agents = {agent.name: agent for agent in ensemble.agents}
        if (agent := agents.get(str(deliverable_type))) is None:
            raise UnknownError.of("deliverable", str(deliverable_type), agents, "another is an agent more, or instructions for it")
        if not isinstance(agent, Prompted):
            return ""
        return ensemble.files.text(agent.prompt_file) if agent.prompt_file else agent.prompt or ""


def with_instructions(ensemble: Ensemble, deliverable: str, instructions: str) -> Ensemble:
    """The ensemble, in which an agent has this prompt; one that is not there is added. Raises ProblemError for what is no name."""
    name = str(deliverable)
    if not re.match(NAME_PATTERN, name):
        raise ProblemError(Problem(f"'{name}' is no name", hint=NAME_RULE))
    new = {"prompt": instructions or None, "prompt_file": None}
    agents = [_with(agent, new) if agent.name == name and isinstance(agent, Prompted) else agent for agent in ensemble.agents]
    if all(agent.name != name for agent in agents):
        agents.append(ModelAgent(name=name, prompt=instructions))
    return ensemble.model_copy(update={"agents": tuple(agents)})


def _with(agent: Any, new: Mapping[str, Any]) -> Any:
    copy = agent.model_copy(update=dict(new))
    copy.model_fields_set.discard("prompt_file")
    return copy


def shown(layers: Layers, ensemble: Ensemble, deliverable: str, text: str) -> str:
    """What an agent is sent where no other has said anything."""
    plan = planned(layers, ensemble, Choices(only=(str(deliverable),), no_deps=True, profile="embedded"))
    agent = plan.agents[str(deliverable)]
    if agent.prompt is None or not agent.prompt.tagged:
        return preview(agent, plan, text) or ""
    try:
        return agent.prompt.render(Scope(text, plan.variables, plan.missing))
    except FailedError as error:
        raise ProblemError(Problem(error.failure.what, hint=error.failure.hint)) from None


def prompted(
    generator: PromptGenerator, names: Iterable[DeliverableType], user_input: str, context: Mapping[str, Any] | None
) -> tuple[Ensemble, dict[str, Problem]]:
    """The ensemble with the generator's prompts, and why some deliverables have none."""
    ensemble = generator.written.ensemble(generator.written.layers)
    wrong: dict[str, Problem] = {}
    for name in names:
        try:
            if (prompt := _prompt(generator, name, user_input, context)) is not None:
                ensemble = with_instructions(ensemble, name, prompt)
        except ProblemError as error:
            wrong[name] = error.problems[0]
        except Exception as error:  # noqa: BLE001 - a stranger's code
            wrong[name] = Problem(f"its prompt: {type(error).__name__}: {error}")
    return ensemble, wrong


def _prompt(generator: PromptGenerator, name: DeliverableType, user_input: str, context: Mapping[str, Any] | None) -> str | None:
    """The prompt of an agent, as an ensemble would write it; None where that is as it should be."""
    if type(generator).generate_prompt is not PromptGenerator.generate_prompt:
        words = generator.generate_prompt(name, user_input, context)
        if words != _usual(generator, name, user_input, context):
            return verbatim(words)
    instructions = generator._get_deliverable_instructions(name)  # noqa: SLF001 - the name that strangers override
    own = PromptGenerator()
    own.written = generator.written
    try:
        return None if instructions == own._get_deliverable_instructions(name) else instructions  # noqa: SLF001
    except UnknownError:
        return instructions


def _usual(generator: PromptGenerator, name: DeliverableType, user_input: str, context: Mapping[str, Any] | None) -> str | None:
    try:
        return PromptGenerator.generate_prompt(generator, name, user_input, context)
    except ProblemError:
        return None


def verbatim(words: str) -> str:
    """A template that says just this."""
    return "{{ '' }}" + re.sub(r"\{(?=[{%#])", "{{ '{' }}", words)


def merged(ensemble: Ensemble, names: Iterable[str], config: OrchestrationConfig) -> Ensemble:
    """The ensemble whose result is the document of these, in this order."""
    if not config.merge_into_single_document:
        return ensemble.model_copy(update={"synthesis": None})
    layout = ensemble.synthesis.document if isinstance(ensemble.synthesis, DocumentSynthesis) else Layout()
    written = {section.agent: section for section in layout.sections or ()}
    sections = tuple(written.get(str(name)) or SectionLayout(agent=str(name)) for name in names)
    contents = (layout.toc if layout.toc.depth else Toc()) if config.include_table_of_contents else Toc(depth=0)
    document = layout.model_copy(update={"sections": sections, "toc": contents})
    return ensemble.model_copy(update={"synthesis": DocumentSynthesis(document=document)})


def wrong_with(generator: PromptGenerator, variables: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[Problem]]]:
    """What is wrong with each agent of the ensemble alone."""
    layers = generator.written.layers
    whole = generator.written.ensemble(layers)
    for agent in whole.agents:
        # The others only lend their names.
        others = tuple(each if each is agent else ModelAgent(name=each.name) for each in whole.agents)
        ensemble = whole.model_copy(update={"agents": others, "synthesis": None})
        try:
            if (prompt := _prompt(generator, DeliverableType(agent.name), "", None)) is not None:
                ensemble = with_instructions(ensemble, agent.name, prompt)
            planned(layers, ensemble, Choices(variables, profile="embedded"))
        except ProblemError as error:
            yield agent.name, [problem for problem in error.problems if not problem.warning]
        else:
            yield agent.name, ()
