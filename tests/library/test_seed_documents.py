"""The Python examples of the document engine of our mission, with nothing changed but imports, the models, and what a name stands for."""

# ruff: noqa: T201, PTH123, BLE001 - the examples print, and write to files, as they do
# mypy: disable-error-code="possibly-undefined"

import inspect
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from llm_orc.library import (
    CompletionMode,
    DeliverableResult,
    DeliverableType,
    OrchestrationConfig,
    OrchestrationEngine,
    OrchestrationResult,
    PromptGenerator,
    quick_generate,
)
from tests.library.talking import last
from tests.servers.openai import Line, NativeModel, OpenAIServer
from tests.servers.wire import Received

NATIVE = [NativeModel("nomic-embed", type="embeddings"), NativeModel("qwen"), NativeModel("big", state="not-loaded")]
TITLE = re.compile(r"`# ([^`]+)`")


def write(request: Received) -> Line:
    found = TITLE.search(last(request))
    return f"# {found[1] if found else 'Something'}\n\n## Overview\n\nWritten by {request.json['model']}."


@pytest.fixture(autouse=True)
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    """The examples name neither a folder nor an environment; LM Studio listens where the environment says."""
    with OpenAIServer(write, native=NATIVE) as server, chdir(tmp_path):
        for name in [name for name in os.environ if name.startswith(("XDG_", "LLM_ORC_", "LM_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("LMSTUDIO_BASE_URL", server.base_url)
        yield server


@pytest.fixture
def quiet() -> Iterator[None]:
    """Logging as it was."""
    log = logging.getLogger("llm_orc")
    before = log.level, log.propagate, [*log.handlers]
    yield
    log.setLevel(before[0])
    log.propagate, log.handlers[:] = before[1], before[2]


user_input = "An app that brings lost umbrellas back."
deliverable_types = [DeliverableType.PERSONAS, DeliverableType.PROBLEM_STATEMENT]


def models(server: OpenAIServer) -> list[str]:
    return [request.json["model"] for request in server.chats]


def test_the_engine(studio: OpenAIServer) -> None:
    # Create configuration
    config = OrchestrationConfig(completion_mode=CompletionMode.SEQUENTIAL, max_tokens=2048, temperature=0.7)

    # Create and use engine
    with OrchestrationEngine(config) as engine:
        if engine.initialize():
            result = engine.orchestrate(
                user_input="Develop a CRM tool for small businesses...",
                deliverable_types=[DeliverableType.PROBLEM_STATEMENT, DeliverableType.PERSONAS, DeliverableType.USE_CASES],
            )

    assert [each.deliverable_type for each in result.deliverable_results] == ["problem_statement", "personas", "use_cases"]
    assert (result.success_count, result.error_count, studio.peak) == (3, 0, 1)
    assert models(studio) == ["qwen"] * 3
    assert all("Develop a CRM tool for small businesses..." in last(request) for request in studio.chats)
    sent = studio.chats[0].json
    assert (sent["max_tokens"], sent["temperature"], sent["top_p"]) == (2048, 0.7, 0.9)
    assert [last(request).count("Written by qwen.") for request in studio.chats] == [0, 1, 2], "each reads those before it"


def test_the_fields_of_a_config_and_of_results() -> None:
    config = OrchestrationConfig(lm_studio_base_url="http://localhost:1234/v1")
    told = {each.name: getattr(config, each.name) for each in fields(config)}
    assert (
        told.items()
        >= {
            "lm_studio_base_url": "http://localhost:1234/v1",
            "lm_studio_api_key": None,
            "model_name": None,
            "max_tokens": 2048,
            "temperature": 0.7,
            "top_p": 0.9,
            "completion_mode": CompletionMode.SEQUENTIAL,
            "merge_into_single_document": True,
            "include_table_of_contents": True,
            "max_retries_per_deliverable": 3,
            "request_timeout": 60.0,
        }.items()
    )
    named = "deliverable_results merged_document total_execution_time total_tokens_used success_count error_count config_used"
    assert [each.name for each in fields(OrchestrationResult)][:7] == named.split()
    named = "deliverable_type content success error_message execution_time token_usage prompt_used"
    assert [each.name for each in fields(DeliverableResult)][:7] == named.split()
    assert [*inspect.signature(PromptGenerator.generate_prompt).parameters] == ["self", "deliverable_type", "user_input", "context"]


def test_basic_usage(studio: OpenAIServer, capsys: pytest.CaptureFixture[str]) -> None:
    # Quick generation without manual setup
    result = quick_generate(
        user_input="Create a project management tool",
        deliverable_types=[DeliverableType.PROBLEM_STATEMENT, DeliverableType.TOOL_OUTLINE],
        max_tokens=1500,
        temperature=0.6,
    )

    print(f"Generated {result.success_count} deliverables")
    if result.merged_document:
        with open("output.md", "w") as f:
            f.write(result.merged_document)

    assert capsys.readouterr().out == "Generated 2 deliverables\n"
    written = Path("output.md").read_text()
    assert re.findall("(?m)^#{1,2} .*", written) == ["# Product docs", "## Contents", "## Problem Statement", "## Tool Outline"]
    assert "- [Tool Outline](#tool-outline)" in written
    assert {(request.json["max_tokens"], request.json["temperature"]) for request in studio.chats} == {(1500, 0.6)}


@pytest.mark.usefixtures("quiet")
def test_advanced_configuration(studio: OpenAIServer, capsys: pytest.CaptureFixture[str]) -> None:
    config = OrchestrationConfig(
        model_name="big",
        completion_mode=CompletionMode.BATCH,
        max_tokens=3000,
        temperature=0.5,
        max_retries_per_deliverable=5,
        merge_into_single_document=True,
        include_table_of_contents=True,
        enable_logging=True,
        log_level="DEBUG",
    )

    engine = OrchestrationEngine(config)
    if engine.initialize():
        result = engine.orchestrate(user_input, deliverable_types)

    assert [each.deliverable_type for each in result.deliverable_results] == deliverable_types, "in the order they are asked for"
    assert models(studio) == ["big", "big"]
    assert result.run is not None
    assert result.run.id in capsys.readouterr().err


def test_error_handling(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def example() -> None:
        try:
            with OrchestrationEngine() as engine:
                if not engine.initialize():
                    print("Failed to initialize engine")
                    return

                result = engine.orchestrate(user_input, [*deliverable_types, DeliverableType.NO_SUCH_THING])

                # Check results
                for deliverable_result in result.deliverable_results:
                    if not deliverable_result.success:
                        print(f"Failed: {deliverable_result.deliverable_type.value}")
                        print(f"Error: {deliverable_result.error_message}")

        except Exception as e:
            print(f"Orchestration error: {e}")

    example()
    assert capsys.readouterr().out == "Failed: no_such_thing\nError: no deliverable 'no_such_thing'\n"
    monkeypatch.setenv("LMSTUDIO_BASE_URL", "http://127.0.0.1:1/v1")
    example()
    assert capsys.readouterr().out == "Failed to initialize engine\n"


def test_custom_prompt_generation(studio: OpenAIServer) -> None:
    class CustomPromptGenerator(PromptGenerator):
        def _get_deliverable_instructions(self, deliverable_type: DeliverableType | str) -> str:
            if deliverable_type == DeliverableType.CUSTOM_TYPE:
                return "Custom instructions for new deliverable type"
            return super()._get_deliverable_instructions(deliverable_type)

    # Use custom generator
    engine = OrchestrationEngine()
    engine.prompt_generator = CustomPromptGenerator()

    result = engine.orchestrate(user_input, [DeliverableType.CUSTOM_TYPE, DeliverableType.PERSONAS])
    custom, personas = result.deliverable_results
    assert (custom.success, personas.success) == (True, True)
    assert custom.prompt_used == f"Custom instructions for new deliverable type\n\n{user_input}"
    assert personas.prompt_used == engine.prompt_generator.generate_prompt("personas", user_input)
    assert len(studio.chats) == 2


def test_custom_processing_modes() -> None:
    results: list[Any] = []

    class CustomOrchestrationEngine(OrchestrationEngine):
        def _process_custom(self, user_input: str, deliverable_types: Any, context: Mapping[str, Any] | None) -> list[Any]:
            # Custom processing logic
            results.extend(self.orchestrate(user_input, [each], context) for each in deliverable_types)
            return results

    with CustomOrchestrationEngine() as engine:
        assert [each.success_count for each in engine._process_custom(user_input, deliverable_types, None)] == [1, 1]


@pytest.mark.usefixtures("quiet")
def test_logging(capsys: pytest.CaptureFixture[str]) -> None:
    config = OrchestrationConfig(
        enable_logging=True,
        log_level="DEBUG",  # DEBUG, INFO, WARNING, ERROR
    )

    with OrchestrationEngine(config) as engine:
        engine.orchestrate(user_input, ["personas"])
    assert "personas" in capsys.readouterr().err
    assert logging.getLogger().handlers is not logging.getLogger("llm_orc").handlers


def test_validation(capsys: pytest.CaptureFixture[str]) -> None:
    engine = OrchestrationEngine()

    # Validate templates
    validation = engine.validate_deliverable_templates()
    for deliverable, result in validation.items():
        print(f"{deliverable}: {result['is_valid']}")

    # Check available models
    models = engine.get_available_models()
    print(f"Available models: {models}")

    *deliverables, available = capsys.readouterr().out.splitlines()
    assert deliverables == [f"{each.value}: True" for each in DeliverableType]
    assert len(deliverables) == 7
    assert available == "Available models: ['qwen', 'big']"


def test_metrics(studio: OpenAIServer, capsys: pytest.CaptureFixture[str]) -> None:
    engine = OrchestrationEngine()
    result = engine.orchestrate(user_input, deliverable_types)

    print(f"Execution time: {result.total_execution_time:.2f}s")
    print(f"Success rate: {result.success_count}/{len(deliverable_types)}")
    print(f"Token usage: {result.total_tokens_used}")
    print(f"Average time per deliverable: {result.total_execution_time / len(deliverable_types):.2f}s")

    billed = studio.bill.input + studio.bill.output
    shown = capsys.readouterr().out.splitlines()
    assert shown[1:3] == ["Success rate: 2/2", f"Token usage: {billed}"]
    assert result.total_execution_time > 0
