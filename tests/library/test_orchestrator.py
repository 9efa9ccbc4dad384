"""Conversations, asked of a true server."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import llm_orc
from llm_orc import Attachment, ProblemError, Profile
from llm_orc.library import (
    AgentPool,
    BasePrompt,
    ConversationGraph,
    ConversationNode,
    ExecutionMetadata,
    GraphError,
    LLMResponse,
    Orchestrator,
    TokenUsage,
    UnknownError,
    wait,
)
from tests import pictures
from tests.library.talking import Place, last, place
from tests.servers.openai import Scripted
from tests.servers.wire import Gate, Received


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Place]:
    """A server that refuses what begins with `bad`."""
    with place(tmp_path, lambda request: 400 if last(request).startswith("bad") else f"reply to {last(request)}") as made:
        yield made


# What a prompt is told


async def test_what_it_depends_on_is_said_before_it(there: Place) -> None:
    orchestrator = there.orchestrator()
    conversation = await orchestrator.create_conversation("c")
    one = await orchestrator.execute_prompt(conversation, "one", [])
    two = await orchestrator.execute_prompt(conversation, "two", [])
    await orchestrator.execute_prompt(conversation, "both?", [one, two])
    assert there.asked == [
        [("user", "one")],
        [("user", "two")],
        [("user", "one"), ("assistant", "reply to one"), ("user", "two"), ("assistant", "reply to two"), ("user", "both?")],
    ]
    assert conversation.get_node_dependencies("turn-3.prompt") == [one, two]
    assert [node.text for node in conversation.get_node_history("turn-3", max_depth=1)] == ["both?", "reply to both?"]


async def test_without_a_word_it_goes_on_from_where_the_conversation_stands(there: Place) -> None:
    orchestrator = there.orchestrator()
    conversation = await orchestrator.create_conversation("c", "hello")
    await orchestrator.execute_parallel(conversation, ["a", "b"])
    await orchestrator.execute_prompt(conversation, "and?")
    assert sorted(there.asked[1:3]) == [[("user", "hello"), ("assistant", "reply to hello"), ("user", name)] for name in "ab"]
    assert [text for _, text in there.asked[3]] == ["hello", "reply to hello", "a", "reply to a", "b", "reply to b", "and?"]
    conversation.context.move_to("turn-1")
    await orchestrator.execute_prompt(conversation, "back")
    assert [text for _, text in there.asked[4]] == ["hello", "reply to hello", "back"]
    assert conversation.context.current == ("turn-5",)
    assert [node.id for node in conversation.context.messages] == ["turn-1.prompt", "turn-1", "turn-5.prompt", "turn-5"]


async def test_a_prompt_is_taken_word_for_word_with_its_own_role_schema_and_files(there: Place) -> None:
    orchestrator = there.orchestrator()
    picture = Attachment("p.png", "image/png", pictures.png())
    conversation = await orchestrator.create_conversation("c")
    prompt = BasePrompt(content="{{ input }} {x}", system_prompt="Be kind.", attachments=(picture,), metadata={"by": "me"})
    await orchestrator.execute_prompt(conversation, prompt, metadata={"n": 1})
    await orchestrator.execute_prompt(conversation, "again")
    system, user = there.server.chats[0].json["messages"]
    assert system == {"role": "system", "content": "Be kind."}
    assert [part["type"] for part in user["content"]] == ["text", "image_url"]
    assert user["content"][0]["text"] == "{{ input }} {x}"
    assert there.server.chats[1].json["messages"][0] == user, "the file goes along again, and the role does not"
    asked = conversation.nodes["turn-1.prompt"]
    assert isinstance(asked.content, BasePrompt)
    assert (asked.metadata, asked.content.system_prompt) == ({"by": "me", "n": 1}, "Be kind.")


async def test_another_profile_for_one_prompt(there: Place) -> None:
    big = there.profile.model_copy(update={"name": "big", "model": "model-2"})
    orchestrator = Orchestrator([there.profile, big], **there.options)
    conversation = await orchestrator.create_conversation("c", "one")
    await orchestrator.execute_prompt(conversation, "two", profile="big")
    await orchestrator.execute_prompt(conversation, "three", profile=big.model_copy(update={"name": "bigger", "model": "model-3"}))
    assert [request.json["model"] for request in there.server.chats] == ["model", "model-2", "model-3"]
    assert [node.id for node in conversation.get_nodes("response", model="model-2")] == ["turn-2"]
    with pytest.raises(ProblemError, match="no profile 'bog'"):
        await orchestrator.execute_prompt(conversation, "four", profile="bog")
    assert len(conversation.nodes) == 6


async def test_a_pool_says_who_answers_and_how_many_at_once(there: Place) -> None:
    pool = AgentPool(1, "small", {"small": there.profile.model_copy(update={"name": "small"})})
    orchestrator = Orchestrator(pool, **there.options)
    conversation = await orchestrator.create_conversation("c")
    await orchestrator.execute_parallel(conversation, ["a", "b", "c"])
    assert there.server.peak == 1


# Failures, and what depends on them


async def test_a_failure_is_in_the_response_and_skips_what_depends_on_it(failing: Place) -> None:
    orchestrator = failing.orchestrator()
    conversation = await orchestrator.create_conversation("c", "hello")
    bad = await orchestrator.execute_prompt(conversation, "bad")
    after = await orchestrator.execute_prompt(conversation, "so?", [bad])
    failed, skipped = (orchestrator.get_response(conversation, each) for each in (bad, after))
    assert failed is not None
    assert skipped is not None
    assert (failed.success, failed.error_kind, skipped.success, skipped.error) == (False, "invalid_request", False, "no reply from turn-2")
    assert [orchestrator.get_execution_status(conversation, each).status for each in (bad, after)] == ["failed", "skipped"]
    assert conversation.context.current == ("turn-1",), "it stands where it stood"
    assert len(failing.asked) == 2
    later = await orchestrator.execute_prompt(conversation, "still there?")
    assert conversation.nodes[later].status == "completed"


async def test_one_failure_of_several_keeps_the_others_in_order(failing: Place) -> None:
    orchestrator = failing.orchestrator()
    conversation = await orchestrator.create_conversation("c")
    ids = await orchestrator.execute_parallel(conversation, ["a", "bad", "c"], max_parallel=3)
    assert [conversation.nodes[each].status for each in ids] == ["completed", "failed", "completed"]
    assert [node.text for node in conversation.get_nodes("prompt")] == ["a", "bad", "c"]
    assert conversation.context.current == (ids[0], ids[2])
    group = conversation.nodes[ids[0]].execution.parallel_group
    assert conversation.get_group_status(group) == {"completed": 2, "failed": 1}


async def test_what_nobody_asks_is_not_waited_for(there: Place) -> None:
    orchestrator = there.orchestrator()
    conversation = await orchestrator.create_conversation("c")
    conversation.add_node(ConversationNode(id="mine", node_type="prompt", content=BasePrompt(content="by hand")))
    with pytest.raises(GraphError, match="'mine' was added by hand"):
        await orchestrator.execute_prompt(conversation, "so?", ["mine"])
    with pytest.raises(UnknownError, match="no node 'turn-9'"):
        await orchestrator.execute_prompt(conversation, "so?", ["turn-9"])
    with pytest.raises(GraphError, match="the prompt is empty"):
        await orchestrator.execute_prompt(conversation, BasePrompt(content=" "))
    with pytest.raises(GraphError, match="a prompt is a text or a BasePrompt, not 5"):
        await orchestrator.execute_prompt(conversation, 5)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="max_parallel is 0"):
        await orchestrator.execute_parallel(conversation, ["a"], max_parallel=0)
    assert there.asked == []


async def test_a_pending_one_is_waited_for(tmp_path: Path) -> None:
    gate = Gate()
    with place(tmp_path, lambda request: Scripted("slow reply", gate=gate) if last(request) == "slow" else "quick") as there:
        orchestrator = there.orchestrator()
        conversation = await orchestrator.create_conversation("c")
        slow = asyncio.create_task(orchestrator.execute_prompt(conversation, "slow", []))
        await asyncio.to_thread(gate.wait_for, 1)
        after = asyncio.gather(*[orchestrator.execute_prompt(conversation, "after", ["turn-1.prompt"])])
        beside = await orchestrator.execute_prompt(conversation, "beside", [])
        statuses = {each: orchestrator.get_execution_status(conversation, each).status for each in ("turn-1", "turn-2", "turn-3")}
        assert statuses == {"turn-1": "running", beside: "completed", "turn-3": "pending"}
        assert conversation.prune_nodes(max_nodes=0, dry_run=True) == [f"{beside}.prompt", beside]
        gate.release()
        assert (await slow, await after) == ("turn-1", ["turn-3"])
        assert there.asked[-1] == [("user", "slow"), ("assistant", "slow reply"), ("user", "after")]


async def test_who_does_not_wait_any_more_ends_the_turn_and_nothing_else(tmp_path: Path) -> None:
    gate = Gate()
    with place(tmp_path, lambda request: Scripted("r", gate=gate) if last(request) == "slow" else "quick") as there:
        orchestrator = there.orchestrator()
        conversation = await orchestrator.create_conversation("c")
        slow = asyncio.create_task(orchestrator.execute_prompt(conversation, "slow", []))
        await asyncio.to_thread(gate.wait_for, 1)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert conversation.nodes["turn-1"].status == "cancelled"
        assert await orchestrator.execute_prompt(conversation, "next", ["turn-1"]) == "turn-2"
        assert conversation.nodes["turn-2"].execution.error == "no reply from turn-1"
    assert asyncio.all_tasks() == {asyncio.current_task()}


# At once


async def test_max_parallel_is_a_hard_bound(tmp_path: Path) -> None:
    gate = Gate()

    def answer(request: Received) -> Scripted:
        return Scripted(f"r{last(request)}", gate=gate)

    with place(tmp_path, answer) as there:
        orchestrator = there.orchestrator()
        conversation = await orchestrator.create_conversation("c")
        work = asyncio.create_task(orchestrator.execute_parallel(conversation, list("abcdef"), max_parallel=2))
        await asyncio.to_thread(gate.wait_for, 2)
        assert len(conversation.get_nodes("response", "running")) == 2
        gate.release()
        ids = await work
        assert [conversation.nodes[each].text for each in ids] == ["ra", "rb", "rc", "rd", "re", "rf"]
        assert there.server.peak == 2
        assert list(conversation.run.nodes) == ids


async def test_those_awaited_together_go_together(tmp_path: Path) -> None:
    gate = Gate()
    with place(tmp_path, lambda _: Scripted("r", gate=gate)) as there:
        orchestrator = there.orchestrator()
        conversation = await orchestrator.create_conversation("c")
        work = asyncio.gather(*(orchestrator.execute_prompt(conversation, str(number)) for number in range(30)))
        await asyncio.to_thread(gate.wait_for, 30)
        gate.release()
        assert await work == list(conversation.run.nodes) == [f"turn-{number + 1}" for number in range(30)]


# Who is meant


async def test_a_conversation_is_meant_by_its_id_itself_a_node_or_not_at_all(there: Place) -> None:
    orchestrator = there.orchestrator()
    with pytest.raises(GraphError, match="there is no conversation yet"):
        await orchestrator.execute_prompt(prompt="x")
    conversation = await orchestrator.create_conversation("c", "x", id="my-talk")
    node = conversation.nodes["turn-1"]
    history = orchestrator.get_conversation_history()
    assert len(history) == 2
    for known in (conversation, "my-talk", node, "my-t"):
        assert orchestrator.get_conversation_history(known)[:2] == history
        assert orchestrator.get_conversation_history(conversation_id=known)[:2] == history
        assert orchestrator.get_execution_status(conversation_id=known, node_id=node).status == "completed"
        assert orchestrator.get_execution_status(known, "turn-1.prompt").status == "completed"
        assert await orchestrator.execute_prompt(conversation_id=known, prompt=BasePrompt(content="y"), dependencies=[node])
    assert orchestrator.get_conversation_history(conversation, node, max_depth=0) == [node]
    with pytest.raises(ProblemError, match="no run 'your-talk'"):
        orchestrator.get_conversation("your-talk")
    with pytest.raises(UnknownError, match="no node 'turn-0'"):
        orchestrator.get_execution_status(conversation, "turn-0")
    stranger = ConversationNode(id="turn-1", node_type="response")
    with pytest.raises(UnknownError, match="no conversation with the node 'turn-1'"):
        orchestrator.get_conversation(stranger)


@pytest.mark.parametrize("name", ["../../x", "last", "a b", "-x", "x" * 101])
def test_what_cannot_be_an_id(name: str) -> None:
    with pytest.raises(GraphError, match="cannot be the id of a conversation"):
        ConversationGraph(id=name)


# What is kept


async def test_it_is_a_run_like_any_other(there: Place) -> None:
    orchestrator = there.orchestrator()
    conversation = await orchestrator.create_conversation("Example Conversation!", "hello", metadata={"for": "tests"})
    await orchestrator.execute_prompt(conversation, "more")
    again = there.orchestrator().get_conversation(conversation.id)
    assert (again.name, again.metadata) == ("Example Conversation!", {"for": "tests"})
    assert again.to_dict() == conversation.to_dict()
    assert again.run == conversation.run
    assert again.context.current == ("turn-2",)
    assert there.orchestrator().get_conversation("last").id == conversation.id


async def test_two_programs_take_turns(there: Place) -> None:
    one, other = there.orchestrator(), there.orchestrator()
    ours = await one.create_conversation("c", "hello", id="shared")
    theirs = other.get_conversation("shared")
    await other.execute_prompt(theirs, "from there")
    await one.execute_prompt(ours, "from here")
    assert [text for _, text in there.asked[-1]][::2] == ["hello", "from there", "from here"]
    fresh = ConversationGraph(id="shared")
    await there.orchestrator().execute_prompt(fresh, "and again")
    assert [node.text for node in fresh.get_nodes("prompt")] == ["hello", "from there", "from here", "and again"]


ANOTHER = """
    import asyncio, sys
    from llm_orc import Profile
    from llm_orc.library import Orchestrator

    async def main(base_url, home):
        profile = Profile(name="local", model="model", provider="openai-compatible", base_url=base_url)
        orchestrator = Orchestrator(profile, cwd=home, env={"HOME": home})
        node = await orchestrator.execute_prompt(conversation_id="saved", prompt="from another process")
        print(orchestrator.get_conversation_history("saved", node)[0].text)

    asyncio.run(main(*sys.argv[1:]))
"""


async def test_another_process_goes_on_with_it(there: Place) -> None:
    orchestrator = there.orchestrator()
    conversation = await orchestrator.create_conversation("c", "hello", id="saved")
    command = [sys.executable, "-c", dedent(ANOTHER), there.server.base_url, str(there.home)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("hello\n", "")
    await orchestrator.execute_prompt(conversation, "here again")
    assert [text for _, text in there.asked[-1]][::2] == ["hello", "from another process", "here again"]


async def test_without_a_store_nothing_is_written(there: Place) -> None:
    orchestrator = there.orchestrator(store=False)
    conversation = await orchestrator.create_conversation("c", "hello")
    await orchestrator.execute_prompt(conversation, "more")
    assert len(conversation.nodes) == 4
    assert list(there.home.iterdir()) == []


async def test_a_store_that_cannot_be_used_is_a_warning(there: Place, caplog: pytest.LogCaptureFixture) -> None:
    (there.home / "store").mkdir()
    (there.home / "store" / "store.db").write_text("this is no database, and long enough to be seen as none" * 20)
    orchestrator = there.orchestrator(store=there.home / "store")
    conversation = await orchestrator.create_conversation("c", "hello")
    assert conversation.nodes["turn-1"].status == "completed"
    assert "this run is not kept" in caplog.text


# Pruning


async def test_what_was_pruned_is_not_told_again(there: Place) -> None:
    orchestrator = there.orchestrator()
    conversation = await orchestrator.create_conversation("c", "one")
    for text in ("two", "three", "four"):
        await orchestrator.execute_prompt(conversation, text)
    assert conversation.prune_nodes(max_nodes=4, keep=["turn-1"]) == ["turn-2.prompt", "turn-2", "turn-3.prompt", "turn-3"]
    assert conversation.get_node_dependencies("turn-4.prompt") == ["turn-1"]
    await orchestrator.execute_prompt(conversation, "five")
    assert [text for _, text in there.asked[-1]][::2] == ["one", "four", "five"]
    with pytest.raises(UnknownError, match="no node 'turn-2'"):
        await orchestrator.execute_prompt(conversation, "six", ["turn-2"])
    assert len(there.orchestrator().get_conversation(conversation.id).nodes) == 10, "the store keeps all of it"


async def test_prompt_and_response_go_together_and_the_cursor_steps_back(there: Place) -> None:
    orchestrator = there.orchestrator()
    conversation = await orchestrator.create_conversation("c", "one")
    await orchestrator.execute_prompt(conversation, "two")
    assert conversation.prune_nodes(max_nodes=3) == ["turn-1.prompt", "turn-1"]
    assert conversation.prune_nodes(older_than=0.0) == ["turn-2.prompt", "turn-2"]
    assert conversation.context.current == ()
    assert await orchestrator.execute_prompt(conversation, "three") == "turn-3"
    assert there.asked[-1] == [("user", "three")]


# Numbers


async def test_statistics(failing: Place) -> None:
    orchestrator = failing.orchestrator()
    conversation = await orchestrator.create_conversation("talk", "hello")
    await orchestrator.execute_parallel(conversation, ["a b", "bad"])
    summary = conversation.get_conversation_summary()
    assert (summary.nodes, summary.by_type, summary.by_status, summary.depth) == (
        6, {"prompt": 3, "response": 3}, {"completed": 2, "failed": 1}, 2,
    )  # fmt: skip
    assert summary.critical_path[0] == "turn-1"
    run = conversation.run
    assert summary.token_usage == TokenUsage.of(run.usage, run.cost) == conversation.get_token_usage_by_type("response")
    assert conversation.get_token_usage("turn-1") + conversation.get_token_usage("turn-2") == summary.token_usage
    assert summary.by_model["model"].total_tokens == conversation.total_tokens > 0
    assert conversation.get_token_usage_by_type("prompt").total_tokens == 0
    lines = str(summary).splitlines()
    assert lines[0] == f"conversation: {conversation.id} talk"
    assert lines[1:3] == ["responses: 2 completed, 1 failed", "depth: 2"]
    assert [node.id for node in conversation.get_nodes(status={"failed", "skipped"})] == ["turn-3.prompt", "turn-3"]
    assert conversation.get_nodes(until=conversation.created_at) == []
    assert len(conversation.get_nodes(since=conversation.created_at)) == 6
    assert conversation.get_execution_order()[:2] == [["turn-1.prompt"], ["turn-1"]]


async def test_what_is_known_of_a_turn(there: Place) -> None:
    orchestrator = there.orchestrator()
    conversation = await orchestrator.create_conversation("c", "hello")
    status = orchestrator.get_execution_status(conversation, "turn-1")
    assert isinstance(status, ExecutionMetadata)
    assert status.started_at is not None
    assert status.completed_at is not None
    assert conversation.created_at <= status.started_at <= status.completed_at
    assert (status.attempts, status.profile, status.provider, status.model) == (1, "local", "openai-compatible", "model")
    response = orchestrator.get_response(conversation, "turn-1.prompt")
    assert isinstance(response, LLMResponse)
    assert (response.success, response.attempts, response.execution_time > 0) == (True, 1, True)


async def test_in_short(there: Place) -> None:
    orchestrator = there.orchestrator()
    conversation = await orchestrator.create_conversation("c", "hello")
    asked = len(there.asked)
    summary = await conversation.summarize()
    assert summary.startswith("reply to Write a summary")
    assert "## prompt turn-1.prompt\n\nhello\n\n## response turn-1\n\nreply to hello" in there.asked[asked][-1][1]
    taken = len(there.asked)
    assert await conversation.summarize() == summary
    assert len(there.asked) == taken, "the same is not asked again"
    assert await ConversationGraph().summarize() == ""


async def test_in_short_where_no_model_answers(failing: Place) -> None:
    conversation = ConversationGraph()
    conversation.add_node(ConversationNode(node_type="prompt", content=BasePrompt(content="hello")))
    orchestrator = Orchestrator(failing.profile, **{**failing.options, "offline": True, "providers": {}})
    orchestrator.get_conversation(conversation)
    with pytest.raises(llm_orc.FailedError):
        await orchestrator_without_a_model(failing, conversation).summarize()


def orchestrator_without_a_model(there: Place, conversation: ConversationGraph) -> ConversationGraph:
    conversation.setting = None
    nobody = Profile(name="nobody", model="m", provider="nobody")

    async def silent(_: str) -> str:
        raise LookupError("not today")

    return Orchestrator(nobody, providers={"nobody": silent}, **there.options).get_conversation(conversation)


# Callbacks


async def test_callbacks_hear_of_conversations_and_nodes_in_order(there: Place, caplog: pytest.LogCaptureFixture) -> None:
    orchestrator = there.orchestrator()
    heard: list[str] = []

    @orchestrator.on_conversation_created
    def created(conversation: ConversationGraph) -> None:
        heard.append(f"created {conversation.name}")

    @orchestrator.on_node_created
    async def node_created(conversation: ConversationGraph, node: ConversationNode) -> None:
        for _ in range(500):
            await asyncio.sleep(0)
        heard.append(f"{node.id} of {conversation.name}")

    @orchestrator.on_node_updated
    def broken(conversation: ConversationGraph, node: ConversationNode) -> None:
        raise LookupError("my own fault")

    @orchestrator.on_node_updated
    async def broken_too(conversation: ConversationGraph, node: ConversationNode) -> None:
        await asyncio.sleep(0)
        raise LookupError("my own fault, later")

    statuses: list[str] = []

    @orchestrator.on_node_updated
    def updated(conversation: ConversationGraph, node: ConversationNode) -> None:
        if node.node_type == "response" and node.status not in statuses:
            statuses.append(node.status)

    updates: list[int] = []
    orchestrator.on_conversation_updated(lambda conversation: updates.append(len(conversation.nodes)))
    conversation = await orchestrator.create_conversation("talk", "hello")
    assert conversation.nodes["turn-1"].status == "completed"
    assert heard == ["created talk", "turn-1.prompt of talk", "turn-1 of talk"]
    assert statuses == ["running", "completed"]
    assert updates[-1] == 2
    assert [record.levelno for record in caplog.records if "a callback raised" in record.message] == [logging.WARNING] * 2


async def test_events_and_pieces_for_who_listens(there: Place) -> None:
    events: list[str] = []
    orchestrator = there.orchestrator(listeners=[lambda event: events.append(type(event).__name__)], stream=True)
    await orchestrator.create_conversation("c", "hello")
    assert (events[0], events[-1]) == ("RunStarted", "RunEnded")
    assert "Delta" in events


# Programs that do not await


def test_without_await(there: Place) -> None:
    orchestrator = there.orchestrator()
    conversation = wait(orchestrator.create_conversation("c", "hello"))
    node = wait(orchestrator.execute_prompt(conversation, "more"))
    assert conversation.nodes[node].text == "reply to more"


async def test_without_await_in_a_running_loop(there: Place) -> None:
    orchestrator = there.orchestrator()
    conversation = await orchestrator.create_conversation("c", "hello")
    node = wait(orchestrator.execute_prompt(conversation, "more"))
    assert await orchestrator.execute_prompt(conversation, "again") == "turn-3"
    assert conversation.nodes[node].text == "reply to more"


async def test_two_loops_at_once_are_told_so_and_do_not_hang(tmp_path: Path) -> None:
    gate = Gate()
    with place(tmp_path, lambda _: Scripted("r", gate=gate)) as there:
        orchestrator = there.orchestrator()
        conversation = await orchestrator.create_conversation("c")
        slow = asyncio.create_task(orchestrator.execute_prompt(conversation, "slow"))
        await asyncio.to_thread(gate.wait_for, 1)
        with pytest.raises(GraphError, match="is being gone on with in another event loop"):
            wait(orchestrator.execute_prompt(conversation, "more"))
        with pytest.raises(GraphError, match="by another Orchestrator or TaskManager"):
            await there.orchestrator().execute_prompt(conversation, "more")
        gate.release()
        assert await slow == "turn-1"


# Limits


async def test_max_cost_holds_for_the_whole_conversation(there: Place) -> None:
    given = there.profile.model_dump(exclude_unset=True)
    priced = Profile.model_validate({**given, "price": {"input": 1000.0, "output": 1000.0}, "max_tokens": 10})
    orchestrator = Orchestrator(priced, max_cost=1.0, **there.options)
    conversation = await orchestrator.create_conversation("c", "hello")
    kinds = [conversation.nodes[await orchestrator.execute_prompt(conversation, "more")].execution.error_kind for _ in range(8)]
    assert (kinds[0], kinds[-1]) == (None, "budget")
    assert 0 < (conversation.get_token_usage().cost or 0) <= 1.0


async def test_offline(there: Place) -> None:
    away = Profile(name="away", model="m", provider="anthropic")
    orchestrator = Orchestrator(away, offline=True, **there.options)
    conversation = await orchestrator.create_conversation("c", "hello")
    assert (conversation.nodes["turn-1"].status, conversation.nodes["turn-1"].execution.error) == ("skipped", "offline")


async def test_replies_are_used_again_where_that_is_wished(there: Place) -> None:
    for cache, asked in ((None, [False, False]), (True, [False, True])):
        orchestrator = there.orchestrator(cache=cache)
        again = [orchestrator.get_response(await orchestrator.create_conversation("c", "hello"), "turn-1") for _ in range(2)]
        assert [each.content for each in again if each] == ["reply to hello"] * 2
        assert [each.cached for each in again if each] == asked
    assert len(there.asked) == 3


async def test_a_broken_profile_beside_it_is_no_matter(there: Place) -> None:
    (there.home / ".config/llm-orc/profiles").mkdir(parents=True)
    (there.home / ".config/llm-orc/profiles/broken.yaml").write_text("modell: x")
    conversation = await there.orchestrator().create_conversation("c", "hello")
    assert conversation.nodes["turn-1"].status == "completed"


@pytest.mark.parametrize(("context", "summarised"), [(None, False), ({"policy": "summarize", "keep_last": 2}, True)])
async def test_a_conversation_that_outgrows_the_window(context: dict[str, Any] | None, summarised: object, tmp_path: Path) -> None:
    with place(tmp_path, lambda _: "noted") as there:
        given = there.profile.model_dump(exclude_unset=True)
        small = Profile.model_validate({**given, "context_window": 1000, "max_tokens": 20})
        orchestrator = Orchestrator(small, context=context, **there.options)
        conversation = await orchestrator.create_conversation("c")
        nodes = [await orchestrator.execute_prompt(conversation, f"word{number} " * 100) for number in range(8)]
        assert {conversation.nodes[each].status for each in nodes} == {"completed"}
        assert (len(there.asked) > 8, len(there.asked[-1]) < 15) == (summarised, summarised)


async def test_what_a_pending_prompt_is_told_is_not_pruned(tmp_path: Path) -> None:
    gate = Gate()
    with place(tmp_path, lambda request: Scripted("r", gate=gate) if last(request) == "slow" else "quick") as there:
        orchestrator = there.orchestrator()
        conversation = await orchestrator.create_conversation("c", "one")
        for text in ("two", "three"):
            await orchestrator.execute_prompt(conversation, text)
        beside = await orchestrator.execute_prompt(conversation, "beside", [])
        slow = asyncio.create_task(orchestrator.execute_prompt(conversation, "slow", "turn-3"))
        await asyncio.to_thread(gate.wait_for, 1)
        assert conversation.prune_nodes(max_nodes=0) == [f"{beside}.prompt", beside]
        gate.release()
        await slow


KILLED = """
    import asyncio, sys
    from llm_orc import Profile
    from llm_orc.library import Orchestrator

    async def main(base_url, home):
        profile = Profile(name="local", model="model", provider="openai-compatible", base_url=base_url)
        orchestrator = Orchestrator(profile, cwd=home, env={"HOME": home})
        conversation = await orchestrator.create_conversation("c", "hello", id="killed")
        await orchestrator.execute_prompt(conversation, "slow")

    asyncio.run(main(*sys.argv[1:]))
"""


async def test_after_a_kill_it_is_gone_on_with_from_the_last_answer(tmp_path: Path) -> None:
    gate = Gate()
    with place(tmp_path, lambda request: Scripted("r", gate=gate) if last(request) == "slow" else f"reply to {last(request)}") as there:
        command = [sys.executable, "-c", dedent(KILLED), there.server.base_url, str(there.home)]
        process = await asyncio.create_subprocess_exec(*command)
        await asyncio.to_thread(gate.wait_for, 1)
        process.kill()
        await process.wait()
        orchestrator = there.orchestrator()
        conversation = orchestrator.get_conversation("killed")
        assert conversation.context.current == ("turn-1",)
        node = await orchestrator.execute_prompt(conversation, "still there?")
        assert conversation.nodes["turn-2"].status == "cancelled"
        assert [text for _, text in there.asked[-1]] == ["hello", "reply to hello", "still there?"]
        after = await orchestrator.execute_prompt(conversation, "and that?", ["turn-2", node])
        assert conversation.nodes[after].execution.error == "no reply from turn-2"
