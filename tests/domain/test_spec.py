"""A plan that is made of what was kept does what the plan did."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.app import planned
from llm_orc.config.layers import read_layers
from llm_orc.config.surroundings import Surroundings
from llm_orc.domain.ensemble import Ensemble, FunctionAgent
from llm_orc.domain.event import Happening
from llm_orc.domain.message import Attachment
from llm_orc.domain.plan import Choices, Chosen, Plan, PlannedAgent
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.profile import Profile
from llm_orc.domain.resolve import resolve
from llm_orc.domain.secret import remember
from llm_orc.domain.spec import changes, checked, plan_of, spec_of
from tests.engine.runs import Lab
from tests.engine.test_any_graph import Graph, graphs
from tests.engine.virtual import in_virtual_time
from tests.shipped.conftest import ENSEMBLES

NAMES = [
    str(path.relative_to(ENSEMBLES).with_suffix("")) for path in sorted([*ENSEMBLES.glob("*.yaml"), *ENSEMBLES.glob("examples/*.yaml")])
]


def again(plan: Plan, **more: Any) -> Plan:
    return plan_of(json.loads(json.dumps(spec_of(plan, "input", **more))))


def said(plan: Plan) -> Any:
    """All that a plan says, without where it was read and how its templates are compiled."""

    def agent(each: PlannedAgent) -> Any:
        texts = [(template and (template.text, template.names)) for template in (each.prompt, each.when, each.items, each.shape)]
        children = [said(child) for child in (each.child, *(variant.child for variant in each.variants)) if child]
        models = [each.profile, each.fallbacks, [variant.profile for variant in each.variants]]
        return [each.agent, each.depends_on, each.implied, each.unused, each.schema, each.program, each.phase, texts, models, children]

    rest = [
        plan.phases,
        plan.leaves,
        plan.variables,
        plan.synthesised,
        plan.missing,
        plan.max_parallel,
        plan.max_cost,
        plan.timeout_seconds,
    ]
    return [[agent(each) for each in plan.agents.values()], rest, plan.template and plan.template.text]


def events(plan: Plan, **more: Any) -> list[Happening]:
    lab = Lab(**more)
    in_virtual_time(lab.carried_out(plan, "input"))
    return lab.events


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_ensemble(name: str, tmp_path: Path) -> None:
    layers = read_layers(Surroundings(tmp_path, tmp_path, {}))
    plan = planned(layers, name, Choices({"title": "Why"} if name == "adr" else {}))
    assert said(again(plan)) == said(plan)
    assert spec_of(again(plan), "input") == spec_of(plan, "input")


@settings(max_examples=50, deadline=None)
@given(graphs(), st.sampled_from(["overlapping", "phased"]), st.data())
def test_any_graph(graph: Graph, execution: str, data: st.DataObject) -> None:
    names = [agent["name"] for agent in graph.agents]
    only = tuple(data.draw(st.lists(st.sampled_from(names), unique=True)))
    choices = Choices(only=only, no_deps=bool(only) and data.draw(st.booleans()), max_parallel=data.draw(st.none() | st.integers(1, 3)))
    ensemble = Ensemble.model_validate({"name": "test", "execution": execution, "agents": list(graph.agents)})
    plan = resolve(ensemble, {"default": Profile(name="default", model="m", provider="lab")}, {}, choices)
    more: Mapping[str, Any] = {"seconds": graph.seconds, "failing": graph.failing}
    assert events(again(plan), **more) == events(plan, **more)


RICH = {
    "name": "rich",
    "variables": {"language": {"default": "python"}, "depth": {"type": "integer", "required": True}},
    "defaults": {"temperature": 0.5, "options": {"a": 1}},
    "limits": {"timeout_seconds": 60},
    "agents": [
        {"name": "list", "prompt": "{{ variables.language }} {{ input }}", "model": "big", "provider": "lab"},
        {"name": "each", "fan_out": {"items": [{"path": "a"}, {"path": "b"}]}, "prompt": "{{ item.path }}", "fallback": ["spare"]},
        {"name": "both", "fan_out": {"profiles": ["default", "spare"]}, "prompt": "compare", "options": {"b": 2}},
        {"name": "sub", "ensemble": "child", "parameters": {"n": 3}, "depends_on": ["each"], "timeout_seconds": 9},
        {"name": "when", "when": "{{ agents.sub.ok and variables.depth > 1 }}", "require": 0},
    ],
    "synthesis": {"prompt": "all", "model_profile": "tier", "requires": ["vision", "files"]},
}
CHILD = {"name": "child", "variables": {"n": {"default": 1}}, "agents": [{"name": "in", "prompt": "{{ variables.n }}{{ input }}"}]}
PROFILES = {
    "default": Profile(name="default", model="m", provider="lab", options={"a": 0, "c": 3}, fallback=("spare",)),
    "spare": Profile(name="spare", model="s", provider="lab", system_prompt="Be brief."),
    "tier": Profile(name="tier", model="careful", provider="auto", max_tokens=9),
}


def rich(**choices: Any) -> Plan:
    given = {"variables": {"depth": "2"}, "max_cost": 1.5, **choices}
    plan = resolve(Ensemble.model_validate(RICH), PROFILES, {"child": Ensemble.model_validate(CHILD)}, Choices(**given))
    return plan.with_tiers([Chosen("careful", frozenset({"vision", "files"}), "lab", "grand")])


@pytest.mark.parametrize("choices", [{}, {"profile": "spare"}, {"profiles": {"list": "spare"}}, {"only": ("each",)}])
def test_everything_that_an_ensemble_can_say_and_a_caller_can_choose(choices: Mapping[str, Any]) -> None:
    plan = rich(**choices)
    assert said(again(plan)) == said(plan)
    assert events(again(plan)) == events(plan)
    if not choices:
        profile = again(plan).agents["synthesis"].profile
        assert profile is not None
        assert (profile.provider, profile.model, profile.max_tokens, profile.temperature) == ("lab", "grand", 9, 0.5)


def test_files_that_go_along_are_kept() -> None:
    picture = Attachment("dot.png", "image/png", bytes(range(256)), "/x/dot.png")
    plan = rich(attachments=(picture,))
    assert again(plan).basis.choices.attachments == (picture,)


def test_a_spec_is_the_same_text_whatever_the_order_of_sets() -> None:
    assert spec_of(rich(), "")["ensembles"][""]["data"]["synthesis"]["requires"] == ["files", "vision"]


def test_a_key_is_never_kept_and_comes_from_the_profile_of_today() -> None:
    key = "never-to-be-seen-0123456789"
    remember(key)
    profile = Profile(name="default", model="m", provider="lab", options={"headers": {"x": [f"Bearer {key}"]}})
    plan = resolve(Ensemble.model_validate({"name": "e", "agents": [{"name": "a"}]}), {"default": profile}, {})
    spec = json.loads(json.dumps(spec_of(plan, "input")))
    assert key not in str(spec)
    assert plan_of(spec, profiles={"default": profile}).agents["a"].profile == plan.agents["a"].profile
    with pytest.raises(ProblemError, match="'default' held a key"):
        plan_of(spec)


def test_what_cannot_be_made_again_says_so() -> None:
    async def answer(_: str) -> str:
        return "ok"

    plan = resolve(Ensemble(name="e", agents=(FunctionAgent(name="f", function=answer),)), {}, {})
    with pytest.raises(ProblemError, match="'f' is a Python function"):
        again(plan)
    for broken in ({}, {"ensembles": 1}, {**spec_of(rich(), ""), "profiles": {"default": {"model": 3}}}):
        with pytest.raises(ProblemError, match="not kept in a form"):
            plan_of(broken)


@pytest.mark.parametrize(
    "broken",
    [
        {"version": "1"},
        {"input": 3},
        {"cwd": None},
        {"ensembles": {}},
        {"ensembles": {"": {"file": 3, "programs": {}}}},
        {"ensembles": {"": 1}},
    ],
)
def test_a_spec_is_checked_before_anybody_looks_into_it(broken: Mapping[str, Any]) -> None:
    spec = spec_of(rich(), "text")
    assert checked(spec) == spec
    with pytest.raises(ProblemError, match="not kept in a form"):
        checked({**spec, **broken})
    with pytest.raises(ProblemError, match="by a newer llm-orc"):
        checked({**spec, "version": 2})


def test_what_has_changed_is_named() -> None:
    old = spec_of(rich(), "")
    assert list(changes(old, spec_of(rich(max_parallel=3), "other"))) == []
    new = json.loads(json.dumps(old))
    new["ensembles"]["child"]["data"]["agents"][0]["prompt"] = "other"
    del new["profiles"]["spare"]
    assert [(each.kind, each.name) for each in changes(old, new)] == [("ensemble", "<python>"), ("profile", "spare")]
