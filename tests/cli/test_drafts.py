"""An ensemble that an agent replied with: run as a child, or refused with its place in the reply."""

import json

import pytest

from tests.project import NewProject, Project

NAMES = "a tag in what an agent replies is a name and nothing more"

DRAFT = """
agents:
  - {name: plan, command: [cat], prompt: "{{ input }}"}
  - {name: work, ensemble: "{{ agents.plan }}", prompt: "{{ 'the task' }}"}
"""
TASK = """prompt: "{{ 'the task' }}\""""
CHILD = "agents: [{name: own, command: [touch, ran]}]\n"
ASKS = "agents: [{name: own, model_profile: embedded}]\n"
READS = "agents: [{name: own, model_profile: embedded, fan_out: {files: '*'}}]\n"


def trusted(project: NewProject, ensemble: str = DRAFT) -> Project:
    files = {"e.yaml": ensemble, ".llm-orc/ensembles/runs.yaml": CHILD, ".llm-orc/ensembles/asks.yaml": ASKS}
    return project({**files, ".llm-orc/ensembles/reads.yaml": READS, ".llm-orc/ensembles/draft.yaml": DRAFT}, trusted=True)


@pytest.mark.parametrize(
    "said",
    [
        "agents: [{name: a, model_profile: embedded, prompt: 'Quote: {{ input }}'}]",
        'Here it is:\n\n```json\n{"agents": [{"name": "a", "model_profile": "embedded"}]}\n```\nGood luck!',
        "agents: [{name: a, ensemble: asks}]",
    ],
)
def test_it_is_run_as_a_child(project: NewProject, said: str) -> None:
    outcome = trusted(project).run("invoke", "e.yaml", stdin=said)
    assert (outcome.code, "the task" in outcome.out) == (0, True), outcome.err


def test_its_nodes_are_those_of_a_child_run(project: NewProject) -> None:
    said = '{"agents": [{"name": "a", "model_profile": "embedded"}, {"name": "b", "model_profile": "embedded", "depends_on": ["a"]}]}'
    ensemble = DRAFT.replace("agents.plan }}", "agents.plan.json }}")
    outcome = trusted(project, ensemble).run("invoke", "e.yaml", said, "--output-format", "json")
    (_, work) = json.loads(outcome.out)["agents"]
    assert [(child["name"], child["status"]) for child in work["children"]] == [("a", "succeeded"), ("b", "succeeded")]


def test_a_part_of_a_reply_will_do_and_parameters_are_its_variables(project: NewProject) -> None:
    ensemble = DRAFT.replace("agents.plan }}", "agents.plan.json.then }}").replace(TASK, "parameters: {x: 7}, prompt: task")
    child = {
        "variables": {"x": {"default": 1}},
        "agents": [{"name": "a", "model_profile": "embedded", "prompt": "Quote:\n\nthe {{ variables.x }}"}],
    }
    outcome = trusted(project, ensemble).run("invoke", "e.yaml", json.dumps({"then": child}))
    assert outcome.out.endswith(": the 7\n"), outcome.err


def test_the_plan_is_no_part_of_the_childs_input(project: NewProject) -> None:
    ensemble = DRAFT.replace(f", {TASK}", "")
    said = "agents: [{name: a, model_profile: embedded, prompt: '<{{ input }}>'}]"
    outcome = trusted(project, ensemble).run("invoke", "e.yaml", said, "--output-format", "json")
    assert json.loads(outcome.out)["agents"][1]["prompt"] == said


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("I would rather not.", "plan:1:1: holds a single text, not keys and values"),
        ("agents:\n  - {name: a, model_profil: fast}", "plan:2:15: no key 'model_profil' in a model agent"),
        ("Well:\n\n```yaml\nagents:\n  - {name: a, depends_on: [b]}\n```", "plan:5:28: no agent 'b'"),
        ("agents:\n  - {name: a, model_profile: fsat}", "plan:2:30: no profile 'fsat'"),
        ("agents: [", "plan:1:10: "),
        ("agents:\n  - {name: a, command: [touch, ran]}", "plan:2:24: 'a' is a command, and what an agent replies never runs one"),
        ("agents:\n  - {name: a, script: s.py}", "'s.py' is a file, which an agent's reply cannot name"),
        ("agents: [{name: a, ensemble: runs}]", "'own' is a command, and what an agent replies never runs one"),
        ("agents: [{name: a, ensemble: reads}]", "'own' reads files, and what an agent replies never does"),
        ("agents: [{name: a, ensemble: draft}]", "'plan' is a command, and what an agent replies never runs one"),
        ("agents: [{name: a, prompt_file: /etc/passwd}]", "'/etc/passwd' is a file, which an agent's reply cannot name"),
        ("agents: [{name: a, prompt: \"{% include '/etc/passwd' %}\"}]", "'/etc/passwd' is a file, which an agent's reply cannot name"),
        ("agents: [{name: a, prompt: '{% for i in range(9) %}x{% endfor %}'}]", f"plan:1:28: {NAMES}"),
        ("agents: [{name: a, when: '{{ 9 ** 9 }}'}]", f"plan:1:26: {NAMES}"),
        ("agents: [{name: a, prompt: '{{ input | center(9) }}'}]", f"plan:1:28: {NAMES}"),
        ("agents: [{name: a, fan_out: {items: '{{ [1] * 9 }}'}}]", NAMES),
        ("agents: [{name: a}]\nsynthesis: {document: {title: '{{ input * 9 }}'}}", NAMES),
        ("agents: [{name: a, fan_out: {files: '*'}}]", "'a' reads files, and what an agent replies never does"),
        ("agents: [{name: a, model: x, provider: openai}]", "'provider' is nothing that an agent's reply may choose"),
        ("agents: [{name: a, model_profile: embedded, options: {lines: 3}}]", "'options' is nothing that an agent's reply may choose"),
        ("defaults: {options: {lines: 3}}\nagents: [{name: a}]", "'options' is nothing that an agent's reply may choose"),
    ],
)
def test_a_wrong_plan_is_malformed_with_its_place(project: NewProject, said: str, what: str) -> None:
    here = trusted(project)
    outcome = here.run("invoke", "e.yaml", stdin=said)
    assert outcome.code == 1
    told = outcome.err.partition("malformed: the reply of 'plan' is no ensemble that can be run: ")[2]
    assert what in told, outcome.err
    assert not (here.path / "ran").exists()


def test_plans_of_plans_end(project: NewProject) -> None:
    said = "agents: [{name: again, ensemble: '{{ input }}', prompt: '{{ input }}'}]"
    ensemble = DRAFT.replace(TASK, 'prompt: "{{ input }}"')
    outcome = trusted(project, ensemble).run("invoke", "e.yaml", said)
    assert (outcome.code, "ensembles nest deeper than 8" in outcome.err) == (1, True), outcome.err


def test_a_flag_for_the_profile_holds_for_it_too(project: NewProject) -> None:
    outcome = trusted(project).run("invoke", "e.yaml", "agents: [{name: a}]", "--profile", "embedded")
    assert (outcome.code, "the task" in outcome.out) == (0, True), outcome.err


def test_what_it_may_cost_has_no_bound(project: NewProject) -> None:
    plan = trusted(project).run("plan", "e.yaml").out
    assert "no upper bound: work (its agents are planned during the run); --max-cost sets one" in plan


@pytest.mark.parametrize(
    ("ensemble", "what"),
    [
        ("{{ agents.nobody }}", "no agent 'nobody'"),
        ("{{ item }}", "no name 'item' in the template of 'ensemble'"),
        ("a {{ agents.plan }} b", "'ensemble' has to be one expression"),
        ("a b", "'a b' is no name"),
    ],
)
def test_what_names_nothing_is_told_before_anything_runs(project: NewProject, ensemble: str, what: str) -> None:
    outcome = trusted(project, DRAFT.replace("{{ agents.plan }}", ensemble)).run("validate", "e.yaml")
    assert (outcome.code, what in outcome.err) == (2, True), outcome.err
