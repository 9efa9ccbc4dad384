"""The door for Python programs."""

import asyncio
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

import llm_orc
from llm_orc import (
    Attachment,
    CommandAgent,
    Ensemble,
    FailedError,
    Failure,
    FanOut,
    FunctionAgent,
    Kind,
    ModelAgent,
    ModelSynthesis,
    ProblemError,
    Profile,
    Reply,
    Request,
)
from llm_orc.domain.event import Delta, Happening, RunEnded, RunStarted
from llm_orc.domain.message import Tell
from llm_orc.store.pages import Sought, listed
from llm_orc.store.runs import Store
from tests import pictures
from tests.project import NewProject

LOOP: list[object] = []
LOOP.append(LOOP)


async def shout(prompt: str) -> str:
    await asyncio.sleep(0)
    return prompt.upper()


async def count(prompt: str) -> dict[str, int]:
    await asyncio.sleep(0)
    return {"letters": len(prompt)}


async def broken(prompt: str) -> str:
    raise LookupError(prompt)


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, object]:
    """A home and a folder with nothing in them."""
    return {"cwd": tmp_path, "env": {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}}


def test_an_ensemble_by_name(nowhere: dict[str, object]) -> None:
    run = llm_orc.run("hello", "good morning", profile="embedded", **nowhere)
    assert run.exit_code == 0
    assert run.result


def test_an_ensemble_of_objects_with_functions_as_bodies(nowhere: dict[str, object]) -> None:
    ensemble = Ensemble(
        name="mine",
        agents=(
            FunctionAgent(name="loud", function=shout),
            FunctionAgent(name="long", function=count, prompt="{{ agents.loud }}!"),
            CommandAgent(name="told", command=("cat",), prompt="{{ agents.long.json.letters }} {{ agents.long }}"),
        ),
    )
    assert llm_orc.run(ensemble, "hey", **nowhere).result == '4 {"letters": 4}'


def test_what_a_function_raises_is_the_failure_of_its_agent(nowhere: dict[str, object]) -> None:
    ensemble = Ensemble(name="mine", agents=(FunctionAgent(name="bad", function=broken), FunctionAgent(name="good", function=shout)))
    run = llm_orc.run(ensemble, "hey", **nowhere)
    assert run.nodes["bad"].cause == "script: LookupError: hey"
    assert run.nodes["good"].text == "HEY"
    assert run.exit_code == 3


@pytest.mark.parametrize("value", [LOOP, {(1, 2): 3}], ids=["circular", "keys"])
def test_what_json_cannot_say_is_the_failure_of_its_agent(value: object, nowhere: dict[str, object]) -> None:
    async def strange(_: str) -> object:
        return value

    ensemble = Ensemble(name="mine", agents=(FunctionAgent(name="bad", function=strange), FunctionAgent(name="good", function=shout)))
    run = llm_orc.run(ensemble, "hey", **nowhere)
    assert run.nodes["bad"].cause == "malformed: a value that JSON cannot say: too deep, without end, or with keys that are no texts"
    assert run.exit_code == 3


def test_who_cancels_himself_fails_and_whoever_needs_him_is_skipped(nowhere: dict[str, object]) -> None:
    async def gone(_: str) -> str:
        raise asyncio.CancelledError

    profile = Profile(name="p", model="m", provider="gone")
    for bad in (FunctionAgent(name="bad", function=gone), ModelAgent(name="bad", model_profile="p")):
        ensemble = Ensemble(name="mine", agents=(bad, FunctionAgent(name="after", function=shout, depends_on=("bad",))))
        run = llm_orc.run(ensemble, "hey", profiles=[profile], providers={"gone": gone}, **nowhere)
        assert run.nodes["bad"].cause == "cancelled: it cancelled itself"
        assert run.nodes["after"].cause == "no reply from bad"
        assert run.exit_code == 1


def test_merging_leaves_the_replies_of_the_items_alone(nowhere: dict[str, object]) -> None:
    async def listed(prompt: str) -> object:
        return {"a": {"l": [prompt]}}

    fan = FunctionAgent(name="f", function=listed, fan_out=FanOut(items=["x", "y"]), gather="merge")
    run = llm_orc.run(Ensemble(name="mine", agents=(fan,)), "hey", **nowhere)
    replies = [node.reply.value for node in run.nodes.values() if node.reply]
    assert replies == [{"a": {"l": ["x", "y"]}}, {"a": {"l": ["x"]}}, {"a": {"l": ["y"]}}]


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("text", "malformed: the callable 'mine' returned str, not a Reply"),
        (None, "malformed: the callable 'mine' returned NoneType, not a Reply"),
        (Reply(" \n"), "empty: the callable 'mine' returned an empty reply"),
    ],
)
def test_a_provider_that_returns_no_reply_has_failed(said: Any, cause: str, nowhere: dict[str, object]) -> None:
    async def mine(request: Request, tell: Tell) -> Any:
        return said

    profile = Profile(name="p", model="m", provider="mine")
    ensemble = Ensemble(name="x", agents=(ModelAgent(name="a", model_profile="p"),))
    assert llm_orc.run(ensemble, "hi", profiles=[profile], providers={"mine": mine}, **nowhere).nodes["a"].cause == cause


def test_what_had_come_before_the_time_was_up_is_kept_and_is_no_reply(nowhere: dict[str, object]) -> None:
    async def slow(request: Request, tell: Tell) -> Reply:
        tell(Delta(request.node, "half a "))
        await asyncio.Event().wait()
        return Reply("half a word")

    profile = Profile(name="p", model="m", provider="slow")
    ensemble = Ensemble(name="x", agents=(ModelAgent(name="a", model_profile="p", timeout_seconds=0.05),))
    run = llm_orc.run(ensemble, "hi", profiles=[profile], providers={"slow": slow}, **nowhere)
    assert (run.nodes["a"].text, run.nodes["a"].reply, run.result) == ("half a ", None, "")


@pytest.mark.parametrize("bound", [0, -1])
def test_a_bound_that_lets_nobody_through_is_a_problem(bound: int, nowhere: dict[str, object]) -> None:
    with pytest.raises(ProblemError, match="max_parallel"):
        llm_orc.run("hello", "hi", profile="embedded", max_parallel=bound, **nowhere)


def test_any_async_callable_is_a_provider(nowhere: dict[str, object]) -> None:
    async def whole(request: Request, tell: Tell) -> Reply:
        tell(Delta(request.node, "he"))
        if request.profile.temperature == 1:
            raise FailedError(Failure(Kind.RATE_LIMIT, "too hot"))
        await asyncio.sleep(0)
        return Reply(f"{request.profile.model}: {request.messages[-1].text}")

    profiles = [Profile(name="mine", model="m1", provider="whole"), Profile(name="short", model="m2", provider="shout")]
    ensemble = Ensemble(
        name="x",
        agents=(
            ModelAgent(name="a", model_profile="mine"),
            ModelAgent(name="b", model_profile="short"),
            ModelAgent(name="c", model_profile="mine", temperature=1),
            ModelAgent(name="d", fan_out=FanOut(profiles=("mine", "short")), gather="text"),
        ),
        synthesis=ModelSynthesis(model_profile="short", prompt="all: {{ agents.a }}, {{ agents.b }}"),
    )
    run = llm_orc.run(ensemble, "hi", profiles=profiles, providers={"whole": whole, "shout": shout}, **nowhere)
    assert run.result == "ALL: M1: HI, HI"
    assert run.nodes["c"].cause == "rate_limit: too hot"
    assert run.nodes["d"].text == "m1: hi\n\nHI"


def test_every_listener_hears_every_event_and_one_that_raises_harms_nobody(nowhere: dict[str, object]) -> None:
    first: list[Happening] = []
    second: list[Happening] = []

    def bad(event: Happening) -> None:
        raise ValueError(event)

    ensemble = Ensemble(name="mine", agents=(FunctionAgent(name="a", function=shout),))
    run = llm_orc.run(ensemble, "hey", listeners=[first.append, bad, second.append], **nowhere)
    assert run.result == "HEY"
    assert first == second
    assert isinstance(first[0], RunStarted)
    assert isinstance(first[-1], RunEnded)


async def test_run_works_inside_a_running_loop_and_arun_is_awaited(nowhere: dict[str, object]) -> None:
    ensemble = Ensemble(name="mine", agents=(FunctionAgent(name="a", function=shout),))
    assert llm_orc.run(ensemble, "one", **nowhere).result == "ONE"
    both = await asyncio.gather(*(llm_orc.arun(ensemble, text, cwd=nowhere["cwd"], env=nowhere["env"]) for text in ("two", "three")))  # type: ignore[arg-type]
    assert [run.result for run in both] == ["TWO", "THREE"]


async def test_a_cancelled_arun_leaves_nothing_running(nowhere: dict[str, object]) -> None:
    entered, left = asyncio.Event(), asyncio.Event()

    async def forever(prompt: str) -> str:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return prompt

    ensemble = Ensemble(name="mine", agents=(FunctionAgent(name="a", function=forever),))
    task = asyncio.create_task(llm_orc.arun(ensemble, "x", cwd=nowhere["cwd"], env=nowhere["env"]))  # type: ignore[arg-type]
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left.is_set()


def test_what_is_wrong_is_raised_before_anything_runs(nowhere: dict[str, object]) -> None:
    ensemble = Ensemble(name="mine", agents=(ModelAgent(name="a", model_profile="fsat", depends_on=("b",)),))
    with pytest.raises(ProblemError) as raised:
        llm_orc.run(ensemble, "x", **nowhere)
    assert {problem.what for problem in raised.value.problems} == {"no profile 'fsat'", "no agent 'b'"}


def test_a_project_that_is_not_trusted_runs_no_code(project: NewProject) -> None:
    made = project({".llm-orc/ensembles/own.yaml": "agents: [{name: a, command: [touch, ran]}]"})
    with pytest.raises(ProblemError) as raised:
        llm_orc.run("own", "x", cwd=made.path, env=made.env())
    assert raised.value.untrusted
    assert not (made.path / "ran").exists()


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, llm_orc; print(sorted(name for name in sys.modules if name.split('.')[0] in {'pydantic', 'yaml', 'httpx', 'rich'}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_money_is_bounded_as_by_the_flag(nowhere: dict[str, object]) -> None:
    priced = Profile.model_validate(
        {"name": "p", "provider": "shout", "model": "any", "price": {"input": 1, "output": 10}, "max_tokens": 1000}
    )
    one = Ensemble(name="one", agents=(ModelAgent(name="a", model_profile="p"),))
    run = llm_orc.run(one, "hi", profiles=[priced], providers={"shout": shout}, max_cost=0.001, **nowhere)
    assert (run.exit_code, run.nodes["a"].cause.partition(":")[0]) == (4, "budget")
    assert llm_orc.run(one, "hi", profiles=[priced], providers={"shout": shout}, max_cost=1, **nowhere).result == "HI"


@pytest.mark.parametrize("dollars", [0, -1, float("nan"), float("inf"), True, "0.5"])
def test_what_is_no_money_is_a_problem(nowhere: dict[str, object], dollars: Any) -> None:
    with pytest.raises(ProblemError, match=r"max_cost: .* is no amount of money\nhint: US dollars, above 0: max_cost=0\.50"):
        llm_orc.run("hello", "x", max_cost=dollars, **nowhere)


def test_a_wrong_keyword_is_told_alone(nowhere: dict[str, object]) -> None:
    with pytest.raises(TypeError) as raised:
        llm_orc.run("hello", "x", max_costs=1, **nowhere)
    assert "During handling" not in "".join(traceback.format_exception(raised.value))


def test_a_run_is_kept_if_it_is_wanted(project: NewProject, tmp_path: Path) -> None:
    here = project({".llm-orc/ensembles/own.yaml": "agents: [{name: a, model_profile: embedded}]\n"})
    for store in (False, True, tmp_path / "kept"):
        llm_orc.run("own", "hello", cwd=here.path, env={"HOME": str(here.home)}, store=store)
    folders = [here.path / ".llm-orc/store", tmp_path / "kept"]
    for folder in folders:
        with Store.open(folder, make=False) as opened:
            assert [run.ensemble for run in listed(opened, Sought(), 5)[0]] == ["own"]


async def tell_files(request: Request, tell: Tell) -> Reply:
    return Reply(" ".join(f"{each.name}:{each.media_type}:{len(each.data)}" for each in request.messages[-1].attachments))


def test_files_go_along_as_paths_as_bytes_and_as_they_are(tmp_path: Path, nowhere: dict[str, object]) -> None:
    (tmp_path / "a.png").write_bytes(pictures.png())
    one = Ensemble(name="one", agents=(ModelAgent(name="a", model="m", provider="tell"),))
    files = ["a.png", tmp_path / "a.png", b"# text", pictures.GIF, Attachment("x.md", "text/markdown", b"12")]
    run = llm_orc.run(one, "", attachments=files, providers={"tell": tell_files}, **nowhere)
    size = len(pictures.png())
    expected = f"a.png:image/png:{size} attachment-3:text/plain:6 attachment-4:image/gif:{len(pictures.GIF)} x.md:text/markdown:2"
    assert run.result == expected


def test_all_files_that_cannot_go_along_are_told(nowhere: dict[str, object]) -> None:
    with pytest.raises(ProblemError) as raised:
        llm_orc.run("hello", "x", attachments=["nope.png", b"", b"\x7fELF\0"], **nowhere)
    assert [problem.what for problem in raised.value.problems] == [
        "'attachment-2' is empty",
        "'attachment-3' is a program, which no model takes",
        "no file 'nope.png'",
    ]


def test_an_ensemble_without_a_folder_names_no_files(nowhere: dict[str, object]) -> None:
    one = Ensemble(name="one", agents=(ModelAgent(name="a", model="extract", provider="embedded", attachments=("a.png",)),))
    with pytest.raises(ProblemError, match=r"no folder to look for 'a.png' in\nhint: give the file to the run: attachments"):
        llm_orc.run(one, "x", **nowhere)
