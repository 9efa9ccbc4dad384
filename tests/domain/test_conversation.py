"""The graph of a conversation."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_orc.domain.conversation import Conversation, cannot_go_on_from, conversation_of, last_said, messages_of, next_turn
from llm_orc.domain.event import Answered, Failed, RunStarted, Started, Submitted
from llm_orc.domain.message import Attachment, Failure, Kind, Message, Reply
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.run import Run, fold


def graph_of(*edges: str, nodes: str = "abcdef") -> Conversation[str]:
    graph: Conversation[str] = Conversation()
    for node in nodes:
        graph.add(node, node.upper())
    for edge in edges:
        graph.join(edge[0], edge[1], "depends_on")
    return graph


def test_an_id_stands_for_one_node() -> None:
    graph = graph_of()
    with pytest.raises(ProblemError, match="there is a node 'a' already"):
        graph.add("a", "again")
    assert graph.nodes["a"] == "A"


def test_an_edge_joins_nodes_that_are_there_and_says_how() -> None:
    graph = graph_of("ba", "ba")
    assert list(graph.edges) == [("b", "a", "depends_on")]
    with pytest.raises(ProblemError, match="no edge from 'a' to 'x': there is no node 'x'"):
        graph.join("a", "x", "depends_on")
    with pytest.raises(ProblemError, match="no edge from 'x' to 'y': there is no node 'x' and no node 'y'"):
        graph.join("x", "y", "depends_on")
    name: Any = "next"
    with pytest.raises(ProblemError, match=r"no edge is called 'next'\nhint: there are: depends_on, response_to"):
        graph.join("a", "b", name)
    with pytest.raises(ProblemError, match="there is no node 'x'"):
        graph.needs("x")


def test_neighbours_by_relation() -> None:
    graph = graph_of("ba", "ca", "cb")
    graph.join("c", "a", "response_to")
    assert (graph.needs("c"), graph.needs("c", "response_to"), graph.needed_by("a")) == (("a", "b"), ("a",), ("b", "c"))
    assert graph.needed_by("a", "response_to") == ("c",)


def test_histories_hold_each_once_and_what_is_needed_first() -> None:
    graph = graph_of("ca", "cb", "dc", "da", "fe")
    assert graph.history("d") == ("a", "b", "c", "d")
    assert graph.history("d", depth=1) == ("a", "c", "d")
    assert graph.history("d", depth=0) == ("d",)
    assert graph.history("d", "f") == ("a", "b", "c", "d", "e", "f")
    assert graph.future("a") == ("a", "c", "d")
    assert graph.future("a", depth=1) == ("a", "c", "d")
    assert graph.future("b", depth=1) == ("b", "c")
    assert graph.levels() == (("a", "b", "e"), ("c", "f"), ("d",))


def test_what_was_added_later_may_be_needed_before() -> None:
    assert graph_of("ab", "bc").history("a") == ("c", "b", "a")


def test_a_cycle_is_named() -> None:
    graph = graph_of("ab", "bc", "ca")
    for ask in (graph.levels, lambda: graph.history("a")):
        with pytest.raises(ProblemError, match="the conversation goes round: a -> b -> c -> a"):
            ask()


@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7))), st.sets(st.integers(0, 7)))
def test_what_is_left_of_a_graph_keeps_where_it_came_from(pairs: set[tuple[int, int]], gone: set[int]) -> None:
    graph: Conversation[int] = Conversation()
    for number in range(8):
        graph.add(str(number), number)
    for one, other in pairs:
        if one != other:
            graph.join(str(max(one, other)), str(min(one, other)), "depends_on")
    removed = {str(number) for number in gone}
    left = graph.without(removed)
    for id_ in left.nodes:
        assert set(left.history(id_)) == set(graph.history(id_)) - removed
    order = graph.history(*graph.nodes)
    assert all(order.index(edge.target) < order.index(edge.source) for edge in graph.edges)


def test_the_old_and_the_many_may_go_but_nothing_that_is_kept() -> None:
    graph = graph_of("ba", "cb", "dc", "ed", "fe")
    assert graph.spare(at=ord, before=ord("C")) == ["a", "b"]
    assert graph.spare(at=ord, most=2) == ["a", "b", "c", "d"]
    assert graph.spare(at=ord, most=2, kept=["c"]) == ["a", "d", "e", "f"]
    assert graph.spare(at=ord, most=9) == graph.spare(at=ord) == []


def run_of(*nodes: tuple[str, str, str], parents: dict[str, str] | None = None, leaves: tuple[str, ...] = ()) -> Run:
    """Nodes with their needs, one letter each: a capital is a turn, and the last word is how it ended."""
    run = Run()
    fold(run, RunStarted("r", "talk", (), leaves, "the input"))
    for name, needs, end in nodes:
        turn = {"agent": 1} if name.isupper() else None
        fold(run, Submitted(name, "model", tuple(needs), (parents or {}).get(name, ""), turn=turn))
        if end != "pending":
            fold(run, Started(name, "" if end == "script" else f"ask {name}"))
        if end in {"ok", "script"}:
            fold(run, Answered(name, Reply(f"say {name}")))
        elif end == "failed":
            fold(run, Failed(name, Failure(Kind.SERVER, "it broke")))
    return run


def test_a_run_is_a_conversation_of_prompts_and_responses() -> None:
    run = run_of(("a", "", "ok"), ("b", "a", "pending"), ("B", "a", "ok"))
    graph = conversation_of(run)
    assert list(graph.nodes) == ["a.prompt", "a", "b.prompt", "b", "B.prompt", "B"]
    assert list(graph.edges) == [
        ("a", "a.prompt", "response_to"),
        ("b.prompt", "a", "depends_on"),
        ("b", "b.prompt", "response_to"),
        ("B.prompt", "a", "depends_on"),
        ("B", "B.prompt", "response_to"),
    ]
    assert [(said.kind, said.text) for said in map(graph.nodes.__getitem__, graph.history("B"))] == [
        ("prompt", "ask a"),
        ("response", "say a"),
        ("prompt", "ask B"),
        ("response", "say B"),
    ]


def test_what_is_below_a_node_stands_between_its_prompt_and_its_response() -> None:
    graph = conversation_of(run_of(("p", "", "ok"), ("x", "", "ok"), ("y", "x", "ok"), ("z", "p", "ok"), parents={"x": "p", "y": "p"}))
    assert graph.history("z") == ("p.prompt", "x.prompt", "x", "y.prompt", "y", "p", "z.prompt", "z")
    assert graph.needs("p") == ("p.prompt", "y")


def test_a_chat_goes_back_over_turns_to_the_agent_that_it_began_with() -> None:
    run = run_of(("a", "", "ok"), ("b", "a", "ok"), ("A", "b", "ok"), ("B", "A", "ok"), ("C", "A", "failed"))
    picture = Attachment("dot.png", "image/png", b"dot")
    assert messages_of(run, ["B"], system="Be brief.", attached={"A": [picture]}) == (
        Message("system", "Be brief."),
        Message("user", "ask b"),
        Message("assistant", "say b"),
        Message("user", "ask A", (picture,)),
        Message("assistant", "say A"),
        Message("user", "ask B"),
        Message("assistant", "say B"),
    )


def test_a_chat_can_go_on_from_several() -> None:
    run = run_of(("a", "", "ok"), ("A", "a", "ok"), ("B", "a", "ok"), ("C", "BA", "ok"))
    said = [message.text for message in messages_of(run, ["C"])]
    assert cannot_go_on_from(run, ["p", "x"], working=["p", "x"]) == []
    assert said == ["ask a", "say a", "ask A", "say A", "ask B", "say B", "ask C", "say C"]


def test_a_reply_without_a_prompt_answered_the_input() -> None:
    assert messages_of(run_of(("s", "", "script")), ["s"]) == (Message("user", "the input"), Message("assistant", "say s"))


def test_what_a_turn_cannot_go_on_from() -> None:
    run = run_of(("a", "", "ok"), ("f", "", "failed"), ("p", "", "pending"))
    hint = "hint: go on from another: --after a, or ask it again: llm-orc runs resume r"
    said = [f"{problem}" for problem in cannot_go_on_from(run, ["a", "f", "p", "aa"])]
    assert cannot_go_on_from(run, ["p", "x"], working=["p", "x"]) == []
    assert said == [
        f"'f' has no reply to go on from: it failed (server: it broke)\n{hint}",
        f"'p' has no reply to go on from: it was cut off\n{hint}",
        "there is no node 'aa'\nhint: did you mean 'a'?",
    ]


def test_where_a_conversation_is() -> None:
    run = run_of(("a", "", "ok"), ("A", "", "ok"), ("B", "", "failed"), leaves=("a",))
    assert (last_said(run), next_turn(run), next_turn(run, {"turn-3"})) == ("A", "turn-3", "turn-4")
    run = run_of(("a", "", "ok"), ("b", "a", "ok"))
    assert (last_said(run), last_said(run, "a"), last_said(run, "none"), next_turn(run)) == ("b", "a", "b", "turn-1")
    assert last_said(run_of(("a", "", "ok"), ("b", "", "failed"))) == "a"
    assert last_said(run_of()) is None


def test_a_run_that_ends_with_several_replies_has_no_last_one() -> None:
    with pytest.raises(
        ProblemError, match=r"ends with 2 replies, not with one\nhint: say from which to go on: --after a \(there are: a, b\)"
    ):
        last_said(run_of(("a", "", "ok"), ("b", "", "ok"), ("c", "", "failed")))
