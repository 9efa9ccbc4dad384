"""Every shipped ensemble and every example, run by the true command line without a model."""

import json
import re
from pathlib import Path

import pytest

from tests.project import NewProject
from tests.servers.fixtures import NewServer
from tests.shipped.conftest import ENSEMBLES, Script

NAMES = sorted(path.stem for path in ENSEMBLES.glob("*.yaml"))
EXAMPLES = sorted(f"examples/{path.stem}" for path in (ENSEMBLES / "examples").glob("*.yaml"))
EXTRACT = "Extracted by the embedded model"
STORY = """\
The ferry left Rostock at nine with 212 passengers.
At noon the captain reported smoke from the engine room.

Nobody was hurt, and the fire was out at 12:40.
The company promised to pay for every ticket until Friday.
"""
# A pattern that the result has, from an input that is piped in (empty: its own task).
SHIPPED = {
    "hello": ("", rf"{EXTRACT}.*\n1: Say hello"),
    "code-review": (
        "import os\n\n\ndef f():\n    breakpoint()\n",
        r"(?s)## Findings.*\n- input\.py:5 high a breakpoint is left over \| `breakpoint\(\)` \|",
    ),
    "summarize": (STORY, rf"(?s){EXTRACT}.*\d+: .*(?:212|smoke|Friday)"),
    "decide": ("", rf"(?s){EXTRACT}.*\d+: .*(?:program|services)"),
    "debate": ("", rf"(?s){EXTRACT}.*\d+: A program should never be rewritten from scratch\."),
    "council": ("", rf"(?s){EXTRACT}.*\d+: "),
    "summarize-long": (STORY, rf"(?s){EXTRACT}.*\d+: .*(?:212|smoke|Friday|12:40)"),
    "ask-files": (f"{ENSEMBLES}/examples/files/opening-hours.md", rf"(?s){EXTRACT}.*\d+: "),
    "describe-changes": ("diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-old = 1\n+new = 1\n", rf"(?s){EXTRACT}.*\d+: "),
    "fix-findings": ("All checks passed!", r"^\s*$"),
    "review-files": (
        f"{ENSEMBLES}/examples/shop.py",
        rf"(?s)^{EXTRACT}.*# File by file\n\n\d+ findings in .*shop\.py \(Python, 86 lines\)",
    ),
    "product-docs-structured": (
        STORY,
        rf"(?s)^# Product docs structured\n.*\n## personas\n\n{EXTRACT}.*\n\*\(free text: the model did not keep",
    ),
    "product-docs": (STORY, rf"(?s)^# Product docs\n.*\n## problem_statement\n\n{EXTRACT}.*\n## effectiveness_assessment\n\n{EXTRACT}"),
    "readme": ("", rf"(?s){EXTRACT}.*\d+: "),
    "changelog": ("3f2a91c Times are shown in the reader's own zone\n", rf"(?s){EXTRACT}.*\d+: "),
    "meeting-notes": (STORY, rf"(?s)^# Meeting notes\n.*\n## summary\n\n{EXTRACT}.*\n## tasks\n\n{EXTRACT}.*\(free text"),
    "adr": ("---\ntitle: Take SQLite\n---\nPostgres was too much.", rf"(?s)^# Take SQLite\n.*\n## Status\n\nProposed\n.*{EXTRACT}"),
    "map-reduce": (STORY, rf"(?s){EXTRACT}.*\d+: "),
    "cascade": ("", rf"(?s){EXTRACT}.*\*careful: the grader gave no verdict\*.*\n---\n1 of 1 went to the careful model \(100%\)"),
    "cascade-check": ("", r'^\[\{"ok": true, "why": ""\}, \{"ok": false, "why": "it says'),
}
RUNS = {
    "examples/attachments": ("", r"(?s)4: In winter it is closed .*## measure\n\nfiles/floor\.png: image/png, \d+ bytes.*7: The last"),
    "examples/cache": ("", r"(?s)1: The north pier is closed.*2: The south pier opens.*1: The north pier is closed"),
    "examples/choose-agent": ("", r"^FAIR IS FOUL\s*$"),
    "examples/command": ("b\na\n", r"(?s)## todos.*## numbered\n\n +1\ta\n +2\tb"),
    "examples/compare-models": ("", rf"### Answer 1\n\n{EXTRACT}"),
    "examples/concat": ("abc", r"^## backwards\n\ncba\n\n## shouted\n\nABC\s*$"),
    "examples/defaults": ("", r"(?s)## tea.*2: Tea wants 95.*## mountains.*1: Water boils"),
    "examples/document": (
        "a\nb",
        r"(?s)^# What is wrong with the shop\n.*\[1\.1 The first\]\(#11-the-first\).*\n### 1\.1 The first\n\n\* a\n\* b\n.*## 2\. All",
    ),
    "examples/fallback": ("", r"2: On Sundays it is closed"),
    "examples/fan-out": ("", r"(?s)1: Rain came.*1: In the morning"),
    "examples/fan-out-chunks": ("", r"(?s)1: Rain came.*3: In the morning.*RAIN CAME.*\n\nIN THE MORNING"),
    "examples/fan-out-errors": ("", r"(?s)S608 in line 40 of shop\.py\s+## by_file\s+shop\.py, first in line 12\nF841 .*\nS608 .*cart\.py"),
    "examples/fan-out-files": (f"{ENSEMBLES}/examples/shop.py", r"/shop\.py: \d{3,} characters$"),
    "examples/fan-out-items": ("beds", r"^2\. RENT BEDS\s+3\. BORROW BEDS\s*$"),
    "examples/gather": ("", r'(?s)\["red", "green"\].*red\s+green.*\{"colours": \["red", "green"\], "red": 0, "green": 1\}'),
    "examples/gather-reduce": ("", r"^1042\s*$"),
    "examples/input-key": ("abc abc de", r"^cba\s+ed\s*$"),
    "examples/long-context": ("", r"(?s)## end.*garden of the school.*## whole.*the fox took a hen"),
    "examples/max-cost": ("", r"2: Entry is free"),
    "examples/model-synthesis": ("", rf"(?s)^{EXTRACT}.*\n.*1\.2 million"),
    "examples/nested": ("", r"^BONJOUR, SHIPS AND HARBOURS!\s*$"),
    "examples/on-mismatch": ("", r"(?s)1: The roof leaks over the stairs\.\n\n\*\(free text: the model did not keep to the form"),
    "examples/options": ("", r"(?s)1: The meeting.*\n[23]: "),
    "examples/output-schema": ("", r"^\[ \] Please buy flour\.\s+\[ \] Then fetch the key from Maria\.\s*$"),
    "examples/output-template": ("", r"^1\. The roof leaks over the stairs\.\n2\. A window in the hall is broken\.\s*$"),
    "examples/phased": ("", r"^after_quick waited for slow\s*$"),
    "examples/planned-ensemble": ("", r"(?s)## closing.*1: The bridge was closed.*## opening.*2: It opens again"),
    "examples/prompt-file": ("", r"2: It decided to buy the house"),
    "examples/require": ("", r"(?s)either: left.*\(missing: .*always: succeeded and skipped"),
    "examples/retry": ("", r"2: The last boat leaves at six"),
    "examples/script": ("", r"^Most used: the \(3\), and \(2\)"),
    "examples/template": ("ab ab c", r"(?s)^# Words\n.*\| ab \| 2 \|\n\| c \| 1 \|\n\nBackwards: c ba ba"),
    "examples/variables": ("you", r"^Hello, you!\s*$"),
    "examples/when": ("a b c", r"^Short: 3 different words\.\s*$"),
}
ASKS = ["examples/requires", "fix-file", "plan-and-do"]
"""Those that only a true model will do for; each has a test of its own."""


def test_every_file_has_its_row() -> None:
    assert sorted([*SHIPPED, *RUNS, *ASKS]) == sorted([*NAMES, *EXAMPLES])


@pytest.mark.parametrize("name", [*SHIPPED, *RUNS])
def test_runs_without_a_model(project: NewProject, name: str) -> None:
    text, pattern = (SHIPPED | RUNS)[name]
    outcome = project({"tide.py": "print('high')\n"}).run("invoke", name, "--profile", "embedded", "--offline", stdin=text or None)
    assert outcome.code == 0, outcome.err
    assert re.search(pattern, outcome.out), outcome.out


@pytest.mark.parametrize("name", RUNS)
def test_examples_need_no_flag(project: NewProject, name: str) -> None:
    text, pattern = RUNS[name]
    outcome = project().run("invoke", name, stdin=text or None)
    assert (outcome.code, bool(re.search(pattern, outcome.out))) == (0, True), outcome.err


@pytest.mark.parametrize("name", [*NAMES, *EXAMPLES])
def test_says_what_it_is_for_and_how_to_call_it(name: str) -> None:
    text = (ENSEMBLES / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    assert re.search(r"^description: .{15,}$", text, re.MULTILINE)
    assert f"name: {Path(name).name}\n" in text


def test_require_and_when_follow_the_variables(project: NewProject) -> None:
    outcome = project().run("invoke", "examples/require", "--var", "right=true")
    assert (outcome.code, "both: left and right" in outcome.out) == (0, True)


def test_a_model_that_does_what_is_required_answers(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": "the first"})
    tiers = "catalog: {openai: {tiers: {fast: plain}, models: {plain: {capabilities: [structured_output]}}}}"
    env = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-0123456789abcdef"}
    outcome = project({"~/.config/llm-orc/config.yaml": tiers}).run("invoke", "examples/requires", env=env)
    assert (outcome.code, outcome.out) == (0, "the first\n"), outcome.err
    assert "with structured output and vision" in outcome.err
    (chat,) = server.chats
    assert chat.json["model"] != "plain"


def test_options_stand_for_every_provider(project: NewProject) -> None:
    outcome = project().run("invoke", "examples/options", "--var", "who=openai", "--offline")
    assert outcome.code == 1
    assert "anthropic, google, openai, openrouter: offline" in outcome.err


def test_verdicts_are_careful_and_the_many_are_fast() -> None:
    for name in NAMES:
        text = (ENSEMBLES / f"{name}.yaml").read_text()
        assert text.count("model_profile: careful") <= 1, name


class TestCouncil:
    def test_ranks_without_names_and_counts(self, project: NewProject, openai_server: NewServer) -> None:
        server = openai_server({"Rank the answers": "A is clear.\n\nRANKING: B, A", "Write the conclusion": "We agree.", "": "An answer."})
        profile = f"provider: openai-compatible\nmodel: model\nbase_url: {server.base_url}\n"
        profiles = {f".llm-orc/profiles/{name}.yaml": profile for name in ("default", "fast", "careful")}
        outcome = project(profiles).run("invoke", "council", "Why?", "--output-format", "json")
        assert outcome.code == 0, outcome.err
        agents = {agent["name"]: agent for agent in json.loads(outcome.out)["agents"]}
        assert agents["count"]["text"].strip() == "3 rankings: B 9, A 6, C 0"
        assert agents["chair"]["text"] == "We agree."
        sent = [prompt for request in server.chats if "Rank the answers" in (prompt := request.json["messages"][-1]["content"])]
        assert len(sent) == 3
        assert not any(re.search("default|fast|careful", prompt) for prompt in sent)

    @pytest.mark.parametrize(
        ("rankings", "expected"),
        [
            (["RANKING: A > B > C", "**Ranking:** C, A, B."], "2 rankings: A 5, C 4, B 3"),
            (["first RANKING: C > B > A\nno:\nRANKING: A > B > C"], "1 ranking: A 3, B 2, C 1"),
            (["RANKING: A > Z > A > B"], "1 ranking: A 3, B 2, C 0"),
            (["none", None], "No member ranked the answers in the form asked for."),
        ],
    )
    def test_counts_what_was_said(self, script: Script, rankings: list[str | None], expected: str) -> None:
        counted = script(
            "count_rankings", "Why?", dependencies={"answers": {"json": ["x", None, "y", "z"]}, "rankings": {"json": rankings}}
        )
        assert counted == f"{expected}\n"


class TestSplitting:
    @pytest.mark.parametrize("most", [1, 7, 40, 10_000])
    def test_loses_nothing_and_keeps_the_bound(self, script: Script, most: int) -> None:
        text = STORY * 3 + "x" * 100
        parts = script("split_text", text, parameters={"max_characters": most})
        assert re.sub(r"\s", "", "".join(parts)) == re.sub(r"\s", "", text)
        assert all(0 < len(part) <= most for part in parts)

    def test_cuts_between_paragraphs_where_it_can(self, script: Script) -> None:
        parts = script("split_text", "One. Two.\n\nThree.\n\nFour and five.", parameters={"max_characters": 20})
        assert parts == ["One. Two.\n\nThree.\n\n", "Four and five."]
