"""`product-docs` over HTTP: seven documents, each from those before it, as one."""

import json
import re

import pytest

from tests.project import NewProject
from tests.servers.fixtures import NewServer
from tests.servers.openai import Line, Scripted, prompt_of
from tests.servers.wire import Received
from tests.shipped.conftest import ENSEMBLES
from tests.shipped.serving import project_at, prompts

IDEA = "An app that brings lost umbrellas back."
TITLES = {
    "problem_statement": "Problem Statement",
    "personas": "Personas",
    "use_cases": "Use Cases",
    "tool_outline": "Tool Outline",
    "implementation_instructions": "Implementation Instructions",
    "copilot365_presentation_prompt": "Presentation Prompt",
    "effectiveness_assessment": "Effectiveness Assessment",
}
READS = {
    "problem_statement": set[str](),
    "personas": {"problem_statement"},
    "use_cases": {"problem_statement", "personas"},
    "tool_outline": {"problem_statement", "personas", "use_cases"},
    "implementation_instructions": {"use_cases", "tool_outline"},
    "copilot365_presentation_prompt": set([*TITLES][:5]),
    "effectiveness_assessment": set([*TITLES][:5]),
}


class Writer:
    """A model that writes what it was asked for, with a mark by which it is known again."""

    def __init__(self, **instead: Line) -> None:
        self.asked: dict[str, str] = {}
        self._instead = instead

    def __call__(self, request: Received) -> Line:
        prompt = prompt_of(request.json)
        name = next(name for name, title in TITLES.items() if f"`# {title}`" in prompt)
        self.asked[name] = prompt
        return self._instead.get(name, f"# {TITLES[name]}\n\n## Overview\n\nMark of {name}.")


def test_each_is_written_from_those_that_it_is_based_on_and_all_become_one_document(project: NewProject, openai_server: NewServer) -> None:
    model = Writer()
    server = openai_server(model, latency=0.02)
    outcome = project_at(project, server).run("invoke", "product-docs", IDEA, "--var", "title=Umbrellas", "--var", "words=99")
    assert outcome.code == 0, outcome.err
    marks = {name: {other for other in TITLES if f"Mark of {other}." in prompt} for name, prompt in model.asked.items()}
    assert marks == READS
    assert all(IDEA in prompt and "about 99 words" in prompt for prompt in model.asked.values())
    assert server.peak == 2, "the last two at the same time"
    assert outcome.out.startswith("# Umbrellas\n")
    assert re.findall(r"(?m)^## (.*)$", outcome.out) == ["Contents", *TITLES.values()]
    assert re.findall(r"(?m)^- \[(.*?)\]", outcome.out) == [*TITLES.values()]
    assert outcome.out.count("\n### Overview\n") == 7
    roles = {request.json["messages"][0]["content"] for request in server.chats}
    assert len(roles) == 7, "a role for each"


@pytest.mark.parametrize(("flags", "asked"), [((), [*TITLES][:3]), (("--no-deps",), [*TITLES][1:3])])
def test_some_of_them_are_written_with_what_they_are_based_on_or_from_the_bare_idea(
    project: NewProject, openai_server: NewServer, flags: tuple[str, ...], asked: list[str]
) -> None:
    model = Writer()
    here = project_at(project, openai_server(model))
    outcome = here.run("invoke", "product-docs", IDEA, "--only", "personas,use_cases", *flags)
    assert (outcome.code, [*model.asked]) == (0, asked), outcome.err
    assert re.findall(r"(?m)^## (.*)$", outcome.out) == ["Contents", "Personas", "Use Cases"]
    assert ("Mark of problem_statement." in model.asked["personas"]) is (not flags)
    assert "no reply" not in model.asked["personas"]


def test_one_after_the_other_is_a_bound(project: NewProject, openai_server: NewServer) -> None:
    model = Writer()
    server = openai_server(model, latency=0.02)
    here = project_at(project, server)
    assert here.run("invoke", "product-docs", IDEA, "--max-parallel", "1").code == 0
    assert (server.peak, [*model.asked]) == (1, [*TITLES])


def test_one_that_fails_and_one_that_is_cut_are_marked_and_lose_nothing(project: NewProject, openai_server: NewServer) -> None:
    half = Scripted("# Use Cases\n\nHalf a", finish_reason="length")
    model = Writer(problem_statement=Scripted("no", 400), use_cases=half)
    outcome = project_at(project, openai_server(model)).run("invoke", "product-docs", IDEA)
    assert outcome.code == 3, outcome.err
    assert "## problem_statement\n\n*(missing: invalid_request" in outcome.out
    assert "## Use Cases\n\nHalf a\n\n*(cut short: the reply reached the model's max_tokens)*" in outcome.out
    assert "Mark of personas." in outcome.out
    assert "no reply" not in model.asked["personas"], "written from the idea alone"
    assert "cut  use_cases" in outcome.err


PROMPT = "Only `# Personas`, please: {{ input }} {{ agents.problem_statement.ok }}"


def test_a_projects_prompt_of_the_same_name_takes_the_place_of_ours(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(Writer())
    here = project_at(project, server, {".llm-orc/templates/product-docs/personas.md.j2": PROMPT})
    outcome = here.run("invoke", "product-docs", IDEA, "--only", "personas")
    assert outcome.code == 2
    assert "the template 'product-docs/personas.md.j2' is the project's, not the one that comes with llm-orc" in outcome.err
    assert "hint: look at it, then: llm-orc trust" in outcome.err
    assert here.run("trust").code == 0
    outcome = here.run("invoke", "product-docs", IDEA, "--only", "personas")
    assert outcome.code == 0, outcome.err
    assert "warning: the template 'product-docs/personas.md.j2' is the project's" in outcome.err
    assert prompts(server)[-1].endswith(f"Only `# Personas`, please: {IDEA} true")
    here.write(".llm-orc/templates/product-docs/personas.md.j2", "{{ agents.nobody }}")
    for command in (("invoke", "product-docs", IDEA), ("validate", "product-docs"), ("validate",)):
        outcome = here.run(*command)
        assert (outcome.code, "no agent 'nobody'" in outcome.err) == (2, True), command


def test_another_document_is_another_agent_in_a_copy(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(lambda request: Writer()(request) if "`# " in prompt_of(request.json) else "# Pricing\n\n9 euros.")
    text = (ENSEMBLES / "product-docs.yaml").read_text()
    more = '  - {name: pricing, prompt: "What should this cost?\\n{{ agents.tool_outline }}"}\nsynthesis:\n'
    text = text.replace("synthesis:\n", more).replace("      - tool_outline\n", "      - tool_outline\n      - pricing\n")
    here = project_at(project, server, {".llm-orc/ensembles/product-docs.yaml": text})
    outcome = here.run("invoke", "product-docs", IDEA)
    assert outcome.code == 0, outcome.err
    assert "\n## Tool Outline\n\n### Overview\n\nMark of tool_outline.\n\n## Pricing\n\n9 euros.\n" in outcome.out
    assert "Mark of tool_outline." in prompts(server, "What should this cost?")[0]


def test_the_last_one_streams(project: NewProject, openai_server: NewServer) -> None:
    outcome = project_at(project, openai_server(Writer())).run("invoke", "product-docs", IDEA, "--only", "personas", "--stream")
    assert (outcome.code, outcome.out.count("Mark of personas.")) == (0, 1), outcome.err


def test_json_has_each_of_them(project: NewProject, openai_server: NewServer) -> None:
    here = project_at(project, openai_server(Writer()))
    outcome = here.run("invoke", "product-docs", IDEA, "--output-format", "json")
    told = json.loads(outcome.out)
    assert {each["name"]: each["text"][:3] for each in told["agents"]} == {name: f"# {title[0]}" for name, title in TITLES.items()}


def test_a_name_that_is_none_of_them_is_told(project: NewProject) -> None:
    outcome = project().run("invoke", "product-docs", IDEA, "--only", "persona")
    assert (outcome.code, "--only: no agent 'persona' in 'product-docs'\nhint: did you mean 'personas'?" in outcome.err) == (2, True)
