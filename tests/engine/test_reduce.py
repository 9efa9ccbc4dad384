"""A fan-out whose replies go to it again, in pieces that fit, until one is left."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_orc.domain.message import FailedError, Failure, Kind, Reply, Request, Tell
from llm_orc.domain.run import Run
from tests.engine.runs import Lab, names
from tests.engine.test_resume import Twice

WORDS = " ".join(f"w{number:02}" for number in range(40))


def reducing(characters: int = 20, **more: Any) -> Mapping[str, Any]:
    fan_out = {"chunks": "{{ input }}", "characters": characters, **more}
    return {"agents": [{"name": "a", "fan_out": fan_out, "gather": "reduce", "prompt": "{{ item }}"}]}


def initials(request: Request) -> str:
    """The first letters of the words, so that what was read shows in the end, in its order."""
    return "".join(word if word.isupper() else word[0].upper() for word in request.messages[-1].text.split())


def sent(lab: Lab) -> list[str]:
    return [request.messages[-1].text for request in lab.requests]


def test_neighbours_are_put_together_in_pieces_as_long_as_its_chunks() -> None:
    lab = Lab(answer=lambda request: {"a[0]": "one", "a[1]": "two", "a[2]": "three", "a[3]": "1-2", "a[4]": "all"}[request.node])
    run = lab.run(reducing(12), "first part. second. the third.")
    assert sent(lab) == ["first part. ", "second. ", "the third.", "one\n\ntwo", "1-2\n\nthree"]
    assert (run.result, run.nodes["a"].children) == ("all", ["a[0]", "a[1]", "a[2]", "a[3]", "a[4]"])
    assert {node.depends_on for node in run.nodes.values()} == {()}


def test_a_text_that_fits_is_asked_about_once() -> None:
    lab = Lab(answer=lambda _: "all")
    assert (lab.run(reducing(), "short").result, len(lab.requests)) == ("all", 1)


def test_what_does_not_get_shorter_is_put_together_in_pairs() -> None:
    lab = Lab(answer=lambda request: "x" * 50 + request.node)
    run = lab.run(reducing(), WORDS)
    assert run.status == "succeeded"
    assert len(lab.requests) == 8 + 4 + 2 + 1


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab \n", max_size=120), st.integers(3, 30), st.integers(1, 4), st.sets(st.integers(0, 12), max_size=4))
def test_whatever_is_read_and_fails_all_of_it_is_there_in_order(text: str, characters: int, at_once: int, failing: set[int]) -> None:
    lab = Lab(answer=initials, failing=frozenset(f"a[{place}]" for place in failing))
    run = lab.run(reducing(characters, max_parallel=at_once), text)
    pieces = [node for node in run.nodes.values() if node.parent]
    first = run.nodes["a"].expected or 0
    assert lab.peak <= at_once
    assert len(pieces) <= max(2 * first - 1, 0)
    if not failing & set(range(len(pieces))):
        assert run.status == "succeeded"
        assert run.result == "".join(node.text for node in pieces[:first])
    elif run.status != "failed":
        assert run.status == "partial"
        gaps = [node for node in pieces[:first] if node.status == "failed"]
        assert not gaps or any(f"[no reply from {node.id}: " in "".join(sent(lab)) for node in gaps)


def test_a_failure_is_a_gap_that_the_next_one_is_told_of() -> None:
    lab = Lab(failing=frozenset({"a[1]"}), answer=lambda request: request.node)
    run = lab.run(reducing(50), "x" * 130)
    assert sent(lab)[3:] == ["a[0]\n\n[no reply from a[1]: invalid_request: it broke]", "a[3]\n\na[2]"]
    assert (run.result, run.status) == ("a[4]", "partial")


def test_nobody_is_asked_to_make_one_of_failures() -> None:
    lab = Lab(failing=frozenset({"a[0]", "a[1]"}), answer=lambda request: request.node)
    run = lab.run(reducing(40), "x" * 160)
    assert names(run, "failed") == {"a[0]", "a[1]"}
    assert sent(lab)[4:] == ["a[2]\n\na[3]", "[no reply from a[0]: invalid_request: it broke]\n\na[4]"]


def test_where_the_last_one_fails_the_agent_does() -> None:
    lab = Lab(failing=frozenset({"a[3]"}), answer=lambda request: request.node)
    run = lab.run(reducing(50), "x" * 130)
    assert run.status == "failed"
    assert run.nodes["a"].cause == "invalid_request: the replies could not be made into one; first: it broke"


def test_it_is_one_text_to_whoever_reads_it() -> None:
    lab = Lab(answer=initials)
    after = {"name": "b", "prompt": "{% for each in agents.a %}{{ each }}.{% endfor %} {{ agents.a }}"}
    lab.run({"agents": [*reducing()["agents"], after]}, "one two three four five six")
    assert sent(lab)[-1] == "O.T.T.F.F.S. OTTFFS"


def test_replies_of_a_fan_out_are_pieces_that_are_never_cut() -> None:
    lab = Lab(answer=lambda request: f"<{request.node}> and more")
    each = {"name": "each", "fan_out": {"items": ["x", "y", "z"]}}
    fan_out = {"chunks": "{{ agents.each }}", "characters": 50}
    one = {"name": "one", "fan_out": fan_out, "gather": "reduce", "prompt": "{{ item.entries | length }}: {{ item }}"}
    run = lab.run({"agents": [each, one]}, "")
    assert sent(lab)[3:] == [
        "2: <each[0]> and more\n\n<each[1]> and more",
        "1: <each[2]> and more",
        "2: <one[0]> and more\n\n<one[1]> and more",
    ]
    assert run.result == "<one[2]> and more"


@pytest.mark.parametrize(("failed", "asked"), [(1, [1, 4, 6]), (5, [5, 6]), (6, [6])])
def test_gone_on_with_what_failed_and_what_came_of_it_is_asked_again(failed: int, asked: list[int]) -> None:
    def answer(request: Request) -> str:
        return request.messages[-1].text[-20:] + request.node

    lab = Lab(failing=frozenset({f"a[{failed}]"}), answer=answer)
    lab.run(reducing(50), "x" * 200)
    again, run = Twice(reducing(50), {"answer": answer}, {"text": "x" * 200}).resumed(lab.events)
    assert [request.node for request in again.requests] == [f"a[{place}]" for place in asked]
    assert (run.status, run.result[-4:]) == ("succeeded", "a[6]")


@pytest.mark.parametrize("text", ["", "   "])
def test_nothing_comes_to_nothing(text: str) -> None:
    lab = Lab()
    run: Run = lab.run(reducing(), text)
    assert (run.result, lab.requests, run.status) == ("", [], "succeeded")


def test_an_answer_that_follows_a_schema_keeps_its_value() -> None:
    async def server(request: Request, tell: Tell) -> Reply:
        if "{" in request.messages[-1].text and request.node == "a[9]":
            raise FailedError(Failure(Kind.SERVER, "no"))
        return Reply('{"n": 1}')

    agent = {**reducing()["agents"][0], "output_schema": {"type": "object"}}
    after = {"name": "b", "prompt": "{{ agents.a.json.n }}"}
    lab = Lab(server=server)
    lab.run({"agents": [agent, after]}, WORDS)
    assert sent(lab)[-1] == "1"
