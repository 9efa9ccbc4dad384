"""Replies that have to follow a JSON Schema."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import Delta, Repairing
from llm_orc.domain.files import NoFiles
from llm_orc.domain.message import FailedError, Failure, Kind, Reply, Request, Tell, Usage
from llm_orc.domain.problem import ProblemError, Source
from llm_orc.domain.profile import Profile
from llm_orc.domain.run import ExitCode, Run
from tests.engine.runs import Lab

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"$ref": "#/$defs/count", "default": 1}},
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"count": {"type": "integer", "minimum": 0}},
}
A = {"name": "a", "output_schema": CITY}
ROME = '{"city": "Rome", "people": 3}'


def saying(*lines: str | FailedError) -> Lab:
    left = list(lines)

    async def answer(request: Request, tell: Tell) -> Reply:
        line = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(line, FailedError):
            raise line
        return Reply(line, usage=Usage(10, 1))

    return Lab(server=answer)


@pytest.mark.parametrize(
    "text",
    [
        ROME,
        f"\n\n {ROME} \n",
        f"```json\n{ROME}\n```",
        f"Here it is:\n```\n{ROME}\n```\nAnything else?",
        f"The answer is {ROME}, I think.",
        f"```python\nprint(1)\n```\nand\n```json\n{ROME}\n```",
    ],
)
def test_the_json_is_found_in_what_the_model_says(text: str) -> None:
    it = saying(text)
    run = it.run({"agents": [A, {"name": "b", "prompt": "{{ agents.a.json.city }}", "retry": {"attempts": 1}}]})
    reply = run.nodes["a"].reply
    assert reply is not None
    assert (reply.value, reply.structured, reply.attempts) == ({"city": "Rome", "people": 3}, True, 1)
    assert run.nodes["b"].prompt == "Rome"


def test_every_request_carries_the_schema() -> None:
    it = saying("no", ROME)
    it.run({"agents": [A]})
    assert [request.schema for request in it.requests] == [CITY, CITY]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("no json at all", "it is no JSON: the mistake is at line 1, column 1"),
        ('{"city": "Rome"', "it is no JSON: it ends too early"),
        ("NaN", "it is no JSON: "),
        ('{"city": "Rome", "people": 1e999}', "it is no JSON: 1e999 is beyond all numbers"),
        ("{}", "at $: 'city' is a required property"),
        ('{"city": 1}', "at $.city: 1 is not of type 'string'"),
        ('{"city": "Rome", "people": -1}', "at $.people: -1 is less than the minimum of 0"),
        ('{"city": "Rome", "other": 1}', "at $: Additional properties are not allowed"),
        ("[" * 100_000 + "]" * 100_000, "it is no JSON: it is nested too deeply"),
    ],
)
def test_what_is_no_json_and_what_does_not_follow_is_mended_in_one_round(text: str, wrong: str) -> None:
    it = saying(text, ROME)
    run = it.run({"agents": [A]}, "Which city?")
    assert run.nodes["a"].status == "succeeded"
    assert [event.what.startswith(wrong) for event in it.events if isinstance(event, Repairing)] == [True]
    first, second = it.requests
    assert second.messages[: len(first.messages)] == first.messages
    reply, please = second.messages[len(first.messages) :]
    assert (reply.role, reply.text) == ("assistant", text)
    assert please.role == "user"
    assert please.text.startswith(f"Your reply cannot be used: {wrong}")
    assert json.loads(please.text.rpartition("\n")[2]) == CITY
    done = run.nodes["a"].reply
    assert done is not None
    assert (done.attempts, done.usage, run.usage) == (2, Usage(20, 2), Usage(20, 2))


def test_a_number_that_its_schema_cannot_reckon_with_is_mended() -> None:
    it = saying(f"1{'0' * 400}", "2.5")
    run = it.run({"agents": [{**A, "output_schema": {"multipleOf": 0.5}}]})
    assert [event.what for event in it.events if isinstance(event, Repairing)] == ["a number in it is too large for its schema"]
    assert run.nodes["a"].status == "succeeded"


@pytest.mark.parametrize("second", ["still no json", "[]"])
def test_what_is_still_wrong_then_is_malformed_and_kept_as_partial(second: str) -> None:
    it = saying("{}", second)
    run = it.run({"agents": [{**A, "retry": {"attempts": 5}}]})
    node = run.nodes["a"]
    assert len(it.requests) == 2, "it is not tried again from the start"
    assert node.cause.startswith("malformed: m did not follow the output_schema: ")
    assert node.failure is not None
    assert node.failure.hint
    assert (node.text, run.usage, run.exit_code) == (second, Usage(20, 2), ExitCode.NO_LEAF)


def test_an_attempt_of_the_repair_that_fails_is_retried_as_any_other() -> None:
    broken = FailedError(Failure(Kind.SERVER, "oh no", retry_after=0.0))
    it = saying("{}", broken, broken, ROME)
    run = it.run({"agents": [A]})
    assert (len(it.requests), run.nodes["a"].status) == (4, "succeeded")


def test_another_model_may_follow_it_and_sees_nothing_of_what_the_first_said() -> None:
    it = saying("{}", "{}", ROME)
    it.profiles = {name: Profile(name=name, model=name, provider="lab") for name in ("default", "b")}
    run = it.run({"agents": [{**A, "fallback": ["b"]}]})
    assert [request.profile.name for request in it.requests] == ["default", "default", "b"]
    assert it.requests[2].messages == it.requests[0].messages
    assert (run.nodes["a"].profile, run.nodes["a"].status) == ("b", "succeeded")


def test_null_and_other_values_that_are_false_follow_too() -> None:
    for text, value in (("null", None), ("0", 0), ("false", False), ("[]", []), ('""', "")):
        it = saying(text)
        run = it.run({"agents": [{"name": "a", "output_schema": {}}, {"name": "b", "prompt": "{{ agents.a.json }}"}]})
        reply = run.nodes["a"].reply
        assert reply is not None
        assert (reply.value, reply.structured) == (value, True)


def test_each_item_of_a_fan_out_follows_it() -> None:
    async def answer(request: Request, tell: Tell) -> Reply:
        good = request.node != "a[1]" and (request.node == "a[0]" or len(request.messages) > 1)
        return Reply(f'Well: {{"city": "{request.messages[0].text}"}}' if good else "no")

    it = Lab(server=answer)
    run = it.run({"agents": [{**A, "fan_out": {"items": ["x", "y", "z"]}}, {"name": "b", "prompt": "{{ agents.a.json }}"}]})
    assert [run.nodes[f"a[{index}]"].status for index in range(3)] == ["succeeded", "failed", "succeeded"]
    assert run.nodes["b"].prompt == '[{"city": "x"}, null, {"city": "z"}]'
    assert run.nodes["a[2]"].sent == 2


def test_input_key_and_fan_out_read_the_value_and_not_the_text() -> None:
    schema = {"type": "object", "required": ["topics"]}
    it = Lab(answer=lambda request: 'Sure: {"topics": ["p", "q"]} done.' if request.node == "a" else request.messages[-1].text)
    agents = [
        {"name": "a", "output_schema": schema},
        {"name": "b", "depends_on": ["a"], "input_key": "topics", "prompt": "T"},
        {"name": "c", "depends_on": ["a"], "input_key": "topics", "fan_out": True, "prompt": "{{ item }}!"},
    ]
    run = it.run({"agents": agents})
    assert run.nodes["b"].prompt == 'T\n\ninput\n\n## a\n\n["p", "q"]'
    assert run.nodes["c"].text == '["p!", "q!"]'


# What a schema may do to us


TREE = {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, TREE], ids=str)
def test_a_value_or_a_schema_without_a_bottom_is_a_fault_of_the_reply(schema: Mapping[str, Any]) -> None:
    it = saying("[" * 400 + "]" * 400)
    run = it.run({"agents": [{"name": "a", "output_schema": schema}, {"name": "b"}]})
    assert run.nodes["a"].status in {"failed", "succeeded"}
    assert run.nodes["b"].status == "succeeded"


def test_a_reference_within_the_schema_and_none_beyond_it() -> None:
    child = Ensemble.model_validate({"name": "child", "agents": [A]})
    it = saying('{"city": "Rome", "people": "many"}')
    it.ensembles = {"child": child}
    run = it.run({"agents": [{"name": "n", "ensemble": "child"}]})
    assert "at $.people: 'many' is not of type 'integer'" in run.nodes["n/a"].cause


class Shelf(NoFiles):
    """The template of a city."""

    def text(self, name: str) -> str:
        return f"{{# {name} #}}{{{{ output.city }}}}, {{{{ output.people if output.people is defined else 0 }}}} people"


def shown_as_text(lab: Lab, **more: Any) -> Run:
    agents = [{**A, "template": "city.md.j2", "on_mismatch": "text", **more}, {"name": "b", "depends_on": ["a"]}]
    ensemble = Ensemble.model_validate({"name": "city", "agents": agents}).found(Source("city.yaml"), Shelf())
    return lab.run(ensemble, "Which city?")


def test_what_follows_is_shown_by_its_template() -> None:
    it = saying("no", ROME)
    reply = shown_as_text(it).nodes["a"].reply
    assert reply is not None
    assert (reply.text, reply.value["city"], reply.mismatch) == ("Rome, 3 people", "Rome", "")


def test_a_model_that_cannot_follow_is_asked_for_free_text_which_is_marked() -> None:
    it = saying("no", '{"city": 1}', "# Rome\n\nIt is old.")
    run = shown_as_text(it)
    first, repair, free = it.requests[:3]
    assert (free.messages, free.schema) == (first.messages, None)
    assert repair.schema == CITY
    reply = run.nodes["a"].reply
    assert reply is not None
    assert (reply.text, reply.structured, reply.attempts) == ("# Rome\n\nIt is old.", False, 3)
    assert reply.mismatch.startswith("at $.city: 1 is not of type 'string'")
    assert run.warnings == [("a", f"free text instead of a reply that follows its output_schema: {reply.mismatch}")]
    assert "It is old." in run.nodes["b"].prompt
    assert (run.exit_code, run.usage) == (ExitCode.OK, Usage(40, 4))


def test_free_text_that_never_comes_loses_nothing() -> None:
    it = saying("no", "the city is Rome", FailedError(Failure(Kind.PERMISSION, "oh no")))
    node = shown_as_text(it).nodes["a"]
    assert (node.status, node.cause, node.text) == ("failed", "permission: oh no", "the city is Rome")


def test_a_reply_that_is_seen_already_stays_and_is_marked() -> None:
    it = saying("It is Rome.")
    it.shown = "a"

    async def answer(request: Request, tell: Tell) -> Reply:
        tell(Delta(request.node, "It is Rome."))
        return Reply("It is Rome.")

    it.server = answer
    reply = shown_as_text(it).nodes["a"].reply
    assert reply is not None
    assert (len([each for each in it.requests if each.node == "a"]), reply.text, bool(reply.mismatch)) == (1, "It is Rome.", True)


def test_a_template_that_does_not_fit_its_schema_is_told_before_anything_runs() -> None:
    it = saying(ROME)
    schema = {**CITY, "properties": {"town": {"type": "string"}}, "required": ["town"]}
    with pytest.raises(ProblemError) as caught:
        shown_as_text(it, output_schema=schema)
    assert [problem.what for problem in caught.value.problems] == [
        "the template in 'template': line 1: output has no 'city' in the output_schema",
        "the template in 'template': line 1: output has no 'people' in the output_schema",
    ]
    assert it.requests == []


def test_a_template_that_does_not_work_on_a_reply_keeps_it() -> None:
    it = saying('{"city": "Rome"}')

    class Odd(Shelf):
        def text(self, name: str) -> str:
            return f"{{# {name} #}}{{{{ output.city + 1 }}}}"

    agents = [{**A, "template": "city.md.j2"}]
    run = it.run(Ensemble.model_validate({"name": "city", "agents": agents}).found(Source("city.yaml"), Odd()), "Which?")
    assert (run.nodes["a"].status, run.nodes["a"].text) == ("failed", '{"city": "Rome"}')


@pytest.mark.parametrize("key", ["template", "on_mismatch"])
def test_there_is_nothing_to_be_said_of_a_schema_that_is_not_there(key: str) -> None:
    with pytest.raises(ValidationError, match=f"'{key}' is about what follows an 'output_schema', and there is none"):
        Ensemble.model_validate({"name": "x", "agents": [{"name": "a", key: "text"}]})
