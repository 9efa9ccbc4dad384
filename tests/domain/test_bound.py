"""What a plan can cost at most: never below the bill of a server, whatever fails, falls back or has to be mended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from llm_orc.domain.bound import Bound, bound
from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.files import NoFiles
from llm_orc.domain.message import Ask, Attachment, FailedError, Failure, Kind, Reply, Request, Tell, Usage
from llm_orc.domain.model import ModelCard
from llm_orc.domain.plan import Choices
from llm_orc.domain.price import FREE, Price
from llm_orc.domain.problem import Source
from llm_orc.domain.profile import Profile
from llm_orc.domain.resolve import resolve
from tests.engine.runs import Lab

PRICE = Price(input=3, output=15)
PROFILES = {
    "default": Profile(name="default", model="m", provider="lab", max_tokens=1_000),
    "dear": Profile(name="dear", model="d", provider="lab", max_tokens=2_500, system_prompt="You are thorough.", temperature=0.5),
    "short": Profile(name="short", model="s", provider="lab", options={"max_tokens": 600}),
    "endless": Profile(name="endless", model="e", provider="lab"),
}
SCHEMA = {"type": "object", "required": ["a"]}
CHILD: dict[str, Any] = {
    "name": "child",
    "agents": [{"name": "one", "prompt": "{{ input }} {{ input }}"}, {"name": "two", "depends_on": ["one"], "model_profile": "dear"}],
}


def bound_of(
    *agents: Mapping[str, Any],
    text: str | None = "input",
    price: Price | None = PRICE,
    card: ModelCard = ModelCard(),  # noqa: B008 - unchangeable
    max_cost: float | None = None,
    child: Mapping[str, Any] = CHILD,
    attachments: tuple[Attachment, ...] = (),
    **keys: Any,
) -> Bound:
    """The bound of an ensemble of these agents, all of whose models have one price."""
    ensemble = Ensemble.model_validate({"name": "test", "agents": list(agents), **keys})
    plan = resolve(ensemble, PROFILES, {"child": Ensemble.model_validate(child)}, Choices(max_cost=max_cost, attachments=attachments))
    return bound(plan, text, lambda _: price, lambda _: card)


# ---- against a server


MOODS: Mapping[str, list[str]] = {
    "calm": [""],
    "out of order": ["retry"],
    "prudish": ["give up"],
    "careless": ["not JSON"],
    "any": ["", "retry", "give up", "not JSON"],
}


@dataclass
class Server:
    """Bills a token for each byte it is sent, and for every four bytes that it says; in its mood it ends its replies like this."""

    draw: st.DataObject
    mood: str
    usages: list[Usage] = field(default_factory=list)

    async def answer(self, request: Request, tell: Tell) -> Reply:  # noqa: ARG002 - as every `Ask`
        longest = request.profile.options.get("max_tokens") or request.profile.max_tokens or 1_000
        length = longest if self.mood != "any" else self.draw.draw(st.sampled_from([0, longest]))
        sent = sum(len(message.text.encode()) for message in request.messages) + len(str(dict(request.schema or {})))
        self.usages.append(Usage(sent, length))
        match self.draw.draw(st.sampled_from(MOODS[self.mood])):
            case "retry":
                raise FailedError(Failure(Kind.SERVER, "it broke"), usage=self.usages[-1])
            case "give up":
                raise FailedError(Failure(Kind.CONTENT_FILTER, "it may not say that"), usage=self.usages[-1])
            case "" if request.schema:
                return Reply('{"a": "' + "\U0001f600" * (length - 3) + '"}', usage=self.usages[-1])
            case _:
                return Reply("\U0001f600" * length, usage=self.usages[-1])

    @property
    def bill(self) -> float:
        return sum(map(PRICE.cost, self.usages))


@st.composite
def fan_outs(draw: st.DrawFn, before: list[str]) -> dict[str, Any]:
    gather = {"gather": draw(st.sampled_from(["list", "text"]))}
    match draw(st.sampled_from(["", "items", "said", "profiles", "replies", "chunks"])):
        case "items":
            return {"fan_out": {"items": draw(st.lists(st.sampled_from(["x", {"k": "é\n"}, 5]), max_size=3))}, **gather}
        case "said":
            return {"fan_out": {"items": "{{ input.split() }}"}, **gather}
        case "profiles":
            return {"fan_out": {"profiles": ["short", "dear"]}, **gather}
        case "replies" if before:
            return {"depends_on": before[:1], "fan_out": True, **gather}
        case "chunks":
            whole = draw(st.sampled_from(["input", *(f"agents.{each}" for each in before)]))
            fan_out = {"chunks": f"{{{{ {whole} }}}}", "tokens": draw(st.integers(200, 3_000))}
            return {"fan_out": fan_out, "gather": draw(st.sampled_from(["list", "text", "reduce"]))}
        case _:
            return {}


@st.composite
def ensembles(draw: st.DrawFn) -> dict[str, Any]:
    names = [f"a{index}" for index in range(draw(st.integers(1, 3)))]
    agents: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        before, fanned = names[:index], [agent["name"] for agent in agents if agent.get("fan_out")]
        agent: dict[str, Any] = {"name": name, "depends_on": draw(st.lists(st.sampled_from(before), unique=True)) if before else []}
        agent["require"] = 0
        words = ["{{ input }}", "{{ variables.word }}", "é" * 9, *(f"{{{{ agents.{each} }}}}" for each in before)]
        words += [f"{{% if agents.{each}.ok %}}{{{{ agents.{each} | trim }}}}{{% endif %}}" for each in before]
        words += [
            f"{{% for each in agents.{each} if each.ok %}}{{{{ loop.index }}}}{{{{ each }}}} {{{{ input }}}}{{% endfor %}}"
            for each in fanned
        ]
        if draw(st.booleans()):
            agent["prompt"] = " ".join(draw(st.lists(st.sampled_from(words), min_size=1, max_size=6)))
        body = draw(st.sampled_from(["model", "schema", "ensemble"]))
        if body == "ensemble":
            agent["ensemble"] = "child"
        else:
            agent["model_profile"] = draw(st.sampled_from(["default", "dear", "short"]))
            agent["retry"] = {"attempts": draw(st.integers(1, 3))}
            agent["fallback"] = draw(st.lists(st.sampled_from(["default", "dear", "short"]), max_size=2, unique=True))
            if body == "schema":
                agent["output_schema"] = SCHEMA
        agent |= draw(fan_outs(agent["depends_on"]))
        agents.append(agent)
    synthesis = draw(st.sampled_from([None, {"prompt": "Merge.", "model_profile": "dear"}]))
    return {"agents": agents, "variables": {"word": {"default": "wörd"}}} | ({"synthesis": synthesis} if synthesis else {})


def ran(ensemble: Mapping[str, Any], server: Server, text: str) -> None:
    ask: Ask = server.answer
    lab = Lab(server=ask, pricing=PRICE, profiles=PROFILES, ensembles={"child": Ensemble.model_validate(CHILD)})
    lab.run(ensemble, text)


@settings(max_examples=200, deadline=None)
@given(ensembles(), st.sampled_from(["", "two words", "ünï" * 2_000 + "\ncode"]), st.sampled_from(list(MOODS)), st.data())
def test_the_bound_is_never_below_the_bill(ensemble: dict[str, Any], text: str, mood: str, data: st.DataObject) -> None:
    server, limit = Server(data, mood), bound_of(text=text, **ensemble)
    ran(ensemble, server, text)
    event("unbounded" if limit.unbounded else "bounded")
    assert server.bill <= limit.most
    assert set(limit.unbounded.values()) <= {"unknown number of items", "unknown length of its prompt"}


@settings(max_examples=100, deadline=None)
@given(ensembles(), st.data())
def test_where_each_agent_is_asked_once_the_smaller_bound_holds(ensemble: dict[str, Any], data: st.DataObject) -> None:
    server, limit = Server(data, "calm"), bound_of(text="go on", **ensemble)
    ran(ensemble, server, "go on")
    assert server.bill <= limit.once <= limit.most


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["input", "agents.each"]), st.integers(300, 2_000), st.data())
def test_what_reduces_asks_no_more_and_is_sent_no_more_than_foretold(whole: str, tokens: int, data: st.DataObject) -> None:
    each = {"name": "each", "fan_out": {"chunks": "{{ input }}", "tokens": 500}}
    one = {"name": "one", "fan_out": {"chunks": f"{{{{ {whole} }}}}", "tokens": tokens}, "gather": "reduce", "model_profile": "short"}
    ensemble, text = {"agents": [each, one]}, "ünï " * 3_000
    server, limit = Server(data, "calm"), bound_of(each, one, text=text)
    ran(ensemble, server, text)
    assert server.bill <= limit.once


# ---- what it comes to


def dollars(sent: int, length: int) -> float:
    return PRICE.cost(Usage(sent, length))


def test_one_answer_costs_its_prompt_and_the_longest_reply_times_its_attempts() -> None:
    limit = bound_of({"name": "a"}, text="x" * 1_000)
    assert dollars(1_000, 1_000) < limit.once < dollars(1_250, 1_000)
    assert limit.most == pytest.approx(3 * limit.once)
    assert bound_of({"name": "a", "retry": {"attempts": 1}}, text="x" * 1_000).most == pytest.approx(limit.once)
    assert (limit.unbounded, limit.max_cost) == ({}, None)


def test_a_repair_sends_the_reply_again_and_a_fallback_is_asked_as_well() -> None:
    plain = bound_of({"name": "a", "retry": {"attempts": 1}})
    mended = bound_of({"name": "a", "retry": {"attempts": 1}, "output_schema": SCHEMA})
    assert mended.most > 2 * plain.most
    dear = bound_of({"name": "a", "model_profile": "dear", "retry": {"attempts": 1}})
    both = bound_of({"name": "a", "fallback": ["dear"], "retry": {"attempts": 1}})
    assert both.once == dear.once
    assert both.most == pytest.approx(plain.most + dear.most)
    assert both.of(lambda profile: profile.name == "dear").most == pytest.approx(dear.most)


def test_items_and_children_are_counted() -> None:
    one = bound_of({"name": "a", "prompt": "{{ item }}", "fan_out": {"items": ["x"]}})
    assert bound_of({"name": "a", "prompt": "{{ item }}", "fan_out": {"items": ["x"] * 7}}).most == pytest.approx(7 * one.most)
    assert bound_of({"name": "a", "prompt": "{{ item }}", "fan_out": {"items": "{{ input.split() }}"}}, text="x x").most == 2 * one.most
    assert bound_of({"name": "a", "fan_out": {"items": []}}).most == 0
    nested = bound_of({"name": "a", "ensemble": "child"})
    assert [share.agent for share in nested.shares] == ["a/one", "a/two"]
    twice = bound_of({"name": "a", "ensemble": "child", "fan_out": {"items": ["input", "input"]}})
    assert twice.most > 2 * 0.9 * nested.most


class Folder(NoFiles):
    def text(self, name: str) -> str:
        return {"part.j2": "{% for each in agents.wide %}{{ each }}{% endfor %}"}[name]


def test_what_a_template_includes_and_repeats_is_counted() -> None:
    wide = {"name": "wide", "fan_out": {"items": [1, 2, 3]}}
    reads = {"name": "b", "retry": {"attempts": 1}, "prompt": "{% include 'part.j2' %}"}
    ensemble = Ensemble.model_validate({"name": "test", "agents": [wide, reads]}).found(Source("test.yaml"), Folder())
    limit = bound(resolve(ensemble, PROFILES, {}), "", lambda _: PRICE, lambda _: ModelCard())
    (reading,) = (share for share in limit.shares if share.agent == "b")
    assert dollars(3 * 4 * 1_000, 1_000) < reading.once < dollars(3 * 4 * 1_000 + 300, 1_000)


def test_a_max_cost_of_the_run_or_of_a_child_caps_it() -> None:
    endless = {"name": "a", "model_profile": "endless"}
    assert bound_of(endless).most == inf
    capped = bound_of(endless, max_cost=0.25)
    assert (capped.once, capped.most, capped.max_cost) == (0.25, 0.25, 0.25)
    child = {"name": "child", "agents": [endless], "limits": {"max_cost": 0.125}}
    assert bound_of({"name": "b", "ensemble": "child", "fan_out": {"items": [1, 2]}}, child=child).most == 0.25


@pytest.mark.parametrize(
    ("agents", "known", "why"),
    [
        ([{"name": "b"}], {"price": None}, "no known price"),
        ([{"name": "b", "model_profile": "endless"}], {}, "no max_tokens"),
        ([{"name": "b", "options": {"tools": []}}], {}, "no known price of 'tools'"),
        (
            [{"name": "b", "options": {"generation_config": {"responseModalities": ["AUDIO"]}}}],
            {},
            "no known price of 'responseModalities'",
        ),
        ([{"name": "b", "options": {"num_predict": -1}}], {}, "no max_tokens"),
        ([{"name": "b"}], {"card": ModelCard(refuses=frozenset({"max_tokens"}))}, "no max_tokens"),
        ([{"name": "b"}], {"text": None}, "unknown length of its prompt"),
        ([{"name": "a", "command": ["cat"]}, {"name": "b", "depends_on": ["a"]}], {}, "unknown length of its prompt"),
        ([{"name": "a"}, {"name": "b", "depends_on": ["a"], "fan_out": True}], {}, "unknown number of items"),
        ([{"name": "b", "prompt": "{% for x in input %}{{ input }}{% endfor %}"}], {}, "unknown length of its prompt"),
        ([{"name": "b", "prompt": "{{ input | tojson }}"}], {}, "unknown length of its prompt"),
    ],
)
def test_what_has_no_bound_says_why(agents: list[dict[str, Any]], known: dict[str, Any], why: str) -> None:
    limit = bound_of(*agents, **known)
    assert limit.unbounded == {"b": why}
    assert (limit.once, limit.most) == (inf, inf)


def test_a_window_and_the_longest_reply_of_a_model_are_bounds_too() -> None:
    card = ModelCard(context_window=1_000, max_output=100)
    assert bound_of({"name": "b", "model_profile": "endless"}, text=None, card=card).once == pytest.approx(dollars(1_000, 100))


def test_several_replies_to_one_request_cost_as_many() -> None:
    one, four = bound_of({"name": "b"}), bound_of({"name": "b", "options": {"n": 4, "generationConfig": {"maxOutputTokens": 2_000}}})
    assert four.once == pytest.approx(one.once + dollars(0, 4 * 2_000 - 1_000))


def test_what_is_attached_is_counted() -> None:
    bare = bound_of({"name": "a"}).most
    picture = Attachment("a.png", "image/png", b"x" * 1_000_000)
    assert bound_of({"name": "a"}, attachments=(picture,)).most == pytest.approx(bare + 3 * 6_000 * 3 / 1e6)
    text = Attachment("a.md", "text/plain", b"x" * 10_000)
    assert bound_of({"name": "a"}, attachments=(text, picture)).most > bare + 3 * 16_000 * 3 / 1e6
    named = {"name": "a", "fan_out": {"items": ["x"]}, "attachments": ["{{ item }}"]}
    assert bound_of(named).unbounded == {"a": "unknown length of its prompt"}
    assert bound_of(named, card=ModelCard(context_window=8_000)).most < inf


def test_what_is_free_needs_no_bound() -> None:
    agents: list[dict[str, Any]] = [{"name": "a", "model_profile": "endless"}, {"name": "b", "depends_on": ["a"], "fan_out": True}]
    limit = bound_of(*agents, text=None, price=FREE)
    assert (limit.once, limit.most, limit.unbounded) == (0, 0, {})


def test_a_tier_without_a_model_has_no_bound() -> None:
    tier = Profile(name="fast", model="fast", provider="auto")
    plan = resolve(Ensemble.model_validate({"name": "x", "agents": [{"name": "a", "model_profile": "fast"}]}), {"fast": tier}, {})
    assert bound(plan, "x", lambda _: PRICE, lambda _: ModelCard()).unbounded == {"a": "no model is chosen"}
