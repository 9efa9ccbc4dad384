"""What linters, compilers and tests say, in whatever form they say it."""

import json
from posixpath import normpath
from typing import Any

import pytest

from llm_orc.domain.findings import findings_of, grouped_by
from llm_orc.domain.item import Item
from llm_orc.domain.message import FailedError

RUFF = [{"code": "F841", "filename": "/work/src/a.py", "location": {"row": 3, "column": 5}, "message": "unused variable"}]
MYPY = '{"file": "a.py", "line": 3, "column": 4, "message": "no", "code": "misc"}\n\n{"file": "b.py", "line": 1, "message": "x"}\n'
ESLINT = [{"filePath": "/work/a.js", "messages": [{"ruleId": "no-undef", "line": 1, "message": "x"}, {"line": 2, "message": "y"}]}]
SARIF = {
    "version": "2.1.0",
    "runs": [
        {
            "results": [
                {
                    "ruleId": "B602",
                    "level": "error",
                    "message": {"text": "a shell"},
                    "locations": [
                        {"physicalLocation": {"artifactLocation": {"uri": "src/a%20b.py"}, "region": {"startLine": 7, "endLine": 8}}}
                    ],
                },
                {"message": {"text": "of nothing"}},
            ]
        },
        {"results": []},
    ],
}
GOLANGCI = {"Issues": [{"FromLinter": "errcheck", "Text": "unchecked", "Pos": {"Filename": "main.go", "Line": 9}}], "Report": {}}
BANDIT = {"errors": [], "results": [{"filename": "./a.py", "line_number": 2, "issue_text": "bad"}]}
COMPILED = "cc a.c\nsrc/a.c:3:7: error: no ';'\nsrc/a.c:9: warning: unused\nin all 2 errors\n"


def below(file: str) -> str:
    return normpath(file).removeprefix("/work/")


def told(findings: list[Item]) -> list[tuple[Any, ...]]:
    return [tuple(finding.parts[key] for key in ("file", "line", "message", "text")) for finding in findings]


@pytest.mark.parametrize(
    ("said", "findings"),
    [
        (json.dumps(RUFF), [("src/a.py", 3, "unused variable", "src/a.py:3: unused variable")]),
        (f"They are:\n```json\n{json.dumps(RUFF)}\n```\n", [("src/a.py", 3, "unused variable", "src/a.py:3: unused variable")]),
        (RUFF, [("src/a.py", 3, "unused variable", "src/a.py:3: unused variable")]),
        (MYPY, [("a.py", 3, "no", "a.py:3: no"), ("b.py", 1, "x", "b.py:1: x")]),
        (json.dumps(ESLINT), [("a.js", 1, "x", "a.js:1: x"), ("a.js", 2, "y", "a.js:2: y")]),
        (json.dumps(SARIF), [("src/a b.py", 7, "a shell", "src/a b.py:7: a shell"), ("", None, "of nothing", "of nothing")]),
        (json.dumps(GOLANGCI), [("main.go", 9, "unchecked", "main.go:9: unchecked")]),
        ('["one", {"x": 1}]', [("", None, "one", "one"), ("", None, '{"x": 1}', '{"x": 1}')]),
        ('{"file": "a", "message": "alone"}', [("a", None, "alone", "a: alone")]),
        (
            COMPILED,
            [
                ("src/a.c", 3, "error: no ';'", "src/a.c:3:7: error: no ';'"),
                ("src/a.c", 9, "warning: unused", "src/a.c:9: warning: unused"),
            ],
        ),
        ("[]", []),
        ("All checks passed!", []),
        ("", []),
    ],
)
def test_it_reads(said: Any, findings: list[tuple[Any, ...]]) -> None:
    assert told(findings_of(said, naming=below)) == findings


def test_what_else_was_told_is_kept() -> None:
    (finding,) = findings_of(RUFF, naming=below)
    assert finding.parts["code"] == "F841"
    assert str(finding) == finding == "src/a.py:3: unused variable"
    assert [each.parts["rule"] for each in findings_of(json.dumps(SARIF))[:1]] == ["B602"]


def test_a_pattern_names_its_groups() -> None:
    pattern = r"^FAILED (?P<file>[^:]+)::(?P<test>\w+)(?: - (?P<message>.*))?$"
    first, second = findings_of("FAILED tests/a.py::test_x - boom\nok\nFAILED b.py::test_y\n", pattern)
    assert (first.parts["test"], first.parts["message"], first) == ("test_x", "boom", "FAILED tests/a.py::test_x - boom")
    assert (second.parts["message"], second.parts["line"]) == ("FAILED b.py::test_y", None)


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ('{"a": 1}\n{"b": \n', "line 2 of the findings is no JSON, as the others are"),
        ('{"one": [{}], "two": [{}]}', "the findings are JSON, but no list"),
        ("3", "the findings are JSON, but no list"),
    ],
)
def test_what_cannot_be_read_is_malformed(said: str, what: str) -> None:
    with pytest.raises(FailedError) as caught:
        findings_of(said)
    assert (str(caught.value), caught.value.failure.hint[:18]) == (f"malformed: {what}", "fan_out takes JSON")


@pytest.mark.parametrize("written", ["a.py", "./a.py", "src/../a.py", "/work/a.py", "file:///work/a.py", "/work/src/..//a.py"])
def test_no_two_workers_hold_one_file_under_two_names(written: str) -> None:
    findings = findings_of(
        [{"file": "a.py", "message": "x"}, {"file": "b.py", "message": "y"}, {"file": written, "message": "z"}], naming=below
    )
    first, second = grouped_by("file", findings)
    assert (first.parts["file"], first.parts["message"], first) == ("a.py", "x\nz", "a.py: x\na.py: z")
    assert [each["message"] for each in first.parts["findings"]] == ["x", "z"]
    assert second.parts["file"] == "b.py"


PYTEST = """\
    def test_total():
>       assert total([1, 2]) == 3
E       assert 2 == 3
E        +  where 2 = total([1, 2])

tests/test_shop.py:5: AssertionError
=========================== short test summary info ============================
FAILED tests/test_shop.py::test_total - assert 2 == 3
"""
SHORT = """\
tests/test_shop.py:5: in test_total
    assert total([1, 2]) == 3
E   assert 2 == 3
shop.c:7:3: error: expected ';'
    7 |   return x
      |           ^
done
"""


def test_what_belongs_to_a_finding_is_part_of_its_text() -> None:
    (failed,) = findings_of(PYTEST)
    assert (failed.parts["file"], failed.parts["line"], failed.parts["message"]) == ("tests/test_shop.py", 5, "AssertionError")
    assert failed == "E       assert 2 == 3\nE        +  where 2 = total([1, 2])\n\ntests/test_shop.py:5: AssertionError"
    first, second = findings_of(SHORT)
    assert first == "tests/test_shop.py:5: in test_total\n    assert total([1, 2]) == 3\nE   assert 2 == 3"
    assert (second.parts["message"], second.count("\n")) == ("error: expected ';'", 2)


def test_they_are_grouped_by_whatever_was_told() -> None:
    groups = grouped_by("code", findings_of([{"code": 1, "message": "x"}, {"message": "y"}, {"code": 1, "message": "z"}]))
    assert [(group.parts["code"], group.parts["message"]) for group in groups] == [(1, "x\nz"), ("", "y")]


def test_a_long_text_is_read_in_one_go() -> None:
    assert len(findings_of("a.c:1: x\n" * 50_000)) == 50_000
