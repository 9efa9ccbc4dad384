"""Deliverables from Python: who writes them, in what order, what becomes of those that fail, and what is never shown."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from llm_orc import CommandAgent, Ensemble, ModelAgent, ProblemError, Profile
from llm_orc.domain.event import Delta, Happening
from llm_orc.library import (
    CompletionMode,
    ConfigError,
    DeliverableType,
    OrchestrationConfig,
    OrchestrationEngine,
    PromptGenerator,
    UnknownError,
    quick_generate,
)
from tests.library.talking import last
from tests.servers.openai import Line, NativeModel, OpenAIServer, Scripted
from tests.servers.wire import Gate, Received

TOKEN = "lm-token-of-nobody-1234"
IDEA = "Umbrellas {{ that }} come {% back %}."
MINE = Ensemble(
    name="mine",
    agents=(
        ModelAgent(name="first", prompt="Write the first."),
        ModelAgent(name="second", prompt="Write the second of: {{ agents.first }}"),
        ModelAgent(name="third", prompt="Write the third."),
    ),
)


class Studio:
    """LM Studio on loopback, which says what it is told to say to each deliverable."""

    def __init__(self, server: OpenAIServer, home: Path, said: dict[str, Line | list[Line]]) -> None:
        self.server, self.home, self.said = server, home, said

    def engine(self, ensemble: Ensemble | str = MINE, env: Mapping[str, str] | None = None, **options: Any) -> OrchestrationEngine:
        config = OrchestrationConfig(**{"lm_studio_base_url": self.server.base_url, **options.pop("config", {})})
        return OrchestrationEngine(config, ensemble=ensemble, **{"store": False, **self.where(env), **options})

    def where(self, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        return {"cwd": self.home, "env": {"HOME": str(self.home), "PATH": "/usr/bin:/bin", **(env or {})}}

    @property
    def asked(self) -> list[str]:
        return [last(request) for request in self.server.chats]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    said: dict[str, Line | list[Line]] = {}

    def script(request: Received) -> Line:
        line = next((lines for part, lines in said.items() if part in last(request)), f"# Reply\n\nto {last(request)}")
        return (line.pop(0) if len(line) > 1 else line[0]) if isinstance(line, list) else line

    native = [NativeModel("nomic-embed", type="embeddings"), NativeModel("qwen"), NativeModel("big", state="not-loaded")]
    with OpenAIServer(script, native=native, models=["qwen"]) as server:
        yield Studio(server, tmp_path, said)


def test_each_has_a_result_in_the_order_asked_for_also_twice_and_also_where_it_failed(studio: Studio) -> None:
    studio.said["the first"] = 500
    result = studio.engine(config={"max_retries_per_deliverable": 2}).orchestrate(IDEA, ["third", "nobody", "first", "third"])
    assert [(each.deliverable_type, each.success) for each in result.deliverable_results] == [
        ("third", True),
        ("nobody", False),
        ("first", False),
        ("third", True),
    ]
    failed = result.deliverable_results[2]
    assert (failed.attempts, failed.content, str(failed.error_message).partition(":")[0]) == (2, "", "server")
    assert (result.success_count, result.error_count, len(studio.server.chats)) == (2, 2, 3)
    assert "*(missing: server: " in str(result.merged_document)
    assert str(result.merged_document).index("## Reply") < str(result.merged_document).index("## first")


def test_where_everything_fails_there_is_no_document_and_yet_every_result(studio: Studio) -> None:
    studio.said["Write"] = 401
    result = studio.engine().orchestrate(IDEA, ["first", "third"])
    assert [each.success for each in result.deliverable_results] == [False, False]
    assert (result.merged_document, result.success_count, result.error_count) == (None, 0, 2)
    off = OrchestrationEngine(OrchestrationConfig(lm_studio_base_url="http://127.0.0.1:1/v1"), ensemble=MINE, store=False, **studio.where())
    assert off.initialize() is False
    assert "lms server start" in str(off.problem)
    result = off.orchestrate(IDEA, ["first"])
    assert "lms server start" in result.deliverable_results[0].hint
    broken = Ensemble(name="broken", agents=(ModelAgent(name="a", prompt="{{ agents.b }}"),))
    result = studio.engine(broken).orchestrate(IDEA, ["a"])
    assert (result.run, result.deliverable_results[0].success) == (None, False)
    assert "'b'" in str(result.deliverable_results[0].error_message)


def test_what_is_not_asked_for_is_not_written_unless_it_is_needed(studio: Studio) -> None:
    studio.engine().orchestrate("x", ["second"])
    assert studio.asked == ["Write the second of: [no reply from first: left out by --no-deps]"]
    result = studio.engine(no_deps=False).orchestrate("x", "second")
    assert len(studio.asked) == 3
    assert "# Reply" in studio.asked[-1]
    assert [each.deliverable_type for each in result.deliverable_results] == ["second"]
    assert result.total_tokens_used > sum((result.deliverable_results[0].token_usage or {}).values()) / 2


def test_tokens_are_those_of_all_attempts_and_what_was_cut_says_so(studio: Studio) -> None:
    studio.said["the third"] = [Scripted("", usage=(10, 1)), Scripted("at last", usage=(10, 5), finish_reason="length")]
    result = studio.engine().orchestrate(IDEA, ["third"])
    (third,) = result.deliverable_results
    assert (third.attempts, third.finish_reason, third.model) == (2, "length", "qwen")
    assert third.token_usage == {"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26}
    assert result.total_tokens_used == 26
    assert "cut short" in str(result.merged_document)


def test_a_batch_is_written_at_once_and_the_rest_one_after_another(studio: Studio) -> None:
    gate = Gate()
    studio.said["Write"] = gate

    async def both() -> None:
        engine = studio.engine(config={"completion_mode": "batch", "include_table_of_contents": False})
        writing = asyncio.create_task(engine.aorchestrate("x", ["first", "third"]))
        await gate.arrivals(2)
        gate.release()
        assert "## Contents" not in str((await writing).merged_document)

    asyncio.run(both())
    assert studio.server.peak == 2


@pytest.mark.parametrize(("mode", "peak"), [("sequential", 1), ("batch", 2)])
async def test_one_after_another_is_so_whoever_writes(mode: str, peak: int, tmp_path: Path) -> None:
    there, most = 0, 0

    async def write(prompt: str) -> str:
        nonlocal there, most
        there += 1
        most = max(most, there)
        for _ in range(20):
            await asyncio.sleep(0)
        there -= 1
        return prompt

    config = OrchestrationConfig(profile=Profile(name="mine", provider="writer", model="any"), completion_mode=CompletionMode(mode))
    async with OrchestrationEngine(
        config, ensemble=MINE, providers={"writer": write}, cwd=tmp_path, env={"HOME": str(tmp_path)}, store=False
    ) as engine:
        assert (await engine.aorchestrate("x", ["first", "third"])).success_count == 2
    assert most == peak


def test_pieces_are_heard_as_they_come_and_else_the_whole(studio: Studio) -> None:
    studio.said["the first"] = "one two three"
    heard: list[tuple[DeliverableType, str]] = []
    events: list[Happening] = []

    def hear(name: DeliverableType, piece: str) -> None:
        heard.append((name, piece))

    streamed = {"completion_mode": CompletionMode.STREAMING, "merge_into_single_document": False}
    result = studio.engine(config=streamed, on_piece=hear, listeners=[events.append]).orchestrate("x", ["first"])
    assert heard == [("first", "one "), ("first", "two "), ("first", "three")]
    assert [event.text for event in events if isinstance(event, Delta)] == ["one ", "two ", "three"]
    assert (result.merged_document, result.total_tokens_used) == (None, studio.server.bill.input + studio.server.bill.output)
    heard.clear()
    studio.engine(on_piece=hear).orchestrate("x", ["first"])
    assert heard == [("first", "one two three")]


def test_a_prompt_of_ones_own_is_sent_word_for_word_and_others_go_on_as_they_were(studio: Studio) -> None:
    class Own(PromptGenerator):
        def generate_prompt(self, deliverable_type: str, user_input: str, context: Mapping[str, Any] | None = None) -> str:
            if deliverable_type == DeliverableType.FIRST:
                return f"My own {{%{{{{{{#: {user_input} {context}\n"
            return super().generate_prompt(deliverable_type, user_input, context)

    studio.said["My own"] = "the first reply"
    engine = studio.engine()
    engine.prompt_generator = Own()
    result = engine.orchestrate(IDEA, ["third", "second", "first"], {"budget": 7})
    assert [each.success for each in result.deliverable_results] == [True, True, True]
    told = f'{IDEA}\n\n## Context\n\n```json\n{{\n  "budget": 7\n}}\n```'
    third, second, first = (
        f"Write the third.\n\n{told}",
        "Write the second of: the first reply",
        f"My own {{%{{{{{{#: {IDEA} {{'budget': 7}}\n",
    )
    assert sorted(studio.asked) == sorted([first, second, third])
    assert engine.prompt_generator.generate_prompt("third", IDEA, {"budget": 7}) == third


def test_a_generator_that_raises_and_a_name_that_is_none_harm_nobody_else(studio: Studio) -> None:
    class Bad(PromptGenerator):
        def _get_deliverable_instructions(self, deliverable_type: str) -> str:
            if deliverable_type == "first":
                raise LookupError("no words")
            return "Anything" if deliverable_type == "not a name" else super()._get_deliverable_instructions(deliverable_type)

    engine = studio.engine()
    engine.prompt_generator = Bad()
    result = engine.orchestrate("x", ["first", "not a name", "third"])
    assert [each.error_message for each in result.deliverable_results] == [
        "its prompt: LookupError: no words",
        "'not a name' is no name",
        None,
    ]
    with pytest.raises(UnknownError, match="no deliverable 'thrid'\nhint: did you mean 'third'"):
        engine.prompt_generator.generate_prompt("thrid", "x")


def test_the_key_is_sent_and_never_shown(tmp_path: Path) -> None:
    with OpenAIServer({"": "kept"}, native=[NativeModel("qwen")], keys=[TOKEN]) as server:
        locked = Studio(server, tmp_path, {})
        assert locked.engine().initialize() is False
        result = locked.engine(config={"lm_studio_api_key": TOKEN}).orchestrate("x", ["first"])
    assert result.success_count == 1
    assert server.chats[-1].headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in repr(result.config_used) + str(result.config_used) + json.dumps(result.config_used and result.config_used.to_dict())
    told = json.loads(json.dumps(result.to_dict()))
    assert (told["success_count"], told["cost"], told["deliverable_results"][0]["deliverable_type"]) == (1, 0.0, "first")


def test_a_model_that_is_not_there_is_said_before_anything_is_sent(studio: Studio) -> None:
    with studio.engine(config={"model_name": "big"}) as engine:
        assert engine.initialize()
        engine.set_model("bgi")
        assert engine.initialize() is False
        assert engine.problem is not None
        assert ("no model 'bgi'" in engine.problem.what, "did you mean 'big'" in engine.problem.hint) == (True, True)
        engine.set_model("big")
        assert engine.orchestrate("x", ["first"]).deliverable_results[0].model == "big"
    engine.close()
    with pytest.raises(ProblemError, match="the engine is closed"):
        engine.orchestrate("x", ["first"])


async def test_it_is_awaited_or_not_in_a_running_loop(studio: Studio) -> None:
    async with studio.engine() as engine:
        assert await engine.ainitialize()
        assert await engine.aget_available_models() == ["qwen", "big"]
        assert (await engine.aorchestrate("x", ["first"])).success_count == 1
        assert engine.orchestrate("x", ["first"]).success_count == 1


def test_another_model_than_one_of_lm_studios(studio: Studio) -> None:
    result = quick_generate("A harbour is a place for ships.", ["third"], profile="embedded", ensemble=MINE, store=False, **studio.where())
    assert result.success_count == 1

    async def write(prompt: str) -> str:
        return prompt.upper()

    mine = Profile(name="mine", provider="writer", model="any")
    result = quick_generate("x", ["third"], profile=mine, providers={"writer": write}, ensemble=MINE, store=False, **studio.where())
    assert result.deliverable_results[0].content == "WRITE THE THIRD.\n\nX"
    assert studio.server.requests == []


def test_a_template_that_is_wrong_is_found_and_leaves_the_others_valid(studio: Studio) -> None:
    agents = (ModelAgent(name="good", prompt="{{ agents.bad }}"), ModelAgent(name="bad", prompt="{{ agents.nobody }}{{ inptu }}"))
    found = studio.engine(Ensemble(name="half", agents=agents)).validate_deliverable_templates()
    assert {name: each["is_valid"] for name, each in found.items()} == {"good": True, "bad": False}
    assert any("nobody" in problem for problem in found["bad"]["problems"])


def test_what_a_project_may_not_run_is_a_failure_with_the_way_out(studio: Studio) -> None:
    (studio.home / ".git").mkdir()
    (studio.home / ".llm-orc/ensembles").mkdir(parents=True)
    (studio.home / ".llm-orc/ensembles/theirs.yaml").write_text("agents: [{name: a, command: [touch, harm]}]")
    result = studio.engine("theirs").orchestrate("x", ["a"])
    assert ("not trusted" in str(result.deliverable_results[0].error_message), (studio.home / "harm").exists()) == (True, False)
    ours = Ensemble(name="ours", agents=(CommandAgent(name="loud", command=("tr", "a-z", "A-Z")),))
    assert studio.engine(ours).orchestrate("hush", ["loud"]).deliverable_results[0].content.strip() == "HUSH"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"temperature": 2.1}, "temperature is 2.1\nhint: a number from 0 to 2"),
        ({"temperature": float("nan")}, "temperature is nan\nhint: a number from 0 to 2"),
        ({"max_tokens": 0}, "max_tokens is 0\nhint: a whole number, 1 or more"),
        ({"max_tokens": 1.5}, "max_tokens is 1.5\nhint: a whole number, 1 or more"),
        ({"max_tokens": True}, "max_tokens is True\nhint: a whole number, 1 or more"),
        ({"top_p": 0}, "top_p is 0\nhint: a number above 0, to 1"),
        ({"max_retries_per_deliverable": 0}, "max_retries_per_deliverable is 0\nhint: requests in all: a whole number from 1 to 100"),
        ({"request_timeout": -1}, "request_timeout is -1\nhint: seconds, above 0"),
        ({"completion_mode": "bacth"}, "completion_mode: no mode 'bacth'\nhint: did you mean 'batch'?"),
        ({"log_level": "LOUD"}, "log_level: 'LOUD' is no level\nhint: there are: DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ({"model_name": ""}, "model_name is empty\nhint: leave it out, or say it"),
        ({"model_name": "a", "profile": "b"}, "model_name beside profile\nhint: a profile names its model: keep one of them"),
        ({"top_p": 2, "max_tokens": -1}, "max_tokens is -1\nhint: a whole number, 1 or more\ntop_p is 2\nhint: a number above 0, to 1"),
    ],
)
def test_what_is_out_of_range_is_told_at_once(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        OrchestrationConfig(**given)
    assert str(raised.value) == told


def test_what_is_no_option_and_what_is_no_name(studio: Studio) -> None:
    with pytest.raises(UnknownError, match="no option 'temprature'\nhint: did you mean 'temperature'"):
        quick_generate("x", ["personas"], temprature=1)
    with pytest.raises(ProblemError, match="no deliverable is asked for"):
        studio.engine().orchestrate("x", [])
    with pytest.raises(AttributeError, match="no attribute 'personas'"):
        _ = DeliverableType.personas
    assert (DeliverableType.USE_CASES, DeliverableType("use_cases").name) == ("use_cases", "USE_CASES")
