"""The suite lets a sound provider pass, and each of its checks sees the fault that it is there for."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest

from llm_orc.domain.event import Answered, Delta, Happening, Loading, Warned
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind, Reply, Request, Tell, Usage
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.profile import Endpoint, Profile
from llm_orc.models.base import BaseModel, Listed, Options, Reach, estimated, messages_of
from llm_orc.models.embedded import Embedded
from llm_orc.testing import Subject, provider_conformance
from tests.project import run

KEY = "sk-in-no-repr"


class KnownOptions(Options):
    number: int = 0


class Sound(BaseModel):
    """Does all that is asked of a provider; its server is a list."""

    options = KnownOptions
    requests: list[str]

    def endpoint(self, profile: Profile) -> Endpoint:  # noqa: ARG002 - the contract
        return Endpoint(self.name, self.name, local=True)

    def check(self, profile: Profile) -> None:
        if profile.base_url:
            raise ProblemError(Problem("it has no server"))

    async def models(self, profile: Profile) -> Sequence[Listed]:  # noqa: ARG002 - the contract
        return [Listed("sound")]

    async def generate(self, request: Request, tell: Tell) -> Reply:
        self.send(request)
        match request.profile.model:
            case "endless":
                await asyncio.Event().wait()
            case "broken":
                raise FailedError(Failure(Kind.SERVER, "it is broken", "mend it"), usage=NO_USAGE)
        if request.stream:
            tell(Delta(node=request.node, text="I "))
            tell(Delta(node=request.node, text="am sound"))
        messages = messages_of(request)
        return Reply("I am sound", usage=estimated(messages, "I am sound"), model=request.profile.model)

    def send(self, request: Request) -> None:
        self.requests.append(json.dumps(self.body(request)))

    def body(self, request: Request) -> dict[str, Any]:
        profile = request.profile
        given = profile.model_dump(include={"temperature", "max_tokens", "top_p", "seed", "stop", "options"})
        messages = [[message.role, message.text] for message in messages_of(request)]
        files = [base64.b64encode(file.data).decode() for message in request.messages for file in message.attachments]
        return {"messages": messages, "files": files, "schema": request.schema, **given}


def subject(provider: type[Sound]) -> Subject:
    made: type[Sound] = type(provider.__name__, (provider,), {"requests": []})

    def profile(model: str, **keys: Any) -> Profile:
        return Profile(provider="sound", model=model, **keys)

    return Subject(
        made,
        profile("sound"),
        Reach({"SOUND_API_KEY": KEY}),
        secrets=[KEY],
        sent=lambda: made.requests,
        endless=profile("endless"),
        failing={Kind.SERVER: profile("broken")},
        wrong=[profile("sound", options={"number": "many"}), profile("sound", base_url="http://localhost")],
        takes=frozenset({"vision", "files", "structured_output"}),
        lists=True,
    )


TestSound = provider_conformance(subject(Sound))


def told(event: Happening) -> Callable[[Sound, Request, Tell], object]:
    return lambda _, __, tell: tell(event)


class Faulty(Sound):
    """Sound, but for what a test gives it to do before or instead."""

    before: Callable[["Faulty", Request, Tell], object] = lambda *_: None
    changed: Callable[[Reply], Reply] = lambda reply: reply

    async def generate(self, request: Request, tell: Tell) -> Reply:
        type(self).before(self, request, tell)
        return type(self).changed(await super().generate(request, tell))


def but(**members: Any) -> type[Sound]:
    return type("Faulty", (Faulty,), members)


def without(*keys: str) -> type[Sound]:
    return but(body=lambda self, request: {key: value for key, value in Sound.body(self, request).items() if key not in keys})


def raising(error: Exception) -> Callable[..., None]:
    def generate(*_: object) -> None:
        raise error

    return generate


async def never_cancelled(self: Sound, request: Request, tell: Tell) -> Reply:
    try:
        return await Sound.generate(self, request, tell)
    except asyncio.CancelledError:
        return Reply("cancelled?")


async def leaves_a_task(self: Sound, request: Request, tell: Tell) -> Reply:
    self.left = asyncio.create_task(asyncio.Event().wait())  # type: ignore[attr-defined]
    return await Sound.generate(self, request, tell)


async def closed_once(self: Sound) -> None:
    del self.name


async def fails_otherwise(self: Sound, request: Request, tell: Tell) -> Reply:
    try:
        return await Sound.generate(self, request, tell)
    except FailedError as error:
        raise FailedError(replace(error.failure, what=f"ValueError('{KEY}')")) from None


async def mixes_up(self: Sound, request: Request, tell: Tell) -> Reply:
    if "CANARY-3" in request.messages[-1].text:
        return Reply("")
    return await Sound.generate(self, request, tell)


async def lists_twice(_: Sound, __: Profile) -> Sequence[Listed]:
    return [Listed("sound"), Listed("sound")]


def sends(self: Sound, *_: object) -> None:
    self.requests.append("{}")


def sends_and_says(self: Sound, _: Profile) -> Endpoint:
    self.requests.append("{}")
    return Endpoint("sound", "sound")


ANSWERS = "test_it_answers"
TOKENS = "test_tokens_add_up"
FAULTY: dict[str, tuple[str, type[Sound]]] = {
    "sends too early": ("test_endpoint_and_ask_open_nothing", but(endpoint=sends_and_says)),
    "sends while it gets ready": ("test_it_gets_ready_without_sending", but(ready=sends)),
    "takes a wrong profile": ("test_a_profile_that_cannot_be_asked_is_a_problem", but(check=lambda *_: None)),
    "takes a wrong option": ("test_a_profile_that_cannot_be_asked_is_a_problem", but(options=Options)),
    "empty reply": (ANSWERS, but(changed=lambda reply: replace(reply, text=" "))),
    "no model": (ANSWERS, but(changed=lambda reply: replace(reply, model=None))),
    "finish of its own": (ANSWERS, but(changed=lambda reply: replace(reply, finish="eos"))),
    "deltas unasked": (ANSWERS, but(before=told(Delta(node="conformance", text="I")))),
    "tells what is the engine's": (ANSWERS, but(before=told(Answered(node="conformance", reply=Reply("hm"))))),
    "tells of another node": (ANSWERS, but(before=told(Warned(node="other", what="hm")))),
    "loads for ever": (ANSWERS, but(before=told(Loading(node="conformance", model="sound")))),
    "prints": (ANSWERS, but(before=lambda *_: sys.stdout.write("debug"))),
    "prints errors": (ANSWERS, but(before=lambda *_: sys.stderr.write("debug"))),
    "leaves a file open": (ANSWERS, but(before=lambda *_: os.open(os.devnull, os.O_RDONLY))),
    "leaves a task": (ANSWERS, but(generate=leaves_a_task)),
    "counts nothing": (TOKENS, but(changed=lambda reply: replace(reply, usage=NO_USAGE))),
    "counts no output": (TOKENS, but(changed=lambda reply: replace(reply, usage=Usage(3, 0)))),
    "more cached than sent": (TOKENS, but(changed=lambda reply: replace(reply, usage=Usage(3, 4, cached=5)))),
    "thinks more than it says": (TOKENS, but(changed=lambda reply: replace(reply, usage=Usage(3, 4, reasoning=5)))),
    "asks twice": ("test_a_call_is_one_request", but(before=sends)),
    "a piece too many": (
        "test_the_pieces_of_a_stream_are_its_text",
        but(before=lambda _, request, tell: tell(Delta(node=request.node, text="Well, ")) if request.stream else None),
    ),
    "drops messages": ("test_history_and_system_prompt_arrive", without("messages")),
    "turns messages round": (
        "test_history_and_system_prompt_arrive",
        but(body=lambda self, request: {"messages": Sound.body(self, request)["messages"][::-1]}),
    ),
    "drops parameters": ("test_parameters_arrive_or_are_named", without("seed")),
    "drops options": ("test_options_that_it_does_not_know_arrive_or_are_named", without("options")),
    "no schema of options": ("test_its_options_have_a_schema", but(options=dict)),
    "drops the schema": ("test_a_schema_arrives_where_it_is_taken", without("schema")),
    "drops images": ("test_an_image_arrives_or_is_refused", without("files")),
    "drops documents": ("test_a_document_arrives_or_is_refused", without("files")),
    "mixes calls up": ("test_calls_run_side_by_side", but(generate=mixes_up)),
    "is not cancelled": ("test_a_cancelled_call_ends_and_leaves_nothing", but(generate=never_cancelled)),
    "closes once": ("test_closing_twice_is_closing_once", but(close=closed_once)),
    "fails in Python's words": ("test_a_failure_says_what_and_what_next", but(generate=fails_otherwise)),
    "fails as something else": (
        "test_a_failure_says_what_and_what_next",
        but(before=raising(FailedError(Failure(Kind.NETWORK, "the line is dead", "wait")))),
    ),
    "no failure of ours": ("test_a_failure_says_what_and_what_next", but(before=raising(KeyError("choices")))),
    "shows its key": ("test_no_key_shows", but(__repr__=lambda _: KEY)),
    "says its key": (
        "test_no_key_shows",
        but(before=told(Warned(node="conformance", what=f"using {base64.b64encode(KEY.encode()).decode()}"))),
    ),
    "lists twice": ("test_its_models_are_listed", but(models=lists_twice)),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_each_fault_is_seen_by_the_check_for_it(fault: str) -> None:
    check, provider = FAULTY[fault]
    suite = provider_conformance(subject(provider))()

    with pytest.raises((AssertionError, AttributeError, KeyError)) as caught:
        getattr(suite, check)()

    assert caught.value.args


def test_each_check_has_a_fault_that_it_sees() -> None:
    checks = {name for name in vars(TestSound.__base__) if name.startswith("test_")}
    assert {check for check, _ in FAULTY.values()} == checks


def test_what_cannot_be_checked_says_what_to_give() -> None:
    bare = Subject(Embedded, Profile(provider="embedded", model="embedded"))

    with pytest.raises(SkipTest, match=r"not checked: give Subject\(sent=\.\.\.\)"):
        provider_conformance(bare)().test_a_call_is_one_request()


def test_a_subject_may_be_made_anew_for_each_check(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "test_mine.py").write_text(
        f"""\
from pathlib import Path

from llm_orc.domain.profile import Profile
from llm_orc.models.embedded import Embedded
from llm_orc.testing import Subject, provider_conformance

def mine():
    with Path({str(log)!r}).open("a") as log:
        log.write("+")
        yield Subject(Embedded, Profile(provider="embedded", model="embedded"))
        log.write("-")

TestMine = provider_conformance(mine)
"""
    )
    done = run(sys.executable, "-m", "pytest", "-q", "-k", "answers or tokens or sends", "-p", "no:cacheprovider", tmp_path, cwd=tmp_path)

    assert "2 passed" in done.out
    assert log.read_text() == "+-+-"


def test_the_suite_imports_no_pytest(tmp_path: Path) -> None:
    program = "import llm_orc.testing, sys; print({'pytest', 'unittest'} & set(sys.modules))"
    assert run(sys.executable, "-P", "-c", program, cwd=tmp_path).out == "set()\n"
