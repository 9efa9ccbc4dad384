"""Who is asked where a model cannot answer."""

from collections.abc import Mapping
from typing import Any

import pytest

from llm_orc.domain.event import FellBack
from llm_orc.domain.message import NO_USAGE, Ask, FailedError, Failure, Kind, Reply, Request, Tell, Usage
from llm_orc.domain.model import ModelCard
from llm_orc.domain.price import Price
from llm_orc.domain.profile import AUTO, Profile
from llm_orc.domain.run import ExitCode, Run
from tests.engine.runs import Lab

HOPELESS = {Kind.CANCELLED, Kind.SCRIPT, Kind.INVALID_REQUEST}
A = {"name": "a", "retry": {"attempts": 1}}


def profile(name: str, *fallback: str, **keys: Any) -> Profile:
    return Profile(name=name, model=f"{name}-model", fallback=fallback or None, **{"provider": "lab", **keys})


def answering(replies: Mapping[str, str | Kind]) -> Ask:
    """By profile; whoever is not named breaks down."""

    async def answer(request: Request, tell: Tell) -> Reply:
        said = replies.get(request.profile.name, Kind.SERVER)
        if isinstance(said, Kind):
            raise FailedError(Failure(said, f"{request.profile.name} says no"), usage=Usage(10, 0))
        return Reply(said, usage=Usage(10, 1), model=f"{request.profile.model}-2026")

    return answer


def lab(*profiles: Profile, **replies: str | Kind) -> Lab:
    return Lab(profiles={each.name: each for each in profiles}, server=answering(replies), pricing=Price(input=1.0, output=1.0))


def asked(it: Lab) -> list[str]:
    return [request.profile.name for request in it.requests]


def cause(run: Run) -> str:
    return run.nodes["a"].cause


def test_the_next_of_the_list_is_asked_until_one_answers_and_all_say_which() -> None:
    it = lab(profile("default", "b", "c"), profile("b"), profile("c"), c="fine")
    run = it.run({"agents": [A]})
    node = run.nodes["a"]
    assert asked(it) == ["default", "b", "c"]
    assert (node.profile, node.provider, node.model, node.text, run.exit_code) == ("c", "lab", "c-model-2026", "fine", ExitCode.OK)
    assert node.reply is not None
    assert (node.reply.profile, node.reply.attempts) == ("c", 3)
    assert [(name, failure.what) for name, failure in node.fell_back] == [("default", "default says no"), ("b", "b says no")]
    assert [event.profile for event in it.events if isinstance(event, FellBack)] == ["b", "c"]


def test_the_failure_names_everybody() -> None:
    it = lab(profile("default", "b"), profile("b"), default=Kind.SERVER, b=Kind.AUTHENTICATION)
    assert cause(it.run({"agents": [A]})) == "authentication: b: b says no; before it default: default says no"


def test_lists_of_lists_are_followed_and_each_is_asked_once() -> None:
    it = lab(profile("default", "b", "c"), profile("b", "d", "default"), profile("c", "b", "e"), profile("d"), profile("e", "c"))
    it.run({"agents": [A]})
    assert asked(it) == ["default", "b", "c", "d", "e"]


def test_each_has_all_its_attempts() -> None:
    it = lab(profile("default", "b"), profile("b"))
    it.run({"agents": [{"name": "a", "retry": {"attempts": 3}}]})
    assert asked(it) == ["default"] * 3 + ["b"] * 3


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.OFFLINE])
def test_only_where_another_model_may_help(kind: Kind) -> None:
    it = lab(profile("default", "b"), profile("b"), default=kind, b="fine")
    run = it.run({"agents": [A]})
    assert asked(it) == (["default"] if kind in HOPELESS else ["default", "b"])
    assert (run.nodes["a"].status == "failed") == (kind in HOPELESS)


def test_the_list_of_the_agent_goes_over_that_of_its_profile_even_if_it_is_empty() -> None:
    profiles = profile("default", "b"), profile("b"), profile("c")
    for fallback, names in ((["c"], ["default", "c"]), ([], ["default"])):
        it = lab(*profiles)
        it.run({"agents": [{**A, "fallback": fallback}]})
        assert asked(it) == names


def test_defaults_give_every_agent_a_list() -> None:
    it = lab(profile("default", "b"), profile("b"), profile("c"))
    it.run({"defaults": {"fallback": ["c"]}, "agents": [A]})
    assert asked(it) == ["default", "c"]


@pytest.mark.parametrize("choices", [{"profile": "d"}, {"profiles": {"a": "d"}}])
def test_a_profile_by_flag_brings_its_own_list(choices: dict[str, Any]) -> None:
    it = lab(profile("default"), profile("b"), profile("c"), profile("d", "b"))
    it.run({"agents": [{**A, "fallback": ["c"]}]}, **choices)
    assert asked(it) == ["d", "b"]


def test_each_speaks_under_its_own_system_prompt_unless_the_agent_has_one() -> None:
    profiles = profile("default", "b", "c", system_prompt="I am default"), profile("b", system_prompt="I am b"), profile("c")
    it = lab(*profiles)
    it.run({"agents": [A]}, "hi")
    assert [[(message.role, message.text) for message in request.messages] for request in it.requests] == [
        [("system", "I am default"), ("user", "hi")],
        [("system", "I am b"), ("user", "hi")],
        [("user", "hi")],
    ]
    it = lab(*profiles)
    it.run({"agents": [{**A, "system_prompt": "all of us", "temperature": 0.5}]}, "hi")
    assert [(request.messages[0].text, request.profile.temperature) for request in it.requests] == [("all of us", 0.5)] * 3


def test_what_the_failed_attempts_took_is_counted_once() -> None:
    it = lab(profile("default", "b"), profile("b"), b="fine")
    run = it.run({"agents": [A]})
    assert (run.usage, run.nodes["a"].usage) == (Usage(20, 1), Usage(20, 1))
    assert run.cost == run.nodes["a"].cost == pytest.approx(21e-6)
    reply = run.nodes["a"].reply
    assert reply is not None
    assert reply.usage == Usage(20, 1)
    assert reply.cost == pytest.approx(21e-6)
    assert {name: spending.usage for name, spending in run.models.items()} == {"default-model": Usage(10, 0), "b-model-2026": Usage(10, 1)}


def test_a_prompt_that_fits_the_window_of_none_is_sent_to_none() -> None:
    it = lab(profile("default", "b"), profile("b"), b="fine")
    it.card = ModelCard(context_window=10)
    run = it.run({"agents": [A]}, "x" * 1_000)
    assert not it.requests
    assert run.usage == Usage()
    assert [name for name, _ in run.nodes["a"].fell_back] == ["default"], "though it was never sent anything"
    assert cause(run).startswith("context_length: b: at least 125 tokens do not fit the 10 of b-model; before it default: ")


@pytest.mark.parametrize("offline", ["auto", "elsewhere"])
def test_where_the_own_model_cannot_be_asked_at_all_the_first_that_can_answers_under_its_own_name(offline: str) -> None:
    own = profile("default", "b", "c", provider=AUTO if offline == "auto" else "cloud")
    it = lab(own, profile("b", provider="cloud"), profile("c", provider="lab"), c="fine", b="no")
    it.reachable = lambda each: each.provider == "lab"
    run = it.run({"agents": [A]})
    node = run.nodes["a"]
    assert asked(it) == ["c"]
    assert (node.status, node.profile, node.model) == ("succeeded", "c", "c-model-2026")
    assert node.reply is not None
    assert node.reply.profile == "c"
    why = "no model was found for 'default-model'" if offline == "auto" else "cloud/default-model is not on this machine"
    assert [(name, str(failure)) for name, failure in node.fell_back] == [("default", f"offline: {why}")]


def test_where_nobody_can_be_asked_it_is_skipped_as_offline() -> None:
    it = lab(profile("default", "b", provider=AUTO), profile("b", provider="cloud"))
    it.reachable = lambda each: each.provider == "lab"
    run = it.run({"agents": [A]})
    assert (run.nodes["a"].status, cause(run), it.requests) == ("skipped", "offline", [])


def test_a_failure_without_a_count_before_a_fallback_is_estimated() -> None:
    async def answer(request: Request, tell: Tell) -> Reply:
        if request.profile.name == "default":
            raise FailedError(Failure(Kind.NETWORK, "cut"), partial="12345678")
        raise FailedError(Failure(Kind.SERVER, "oh no"), usage=NO_USAGE)

    it = lab(profile("default", "b"), profile("b"))
    it.server = answer
    run = it.run({"agents": [A]}, "x" * 40)
    assert run.usage == Usage(10, 2, estimated=True)
