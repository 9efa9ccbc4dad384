"""The main job: `cat shop.py | llm-orc invoke code-review`."""

import re
from typing import Any

from tests.project import NewProject
from tests.servers.fixtures import NewServer
from tests.shipped.conftest import ENSEMBLES, Script

FORM = re.compile(r"^- (\S+):(\d+) (high|medium|low) (.+?) \| `(.+)` \| (.+)$", re.MULTILINE)
PLANTED = {
    ("MAIL_PASSWORD = ", "high"),
    ("query = f", "high"),
    ("raise OutOfStok(name)", "high"),
    ("breakpoint()", "high"),
    ("def total(db, order, vouchers=[]):", "medium"),
    ("except Exception:", "medium"),
}
CLEAN = '"""Adds."""\n\n\ndef add(one: int, other: int) -> int:\n    """The sum."""\n    return one + other\n'


def reply(json: Any = None, text: str = "", cause: str | None = None) -> dict[str, Any]:
    return {"status": "skipped" if cause else "succeeded", "ok": not cause, "cause": cause, "text": text, "json": json}


def finding(line: int, what: str, rule: str, severity: str = "low", file: str = "a.py") -> dict[str, Any]:
    return {"file": file, "line": line, "severity": severity, "what": what, "quote": f"line {line}", "fix": "mend it", "rule": rule}


def check(*findings: dict[str, Any], ran: str = "check") -> dict[str, Any]:
    return reply({"ran": [ran], "findings": list(findings), "not_run": []})


class TestOffline:
    def test_finds_the_six_bugs_of_the_shop_and_invents_none(self, project: NewProject, shop: str) -> None:
        outcome = project().run("invoke", "code-review", "--offline", stdin=shop)
        assert outcome.code == 0
        found = FORM.findall(outcome.out)
        assert {(next(quote for quote, _ in PLANTED if one[4].startswith(quote)), one[2]) for one in found} == PLANTED
        assert len(found) == 6
        lines = shop.split("\n")
        assert all(one[0] == "input.py" and one[4].rstrip("…") in lines[int(one[1]) - 1] for one in found)
        assert outcome.out.startswith("6 findings in input.py (Python, 86 lines) by 6 checks: 4 high, 2 medium\n\n- ")
        assert outcome.out.endswith("\n\nNot run: missing tests (needs a diff); security, correctness, clarity, verdict (offline).\n")

    def test_nothing_in_the_shop_tells_a_reader_where_the_bugs_are(self, shop: str) -> None:
        assert not re.search(r"(?i)#|bug|wrong|insecure|planted|todo", shop.replace("# noqa", ""))

    def test_a_clean_file_gives_nothing_found_by_the_number_of_checks_that_ran(self, project: NewProject) -> None:
        outcome = project().run("invoke", "code-review", "--offline", stdin=CLEAN)
        assert (outcome.code, outcome.out.split("\n")[0]) == (0, "input.py (Python, 6 lines): nothing found by 6 checks")

    def test_a_diff_is_checked_for_tests_too(self, project: NewProject) -> None:
        text = "".join(f"+{line}\n" for line in CLEAN.split("\n")[:-1])
        diff = f"diff --git a/sum.py b/sum.py\nnew file mode 100644\n--- /dev/null\n+++ b/sum.py\n@@ -0,0 +1,6 @@\n{text}"
        outcome = project().run("invoke", "code-review", "mind the zero", "--offline", stdin=diff)
        assert outcome.code == 0
        assert outcome.out.startswith("1 finding in the diff (1 file, 6 added lines) by 7 checks: 1 low\n\n- sum.py:4 low `add` is new")

    def test_a_language_that_a_check_does_not_know_is_named(self, project: NewProject) -> None:
        outcome = project().run("invoke", "code-review", "--offline", stdin='#!/bin/sh\nset -e\necho "$1"\n')
        assert "nothing found by 3 checks" in outcome.out
        assert "Not run: ruff, debug leftovers, huge functions (does not know shell);" in outcome.out


class TestWithModels:
    SAID = "input.py:1 high the letter is lost | confirm(order, amount) | tell it\ninput.py:9 low made up | os.remove(path) | no"

    def test_the_verdict_stands_before_findings_whose_quotes_were_looked_up(
        self, project: NewProject, openai_server: NewServer, shop: str
    ) -> None:
        server = openai_server({"Judge the code": "**Not ready**: the letter.", "Review the code": self.SAID})
        profile = f"provider: openai-compatible\nmodel: model\nbase_url: {server.base_url}\n"
        outcome = project({".llm-orc/profiles/mine.yaml": profile}).run("invoke", "code-review", "--profile", "mine", stdin=shop)
        assert outcome.code == 0, outcome.err
        assert outcome.out.startswith(
            "**Not ready**: the letter.\n\n## Findings\n\n7 findings in input.py (Python, 86 lines) by 6 checks and 3 reviewers"
        )
        line = shop.split("\n").index("        confirm(order, amount)") + 1
        what = "the letter is lost (security); the letter is lost (correctness); the letter is lost (clarity)"
        assert f"- input.py:{line} high {what} | `confirm(order, amount)` | tell it\n" in outcome.out
        assert "Not to rely on, for the quote is not in the input:\n\n- input.py:9 low made up" in outcome.out
        assert outcome.out.endswith("\n\nNot run: missing tests (needs a diff).\n")


class TestMerging:
    def merge(self, script: Script, **checks: Any) -> list[dict[str, Any]]:
        findings: list[dict[str, Any]] = script("merge_findings", "x", dependencies=checks)["findings"]
        return findings

    def test_the_worst_comes_first_then_by_place(self, script: Script) -> None:
        one = check(finding(9, "a", "A"), finding(2, "b", "B", "high"))
        other = check(finding(3, "c", "C", "high", "b.py"), finding(1, "d", "D"))
        assert [found["what"] for found in self.merge(script, one=one, other=other)] == ["b", "c", "d", "a"]

    def test_one_thing_on_one_line_is_told_once(self, script: Script) -> None:
        one, other = check(finding(2, "too long", "C901")), check(finding(2, "too deep", "C901", "medium"), finding(2, "unused", "F841"))
        assert [(found["what"], found["severity"]) for found in self.merge(script, one=one, other=other)] == [
            ("too long; too deep", "medium"),
            ("unused", "low"),
        ]

    def test_what_is_all_over_a_file_is_told_once(self, script: Script) -> None:
        many = check(*(finding(line, f"`x{line}` is unused", "F401") for line in (5, 1, 7, 9)))
        assert [found["what"] for found in self.merge(script, many=many)] == ["`x1` is unused, and 3 more like it (lines 5, 7, 9)"]

    def test_syntax_is_not_told_beside_the_conflict_that_breaks_it(self, script: Script) -> None:
        broken = check(finding(4, "expected", "syntax", "high"), finding(9, "expected", "syntax", "high"))
        assert len(self.merge(script, one=broken)) == 1
        assert [one["rule"] for one in self.merge(script, one=broken, two=check(finding(3, "conflict", "conflict", "high")))] == [
            "conflict"
        ]

    def test_a_check_that_failed_is_named(self, script: Script) -> None:
        merged = script("merge_findings", "x", dependencies={"one": check(), "two": reply(cause="script: exit code 1")})
        assert (merged["ran"], merged["not_run"]) == (["check"], [{"check": "two", "why": "script: exit code 1"}])


class TestQuotes:
    TEXT = "import os\n\n\ndef save(path):\n    os.remove(path)\n    return open(path, 'w')\n"

    def checked(self, script: Script, said: str, text: str = TEXT) -> Any:
        facts = script("merge_findings", text, dependencies={})
        return script("check_quotes", text, dependencies={"facts": reply(facts), "security": reply(text=said)})

    def test_a_true_quote_gets_its_true_place(self, script: Script) -> None:
        for said in (
            "input.py:99 high gone | os.remove(path) | ask first",
            "Here it is:\n\n1. **input.py:5** HIGH: gone | `os.remove(path)` | ask first\n",
            "- code.py:5-6 high gone |     os.remove( path ) | ask first".replace("( path )", "(path)"),
        ):
            assert self.checked(script, said)["findings"] == [
                {
                    "file": "input.py",
                    "line": 5,
                    "severity": "high",
                    "what": "gone (security)",
                    "quote": "os.remove(path)",
                    "fix": "ask first",
                    "rule": "review 5",
                }
            ]

    def test_a_quote_may_hold_what_divides_the_parts(self, script: Script) -> None:
        (found,) = self.checked(script, "input.py:1 low odd | x: int | None = 1 | y", "x: int | None = 1\nprint(x)\n")["findings"]
        assert (found["quote"], found["fix"]) == ("x: int | None = 1", "y")

    def test_of_equal_lines_the_nearest_is_meant(self, script: Script) -> None:
        (found,) = self.checked(script, "input.py:7 low twice | x = 1 | y", "x = 1\n" * 2 + "y = 2\n" * 4 + "x = 1\n")["findings"]
        assert found["line"] == 7

    def test_of_equal_lines_in_two_files_that_of_the_file_named(self, script: Script) -> None:
        text = "==> a/one.py <==\nvalue = 1\n\n==> a/two.py <==\nother = 2\n\n\nvalue = 1\n"
        (found,) = self.checked(script, "two.py:1 low twice | value = 1 | y", text)["findings"]
        assert (found["file"], found["line"]) == ("a/two.py", 4)

    def test_the_whole_line_goes_before_a_part_of_another(self, script: Script) -> None:
        (found,) = self.checked(script, "input.py:1 low it | save(path) | y", "def save(path):\n    pass\n\n\nsave(path)\n")["findings"]
        assert found["line"] == 5

    def test_a_secret_is_not_repeated(self, script: Script) -> None:
        (found,) = self.checked(script, 'input.py:1 high key | PASSWORD = "Qx7-lemon-19" | y', 'PASSWORD = "Qx7-lemon-19"\n')["findings"]
        assert found["quote"] == 'PASSWORD = "Qx7-…'

    def test_a_bracket_quotes_nothing(self, script: Script) -> None:
        assert self.checked(script, "input.py:5 high gone | ) | ask first")["findings"] == []

    def test_a_false_quote_is_kept_apart(self, script: Script) -> None:
        checked = self.checked(script, "input.py:5 high gone | shutil.rmtree(path) | ask first")
        assert checked["findings"] == []
        assert [one["quote"] for one in checked["unproven"]] == ["shutil.rmtree(path)"]
        printed = script("print_review", dependencies={"quotes": reply(checked), "verdict": reply(text="Fine.")})
        assert "Not to rely on, for the quote is not in the input:\n\n- input.py:5 high gone (security) | `shutil.rmtree(path)`" in printed

    def test_a_reviewer_who_keeps_no_form_is_shown_as_such_and_one_who_found_nothing_is_not(self, script: Script) -> None:
        checked = self.checked(script, "I would rename it all.")
        printed = script("print_review", dependencies={"quotes": reply(checked), "verdict": reply(cause="offline")})
        assert "security said, in a form that cannot be checked:\n\n> I would rename it all." in printed
        assert self.checked(script, "No findings.")["remarks"] == {}

    def test_of_a_failure_the_first_line_is_enough(self, script: Script) -> None:
        verdict = reply(cause="network: no answer\nTraceback (most recent call last)")
        printed = script("print_review", dependencies={"quotes": reply(self.checked(script, "No findings.")), "verdict": verdict})
        assert printed.endswith("\n\nNot run: verdict (network: no answer).\n")

    def test_markdown_marks_in_names_do_no_harm(self, script: Script) -> None:
        text = "==> a/__init__.py <==\nxs = `a`  # TODO: it\n"
        notes = script("find_leftovers", text)
        facts = script("merge_findings", text, dependencies={"leftovers": reply(notes)})
        review = {**facts, "reviewers": [], "unproven": [], "remarks": {}}
        printed = script("print_review", dependencies={"quotes": reply(review), "verdict": reply(cause="offline")})
        assert "- `a/__init__.py:1` low a note of unfinished work | ``xs = `a`  # TODO: it`` |" in printed


def test_the_shop_lies_where_the_demo_looks_for_it() -> None:
    assert (ENSEMBLES / "examples" / "shop.py").is_file()


def test_no_code_of_the_repository_under_review_runs(project: NewProject) -> None:
    trap = "open('ran', 'w').close()\nraise SystemExit(9)\n"
    here = project(
        {f"{module}.py": trap for module in ("ruff", "json", "re", "reviewing")} | {"shop.py": (ENSEMBLES / "examples/shop.py").read_text()}
    )
    outcome = here.run("invoke", "code-review", "-f", "shop.py", "--offline")
    assert outcome.out.startswith("6 findings")
    assert not (here.path / "ran").exists()
