"""Variables at the head of what an ensemble works on."""

import json

import pytest

from llm_orc.config.front_matter import Part, informed
from llm_orc.config.reading import parse
from llm_orc.config.written import ensemble_of
from llm_orc.domain.files import NoFiles
from llm_orc.domain.plan import Choices, Plan
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.resolve import resolve
from llm_orc.domain.variable import stand_ins
from tests.project import NewProject, Project

ENSEMBLE = """\
variables:
  audience: {required: true}
  pages: {default: 3, type: integer}
  tone: {default: plain, choices: [plain, warm]}
  version: {default: "1", type: string}
  parts: {}
agents:
  - name: a
    command: [cat]
    prompt: "{{ variables.audience }} {{ variables.pages + 1 }} {{ variables.version }} {{ variables.parts }}: {{ input }}"
"""
HEAD = "---\naudience: nurses  # and others\npages: 7\nversion: 1.10\nparts: [one, two]\n---\n\n"
REST = "The ward.\n\n---\n\nMore: of it\n"


@pytest.fixture
def here(project: NewProject) -> Project:
    return project({"it.yaml": ENSEMBLE, "brief.md": HEAD + REST, "plain.md": REST}, trusted=True)


@pytest.fixture
def plan() -> Plan:
    ensemble = ensemble_of(parse(ENSEMBLE, "it.yaml"), NoFiles(), "it")
    return resolve(ensemble, {}, {}, Choices(stand_ins(ensemble)))


def test_it_gives_the_variables_and_is_no_part_of_the_input(here: Project) -> None:
    for arguments, stdin in ((("-f", "brief.md"), None), (("--", HEAD + REST), None), ((), (HEAD + REST).replace("\n", "\r\n"))):
        outcome = here.run("invoke", "it.yaml", *arguments, stdin=stdin)
        assert (outcome.code, outcome.out.replace("\r", "")) == (0, f'nurses 8 1.10 ["one", "two"]: {REST}'), outcome.err


def test_a_flag_beats_it_and_other_parts_stay(here: Project) -> None:
    chosen = ("--var", "audience=doctors", "--var", "pages=1")
    outcome = here.run("invoke", "it.yaml", "Mind this.", "-f", "brief.md", "-f", "plain.md", *chosen)
    assert outcome.out == f'doctors 2 1.10 ["one", "two"]: Mind this.\n\n{REST}\n{REST}'


def test_the_plan_shows_it(here: Project) -> None:
    outcome = here.run("plan", "it.yaml", "-f", "brief.md", "--json")
    assert json.loads(outcome.out)["variables"]["audience"] == "nurses"
    assert json.loads(outcome.out)["agents"][0]["prompt"].endswith(f": {REST}")


def test_it_is_kept_with_the_run(here: Project) -> None:
    first = here.run("invoke", "it.yaml", "-f", "brief.md")
    again = here.run("runs", "resume", "last", "--again")
    assert (again.code, again.out) == (0, first.out), again.err


def test_a_value_that_is_wrong_stops_it_before_anything_runs(here: Project) -> None:
    here.write("brief.md", "---\npages: many\n---\nx")
    outcome = here.run("invoke", "it.yaml", "-f", "brief.md", "--var", "audience=all")
    assert (outcome.code, outcome.out, outcome.err) == (2, "", "brief.md:2:1: variable 'pages' of 'it': 'many' is no integer\n")


@pytest.mark.parametrize(
    "text",
    [
        "---\naudiense: nurses\n---\nx",
        "---\ntitle: It\nauthor: me\n---\nx",
        "---\n---\nx",
        "---\njust a line\n---\nx",
        "---\n- audience\n---\nx",
        "---\naudience: nurses\nno end",
        " ---\naudience: nurses\n---\nx",
        "----\naudience: nurses\n---\nx",
        "---\na: [\n---\nx",
        f"---\naudience: {'nurses' * 20_000}\n---\nx",
    ],
)
def test_everything_else_is_text(plan: Plan, text: str) -> None:
    same, rest, warnings = informed(plan, [Part(text, "brief.md")], {"audience": "all"})
    assert (same.variables["audience"], rest, warnings) == ("all", text, [])


def test_without_variables_nothing_is_read(project: NewProject) -> None:
    here = project({"it.yaml": "agents: [{name: a, command: [cat]}]"}, trusted=True)
    assert here.run("invoke", "it.yaml", stdin=HEAD).out == HEAD


MISSING = "it.yaml:2:13: variable 'audience' of 'it' has no value\nhint: give it: --var audience=..."
STRANGE = (
    "brief.md:2:1: 'Audience' is no variable of 'it': what stands with it between '---' is taken as text\nhint: did you mean 'audience'?"
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", [MISSING]),
        ("---\naudience:\n---\n", [MISSING]),
        ("---\ntone: cold\n---\n", ["brief.md:2:1: variable 'tone' of 'it': 'cold' is none of plain, warm", MISSING]),
        ("---\naudience: [nurses\n---\n", ["brief.md:2:11: a bracket that is never closed\nhint: close it, or quote"]),
        ("---\naudience: a\naudience: b\n---\n", ["brief.md:3:1: the key 'audience' stands twice"]),
        ("---\nversion: [1]\naudience: a\n---\n", ["brief.md:2:1: variable 'version' of 'it': '[1]' is no string"]),
        ("---\nAudience: a\npages: 2\n---\n", [STRANGE, MISSING]),
    ],
)
def test_what_is_wrong_with_it_is_told_with_its_place(plan: Plan, text: str, said: list[str]) -> None:
    with pytest.raises(ProblemError) as caught:
        informed(plan, [Part(f"{text}x", "brief.md")], {})
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == len(said), told
    assert all(one.startswith(other) for one, other in zip(told, said, strict=True)), told


def test_a_variable_that_stands_in_two_files_is_told(plan: Plan) -> None:
    with pytest.raises(ProblemError, match=r"other\.md:2:1: a second 'pages'\nhint: the first is at brief\.md:3:1"):
        informed(plan, [Part(HEAD, "brief.md"), Part("---\npages: 2\n---\nx", "other.md")], {})


def test_a_typing_error_in_one_of_several_is_a_warning(plan: Plan) -> None:
    _, text, warnings = informed(plan, [Part("---\nAudience: a\npages: 2\n---\nx", "brief.md")], {"audience": "all"})
    assert (text[:3], [str(each) for each in warnings]) == ("---", [STRANGE])
