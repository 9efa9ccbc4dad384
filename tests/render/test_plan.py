import json
import re
import shutil
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.message import Attachment
from llm_orc.domain.plan import Plan
from llm_orc.domain.problem import Place, Problem, ProblemError, Source
from llm_orc.domain.profile import Profile
from llm_orc.domain.resolve import resolve
from llm_orc.render.graph import graph
from llm_orc.render.json import plain
from llm_orc.render.plan import SHOWN_LINES, Settled, plan_document, plan_text
from tests.render.runs import PROFILES, plan_of


class Folder:
    trusted = True
    bounds = None

    def beyond(self, name: str) -> None: ...

    def attachment(self, name: str, *, filled: bool = False) -> Attachment:  # noqa: ARG002 - the contract
        raise ProblemError(Problem(f"no file '{name}'"))

    def text(self, name: str) -> str:
        raise ProblemError(Problem(f"no file '{name}'"))

    def data(self, name: str) -> Any:
        return self.text(name)

    def program(self, name: str) -> str:
        return f"/project/{name}"


TOPICS = Ensemble.model_validate({"name": "topics", "agents": [{"name": "find"}]})
AGENTS: tuple[dict[str, Any], ...] = (
    {"name": "facts", "script": "scripts/facts.py"},
    {"name": "lint", "command": ["ruff", "check", "-"]},
    {
        "name": "security",
        "model_profile": "careful",
        "system_prompt": "You look for ways in.",
        "prompt": "{{ input }} in {{ variables.language }}\n{{ agents.facts.json.files[0] }}",
        "depends_on": ["lint"],
        "require": "all",
        "when": "{{ agents.facts.json.files | length > 0 }}",
    },
    {"name": "per-file", "fan_out": {"items": "{{ agents.facts.json.files }}"}, "prompt": "Review {{ item.path }} ({{ index }})"},
    {"name": "compare", "fan_out": {"profiles": ["default", "careful"]}},
    {"name": "deep", "ensemble": "topics", "depends_on": ["security"], "input_key": "topics"},
)


def review() -> Plan:
    ensemble = Ensemble.model_validate(
        {
            "name": "review",
            "description": "Three reviewers",
            "variables": {"language": {"default": "go"}},
            "agents": AGENTS,
            "synthesis": {"model_profile": "careful", "prompt": "Merge."},
        }
    ).found(Source("review.yaml"), Folder())
    return resolve(ensemble, PROFILES, {"topics": TOPICS})


def destination(profile: Profile) -> str:
    return "api.openai.com" if profile.provider == "openai" else "127.0.0.1:8000"


SETTLED = Settled(destination)
TEXT = (
    "review  Three reviewers\n"
    "7 agents in 4 phases, overlapping; the result is the reply of synthesis\n"
    "language = go\n"
    "\n"
    "phase 1\n"
    "  facts      script    scripts/facts.py\n"
    "  lint       command   ruff check -\n"
    "    stdin     shop.py\n"
    "\n"
    "  compare    model     default -> openai-compatible/small at 127.0.0.1:8000; careful -> openai/large at api.openai.com\n"
    "    fan out   one child per profile, gathered as list\n"
    "    prompt    shop.py\n"
    "\n"
    "phase 2\n"
    "  security   model     careful -> openai/large at api.openai.com\n"
    "    after     lint, facts (implied)\n"
    "    require   all\n"
    "    when      {{ agents.facts.json.files | length > 0 }}\n"
    "    system    You look for ways in.\n"
    "    prompt    shop.py in go\n"
    "              <facts.json.files[0]>\n"
    "    unused    lint: not in the prompt\n"
    "\n"
    "  per-file   model     default -> openai-compatible/small at 127.0.0.1:8000\n"
    "    after     facts (implied)\n"
    "    fan out   one child per item of {{ agents.facts.json.files }}, gathered as list\n"
    "    prompt    Review <item.path> (<index>)\n"
    "\n"
    "phase 3\n"
    "  deep       ensemble  topics\n"
    "    after     security\n"
    "    input     <security.json.topics>\n"
    "    | topics\n"
    "    | 1 agent in 1 phase; the result is the reply of find\n"
    "    |\n"
    "    | phase 1\n"
    "    |   find  model     default -> openai-compatible/small at 127.0.0.1:8000\n"
    "    |     prompt    <input>\n"
    "\n"
    "phase 4\n"
    "  synthesis  model     careful -> openai/large at api.openai.com\n"
    "    after     per-file, compare, deep\n"
    "    prompt    Merge.\n"
    "\n"
    "              shop.py\n"
    "\n"
    "              ## per-file\n"
    "\n"
    "              <per-file>\n"
    "\n"
    "              ## compare\n"
    "\n"
    "              <compare>\n"
    "              ... 4 more lines: -v\n"
)


def test_the_plan_as_text() -> None:
    assert plan_text(review(), SETTLED, "shop.py") == TEXT


def test_the_plan_as_json() -> None:
    plan = replace(review(), warnings=(Problem("old key", Place("review.yaml", 3, 1), warning=True),))
    out = json.loads(json.dumps(plan_document(plan, SETTLED)))
    assert [out[key] for key in ("ensemble", "execution", "phases")] == ["review", "overlapping", plain(plan.phases)]
    agents = {agent["name"]: agent for agent in out["agents"]}
    assert agents["lint"]["runs"] == ["ruff", "check", "-"]
    assert agents["facts"]["prompt"] is None
    assert agents["security"]["depends_on"] == [{"name": "lint", "implied": False}, {"name": "facts", "implied": True}]
    assert agents["security"]["unused"] == ["lint"]
    careful = agents["security"]["profiles"][0]
    assert (careful["name"], careful["temperature"], careful["destination"]) == ("careful", 0.2, "api.openai.com")
    assert [profile["model"] for profile in agents["compare"]["profiles"]] == ["small", "large"]
    assert agents["deep"]["children"][0]["agents"][0]["name"] == "find"
    assert out["warnings"] == ["review.yaml:3:1: old key"]


def test_a_prompt_that_depends_on_too_much_is_shown_as_its_template() -> None:
    text = "{% for i in range(agents.a.json.n) %}x{% endfor %}"
    plan = plan_of({"name": "a"}, {"name": "b", "prompt": text})
    assert plan_document(plan, SETTLED)["agents"][1]["prompt"] == text


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        ("{% if agents.a.ok %}{{ agents.a }}{% endif %}", "<a>"),
        ("{% for x in agents.a.json %}{{ x.y }};{% endfor %}", "<each of a.json.y>;"),
        ("{{ agents['a'].json['k'] }}", "<a.json[k]>"),
        ("{{ agents.a | upper }}", "<A>"),
    ],
)
def test_unknown_replies_stand_as_placeholders(prompt: str, shown: str) -> None:
    plan = plan_of({"name": "a"}, {"name": "b", "prompt": prompt})
    assert plan_document(plan, SETTLED)["agents"][1]["prompt"] == shown


def test_long_texts_are_cut_unless_all_is_wanted_and_no_file_drives_the_terminal() -> None:
    plan = plan_of({"name": "a", "prompt": "\n".join(["line\x1b[2J"] * 40)})
    assert plan_text(plan, SETTLED).count("line␛") == SHOWN_LINES - 1
    assert plan_text(plan, SETTLED, verbose=True).count("line") == 40
    assert "\x1b" not in plan_text(plan, SETTLED)
    assert "\x1b[1;36ma" in plan_text(plan, SETTLED, color=True)


def test_texts_are_wrapped_in_their_column() -> None:
    plan = plan_of({"name": "a", "prompt": "one two three four five six seven eight nine ten\n\nend {{ input }}"})
    assert plan_text(plan, SETTLED, width=44).splitlines()[-7:] == [
        "  a  model     default ->",
        "    openai-compatible/small at",
        "    127.0.0.1:8000",
        "    prompt    one two three four five six",
        "              seven eight nine ten",
        "",
        "              end <input>",
    ]


def test_heads_break_between_words() -> None:
    plan = plan_of({"name": "a"}, {"name": "b", "prompt": "{{ agents.a }}"}, description="What a letter wants, and how long it is")
    narrow = plan_text(plan, SETTLED, width=40)
    assert narrow.splitlines()[:4] == [
        "review  What a letter wants, and how",
        "  long it is",
        "2 agents in 2 phases, overlapping; the",
        "  result is the reply of b",
    ]
    assert max(len(line) for line in narrow.splitlines()) <= 40


def test_a_tier_that_finds_no_model_is_shown_as_such() -> None:
    tier = Profile(name="fast", model="fast", provider="auto")
    plan = resolve(Ensemble.model_validate({"name": "x", "agents": [{"name": "a", "model_profile": "fast"}]}), {"fast": tier}, {})
    assert "fast -> no model can be reached" in plan_text(plan, Settled(lambda _: "no model can be reached"))


def test_untrusted_parts_and_the_result_are_named() -> None:
    plan = plan_of({"name": "a"}, {"name": "b"}, synthesis={"concat": True}, execution="phased")
    plan = replace(plan, untrusted=(Problem("the script of 'a'", Place("x.yaml", 2, 1), "llm-orc trust"),))
    text = plan_text(plan, SETTLED)
    assert "the result is one section each: a, b" in text
    assert "untrusted: x.yaml:2:1: the script of 'a'\nhint: llm-orc trust\n" in text


def test_the_graph_in_plain_characters() -> None:
    assert graph(review(), "ascii") == (
        "facts  scripts/facts.py\n"
        "|    lint  ruff\n"
        "|    |    compare  default | careful, fan-out\n"
        ":....+----|--> security  careful\n"
        ":.........|....|..> per-file  default, fan-out\n"
        "          |    +----|--> deep  ensemble topics\n"
        "          +---------+----+--> synthesis  careful\n"
        "\n"
        "..> a template reads the reply, depends_on does not name it\n"
    )
    assert graph(plan_of({"name": "a"}, {"name": "b", "depends_on": ["a"]}), "ascii") == "a  default\n+--> b  default\n"


@given(st.lists(st.tuples(st.sets(st.integers(0, 10)), st.sets(st.integers(0, 10))), min_size=1, max_size=12))
def test_every_edge_can_be_read_from_the_drawing(wanted: list[tuple[set[int], set[int]]]) -> None:
    agents = [
        {
            "name": f"a{index}",
            "depends_on": [f"a{each}" for each in sorted(explicit) if each < index],
            "prompt": "x" + "".join(f"{{{{ agents.a{each} }}}}" for each in sorted(implied) if each < index),
        }
        for index, (explicit, implied) in enumerate(wanted)
    ]
    plan = plan_of(*agents)
    read: set[tuple[str, str, bool]] = set()
    names: dict[int, str] = {}
    for line in graph(plan, "ascii").partition("\n\n")[0].splitlines():
        found = re.search(r"a\d+", line)
        assert found
        read |= {(names[at], found[0], line[at] == ":") for at in range(found.start()) if line[at] in "+:"}
        names[found.start()] = found[0]
    assert read == {(need, name, need in each.implied) for name, each in plan.agents.items() for need in each.depends_on}


def nasty() -> Plan:
    odd = Profile(name="odd", model="m", provider="p")
    agents = [{"name": "end", "command": ['say "hi"\\']}, {"name": "graph", "model_profile": "odd", "prompt": "{{ agents.end }}"}]
    return resolve(Ensemble.model_validate({"name": "digraph", "agents": agents}), {"odd": odd}, {})


def test_the_graph_as_mermaid() -> None:
    assert graph(nasty(), "mermaid") == ('flowchart TD\n  n0["end<br/>say #34;hi#34;#92;"]\n  n1("graph<br/>odd")\n  n0 -.-> n1\n')


def test_the_graph_as_dot() -> None:
    dot = graph(nasty(), "dot")
    assert '"end" [label="end\\nsay \\"hi\\"\\\\", style=""];' in dot
    assert '"end" -> "graph" [style=dashed];' in dot


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs graphviz: apt install graphviz")
def test_graphviz_reads_the_dot() -> None:
    for plan in (nasty(), review()):
        drawn = subprocess.run(["dot", "-Tsvg"], input=graph(plan, "dot"), text=True, capture_output=True, check=True)
        assert "<svg" in drawn.stdout


def test_an_unknown_form_names_the_nearest() -> None:
    with pytest.raises(ProblemError, match="did you mean 'mermaid'"):
        graph(review(), "mermiad")
    with pytest.raises(ProblemError, match="there are: ascii, dot, mermaid"):
        graph(review(), "svg")
