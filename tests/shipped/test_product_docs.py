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


def test_the_tokens_of_all_come_as_events(project: NewProject, openai_server: NewServer) -> None:
    here = project_at(project, openai_server(Writer()))
    outcome = here.run("invoke", "product-docs", IDEA, "--only", "use_cases", "--stream", "--output-format", "jsonl")
    assert outcome.code == 0, outcome.err
    told = [json.loads(line) for line in outcome.out.splitlines()]
    said = {name: "".join(each["text"] for each in told if each["event"] == "delta" and each["node"] == name) for name in [*TITLES][:3]}
    assert said == {name: f"# {TITLES[name]}\n\n## Overview\n\nMark of {name}." for name in said}


def test_json_has_each_of_them(project: NewProject, openai_server: NewServer) -> None:
    here = project_at(project, openai_server(Writer()))
    outcome = here.run("invoke", "product-docs", IDEA, "--output-format", "json")
    told = json.loads(outcome.out)
    assert {each["name"]: each["text"][:3] for each in told["agents"]} == {name: f"# {title[0]}" for name, title in TITLES.items()}


def test_a_name_that_is_none_of_them_is_told(project: NewProject) -> None:
    outcome = project().run("invoke", "product-docs", IDEA, "--only", "persona")
    assert (outcome.code, "--only: no agent 'persona' in 'product-docs'\nhint: did you mean 'personas'?" in outcome.err) == (2, True)


PEOPLE = {
    "overview": "Two people.",
    "consequences": ["Big letters (Ann)"],
    "people": [
        {
            "name": name,
            "role": "rider",
            "about": "Rides.",
            "skills": "few",
            "quote": "Oh.",
            **{key: ["dry"] for key in ("goals", "obstacles", "needs")},
        }
        for name in ("Ann", "Ben")
    ],
}
CASES = {
    "overview": "One case.",
    "use_cases": [
        {
            "title": "Find it",
            "frequency": "daily",
            "problem": "lost | stolen",
            "person": "Ann",
            **{key: ["this", "that"] for key in ("actors", "before", "main_flow", "other_flows", "failures", "after")},
            "rules": [],
        }
    ],
}
FORMED = {"problem_statement": "# Problem Statement\n\nRain.", "personas": json.dumps(PEOPLE), "use_cases": json.dumps(CASES)}
STRUCTURED = ("invoke", "product-docs-structured", IDEA, "--only", "problem_statement,personas,use_cases")


def test_personas_and_use_cases_as_data_are_rendered(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(Writer(**FORMED))
    outcome = project_at(project, server).run(*STRUCTURED, "--output-format", "json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    assert [(each["name"], each["attempts"], each["mismatch"]) for each in told["agents"]] == [(name, 1, None) for name in FORMED]
    assert (told["agents"][1]["json"], told["agents"][2]["json"]) == (PEOPLE, CASES)
    assert re.findall(r"(?m)^##+ (.*)$", told["result"]) == [
        *("Contents", "Problem Statement", "Personas", "Overview", "Ann, rider", "Ben, rider", "What Follows for the Design"),
        *("Use Cases", "Overview", "UC-1: Find it", "Traceability"),
    ]
    assert "**Goals**\n\n- dry\n\n**Obstacles today**" in told["result"]
    assert "\n1. this\n2. that\n\n**Other ways**" in told["result"]
    assert "| UC-1 | lost / stolen | Ann |" in told["result"]
    formats = [request.json["response_format"]["json_schema"]["strict"] for request in server.chats if "response_format" in request.json]
    assert formats == [True, True]
    assert "## Ann, rider" in prompts(server, "`# Use Cases`")[0], "the text and not the data goes on"


def test_who_cannot_keep_to_the_form_writes_freely_which_is_marked(project: NewProject, openai_server: NewServer) -> None:
    free = "# Personas\n\n## Ann\n\nRides."
    server = openai_server(Writer(**{**FORMED, "personas": free}))
    outcome = project_at(project, server).run(*STRUCTURED)
    assert outcome.code == 0, outcome.err
    assert (
        "## Personas\n\n### Ann\n\nRides.\n\n*(free text: the model did not keep to the form that was asked for)*\n\n## Use Cases"
        in outcome.out
    )
    assert "warning  personas: free text instead of a reply that follows its output_schema: it is no JSON" in outcome.err
    asked = [request.json for request in server.chats if "`# Personas`" in prompt_of(request.json)]
    assert ["response_format" in each for each in asked] == [True, True, False]
    assert "Rides." in prompts(server, "`# Use Cases`")[0]


@pytest.mark.parametrize(
    ("file", "text", "what"),
    [
        ("personas.rendered.md.j2", "# P\n{% for p in output.people %}{{ p.nmae }}{% endfor %}", "line 2: output.people[] has no 'nmae'"),
        ("personas.schema.yaml", "type: [nothing]", "'output_schema' is no JSON Schema: at $.type: "),
        ("personas.schema.yaml", "- 1", "'product-docs/personas.schema.yaml' holds no JSON Schema"),
        ("personas.schema.yaml", "{", "product-docs/personas.schema.yaml:1:2: "),
        ("personas.form.md.j2", "{{ variables.nobody }}", "no variable 'nobody'"),
    ],
)
def test_what_is_wrong_with_a_projects_file_is_told_before_anything_runs(
    project: NewProject, openai_server: NewServer, file: str, text: str, what: str
) -> None:
    server = openai_server(Writer())
    here = project_at(project, server, {f".llm-orc/templates/product-docs/{file}": text})
    outcome = here.run(*STRUCTURED, env={"LLM_ORC_TRUST": "1"})
    assert outcome.code == 2
    assert re.search(r"product-docs(-structured|/personas\.schema)\.yaml:\d+:\d+: ", outcome.err), outcome.err
    assert what in outcome.err, outcome.err
    assert server.chats == []
