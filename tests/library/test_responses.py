"""What is said, and what is known of it."""

from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import llm_orc
import llm_orc.library
from llm_orc.domain.message import Failure, Kind, Reply, Usage
from llm_orc.domain.run import Node
from llm_orc.library import BasePrompt, BaseResponse, ContextMetrics, ExecutionMetadata, LLMResponse, TokenUsage


def test_every_name_is_where_it_is_said_to_be() -> None:
    for name in llm_orc.library.__all__:
        assert getattr(llm_orc.library, name).__module__.startswith("llm_orc.library.")
    assert dir(llm_orc.library) == llm_orc.library.__all__ == sorted(llm_orc.library.__all__)
    with pytest.raises(ImportError, match="cannot import name 'Orchestra'"):
        exec("from llm_orc.library import Orchestra")
    assert import_module("llm_orc.library").wait is llm_orc.wait


def test_tokens_are_added_up_and_one_unknown_price_makes_the_sum_unknown() -> None:
    one = TokenUsage(prompt_tokens=3, completion_tokens=2, cached_tokens=1, cost=0.5)
    two = TokenUsage.of(Usage(4, 1, estimated=True), 0.25)
    assert one + two == TokenUsage(prompt_tokens=7, completion_tokens=3, cached_tokens=1, estimated=True, cost=0.75)
    assert (one + two).total_tokens == 10
    assert (one + TokenUsage(cost=None)).cost is None


def test_a_window_has_room_left_or_none() -> None:
    metrics = ContextMetrics(max_context_tokens=200, current_context_tokens=50)
    assert (metrics.available_tokens, metrics.context_utilization) == (150, 0.25)
    assert ContextMetrics(max_context_tokens=10, current_context_tokens=11).available_tokens == 0


def test_two_prompts_are_told_apart_by_their_hash() -> None:
    prompt = BasePrompt(content="one")
    assert prompt.sha256 == BasePrompt(content="one", metadata={"by": "me"}).sha256
    assert len({prompt.sha256, BasePrompt(content="two").sha256, BasePrompt(content="one", system_prompt="x").sha256}) == 3


def test_what_came_of_a_node() -> None:
    node = Node(
        "a", "model", status="succeeded", reply=Reply("yes", {"a": 1}, structured=True, finish="length", model="m-2", usage=Usage(5, 2))
    )
    node.usage, node.cost, node.context_window, node.taken, node.sent, node.provider = Usage(9, 3), 0.5, 100, 12, 2, "p"
    node.started_at, node.ended_at = 10.0, 12.5
    response = LLMResponse.of(node)
    assert response == LLMResponse(
        content="yes",
        value={"a": 1},
        finish_reason="length",
        model="m-2",
        provider="p",
        attempts=2,
        token_usage=TokenUsage(prompt_tokens=9, completion_tokens=3, cost=0.5),
        context_metrics=ContextMetrics(max_context_tokens=100, current_context_tokens=12),
        timestamp=datetime.fromtimestamp(12.5, UTC),
        execution_time=2.5,
    )
    assert isinstance(response, BaseResponse)


def test_what_came_of_a_node_that_failed() -> None:
    node = Node(
        "a",
        "model",
        status="failed",
        failure=Failure(Kind.TIMEOUT, "too slow", "wait longer"),
        cause="timeout: too slow",
        pieces=["he", "l"],
    )
    node.unpriced = True
    response = LLMResponse.of(node)
    assert (response.success, response.error, response.error_kind, response.hint) == (False, "timeout: too slow", "timeout", "wait longer")
    assert (response.content, response.token_usage.cost, response.context_metrics) == ("hel", None, None)


@pytest.mark.parametrize(
    "said",
    [
        BasePrompt(content="a", metadata={"x": [1]}),
        LLMResponse(content="b", token_usage=TokenUsage(prompt_tokens=1), context_metrics=ContextMetrics(max_context_tokens=3)),
        ExecutionMetadata(status="skipped", started_at=datetime.now(UTC), dependencies=("a", "b")),
    ],
    ids=lambda said: type(said).__name__,
)
def test_json_and_back(said: BaseModel) -> None:
    assert type(said).model_validate_json(said.model_dump_json()) == said


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (BasePrompt, {}),
        (BasePrompt, {"content": "a", "contents": "b"}),
        (ExecutionMetadata, {"status": "succeeded"}),
        (ContextMetrics, {"max_context_tokens": 0}),
    ],
)
def test_what_they_cannot_be(kind: type[BaseModel], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind(**values)
