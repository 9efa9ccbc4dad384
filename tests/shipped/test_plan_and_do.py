"""`plan-and-do` over HTTP: a plan is data, whatever it says."""

import json
from typing import Any

import pytest

from tests.project import NewProject, Outcome, Project
from tests.servers.fixtures import NewServer
from tests.servers.openai import Line, OpenAIServer
from tests.servers.wire import Received
from tests.shipped.serving import asked, project_at, prompts

DRAFT = {
    "agents": [
        {"name": "facts", "model_profile": "fast", "depends_on": [], "prompt": "List what is known."},
        {"name": "advice", "model_profile": "default", "depends_on": ["facts"], "prompt": "Advise."},
    ]
}


def plan(steps: list[str] | None = None, ensemble: Any = None) -> str:
    return json.dumps({"steps": steps or [], "ensemble": ensemble})


def run(
    project: NewProject, new: NewServer, *plans: str, args: tuple[str, ...] = (), failing: str = "\0"
) -> tuple[OpenAIServer, Outcome, Project]:
    """What comes of these replies of the planner, one after the other."""
    said = list(plans)

    def answer(request: Received) -> Line:
        tier, prompt = asked(request)
        if "Split this task into steps" in prompt:
            return said.pop(0) if len(said) > 1 else said[0]
        if failing in prompt:
            return 400
        return "THE ANSWER" if tier == "careful" else f"<{tier}: {prompt.split('<step>')[-1].split('</step>')[0].strip()[-40:]}>"

    server = new(answer)
    here = project_at(project, server)
    return server, here.run("invoke", "plan-and-do", *args, stdin="Write a letter."), here


def test_steps_are_done_side_by_side_and_made_into_one(project: NewProject, openai_server: NewServer) -> None:
    server, outcome, _ = run(project, openai_server, plan(["First.", "Second."]))
    assert (outcome.code, outcome.out) == (0, "THE ANSWER\n"), outcome.err
    (final,) = prompts(server, "Answer the task below")
    assert "<results>\n<fast: First.>\n\n<fast: Second.>\n</results>" in final
    assert [json.loads(request.body)["model"] for request in server.chats] == ["default", "fast", "fast", "careful"]


def test_an_ensemble_is_run_as_a_child(project: NewProject, openai_server: NewServer) -> None:
    server, outcome, _ = run(project, openai_server, plan(ensemble=DRAFT), args=("--output-format", "json"))
    assert outcome.code == 0, outcome.err
    agents = {agent["name"]: agent for agent in json.loads(outcome.out)["agents"]}
    assert [child["name"] for child in agents["ensemble"]["children"]] == ["facts", "advice"]
    assert agents["steps"]["status"] == "skipped"
    first, *_ = prompts(server, "List what is known.")
    assert first == "List what is known.\n\nWrite a letter."
    second, *_ = prompts(server, "Advise.")
    assert "## facts\n\n<fast: " in second
    assert "<results>\n<default: " in prompts(server, "Answer the task below")[0]


@pytest.mark.parametrize(
    "said",
    [
        "I would rather not.",
        "```json\n```json\n{}\n```\n```",
        '{"steps": "all of it", "ensemble": null}',
        '{"steps": []}',
        "[" * 100_000,
        plan(["x"] * 100_000),
        plan(ensemble={"agents": []}),
        plan(ensemble={"agents": [{**DRAFT["agents"][0], "command": ["touch", "ran"]}]}),
        plan(ensemble={"agents": [{"name": "a", "script": "s.py"}]}),
        plan(ensemble={"agents": [{"name": "a", "ensemble": "plan-and-do"}]}),
        plan(ensemble={"agents": [{**DRAFT["agents"][0], "model_profile": "embedded"}]}),
        plan(ensemble={"agents": [{**DRAFT["agents"][0], "fan_out": {"files": "/etc/*"}}]}),
    ],
    ids=lambda said: said[:40],
)
def test_what_is_no_plan_is_asked_for_again_and_then_nothing_runs(project: NewProject, openai_server: NewServer, said: str) -> None:
    server, outcome, here = run(project, openai_server, said)
    assert outcome.code == 1
    assert "failed  plan: malformed: default did not follow the output_schema" in outcome.err
    assert len(server.chats) == 2, "asked, and asked to mend it"
    assert not (here.path / "ran").exists()


@pytest.mark.parametrize(
    ("agents", "why"),
    [
        ([{**DRAFT["agents"][1]}], "no agent 'facts'"),
        ([{**DRAFT["agents"][0], "depends_on": ["facts"]}], "facts -> facts"),
        ([DRAFT["agents"][0], DRAFT["agents"][0]], "a second agent named 'facts'"),
        ([{**DRAFT["agents"][0], "prompt": "{{ item }}"}], "no name 'item'"),
        ([{**DRAFT["agents"][0], "prompt": "{% include '/etc/passwd' %}"}], "'/etc/passwd' is a file"),
        ([{**DRAFT["agents"][0], "prompt": "{{ ''.__class__.__mro__ }}"}], "malformed"),
    ],
)
def test_a_plan_that_cannot_be_run_is_told_with_its_fault(project: NewProject, openai_server: NewServer, agents: Any, why: str) -> None:
    _, outcome, _ = run(project, openai_server, plan(ensemble={"agents": agents}))
    assert (outcome.code, why in outcome.err) == (1, True), outcome.err


def test_a_mended_plan_will_do(project: NewProject, openai_server: NewServer) -> None:
    server, outcome, _ = run(project, openai_server, "Well, first...", f"```json\n{plan(['Only this.'])}\n```")
    assert (outcome.code, outcome.out) == (0, "THE ANSWER\n"), outcome.err
    assert len(server.chats) == 4


def test_no_more_steps_than_asked_for_and_a_failure_is_told(project: NewProject, openai_server: NewServer) -> None:
    steps = [f"Step {number}." for number in range(6)]
    server, outcome, _ = run(project, openai_server, plan(steps), args=("--var", "most=3"), failing="Step 1.")
    assert outcome.code == 3
    (final,) = prompts(server, "Answer the task below")
    assert final.count("<fast: Step") == 2
    assert "[no reply from steps[1]: invalid_request: " in final
    assert "Step 4" not in final


def test_what_it_may_cost_is_bounded_by_a_flag_alone(project: NewProject, openai_server: NewServer) -> None:
    here = project_at(project, openai_server(), more="price: {input: 1, output: 1}\nmax_tokens: 100\n")
    assert "--max-cost sets one" in here.run("plan", "plan-and-do", "Write a letter.").out
