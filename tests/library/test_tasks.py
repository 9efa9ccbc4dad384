"""Tasks in parts, done by a true server."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from llm_orc import FailedError, ProblemError
from llm_orc.library import BasePrompt, ConversationGraph, GraphError, SubTask, TaskManager, UnknownError
from tests.library.talking import Place, last, place
from tests.servers.openai import Scripted
from tests.servers.wire import Gate

LONG = "".join(f"Line {number} of a long text.\n" for number in range(40))


def manager(there: Place, **options: Any) -> TaskManager:
    return TaskManager(there.profile, **{**there.options, **options})


async def done(there: Place, given: Any, **config: Any) -> tuple[Any, list[str]]:
    """What a task came to, and what was asked for it, in order."""
    tasks = manager(there, store=False)
    task = tasks.create_task("work", given, config)
    result = await tasks.execute(task)
    return result, [part.input for part in task.subtasks]


# Strategies


async def test_chunks_of_a_text_join_back_to_it(there: Place) -> None:
    result, asked = await done(there, LONG, characters=200, prompt="{{ item.text }}")
    assert len(asked) > 4
    assert "".join(asked) == LONG
    assert result == [f"reply to {each}" for each in asked]


async def test_chunks_of_a_list(there: Place) -> None:
    _, asked = await done(there, ["one", "two {{ x }}", "three"], strategy="chunk", tokens=8, prompt="{{ item.text }}")
    assert [entry for each in asked for entry in json.loads(each)] == ["one", "two {{ x }}", "three"]


async def test_one_part_per_entry_of_a_list(there: Place) -> None:
    result, asked = await done(there, ["one {{ x }}", {"a": 1}], prompt="Do it:", gather="text")
    assert asked == ["Do it:\n\none {{ x }}", 'Do it:\n\n{"a": 1}']
    assert result == "reply to Do it:\n\none {{ x }}\n\nreply to Do it:\n\n" + '{"a": 1}'


async def test_files_as_patterns_as_paths_and_by_name(there: Place) -> None:
    for name in ("a.txt", "b.txt", "c.md"):
        (there.home / name).write_text(f"this is {name}")
    prompt = "{{ item.path }}: {{ item.text }}"
    both = ["a.txt: this is a.txt", "b.txt: this is b.txt"]
    assert (await done(there, "anything", files="*.txt", prompt=prompt))[1] == both
    assert (await done(there, [Path("a.txt"), Path("b.txt")], strategy="file", prompt=prompt))[1] == both
    assert (await done(there, "a.txt\nb.txt", strategy="file", prompt=prompt))[1] == both


async def test_findings_of_a_linter_grouped_by_file(there: Place) -> None:
    said = "a.py:1: bad name\nb.py:2: no test\na.py:9: too long\n"
    _, asked = await done(there, said, strategy="error", group_by="file", prompt="{{ item.file }}: {{ item.text }}")
    assert [each.partition(":")[0] for each in asked] == ["a.py", "b.py"]
    assert "too long" in asked[0]
    listed = [{"file": "x.py", "message": "m {{ y }}"}]
    assert (await done(there, listed, strategy="error", prompt="{{ item.file }} {{ item.message }}"))[1] == ["x.py m {{ y }}"]


async def test_parts_that_a_planner_proposes(tmp_path: Path) -> None:
    def answer(request: Any) -> str:
        return json.dumps({"tasks": ["dig", "plant"]}) if "Take this task apart" in last(request) else f"did {last(request)}"

    with place(tmp_path, answer) as there:
        tasks = manager(there)
        task = tasks.create_task("garden", "Make a garden.", {"strategy": "dynamic", "prompt": "Do this:"})
        assert await tasks.execute(task) == ["did Do this:\n\ndig", "did Do this:\n\nplant"]
        assert task.conversation is not None
        assert task.conversation.get_node_dependencies(f"{task.id}.prompt") == [f"{task.id}-plan"]
        assert len(there.asked[-1]) == 1, "the parts are not told of the planning"


async def test_a_planner_that_plans_nothing(there: Place) -> None:
    tasks = manager(there)
    task = tasks.create_task("garden", "Make a garden.", {"strategy": "dynamic", "prompt": "Do this:"})
    with pytest.raises(FailedError, match="malformed"):
        await tasks.execute(task)
    assert (task.status, (task.error or "").partition(":")[0]) == ("failed", "malformed")


# Who does it


async def test_an_ensemble_does_each_part(there: Place) -> None:
    (there.home / ".llm-orc/ensembles").mkdir(parents=True)
    text = "agents: [{name: first, model_profile: any}, {name: second, depends_on: [first], model_profile: any}]"
    (there.home / ".llm-orc/ensembles/two-steps.yaml").write_text(text)
    tasks = manager(there)
    task = tasks.create_task("two_steps", ["x", "y"])
    result = await tasks.execute(task)
    assert result == [f"reply to {each}\n\n## first\n\nreply to {each}" for each in "xy"]
    assert [part.id for part in task.subtasks] == [f"{task.id}[0]", f"{task.id}[1]"]
    assert task.conversation is not None
    assert task.conversation.nodes[f"{task.id}[1]/second"].status == "completed"
    run = task.conversation.run
    assert task.conversation.get_token_usage().total_tokens == run.usage.total
    await tasks.orchestrator.execute_prompt(task.conversation, "so?")
    assert there.asked[-1][0] == ("user", "Task: two_steps"), "a conversation with such a task in it is gone on with"


async def test_a_task_that_nobody_knows(there: Place) -> None:
    tasks = manager(there)
    task = tasks.create_task("sumarize", "a text")
    with pytest.raises(ProblemError, match="no ensemble 'sumarize'"):
        await tasks.execute(task)
    assert (task.status, task.error) == ("failed", "no ensemble 'sumarize'")
    assert there.asked == []


async def test_a_prompt_is_its_own_task(there: Place) -> None:
    tasks = manager(there)
    prompt = BasePrompt(content="Be quick.", system_prompt="You hurry.")
    assert await tasks.execute(tasks.create_task("hurry", prompt)) == ["reply to Be quick."]
    assert there.asked == [[("system", "You hurry."), ("user", "Be quick.")]]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"max_paralel": 2}, "a task has no 'max_paralel'\nhint: did you mean 'max_parallel'?"),
        ({"strategy": "chunks"}, "no strategy 'chunks'\nhint: did you mean 'chunk'?"),
    ],
)
def test_what_a_task_cannot_be_told(there: Place, config: dict[str, Any], said: str) -> None:
    with pytest.raises(GraphError) as caught:
        manager(there).create_task("work", "x", config)
    assert str(caught.value) == said


def test_what_is_wrong_is_said_before_anything_is_done(there: Place) -> None:
    with pytest.raises(GraphError, match="'max_parallel' must be "):
        manager(there).create_task("work", "x", {"max_parallel": 0})
    with pytest.raises(GraphError, match="belongs to fan_out over 'errors'"):
        manager(there).create_task("work", "x", {"strategy": "chunk", "group_by": "file"})
    with pytest.raises(GraphError, match="'work' has nothing to work on"):
        manager(there).create_task("work", " ")


# Parts


async def test_max_parallel_is_a_hard_bound_and_parts_can_be_waited_for(tmp_path: Path) -> None:
    gates = {name: Gate() for name in "abcd"}
    with place(tmp_path, lambda request: Scripted(last(request).upper(), gate=gates[last(request)])) as there:
        tasks = manager(there)
        task = tasks.create_task("work", list("abcd"), {"max_parallel": 2, "prompt": "{{ item }}"})
        with pytest.raises(GraphError, match="is not being executed"):
            await tasks.wait_for_result(f"{task.id}[1]")
        work = asyncio.create_task(tasks.execute(task, ConversationGraph(id="s")))
        await asyncio.to_thread(gates["a"].wait_for, 1)
        await asyncio.to_thread(gates["b"].wait_for, 1)
        later, whole = (asyncio.create_task(tasks.wait_for_result(each)) for each in (f"{task.id}[3]", task.id))
        never = asyncio.create_task(tasks.wait_for_result(f"{task.id}[9]"))
        gates["b"].release()
        assert await tasks.wait_for_result(f"{task.id}[1]") == "B"
        assert task.status == "running"
        assert not later.done()
        for gate in gates.values():
            gate.release()
        assert await later == "D"
        assert await work == await whole == task.result == ["A", "B", "C", "D"]
        with pytest.raises(UnknownError, match=r"no subtask 'work-.*\[9\]'"):
            await never
        assert there.server.peak == 2
        assert task.subtasks[0] == SubTask(f"{task.id}[0]", "work", "a", task.id, "completed", "A")
        assert await tasks.wait_for_result(task.subtasks[2]) == "C"


async def test_one_part_that_fails_leaves_the_others(tmp_path: Path) -> None:
    with place(tmp_path, lambda request: 400 if last(request) == "bad" else "fine") as there:
        tasks = manager(there)
        task = tasks.create_task("work", ["x", "bad", "z"], {"prompt": "{{ item }}"})
        assert await tasks.execute(task) == ["fine", None, "fine"]
        assert [part.status for part in task.subtasks] == ["completed", "failed", "completed"]
        with pytest.raises(FailedError, match="invalid_request"):
            await tasks.wait_for_result(task.subtasks[1].id)
        graph = task.conversation
        assert graph is not None
        assert tasks.orchestrator.get_execution_status(graph, task.id).progress == "3/3 done, 1 failed"
        assert graph.get_group_status(task.id) == {"completed": 2, "failed": 1}
        alone = tasks.create_task("work", ["bad"], {"prompt": "{{ item }}"})
        with pytest.raises(FailedError, match="none of 1 items succeeded"):
            await tasks.execute(alone, graph)
        assert (alone.status, alone.result) == ("failed", None)
        with pytest.raises(GraphError, match="was executed already"):
            await tasks.execute(alone.id, graph)
        with pytest.raises(UnknownError, match="no task 'x'"):
            await tasks.execute("x")


async def test_tasks_and_prompts_in_one_conversation(there: Place) -> None:
    tasks = manager(there)
    conversation = await tasks.orchestrator.create_conversation("c", "hello")
    first = tasks.create_task("work", ["x"], {"prompt": "{{ item }}"})
    await tasks.execute(first, conversation)
    assert there.asked[-1] == [("user", "x")], "a task is told nothing of what was said before it"
    await tasks.orchestrator.execute_prompt(conversation, "so?")
    assert there.asked[-1] == [("user", "Task: work"), ("assistant", '["reply to x"]'), ("user", "so?")]
    second = tasks.create_task("work", ["y"], {"prompt": "{{ item }}"})
    await tasks.execute(second, conversation, dependencies=["turn-1"])
    assert there.asked[-1] == [("user", "hello"), ("assistant", "reply to hello"), ("user", "y")]
    again = manager(there).orchestrator.get_conversation(conversation.id)
    assert again.to_dict() == conversation.to_dict()
    assert again.nodes[f"{first.id}.prompt"].metadata == {"task_type": "work", "strategy": "list"}
