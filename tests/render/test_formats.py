import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from llm_orc.domain.ensemble import Ensemble
from llm_orc.domain.event import (
    Answered,
    Cancelled,
    Delta,
    Failed,
    FellBack,
    Queued,
    Received,
    Retrying,
    RunEnded,
    RunStarted,
    Sent,
    Skipped,
    Started,
    Submitted,
    Warned,
)
from llm_orc.domain.message import Failure, Kind, Reply, Usage
from llm_orc.domain.problem import ProblemError
from llm_orc.render.formats import FORMATS, open_format
from llm_orc.render.json import LONG_PROMPT, to_json
from llm_orc.render.output_schema import output_schema
from llm_orc.render.text import final_node
from tests.render.runs import answered, begun, one_agent, paper, plan_of, played, run_of

TEXTS = sorted({*FORMATS} - {"docx", "pdf"})

REFUSED = Failure(Kind.NETWORK, "127.0.0.1:8000 does not answer", "start the server")
MIXED = (
    RunStarted("r7", "review", (("facts", "per_file", "late"), ("judge",)), ("judge",), "code", {"language": "go"}),
    Submitted("facts", "script"),
    Submitted("per_file", "model"),
    Submitted("late", "model"),
    Submitted("judge", "model", ("facts", "per_file"), phase=1),
    Started("facts"),
    Answered("facts", Reply('```json\n{"files": 3}\n```')),
    Submitted("per_file[0]", "model", parent="per_file"),
    Submitted("per_file[1]", "model", parent="per_file"),
    *answered("per_file[0]", "fine", cost=0.25, attempts=2),
    Started("per_file[1]"),
    Received("per_file[1]", "", "small", Usage(7), failure=REFUSED),
    Failed("per_file[1]", REFUSED, "half"),
    Answered("per_file", Reply("fine", value=["fine", None], structured=True)),
    Skipped("late", "offline"),
    Warned("judge", "the reply was cut"),
    *answered("judge", "ship it", usage=Usage(50, 5, 20, 2, estimated=True)),
    RunEnded("ship it"),
)


def test_text_is_the_result_verbatim_and_one_newline() -> None:
    for name in ("text", "markdown"):
        for result, printed in (("# a\n\tb", "# a\n\tb\n"), ("a\n", "a\n"), ("a\n\n", "a\n\n")):
            page, sheet = paper()
            played(open_format(name, page), *one_agent(result))
            assert sheet.text == printed


def test_without_a_result_nothing_is_printed() -> None:
    for name in ("text", "markdown", "rich"):
        page, sheet = paper()
        played(open_format(name, page), *begun("judge"), Failed("judge", REFUSED), RunEnded(""))
        assert sheet.text == ""


def test_nothing_is_written_before_the_end_without_streaming() -> None:
    page, sheet = paper()
    text = open_format("text", page)
    for event in one_agent("one two"):
        text.tell(event)
    assert sheet.pieces == []


def test_the_final_agent_streams() -> None:
    page, sheet = paper(plan_of({"name": "helper"}, {"name": "judge", "depends_on": ["helper"]}), stream=True)
    text = open_format("text", page)
    played(text, *begun("helper", "judge"), *answered("helper", "not this"), *answered("judge", "one two\n"), RunEnded("one two\n"))
    assert sheet.pieces == ["one", "two\n"]
    assert not text.cut


def test_the_final_agent_may_be_in_a_child() -> None:
    inner = Ensemble.model_validate({"name": "inner", "agents": [{"name": "a"}, {"name": "b", "depends_on": ["a"]}]})
    plan = plan_of({"name": "judge", "ensemble": "inner"}, ensembles=[inner])
    assert final_node(plan) == "judge/b"
    wide = Ensemble.model_validate({"name": "inner", "agents": [{"name": "a"}, {"name": "b"}]})
    assert final_node(plan_of({"name": "judge", "ensemble": "inner"}, ensembles=[wide])) == ""
    assert final_node(plan_of({"name": "judge", "fan_out": {"items": [1]}})) == ""
    assert final_node(plan_of({"name": "a"}, {"name": "b"}, synthesis={"agent": "a"})) == "a"
    assert final_node(plan_of({"name": "a"}, {"name": "b"}, synthesis={"prompt": "Merge."})) == "synthesis"
    assert final_node(plan_of({"name": "a"}, synthesis={"concat": True})) == ""


def test_thinking_is_not_streamed() -> None:
    page, sheet = paper(stream=True)
    played(
        open_format("text", page),
        *begun("judge"),
        Started("judge"),
        Delta("judge", "hm", thinking=True),
        Answered("judge", Reply("yes")),
        RunEnded("yes"),
    )
    assert sheet.text == "yes\n"


def test_what_the_stream_left_out_is_written_at_the_end() -> None:
    page, sheet = paper(stream=True)
    judge = (Started("judge"), Delta("judge", "one"), Answered("judge", Reply("one, two")))
    played(open_format("text", page), *begun("judge"), *judge, RunEnded("one, two"))
    assert sheet.pieces == ["one", ", two\n"]


@pytest.mark.parametrize("end", [Failed("judge", REFUSED, "one"), Cancelled("judge")])
def test_a_stream_that_breaks_is_known_to_be_cut(end: Failed | Cancelled) -> None:
    page, sheet = paper(stream=True)
    text = open_format("text", page)
    played(text, *begun("judge"), Started("judge"), Delta("judge", "one"), end, RunEnded(""))
    assert sheet.text == "one\n"
    assert text.cut


def test_several_leaves_are_printed_at_the_end() -> None:
    page, sheet = paper(plan_of({"name": "a"}, {"name": "b"}), stream=True)
    played(open_format("text", page), *begun("a", "b"), *answered("a", "x y"), *answered("b", "z"), RunEnded("## a\n\nx y\n\n## b\n\nz"))
    assert sheet.pieces == ["## a\n\nx y\n\n## b\n\nz\n"]


def test_half_a_character_does_not_stop_the_output() -> None:
    for name in TEXTS:
        page, sheet = paper(width=80)
        played(open_format(name, page), *one_agent('a\udc80b"\x9b31m'))
        assert sheet.text.encode()
        assert "\x9b" not in sheet.text


@given(st.text(st.characters(), max_size=300), st.booleans())
def test_whatever_a_model_says_comes_out_and_the_terminal_stays_ours(said: str, stream: bool) -> None:  # noqa: FBT001
    for name in TEXTS:
        page, sheet = paper(width=40, stream=stream)
        played(open_format(name, page), *one_agent(said))
        sheet.text.encode()
        assert not [letter for letter in sheet.text if letter < " " and letter not in "\t\n"], name
        assert not set(map(chr, range(0x7F, 0xA0))) & set(sheet.text), name


def test_a_model_does_not_drive_the_terminal() -> None:
    for name in TEXTS:
        page, sheet = paper(width=80, color=False, stream=True)
        played(open_format(name, page), *one_agent("\x1b[2J\x07 evil\rgood \x1b]0;title\x1b\\"))
        assert not {"\x1b", "\x07", "\r"} & set(sheet.text), name
    page, sheet = paper()
    played(open_format("text", page), *one_agent("\x1b[1mbold"))
    assert sheet.text == "\x1b[1mbold\n"  # verbatim in a pipe


def test_json_is_what_the_design_promises() -> None:
    page, sheet = paper()
    played(open_format("json", page), *MIXED)
    out = json.loads(sheet.text)
    assert list(out) == ["version", "run", "ensemble", "status", "result", "agents", "totals"]
    assert [out[key] for key in ("version", "run", "ensemble", "status", "result")] == [1, "r7", "review", "partial", "ship it"]
    facts, per_file, late, judge = out["agents"]
    promised = "name status cause text json prompt profile provider model attempts usage cost seconds children"
    added = "cached changed saved partial fell_back finish mismatch window shortened waited artifacts"
    assert set(facts) == {*promised.split(), *added.split()}
    assert facts["json"] == {"files": 3}
    assert (facts["profile"], facts["model"], facts["prompt"]) == (None, None, None)
    assert per_file["json"] == ["fine", None]
    assert [child["name"] for child in per_file["children"]] == ["per_file[0]", "per_file[1]"]
    assert (facts["attempts"], per_file["attempts"], per_file["children"][0]["attempts"]) == (None, None, 1)
    assert per_file["children"][1] | {"seconds": 0, "usage": 0} == {
        **dict.fromkeys(
            (
                "text",
                "json",
                "prompt",
                "profile",
                "provider",
                "model",
                "attempts",
                "finish",
                "mismatch",
                "window",
                "shortened",
                "cost",
                "saved",
            )
        ),
        "cached": False,
        "changed": [],
        "name": "per_file[1]",
        "status": "failed",
        "cause": "network: 127.0.0.1:8000 does not answer",
        "partial": "half",
        "fell_back": [],
        "seconds": 0,
        "waited": 0,
        "usage": 0,
        "artifacts": [],
        "children": [],
    }
    assert per_file["children"][1]["usage"]["total"] == 7
    assert per_file["usage"]["total"] == 110 + 7
    assert (per_file["cost"], per_file["children"][0]["cost"]) == (None, 0.25)  # what the failed child cost is not known
    assert (late["status"], late["cause"], late["seconds"], late["text"]) == ("skipped", "offline", None, None)
    assert judge["usage"] == {"input": 50, "output": 5, "total": 55, "cached": 20, "reasoning": 2, "estimated": True}
    assert (judge["seconds"], judge["prompt"], judge["provider"]) == (1.5, "Look at it.", "openai-compatible")
    assert out["totals"]["usage"]["total"] == 110 + 7 + 55


def test_json_says_what_attempts_waits_fallbacks_servers_and_models_there_were() -> None:
    """Each event is half a second after the one before it; an attempt begins and ends with its neighbours."""
    page, sheet = paper()
    played(
        open_format("json", page),
        *begun("judge", "other"),
        Queued("judge", "requests_per_minute", "far"),
        Started("judge", "Look.", "careful", "openai", "large"),
        Sent("judge", "far", "careful", "openai", "large", 200),
        Received("judge", "far", "large", Usage(10), 0.5, REFUSED),
        Retrying("judge", REFUSED, 1.5),
        Sent("judge", "far", "careful", "openai", "large", 200),
        Delta("judge", "void"),
        Received("judge", "far", "large", Usage(10, 5, estimated=True), 0.25, REFUSED),
        FellBack("judge", REFUSED, "cheap"),
        Sent("judge", "near", "cheap", "openai", "small", 80),
        Received("judge", "near", "small", Usage(70, 30), None),
        Answered("judge", Reply("yes", usage=Usage(90, 35), attempts=3, profile="cheap", finish="length")),
        Started("other", "Look.", "careful", "openai", "large"),
        Sent("other", "far", "careful", "openai", "large", None),
        Delta("other", "half a rep"),
        Received("other", "far", "large", Usage(8, 2, estimated=True), 0.125),
        Failed("other", Failure(Kind.TIMEOUT, "no reply within 1 s")),
        RunEnded("yes"),
    )
    out = json.loads(sheet.text)
    judge, other = out["agents"]
    cause = "network: 127.0.0.1:8000 does not answer"
    assert (judge["attempts"], judge["fell_back"]) == (3, [{"profile": "careful", "cause": cause}])
    assert (judge["profile"], judge["model"], judge["finish"], judge["partial"]) == ("cheap", "small", "length", None)
    assert judge["window"] == {"size": 80, "used": 100, "available": 0, "utilisation": 1.25}
    assert (judge["waited"], judge["usage"]["estimated"]) == (0.5, True)
    assert (other["partial"], other["text"], other["window"], other["fell_back"]) == ("half a rep", None, None, [])
    assert (out["totals"]["cost"], out["totals"]["waited"]) == (None, 0.5)
    assert {name: (spent["usage"]["total"], spent["cost"]) for name, spent in out["totals"]["models"].items()} == {
        "large": (10 + 15 + 10, 0.875),
        "small": (100, None),
    }
    assert out["totals"]["endpoints"] == {
        "far": {"requests": 3, "peak": 1, "running": 0, "queued": 0, "waited": 0.5},
        "near": {"requests": 1, "peak": 1, "running": 0, "queued": 0, "waited": 0},
    }
    assert [error.message for error in Draft202012Validator(output_schema()).iter_errors(out)] == []


def test_a_sum_with_an_unknown_price_is_unknown() -> None:
    page, sheet = paper()
    played(open_format("json", page), *MIXED)
    assert json.loads(sheet.text)["totals"]["cost"] is None
    page, sheet = paper()
    played(open_format("json", page), *one_agent("x", cost=0.5))
    assert json.loads(sheet.text)["totals"]["cost"] == 0.5


def test_a_long_prompt_is_told_by_its_hash() -> None:
    long = "é" * (LONG_PROMPT // 2 + 1)
    run = (*begun("judge"), Started("judge", long), Answered("judge", Reply("x")), RunEnded("x"))
    page, sheet = paper()
    played(open_format("json", page), *run)
    told = json.loads(sheet.text)["agents"][0]["prompt"]
    assert told["bytes"] == LONG_PROMPT + 2
    assert long.startswith(told["head"])
    assert Draft202012Validator(output_schema()).is_valid(json.loads(sheet.text))
    page, sheet = paper(verbose=True)
    played(open_format("json", page), *run)
    assert json.loads(sheet.text)["agents"][0]["prompt"] == long


def test_the_published_schema_describes_every_output() -> None:
    schema = Draft202012Validator(output_schema())
    Draft202012Validator.check_schema(output_schema())
    for events in (
        MIXED,
        one_agent("x"),
        (*begun("judge"), RunEnded("", "interrupt")),
        (*begun("judge"), Failed("judge", REFUSED), RunEnded("")),
        one_agent("[" * 500 + "]" * 500),
        one_agent("NaN"),
        one_agent("\udc80"),
        one_agent("x", value={"a": float("nan"), "b": {1, 2}, "c": Path("x")}, structured=True),
    ):
        page, sheet = paper()
        played(open_format("json", page), *events)
        out = json.loads(sheet.text)
        assert [error.message for error in schema.iter_errors(out)] == []
    page, sheet = paper()
    played(open_format("json", page), *MIXED)
    out = json.loads(sheet.text)
    assert not schema.is_valid(out | {"more": 1})
    out["agents"][0].pop("cause")
    assert not schema.is_valid(out)


def test_json_lines_are_the_events_as_they_happen() -> None:
    page, sheet = paper()
    lines = open_format("jsonl", page)
    run = run_of(*MIXED)
    lines.tell(RunStarted("r7", "review", (("a",),), ("a",), "code", seq=1, at=5.5))
    assert sheet.text.endswith("\n")
    assert json.loads(sheet.text) == {
        "event": "run_started",
        "seq": 1,
        "at": 5.5,
        "run": "r7",
        "ensemble": "review",
        "phases": [["a"]],
        "leaves": ["a"],
        "input": "code",
        "variables": {},
    }
    lines.tell(Received("a", "127.0.0.1:8000", "small", Usage(7), failure=REFUSED))
    assert json.loads(sheet.pieces[-1])["usage"]["total"] == 7
    lines.tell(Failed("a", REFUSED, "half"))
    failed = json.loads(sheet.pieces[-1])
    assert failed["event"] == "failed"
    assert failed["failure"] == {"kind": "network", "what": REFUSED.what, "hint": "start the server", "retry_after": None, "window": None}
    before = len(sheet.pieces)
    lines.close(run)
    assert len(sheet.pieces) == before


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(ProblemError, match="did you mean 'json'"):
        open_format("jsno", paper()[0])
    with pytest.raises(ProblemError, match="there are: docx, html, json, jsonl, markdown, page, pdf, rich, text"):
        open_format("zzz", paper()[0])


def test_a_format_of_others_comes_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loud.py").write_text(
        "class Loud:\n    cut = False\n    def __init__(self, paper): self.paper = paper\n"
        "    def tell(self, event): pass\n    def close(self, run): self.paper.put(run.result.upper())\n"
    )
    package = tmp_path / "loud-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[llm_orc.formats]\nloud = loud:Loud\nbroken = loud:Nothing\n")
    monkeypatch.syspath_prepend(tmp_path)
    page, sheet = paper()
    played(open_format("loud", page), *one_agent("yes"))
    assert sheet.text == "YES"
    with pytest.raises(ProblemError, match="cannot be loaded\nhint: it comes from the package loud"):
        open_format("broken", page)
    with pytest.raises(ProblemError, match="did you mean 'loud'"):
        open_format("luod", page)


def test_a_template_file_is_a_format(tmp_path: Path) -> None:
    file = tmp_path / "page.j2"
    file.write_text("{{ run.status }}|{{ result }}|{{ agents.judge.ok }}|{% for a in run.agents %}{{ a.name }}{% endfor %}|{{ input }}")
    page, sheet = paper()
    played(open_format(str(file), page), *one_agent("yes"))
    assert sheet.text == "succeeded|yes|true|judge|code\n"


def test_a_template_is_checked_before_the_run(tmp_path: Path) -> None:
    file = tmp_path / "page.j2"
    file.write_text("{{ resutl }} {{ agents.jugde }}")
    with pytest.raises(ProblemError) as error:
        open_format(str(file), paper()[0])
    assert [(problem.what, problem.hint) for problem in error.value.problems] == [
        ("no agent 'jugde'", "did you mean 'judge'?"),
        (f"no name 'resutl' in the template of '{file}'", "did you mean 'result'?"),
    ]
    with pytest.raises(ProblemError, match="no folder to look for"):
        open_format("nowhere.j2", paper()[0])
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ProblemError, match="a template is UTF-8 text"):
        open_format(str(file), paper()[0])
    tmp_path.joinpath("d.j2").mkdir()
    with pytest.raises(ProblemError, match="is no file, and a template is one"):
        open_format(str(tmp_path / "d.j2"), paper()[0])


def test_a_template_that_breaks_still_shows_the_result(tmp_path: Path) -> None:
    file = tmp_path / "page.j2"
    file.write_text("{{ run.nothing.here }}")
    page, sheet = paper()
    with pytest.raises(ProblemError, match=r"there is no 'nothing'"):
        played(open_format(str(file), page), *one_agent("yes"))
    assert sheet.text == "yes\n"


def test_no_json_drives_a_terminal() -> None:
    text = "".join(map(chr, (0x1B, 0x7F, 0x9B, 0x202E, 0x2066, 0xD800)))
    written = to_json({"text": text})
    assert written.isascii()
    assert json.loads(written) == {"text": text}
