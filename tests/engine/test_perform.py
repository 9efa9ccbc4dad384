"""How a run flows: who waits for whom, what fails whom, and how many go on at once."""

import pytest

from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.domain.run import ExitCode
from tests.engine.runs import Lab, names


def agent(name: str, *needs: str, **keys: object) -> dict[str, object]:
    return {"name": name, "depends_on": list(needs), **keys}


def test_an_agent_waits_for_its_own_dependencies_and_not_for_strangers_of_the_phase_before() -> None:
    lab = Lab(seconds={"slow": 10, "quick": 1, "after_quick": 1})
    run = lab.run({"agents": [agent("slow"), agent("quick"), agent("after_quick", "quick")]})
    assert run.phases == (("slow", "quick"), ("after_quick",))
    assert run.nodes["after_quick"].ended_at == 2
    assert run.seconds == 10


def test_phased_makes_each_phase_a_barrier() -> None:
    lab = Lab(seconds={"slow": 10, "quick": 1, "after_quick": 1})
    run = lab.run({"execution": "phased", "agents": [agent("slow"), agent("quick"), agent("after_quick", "quick")]})
    assert run.nodes["after_quick"].started_at == 10
    assert run.seconds == 11


def test_a_thousand_links_declared_backwards() -> None:
    links = [agent(f"a{i}", *([f"a{i - 1}"] if i else [])) for i in reversed(range(1200))]
    run = Lab(seconds={}).run({"agents": links})
    assert run.exit_code == ExitCode.OK
    assert run.seconds == 1200


def test_what_was_said_reaches_the_next_agent() -> None:
    lab = Lab()
    lab.run({"agents": [agent("facts"), agent("verdict", "facts", prompt="Judge.")]}, "the code")
    assert lab.requests[-1].messages[-1].text == "Judge.\n\nthe code\n\n## facts\n\nfacts says: the code"


def test_a_reference_is_a_dependency() -> None:
    lab = Lab()
    run = lab.run({"agents": [agent("b", prompt="{{ agents.a_a }}!"), agent("a-a")]})
    assert run.nodes["b"].prompt == "a-a says: input!"
    assert run.nodes["b"].depends_on == ("a-a",)


def test_a_dependent_of_a_failed_agent_is_skipped_with_the_cause_and_its_siblings_go_on() -> None:
    lab = Lab(failing=frozenset({"bad"}))
    run = lab.run({"agents": [agent("bad"), agent("good"), agent("reader", "bad"), agent("last", "reader")]})
    assert names(run, "failed") == {"bad"}
    assert names(run, "skipped") == {"reader", "last"}
    assert run.nodes["reader"].cause == "no reply from bad"
    assert run.nodes["bad"].cause == "invalid_request: it broke"
    assert run.exit_code == ExitCode.SOME_FAILED
    assert {request.node for request in lab.requests} == {"bad", "good"}


@pytest.mark.parametrize(
    ("require", "status"), [("any", "succeeded"), ("all", "skipped"), (1, "succeeded"), (2, "skipped"), (0, "succeeded")]
)
def test_require_counts_the_dependencies_that_succeeded(require: object, status: str) -> None:
    lab = Lab(failing=frozenset({"bad"}))
    run = lab.run({"agents": [agent("bad"), agent("good"), agent("reader", "bad", "good", require=require)]})
    assert run.nodes["reader"].status == status


def test_a_missing_reply_is_named_in_the_default_prompt() -> None:
    lab = Lab(failing=frozenset({"bad"}))
    lab.run({"agents": [agent("bad"), agent("good"), agent("reader", "bad", "good")]})
    assert lab.requests[-1].messages[-1].text == "input\n\n## bad\n\n(missing: invalid_request: it broke)\n\n## good\n\ngood says: input"


def test_when_is_an_expression_and_false_skips() -> None:
    lab = Lab(answer=lambda _: '{"files": []}')
    run = lab.run(
        {
            "agents": [
                agent("facts"),
                agent("deep", when="{{ agents.facts.json.files | length > 0 }}"),
                agent("other", when="{{ agents.facts.json.files | length == 0 }}"),
            ]
        }
    )
    assert (run.nodes["deep"].status, run.nodes["deep"].cause) == ("skipped", "when")
    assert run.nodes["other"].status == "succeeded"
    assert run.exit_code == ExitCode.OK


def test_when_that_reads_no_json_fails_its_agent_and_nobody_else() -> None:
    run = Lab().run({"agents": [agent("facts"), agent("deep", when="{{ agents.facts.json.x }}"), agent("reader", "facts")]})
    assert run.nodes["deep"].cause == "malformed: the reply of 'facts' is no JSON: 'facts says: input'"
    assert run.nodes["reader"].status == "succeeded"


def test_what_a_filter_gives_one_by_one_is_a_list() -> None:
    lab = Lab(answer=lambda request: '{"files": ["a.py", "b.c"]}' if request.node == "facts" else request.messages[-1].text)
    some, none = (f"{{{{ agents.facts.json.files | select('equalto', '{name}') }}}}" for name in ("b.c", "c"))
    agents = [agent("facts"), agent("yes", when=some), agent("no", when=none), agent("each", fan_out={"items": some}, prompt="{{ item }}!")]
    run = lab.run({"agents": agents})
    assert (run.nodes["yes"].status, run.nodes["no"].cause) == ("succeeded", "when")
    assert run.nodes["each"].text == '["b.c!"]'


def test_items_may_be_the_replies_of_a_fan_out() -> None:
    lab = Lab(answer=lambda request: request.messages[-1].text + "!")
    run = lab.run({"agents": [agent("a", fan_out={"items": ["x", "y"]}), agent("b", fan_out={"items": "{{ agents.a }}"}, gather="text")]})
    assert run.result == "x!!\n\ny!!"


@pytest.mark.parametrize("text", ["{{ [[agents.facts.json.nope]] }}", "{{ agents.facts.json | map(attribute='nope') }}"])
def test_what_is_not_there_fails_its_agent_however_deep_it_lies(text: str) -> None:
    run = Lab(answer=lambda _: "[{}]").run({"agents": [agent("facts"), agent("each", fan_out={"items": text}), agent("other")]})
    assert run.nodes["each"].cause.startswith("malformed: 'items': there is no 'nope'")
    assert run.nodes["other"].status == "succeeded"


def test_a_template_that_asks_for_too_much_fails_its_agent() -> None:
    run = Lab().run({"agents": [agent("a", prompt="{{ 'x' * 10 ** 15 }}"), agent("b")]})
    assert run.nodes["a"].cause == "malformed: 'prompt': it does not work on these values"


def test_json_that_nests_as_deep_as_can_be_read_ends_no_run() -> None:
    nested = iter([depth * "[" + depth * "]" for depth in range(900, 1000)])
    lab = Lab(answer=lambda request: next(nested) if request.node == "a" else "ok")
    for _ in range(100):
        run = lab.run({"agents": [agent("a"), agent("b", "a", fan_out=True), agent("c")]})
        assert run.nodes["c"].status == "succeeded"


def test_when_never_takes_a_text_for_true() -> None:
    run = Lab().run({"variables": {"mode": {"default": "no"}}, "agents": [agent("a", when="{{ variables.mode }}")]})
    assert run.nodes["a"].cause == "malformed: 'when' gave the text 'no', which is neither true nor false"


@pytest.mark.parametrize("bound", [1, 2, 7])
def test_max_parallel_is_the_peak(bound: int) -> None:
    lab = Lab()
    run = lab.run({"limits": {"max_parallel": bound}, "agents": [agent(f"a{i}") for i in range(14)]})
    assert lab.peak == bound
    assert run.seconds == 14 / bound


def test_max_parallel_bounds_children_too_and_the_flag_wins() -> None:
    lab = Lab(ensembles={"kid": _ensemble("kid", [agent(f"k{i}") for i in range(5)])})
    lab.run({"limits": {"max_parallel": 9}, "agents": [agent(f"a{i}", ensemble="kid") for i in range(4)]}, max_parallel=3)
    assert lab.peak == 3


def test_an_endpoint_is_bounded_by_the_smallest_wish() -> None:
    profiles = {
        "default": Profile(name="default", model="m", provider="lab", max_parallel=9),
        "less": Profile(name="less", model="m", provider="lab", max_parallel=4),
    }
    lab = Lab(profiles=profiles)
    lab.run({"agents": [agent(f"a{i}", **({"model_profile": "less"} if i == 11 else {})) for i in range(12)]})
    assert lab.peak == 4


def test_one_model_at_a_time_and_its_agents_together() -> None:
    profiles = {name: Profile(name=name, model=name, provider="lab") for name in ("default", "other")}
    lab = Lab(profiles=profiles, endpoint=Endpoint("lm", "lm", 1, one_model=True, local=True))
    lab.run({"agents": [agent(f"a{i}", model_profile=("default", "other")[i % 2]) for i in range(6)]})
    assert [request.profile.model for request in lab.requests] == ["default"] * 3 + ["other"] * 3


def test_two_models_never_share_such_a_server() -> None:
    profiles = {name: Profile(name=name, model=name, provider="lab") for name in ("default", "other")}
    lab = Lab(profiles=profiles, endpoint=Endpoint("lm", "lm", 2, one_model=True, local=True))
    run = lab.run({"agents": [agent(f"a{i}", model_profile=("default", "other")[i % 2]) for i in range(2)]})
    assert (lab.peak, run.seconds) == (1, 2)


def test_a_fan_out_keeps_the_order_of_its_items_and_the_replies_beside_a_failure() -> None:
    lab = Lab(seconds={"f[0]": 3, "f[1]": 2, "f[2]": 1}, failing=frozenset({"f[1]"}), answer=lambda request: request.messages[-1].text)
    run = lab.run({"agents": [agent("f", fan_out={"items": ["a", {"k": 1}, [2]]}, prompt="{{ index }}:{{ item }}")]})
    assert run.result == '["0:a", null, "2:[2]"]'
    assert run.exit_code == ExitCode.SOME_FAILED
    assert run.nodes["f"].children == ["f[0]", "f[1]", "f[2]"]


def test_fan_out_true_goes_over_the_reply_of_its_dependency() -> None:
    lab = Lab(answer=lambda request: '["x", "y"]' if request.node == "plan" else request.messages[-1].text.upper())
    run = lab.run({"agents": [agent("plan"), agent("each", "plan", fan_out=True, gather="text")]})
    assert run.result == "X\n\nY"


def test_fan_out_over_no_list_is_malformed_and_over_an_empty_one_succeeds() -> None:
    lab = Lab(answer=lambda request: {"none": "[]", "text": "hello"}[request.node])
    run = lab.run({"agents": [agent("none"), agent("text"), agent("a", "none", fan_out=True), agent("b", "text", fan_out=True)]})
    assert (run.nodes["a"].status, run.nodes["a"].text) == ("succeeded", "[]")
    assert run.nodes["b"].cause.startswith("malformed: ")


def test_input_key_selects_the_items() -> None:
    lab = Lab(answer=lambda request: '{"topics": ["x"], "n": 1}' if request.node == "plan" else request.messages[-1].text)
    run = lab.run(
        {"agents": [agent("plan"), agent("each", "plan", fan_out=True, input_key="topics"), agent("no", "plan", input_key="tpics")]}
    )
    assert run.nodes["each"].text == '["x"]'
    assert run.nodes["no"].cause == "malformed: no key 'tpics' in the reply of 'plan'; its keys are: topics, n"


def test_a_fan_out_bound_is_hard_and_holds_no_slot_of_the_run() -> None:
    lab = Lab()
    run = lab.run({"limits": {"max_parallel": 1}, "agents": [agent("f", fan_out={"items": list(range(6)), "max_parallel": 3}), agent("g")]})
    assert run.exit_code == ExitCode.OK
    assert lab.peak == 1
    free = Lab()
    free.run({"agents": [agent("f", fan_out={"items": list(range(6)), "max_parallel": 3})]})
    assert free.peak == 3


def test_merge_joins_objects_and_refuses_two_values() -> None:
    replies = {"f[0]": '{"a": 1, "l": [1], "o": {"x": 1}}', "f[1]": '{"l": [2], "o": {"y": 2}}', "g[0]": '{"a": 1}', "g[1]": '{"a": 2}'}
    lab = Lab(answer=lambda request: replies[request.node])
    run = lab.run({"agents": [agent(n, fan_out={"items": [1, 2]}, gather="merge") for n in ("f", "g")]})
    assert run.nodes["f"].text == '{"a": 1, "l": [1, 2], "o": {"x": 1, "y": 2}}'
    assert run.nodes["g"].cause == "malformed: 'gather: merge' finds two values of 'a': 1, and 2 in the reply of 'g[1]'"


def test_profiles_are_compared_on_the_input() -> None:
    profiles = {name: Profile(name=name, model=name, provider="lab") for name in ("default", "a", "b")}
    lab = Lab(profiles=profiles)
    lab.run({"agents": [agent("each", fan_out={"profiles": ["a", "b"]}), agent("named", fan_out={"profiles": ["a"]}, prompt="{{ item }}")]})
    assert [(request.profile.name, request.messages[-1].text) for request in lab.requests] == [("a", "input"), ("b", "input"), ("a", "a")]


def test_a_nested_ensemble_is_its_result_and_its_parameters_are_its_variables() -> None:
    kid = _ensemble("kid", [agent("k", prompt="{{ variables.depth }} {{ input }}")], variables={"depth": {"default": 1}})
    lab = Lab(ensembles={"kid": kid}, answer=lambda request: request.messages[-1].text)
    run = lab.run(
        {"agents": [agent("a"), agent("deep", "a", ensemble="kid", parameters={"depth": 2}), agent("z", prompt="<{{ agents.deep }}>")]}
    )
    assert run.result == "<2 input\n\n## a\n\ninput>"
    assert run.nodes["deep"].children == ["deep/k"]


def test_timeouts_count_from_the_first_slot_and_stand_still_in_queues() -> None:
    lab = Lab()
    run = lab.run({"limits": {"max_parallel": 1}, "agents": [agent(f"a{i}", timeout_seconds=1.5) for i in range(4)]})
    assert run.exit_code == ExitCode.OK
    assert run.seconds == 4


def test_an_ensembles_clock_stands_still_while_all_its_calls_wait() -> None:
    kid = _ensemble("kid", [agent("first"), agent("second", "first")])
    rivals = [agent("gate"), *(agent(f"a{i}", "gate") for i in range(5))]
    run = Lab(ensembles={"kid": kid}).run(
        {"limits": {"max_parallel": 1}, "agents": [*rivals, agent("kid", ensemble="kid", timeout_seconds=2.5)]}
    )
    assert (run.nodes["kid/first"].ended_at, run.nodes["kid/second"].started_at) == (2, 7)
    assert run.exit_code == ExitCode.OK


def test_a_childs_own_wall_time() -> None:
    kid = _ensemble("kid", [agent("slow"), agent("quick")], limits={"timeout_seconds": 2})
    run = Lab(seconds={"kid/slow": 9}, ensembles={"kid": kid}).run({"agents": [agent("kid", ensemble="kid")]})
    assert run.nodes["kid"].cause == "timeout: 'kid' was not done within 2 s"


def test_a_leaf_that_was_not_wanted_is_not_missed() -> None:
    run = Lab().run({"agents": [agent("a", when="{{ 'x' in input }}"), agent("b", when="{{ 'x' not in input }}")]})
    assert run.result == "b says: input"


def test_offline_skips_what_is_elsewhere_and_what_hangs_on_it() -> None:
    kid = _ensemble("kid", [agent("k")])
    lab = Lab(endpoint=Endpoint("far", "far", None), ensembles={"kid": kid})
    agents = [agent("a"), agent("b", "a"), agent("kid", ensemble="kid"), agent("fan", fan_out={"items": [1]})]
    run = lab.run({"agents": agents}, offline=True)
    assert {node.cause for node in run.nodes.values()} == {"offline"}
    assert names(run, "skipped") == set(run.nodes)
    assert run.exit_code == ExitCode.NO_LEAF
    assert not lab.requests


def test_each_child_of_a_nested_fan_out_works_on_its_item() -> None:
    lab = Lab(
        ensembles={"kid": _ensemble("kid", [agent("k")])},
        answer=lambda request: '{"t": ["x"]}' if request.node == "plan" else request.messages[-1].text,
    )
    run = lab.run({"agents": [agent("plan"), agent("each", "plan", ensemble="kid", fan_out=True, input_key="t")]})
    assert run.nodes["each[0]/k"].prompt == "x"


def test_a_timeout_fails_its_agent_only() -> None:
    lab = Lab(seconds={"slow": 9, "kid/slow": 9}, ensembles={"kid": _ensemble("kid", [agent("slow"), agent("quick")])})
    run = lab.run({"agents": [agent("slow", timeout_seconds=2), agent("ok"), agent("kid", ensemble="kid", timeout_seconds=3)]})
    assert run.nodes["slow"].cause == "timeout: no reply within 2 s"
    assert run.nodes["kid"].cause == "timeout: no reply within 3 s"
    assert run.nodes["kid/slow"].status == "cancelled"
    assert run.nodes["kid/quick"].status == "succeeded"
    assert run.result.startswith("## slow\n\n(missing: ")
    assert run.exit_code == ExitCode.SOME_FAILED
    assert run.seconds == 3


@pytest.mark.parametrize(("cause", "code"), [("interrupt", ExitCode.INTERRUPTED), ("terminate", ExitCode.TERMINATED)])
def test_a_run_cut_short_keeps_what_is_finished(cause: str, code: ExitCode) -> None:
    lab = Lab(seconds={"slow": 9, "fan[1]": 9})
    agents = [agent("quick"), agent("slow"), agent("fan", fan_out={"items": [1, 2]}), agent("end", "quick", "slow", require="all")]
    run = lab.run({"agents": agents}, stop_after=(2, cause))  # type: ignore[arg-type]
    assert run.exit_code == code
    assert run.status == "cancelled"
    assert names(run, "succeeded") == {"quick", "fan[0]"}
    assert names(run, "cancelled") == {"slow", "fan", "fan[1]", "end"}
    assert run.result == "## quick\n\nquick says: input\n\n## fan[0]\n\nfan[0] says: 1"


def test_of_a_run_cut_short_a_whole_fan_out_and_a_whole_child_run_are_kept() -> None:
    lab = Lab(seconds={"slow": 9}, ensembles={"kid": _ensemble("kid", [agent("k")])})
    agents = [
        agent("fan", fan_out={"items": [1, 2]}, gather="text"),
        agent("kid", ensemble="kid"),
        agent("slow"),
        agent("end", "fan", "kid", "slow"),
    ]
    run = lab.run({"agents": agents}, stop_after=(2, "interrupt"))
    assert run.result == "## fan\n\nfan[0] says: 1\n\nfan[1] says: 2\n\n## kid\n\nkid/k says: input"


def test_the_run_has_a_wall_time() -> None:
    lab = Lab(seconds={"slow": 9})
    run = lab.run({"limits": {"timeout_seconds": 2}, "agents": [agent("quick"), agent("slow")]})
    assert (run.exit_code, run.cause, run.status, run.seconds) == (ExitCode.SPENT, "timeout", "partial", 2)
    assert run.result == "quick says: input"


def test_no_leaf_is_exit_code_1() -> None:
    run = Lab(failing=frozenset({"a"})).run({"agents": [agent("a")]})
    assert (run.exit_code, run.status, run.result) == (ExitCode.NO_LEAF, "failed", "")


def test_a_synthesis_that_fails_leaves_the_leaves() -> None:
    lab = Lab(failing=frozenset({"synthesis"}))
    run = lab.run({"agents": [agent("a"), agent("b")], "synthesis": {"prompt": "Merge."}})
    assert run.result == "## a\n\na says: input\n\n## b\n\nb says: input"
    assert run.exit_code == ExitCode.SOME_FAILED


def test_the_reply_that_is_the_result_stays_it_where_the_leaf_failed() -> None:
    run = Lab(failing=frozenset({"leaf"})).run({"agents": [agent("middle"), agent("leaf", "middle")], "synthesis": {"agent": "middle"}})
    assert (run.result, run.exit_code) == ("middle says: input", ExitCode.NO_LEAF)


def test_only_runs_the_chosen_and_what_they_need() -> None:
    lab = Lab()
    agents = [agent("a"), agent("b", "a"), agent("c", "a")]
    run = lab.run({"agents": agents, "synthesis": {"prompt": "Merge."}}, only=("b",))
    assert set(run.nodes) == {"a", "b", "synthesis"}
    assert run.nodes["synthesis"].depends_on == ("b",)
    alone = Lab().run({"agents": agents, "synthesis": {"agent": "c"}}, only=("b",), no_deps=True)
    assert (set(alone.nodes), alone.result) == ({"b"}, "b says: input")


def test_a_bug_in_one_agent_ends_the_run_and_leaves_no_task_behind() -> None:
    lab = Lab(answer=lambda _: str(1 // 0))
    with pytest.raises(ZeroDivisionError):
        lab.run({"agents": [agent("a"), agent("b")]})
    assert lab.running == 0


def _ensemble(name: str, agents: list[dict[str, object]], **keys: object) -> Ensemble:
    return Ensemble.model_validate({"name": name, "agents": agents, **keys})
