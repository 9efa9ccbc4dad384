"""From an ensemble to a plan: what wins over what, and everything that is wrong at once."""

from collections.abc import Mapping
from typing import Any

import pytest

from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.plan import Choices, Plan
from llm_orc.domain.problem import Place, ProblemError
from llm_orc.domain.profile import DefaultProfile, Profile
from llm_orc.domain.resolve import resolve

PROFILES = {
    name: Profile(name=name, model=name, provider="p", temperature=0.1, max_tokens=10, options={"a": 1, "b": 1})
    for name in ("default", "fast", "careful")
}

Agents = list[dict[str, Any]]
BROKEN = "the template in 'prompt' is broken: "


def ensemble(agents: Agents, **keys: Any) -> Ensemble:
    return Ensemble.model_validate({"name": "test", "agents": agents, **keys})


def plan(agents: Agents, ensembles: Mapping[str, Ensemble] | None = None, choices: Choices | None = None, **keys: Any) -> Plan:
    return resolve(ensemble(agents, **keys), PROFILES, ensembles or {}, choices or Choices())


def wrong(agents: Agents, ensembles: Mapping[str, Ensemble] | None = None, **keys: Any) -> set[str]:
    choices = keys.pop("choices", None)
    with pytest.raises(ProblemError) as raised:
        plan(agents, ensembles, choices, **keys)
    return {problem.what for problem in raised.value.problems}


def profile(of: Plan, name: str) -> Profile:
    found = of.agents[name].profile
    assert found is not None
    return found


def test_flag_beats_agent_beats_defaults_beats_profile_and_options_merge() -> None:
    made = plan(
        [{"name": "a", "temperature": 0.9, "options": {"b": 3, "d": 3}}, {"name": "b"}, {"name": "c", "model_profile": "careful"}],
        defaults={"model_profile": "fast", "temperature": 0.5, "top_p": 0.5, "options": {"b": 2, "c": 2}},
    )
    a = profile(made, "a")
    assert (a.name, a.temperature, a.top_p, a.max_tokens) == ("fast", 0.9, 0.5, 10)
    assert a.options == {"a": 1, "b": 3, "c": 2, "d": 3}
    assert (profile(made, "b").temperature, profile(made, "c").name) == (0.5, "careful")


def test_an_agent_that_names_its_model_ignores_the_default_profile() -> None:
    made = plan([{"name": "a", "model": "m", "provider": "q"}], defaults={"model_profile": "fast", "max_tokens": 7})
    assert profile(made, "a") == Profile(model="m", provider="q", max_tokens=7)


def test_the_profile_flag_reaches_children_and_the_synthesis() -> None:
    kid = ensemble([{"name": "k", "model_profile": "fast"}])
    agents: Agents = [{"name": "a", "model": "m", "provider": "q"}, {"name": "kid", "ensemble": "kid"}]
    made = plan(agents, {"kid": kid}, Choices(profile="careful", profiles={"a": "fast"}), synthesis={"prompt": "x"})
    child = made.agents["kid"].child
    assert child is not None
    assert [profile(made, "a").name, profile(child, "k").name, profile(made, "synthesis").name] == ["fast", "careful", "careful"]


def test_defaults_are_written_only_where_the_key_is_legal() -> None:
    made = plan(
        [{"name": "s", "command": ["x"]}, {"name": "m", "timeout_seconds": 1}], defaults={"timeout_seconds": 9, "require": "all", "seed": 1}
    )
    assert (made.agents["s"].agent.timeout_seconds, made.agents["m"].agent.timeout_seconds) == (9, 1)
    assert made.agents["s"].agent.require == "all"


def test_a_reply_that_a_prompt_leaves_out_is_named() -> None:
    made = plan([{"name": "a"}, {"name": "b"}, {"name": "c", "depends_on": ["a", "b"], "prompt": "{{ agents.b }}"}])
    assert made.agents["c"].unused == ("a",)
    assert plan([{"name": "a"}, {"name": "c", "depends_on": ["a"], "prompt": "Judge."}]).agents["c"].unused == ()


@pytest.mark.parametrize(
    ("agents", "said"),
    [
        ([{"name": "a"}, {"name": "a"}], "a second agent named 'a'"),
        ([{"name": "a-b"}, {"name": "a_b"}], "'a_b' and 'a-b' are one name in templates"),
        ([{"name": "synthesis"}], "the name 'synthesis' is reserved"),
        ([{"name": "a", "depends_on": ["b"]}], "no agent 'b'"),
        ([{"name": "a"}, {"name": "b", "depends_on": ["a", "a"]}], "'a' is named twice"),
        ([{"name": "a"}, {"name": "b", "depends_on": ["a"], "require": 2}], "'require: 2' of 1 dependencies can never be met"),
        ([{"name": "a", "fan_out": True}], "'fan_out: true' takes exactly one entry in 'depends_on'"),
        ([{"name": "a", "input_key": "k"}], "'input_key' needs a dependency to select from"),
        ([{"name": "a", "gather": "text"}], "'gather' needs a 'fan_out'"),
        ([{"name": "a", "when": "1 == 2"}], "the template in 'when' is broken: 'when' has to be one expression: \"{{ ... }}\""),
        ([{"name": "a", "prompt": "{{ item }}"}], "no name 'item' in the template of 'prompt'"),
        (
            [{"name": "a", "prompt": "{{ agents[input] }}"}],
            "the template in 'prompt' is broken: 'agents' takes one literal name: agents.NAME",
        ),
        ([{"name": "a", "prompt": "{{ agents.b }}"}], "no agent 'b'"),
        ([{"name": "a", "prompt": "{{ variables.v }}"}], "no variable 'v'"),
        (
            [{"name": "a", "prompt": "{% if %}"}],
            "the template in 'prompt' is broken: line 1: Expected an expression, got 'end of statement block'",
        ),
        ([{"name": "a", "model_profile": "fsat"}], "no profile 'fsat'"),
        ([{"name": "a", "ensemble": "nope"}], "no ensemble 'nope'"),
        ([{"name": "a", "command": ["x"], "fan_out": {"profiles": ["fast"]}}], "'profiles' makes no difference to a command"),
        ([{"name": "a", "prompt": "x", "prompt_file": "y"}], "'prompt' and 'prompt_file' exclude one another"),
        ([{"name": "a", "command": ["x", "{{ variables.v }}"]}], "'variables.v' is not filled in here"),
        ([{"name": "a", "system_prompt": "Be {{variables.who}}"}], "'variables.who' is not filled in here"),
        ([{"name": "a", "script": "/x", "parameters": {"k": ["{{ input | upper }}"]}}], "'input | upper' is not filled in here"),
        ([{"name": "a", "depends_on": ["b"]}, {"name": "b", "prompt": "{{ agents.a }}"}], "agents wait for one another: a -> b -> a"),
    ],
)
def test_what_is_wrong_is_told(agents: Agents, said: str) -> None:
    assert said in wrong(agents)


def test_the_tags_of_other_programs_are_left_to_them() -> None:
    plan([{"name": "a", "command": ["docker", "inspect", "-f", "{{.State.Status}} {{ json .Input }}"]}])


def test_everything_is_told_at_once() -> None:
    agents: Agents = [{"name": "a", "model_profile": "x"}, {"name": "b", "depends_on": ["y"], "prompt": "{{ z }} {{ variables.v }}"}]
    assert wrong(agents, choices=Choices({"w": "1"}, only=("c",))) == {
        "no profile 'x'",
        "no agent 'y'",
        "no name 'z' in the template of 'prompt'",
        "no variable 'v'",
        "'test' has no variable 'w'",
        "--only: no agent 'c' in 'test'",
    }


def test_a_default_profile_that_is_not_there_is_told_where_it_was_set() -> None:
    place = Place("config.yaml", 1, 18)
    with pytest.raises(ProblemError) as raised:
        resolve(ensemble([{"name": "a"}]), PROFILES, {}, default=DefaultProfile("defautl", place))
    assert [str(problem) for problem in raised.value.problems] == [
        "config.yaml:1:18: no profile 'defautl'\nhint: did you mean 'default'? see: llm-orc list profiles"
    ]


def test_ensembles_that_run_one_another_and_nest_too_deeply() -> None:
    shelf = {"a": ensemble([{"name": "x", "ensemble": "b"}]), "b": ensemble([{"name": "x", "ensemble": "a"}])}
    assert wrong([{"name": "x", "ensemble": "a"}], shelf) == {"ensembles run one another: a -> b -> a"}
    deep = {f"e{i}": ensemble([{"name": "x", "ensemble": f"e{i + 1}"} if i < 8 else {"name": "x"}]) for i in range(1, 9)}
    assert plan([{"name": "x", "ensemble": "e1"}], deep).phases == (("x",),)
    deeper = {f"e{i}": ensemble([{"name": "x", "ensemble": f"e{i + 1}"} if i < 9 else {"name": "x"}]) for i in range(1, 10)}
    assert wrong([{"name": "x", "ensemble": "e1"}], deeper) == {
        "ensembles nest deeper than 8: test -> e1 -> e2 -> e3 -> e4 -> e5 -> e6 -> e7 -> e8 -> e9"
    }


@pytest.mark.parametrize(
    ("variable", "given", "value"),
    [
        ({"default": 2}, "3", 3),
        ({"default": 0.5}, "1", 1.0),
        ({"default": True}, "false", False),
        ({"type": "integer"}, "4", 4),
        ({}, "4", "4"),
        ({"choices": ["x", "y"]}, "y", "y"),
        ({"choices": [1, 2]}, "2", 2),
    ],
)
def test_a_variable_is_read_as_its_type(variable: dict[str, Any], given: str, value: object) -> None:
    made = plan([{"name": "a"}], choices=Choices({"v": given}), variables={"v": variable})
    assert made.variables["v"] == value
    assert type(made.variables["v"]) is type(value)


@pytest.mark.parametrize(
    ("variable", "given", "said"),
    [
        ({"default": 2}, "x", "variable 'v' of 'test': 'x' is no integer"),
        ({"choices": ["x"]}, "y", "variable 'v' of 'test': 'y' is none of x"),
        ({"required": True}, None, "variable 'v' of 'test' has no value"),
        ({"default": "z", "choices": ["x"]}, None, "the default of 'v': 'z' is none of x"),
        ({"default": "z", "type": "integer"}, None, "the default of 'v': 'z' is no integer"),
    ],
)
def test_a_variable_that_is_wrong(variable: dict[str, Any], given: str | None, said: str) -> None:
    assert said in wrong([{"name": "a"}], choices=Choices({"v": given} if given else {}), variables={"v": variable})


def test_a_childs_parameters_are_checked_where_they_stand() -> None:
    kid = ensemble([{"name": "k"}], variables={"depth": {"default": 1}})
    assert wrong([{"name": "a", "ensemble": "kid", "parameters": {"dpeth": 2}}], {"kid": kid}) == {"'test' has no variable 'dpeth'"}


@pytest.mark.parametrize(
    ("agents", "reads"),
    [
        ([{"name": "a"}], True),
        ([{"name": "a", "prompt": "Tell a joke."}], True),
        ([{"name": "a", "prompt": "{{ variables }}"}], False),
        ([{"name": "a", "script": "/x"}], False),
        ([{"name": "a", "script": "/x"}, {"name": "b", "depends_on": ["a"]}], False),
        ([{"name": "a", "command": ["x"]}], True),
        ([{"name": "a", "command": ["x"], "prompt": "{{ 1 }}"}], False),
        ([{"name": "a", "fan_out": {"items": [1]}}], False),
        ([{"name": "a", "fan_out": {"items": "{{ input }}"}}], True),
        ([{"name": "a", "fan_out": {"profiles": ["fast"]}}], True),
        ([{"name": "a", "ensemble": "scripted"}], False),
        ([{"name": "a", "ensemble": "reading"}], True),
    ],
)
def test_who_would_read_an_empty_input(agents: Agents, reads: object) -> None:
    shelf = {"scripted": ensemble([{"name": "k", "script": "/x"}]), "reading": ensemble([{"name": "k"}])}
    assert plan(agents, shelf).reads_input() is reads
