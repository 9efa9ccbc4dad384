"""The Python examples of our mission, with nothing changed but imports, the models, and what an ellipsis or a name stands for."""

import json
import os
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from llm_orc.library import BasePrompt, ConversationGraph, Orchestrator, TaskManager, get_config
from tests.library.talking import Place
from tests.project import Project


@pytest.fixture(autouse=True)
def here(there: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The examples name neither a folder nor an environment nor a model server: theirs are those of the process."""
    (there.home / ".config/llm-orc").mkdir(parents=True)
    local = {"model": "model", "provider": "openai-compatible", "base_url": there.server.base_url}
    profiles = {"local": local, "careful": local, "fast": local}
    text = json.dumps({"default_profile": "local", "model_profiles": profiles, "store": {"path": f"{there.home}/kept"}})
    (there.home / ".config/llm-orc/config.yaml").write_text(text)
    monkeypatch.setenv("HOME", str(there.home))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "an-example-and-no-key")
    for name in [name for name in os.environ if name.startswith(("XDG_", "LLM_ORC_"))]:
        monkeypatch.delenv(name)
    with chdir(there.home):
        yield


setup_prompt, analysis_prompt, summary_prompt = (BasePrompt(content=text) for text in ("Set it up.", "Analyse it.", "Sum it up."))
prompt1, prompt2, prompt3 = (BasePrompt(content=f"Part {number}.") for number in (1, 2, 3))
review_prompt = BasePrompt(content="def add(a, b):\n    return a - b\n")
agent_pool = ["local"]


def turns(there: Place) -> list[list[str]]:
    return [[text for _, text in asked] for asked in there.asked]


# 000: the orchestrator


async def test_conversation_management(there: Place) -> None:
    # Create an orchestrator
    orchestrator = Orchestrator(agent_pool)

    # Start a conversation
    conversation = await orchestrator.create_conversation(name="analysis_session", initial_prompt=setup_prompt)

    # Execute prompts with dependencies
    response1_id = await orchestrator.execute_prompt(conversation_id=conversation.id, prompt=analysis_prompt)

    response2_id = await orchestrator.execute_prompt(conversation_id=conversation.id, prompt=summary_prompt, dependencies=[response1_id])

    # Execute prompts in parallel
    response_ids = await orchestrator.execute_parallel(conversation_id=conversation.id, prompts=[prompt1, prompt2, prompt3], max_parallel=2)

    said = ["Set it up.", "reply to Set it up.", "Analyse it.", "reply to Analyse it.", "Sum it up."]
    assert turns(there)[2] == said
    assert sorted(turns(there)[3:]) == [[*said, "reply to Sum it up.", f"Part {number}."] for number in (1, 2, 3)]
    assert there.server.peak <= 2
    assert [conversation.nodes[each].text for each in response_ids] == [f"reply to Part {number}." for number in (1, 2, 3)]
    await conversation_integration(orchestrator, conversation, response2_id)


async def conversation_integration(orchestrator: Orchestrator, conversation: ConversationGraph, node_id: str) -> None:
    conversation_id = conversation.id
    # Access conversation history
    history = conversation.get_node_history(node_id)
    summary = conversation.get_conversation_summary()

    # Check execution status
    status = orchestrator.get_execution_status(conversation_id, node_id)

    assert [node.id for node in history] == ["turn-1.prompt", "turn-1", "turn-2.prompt", "turn-2", "turn-3.prompt", "turn-3"]
    assert (summary.name, summary.by_status, summary.depth) == ("analysis_session", {"completed": 6}, 4)
    assert status.status == "completed"


def test_configuration(there: Place) -> None:
    # Get the configuration manager
    config = get_config()

    # Access user settings
    api_key = config.user_config.api_keys["anthropic"]
    storage_path = config.user_config.storage["path"]

    # Access system settings
    provider_config = config.system_config.providers["anthropic"]
    model_capabilities = provider_config.models["claude-3-sonnet-20240229"]

    # Get combined model config
    model_config = config.get_model_config("anthropic", "claude-3-sonnet-20240229")

    assert api_key.get_secret_value() == "an-example-and-no-key"
    assert storage_path == f"{there.home}/kept"
    assert (model_capabilities.gone, model_capabilities.instead) == (model_config.gone, model_config.instead)
    assert (model_config.provider, model_config.name) == ("anthropic", "claude-3-sonnet-20240229")


async def test_async_support(there: Place) -> None:
    orchestrator = Orchestrator(agent_pool)

    async def process_conversation() -> tuple[list[str], Any]:
        # Create conversation
        conversation = await orchestrator.create_conversation(name="...")

        # Execute prompts
        response_id = await orchestrator.execute_prompt(conversation_id=conversation.id, prompt=analysis_prompt)

        # Execute parallel prompts
        response_ids = await orchestrator.execute_parallel(conversation_id=conversation.id, prompts=[prompt1, prompt2])

        # Get execution status
        status = orchestrator.get_execution_status(conversation.id, response_id)
        return [response_id, *response_ids], status

    ids, status = await process_conversation()
    assert ids == ["turn-1", "turn-2", "turn-3"]
    assert (status.status, status.attempts, status.model) == ("completed", 1, "model")


# 001: the task manager


async def test_task_decomposition(there: Place) -> None:
    # Create a task manager
    task_manager = TaskManager()

    # Create and execute a task with conversation tracking
    task = task_manager.create_task(task_type="code_review", input_data=review_prompt, config={"max_parallel": 3})

    # Execute with conversation tracking
    conversation = ConversationGraph(id="review-session")
    result = await task_manager.execute(task, conversation)

    assert len(result) == 1
    assert result[0].startswith("reply to ")
    assert any("return a - b" in text for asked in turns(there) for text in asked)
    node_id = task.subtasks[0].id
    # Access conversation history
    history = conversation.get_node_history(node_id)
    summary = conversation.get_conversation_summary()

    assert [history[0].id, history[-1].id] == [f"{task.id}.prompt", node_id]
    assert history[-1].text == result[0]
    assert set(summary.by_status) == {"completed"}


async def test_async_tasks() -> None:
    task_manager = TaskManager()

    async def process_task() -> tuple[Any, Any]:
        # Create and configure task
        task = task_manager.create_task("greet", ["Ann", "Bob"], {"prompt": "Greet this person:"})

        # Execute with conversation tracking
        conversation = ConversationGraph()
        result = await task_manager.execute(task, conversation)

        # Wait for specific subtask results
        subtask_id = f"{task.id}[1]"
        subtask_result = await task_manager.wait_for_result(subtask_id)
        return result, subtask_result

    result, subtask_result = await process_task()
    assert result == ["reply to Greet this person:\n\nAnn", "reply to Greet this person:\n\nBob"]
    assert subtask_result == result[1]


# 002: graph, conversations, orchestrator


async def test_usage(there: Place) -> None:
    # Create an orchestrator with an agent pool
    orchestrator = Orchestrator(agent_pool)

    # Create a new conversation
    conversation = await orchestrator.create_conversation(
        name="Example Conversation", initial_prompt=BasePrompt(content="Hello, how can I help you?")
    )

    # Execute a prompt and get the response
    node_id = await orchestrator.execute_prompt(conversation=conversation, prompt=BasePrompt(content="Tell me about LLMs"))

    # Execute multiple prompts in parallel
    node_ids = await orchestrator.execute_parallel(
        conversation=conversation,
        prompts=[BasePrompt(content="What are the benefits of LLMs?"), BasePrompt(content="What are the limitations of LLMs?")],
        max_parallel=2,
    )

    # Get conversation history
    history = orchestrator.get_conversation_history(conversation=conversation)

    assert [node.id for node in history][::2] == ["turn-1.prompt", "turn-2.prompt", "turn-3.prompt", "turn-4.prompt"]
    assert (node_id, node_ids) == ("turn-2", ["turn-3", "turn-4"])
    assert history[-1].text == "reply to What are the limitations of LLMs?"
    assert orchestrator.get_conversation("last").to_dict() == conversation.to_dict()


async def test_the_command_line_knows_what_python_has_said(tmp_path: Path) -> None:
    project = Project(tmp_path / "cli", "project", {}, trusted=False)
    options: dict[str, Any] = {"cwd": project.path, "env": project.env()}
    orchestrator = Orchestrator("embedded", **options)
    conversation = await orchestrator.create_conversation("From Python", "A harbour is a place for ships. Ships need harbours.")
    listed = project.run("runs", "list")
    assert conversation.id in listed.out
    assert "From-Python" in listed.out
    shown = project.run("runs", "show", conversation.id)
    assert ("turn-1" in shown.out, shown.code) == (True, 0)
    resumed = project.run("runs", "resume", conversation.id)
    assert resumed.code in {0, 2}
    assert "turn" not in [node.id for node in orchestrator.get_conversation(conversation.id).nodes.values()]
    continued = project.run("continue", conversation.id, "What do ships need?")
    assert (continued.code, continued.err.count("problem")) == (0, 0)
    node = await orchestrator.execute_prompt(conversation, "And harbours?")
    assert node == "turn-3"
    assert conversation.nodes["turn-2.prompt"].text == "What do ships need?"
