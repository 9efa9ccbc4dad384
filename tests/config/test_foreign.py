"""The files of LLM Orchestra."""

import pytest

from llm_orc.config.foreign import PASSED_OVER, REFUSED
from tests.config.said import ensemble, of_ensemble, of_profile, profile


def test_a_usual_file_loads_as_it_is() -> None:
    read = ensemble("""
        name: code-review
        description: Multi-perspective code review
        task: Review this code
        agents:
          - name: security
            model_profile: default
            system_prompt: You are a security analyst.
            timeout_seconds: 60
          - name: senior
            model: claude-x
            provider: anthropic-api
            depends_on:
              - agent_name: security
        """)
    assert read.default_task == "Review this code"
    assert read.agents[1].depends_on == ("security",)
    assert read.agents[1].model_dump()["provider"] == "anthropic"


@pytest.mark.parametrize(("theirs", "ours"), [("anthropic-api", "anthropic"), ("google-gemini", "google"), ("ollama", "ollama")])
def test_providers_have_our_names(theirs: str, ours: str) -> None:
    assert profile(f"model: x\nprovider: {theirs}\n").provider == ours


@pytest.mark.parametrize(("said", "require"), [("skip", "all"), ("fail", "all"), ("continue", 0)])
def test_on_dependency_failure_is_our_require(said: str, require: object) -> None:
    read = ensemble(f"agents: [{{name: a}}, {{name: b, depends_on: [a], on_dependency_failure: {said}}}]")
    assert read.agents[1].require == require


def test_on_dependency_failure_with_another_word_or_beside_require() -> None:
    start = "agents: [{name: a}, {name: b, depends_on: [a], on_dependency_failure: "
    assert of_ensemble(start + "retry}]") == [
        (
            "review.yaml:1:71: 'on_dependency_failure' is either skip or continue\n"
            "hint: write require: all (needs each dependency), any, or 0 (needs none)"
        )
    ]
    assert of_ensemble(start + "skip, require: 0}]") == [
        "review.yaml:1:48: 'on_dependency_failure' and 'require' say the same\nhint: keep 'require'"
    ]


def test_task_beside_default_task() -> None:
    assert of_ensemble("task: a\ndefault_task: b\nagents: [{name: a}]") == [
        "review.yaml:1:1: 'task' and 'default_task' are one and the same\nhint: keep 'default_task'"
    ]


def test_a_fault_in_task_is_told_where_it_stands() -> None:
    assert of_ensemble("agents: [{name: a}]\ntask: [x]")[0].startswith("review.yaml:2:7: 'default_task' must be a text")


@pytest.mark.parametrize("key", PASSED_OVER)
def test_what_does_nothing_here_is_a_warning(key: str) -> None:
    said = of_ensemble(f"agents: [{{name: a, {key}: x}}]")
    assert [line.splitlines()[0] for line in said] == [f"review.yaml:1:20: '{key}' does nothing here"]


def test_cost_per_token_of_a_profile_is_a_warning() -> None:
    assert of_profile("model: x\nprovider: y\ncost_per_token: 0.1") == ["review.yaml:3:1: 'cost_per_token' does nothing here"]


@pytest.mark.parametrize("key", REFUSED)
def test_what_has_no_counterpart_is_refused_with_our_way(key: str) -> None:
    for text, place in ((f"agents: [{{name: a, {key}: x}}]", "1:20"), (f"agents: [{{name: a}}]\n{key}: x", "2:1")):
        assert of_ensemble(text) == [f"review.yaml:{place}: '{key}' is LLM Orchestra's and not known here\nhint: {REFUSED[key]}"]


@pytest.mark.parametrize(
    ("script", "hint"),
    [
        ("echo hi | sort", "put it into a file that begins with #!/bin/sh, or write command: [sh, -c, '...']"),
        ("date -u", "a program with arguments is an agent with command: [date, -u]"),
        ('"cd x\\nls"', "put it into a file that begins with #!/bin/sh, or write command: [sh, -c, '...']"),
    ],
)
def test_a_shell_in_script_is_refused(script: str, hint: str) -> None:
    assert of_ensemble(f"agents: [{{name: a, script: {script}}}]") == [
        f"review.yaml:1:28: 'script' names a file, and runs no shell\nhint: {hint}"
    ]


@pytest.mark.parametrize("script", ["scripts/a.py", "my script.py", "../x.sh", "plain"])
def test_names_of_files_are_no_shell(script: str) -> None:
    assert of_ensemble(f"agents: [{{name: a, script: {script}}}]") == []


@pytest.mark.parametrize(
    ("value", "ours"),
    [
        ("parameters: {x: '${facts.files}'}", "{{ agents.facts.json.files }}"),
        ("parameters: {x: ['${the-other.response}']}", "{{ agents.the_other }}"),
        ("when: '${dependencies.facts.output}'", "{{ agents.facts }}"),
        ("prompt: 'Look: ${facts.a.b}'", "{{ agents.facts.json.a.b }}"),
        ("prompt: 'Look: ${input.text}'", "{{ input }}"),
        ("prompt: 'Look: ${item.path}'", "{{ item.path }}"),
    ],
)
def test_references_are_refused_with_ours(value: str, ours: str) -> None:
    said = of_ensemble(f"agents: [{{name: facts}}, {{name: b, ensemble: c, {value}}}]")
    assert len(said) == 1
    assert said[0].endswith(f'is not filled in here\nhint: write "{ours}"')


def test_code_in_a_prompt_is_no_reference() -> None:
    assert of_ensemble("agents: [{name: a, prompt: 'What does `${user.name}` do? And ${HOME}? $${a.b}'}]") == []


def test_one_fallback_profile_is_a_list_of_one() -> None:
    read = ensemble("agents: [{name: a, fallback_model_profile: local}]")
    assert read.agents[0].model_dump()["fallback"] == ("local",)
    assert profile("model: x\nprovider: y\nfallback_model_profile: local\n").fallback == ("local",)
    assert of_ensemble("agents: [{name: a, fallback_model_profile: local, fallback: [b]}]") == [
        "review.yaml:1:20: 'fallback_model_profile' and 'fallback' are one and the same\nhint: keep 'fallback'"
    ]


@pytest.mark.parametrize(
    ("said", "schema"),
    [
        ("json", {"type": "object"}),
        ("{type: json_object}", {"type": "object"}),
        ("{type: json_schema, json_schema: {name: n, schema: {type: array}}}", {"type": "array"}),
        ("{type: text}", None),
        ("text", None),
    ],
)
def test_a_response_format_is_an_output_schema(said: str, schema: object) -> None:
    assert ensemble(f"agents: [{{name: a, response_format: {said}}}]").agents[0].model_dump()["output_schema"] == schema


def test_a_response_format_that_says_nothing_known_is_told_where_it_stands() -> None:
    assert of_ensemble("agents: [{name: a, response_format: 3}]")[0].startswith("review.yaml:1:37: 'output_schema' must be")
