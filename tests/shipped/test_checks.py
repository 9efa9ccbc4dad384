from pathlib import Path
from typing import Any

import pytest

from tests.shipped.conftest import Script


def lines(reply: Any) -> list[int]:
    return [finding["line"] for finding in reply["findings"]]


def told(reply: Any) -> list[tuple[int, str, str]]:
    return [(finding["line"], finding["severity"], finding["what"]) for finding in reply["findings"]]


class TestRuff:
    def test_finds_what_stands_in_a_file(self, script: Script) -> None:
        reply = script("find_with_ruff", "import os\n\ndef first(xs=[]):\n    return xs[0] if xs is 'a' else zs\n")
        assert reply["ran"] == ["ruff"]
        assert [finding["rule"] for finding in reply["findings"]] == ["F401", "B006", "F632", "F821"]
        assert reply["findings"][1] == {
            "file": "input.py",
            "line": 3,
            "severity": "medium",
            "what": "all calls share this one default value (B006)",
            "quote": "def first(xs=[]):",
            "fix": "default to None and make a new one inside",
            "rule": "B006",
        }

    def test_is_quiet_where_good_code_asserts_runs_programs_and_throws_dice(self, script: Script) -> None:
        code = "import random\nimport subprocess\n\n\ndef roll():\n    assert subprocess.run(['ls'])\n    return random.random()\n"
        assert script("find_with_ruff", code)["findings"] == []

    def test_says_how_to_get_it_where_it_is_not_installed(self, script: Script) -> None:
        reply = script("find_with_ruff", "import os\n", python=["-S"])
        assert reply == {
            "ran": [],
            "findings": [],
            "not_run": [{"check": "ruff", "why": "not installed: pip install 'llm-orc[review]'"}],
        }

    def test_names_the_language_it_does_not_know(self, script: Script) -> None:
        reply = script("find_with_ruff", "package main\n\nfunc main() {\n}\n", python=["-S"])
        assert reply["not_run"] == [{"check": "ruff", "why": "does not know Go"}]

    def test_tells_of_broken_syntax_in_its_place(self, script: Script) -> None:
        reply = script("find_with_ruff", "import os\n\n\ndef f(:\n    return os\n\n\nclass A:\n    pass\n")
        assert (4, "high") in [(line, severity) for line, severity, _ in told(reply)]

    def test_knows_what_its_author_has_said_to_others(self, script: Script) -> None:
        code = "def f():\n    a = here  # noqa: F821\n    return a, there  # type: ignore[name-defined]\n"
        assert script("find_with_ruff", code)["findings"] == []

    def test_takes_nobodys_settings(self, script: Script, tmp_path: Path) -> None:
        (tmp_path / "ruff.toml").write_text('builtins = ["zs"]\n')
        code = "def f():\n    return zs\n"
        assert lines(script("find_with_ruff", code, cwd=tmp_path, env={"TMPDIR": str(tmp_path)})) == [2]

    def test_lets_a_file_of_imports_hand_them_on(self, script: Script) -> None:
        assert script("find_with_ruff", '"""All of it."""\n\nfrom shop.desk import order, pay\n')["findings"] == []


class TestSecrets:
    @pytest.mark.parametrize(
        ("line", "what"),
        [
            ("key = 'ghp_" + "a1B2" * 9 + "'", "a GitHub token"),
            ("AKIA" + "Q7ZKD5MXW4RTPLB2", "an AWS access key"),
            ("-----BEGIN " + "RSA PRIVATE KEY-----", "a private key"),
            ('url = "postgres://app:9fKx2' + 'Lq@db.internal/shop"', "a password in an address"),
            ('password = "hunter2"', "a secret (password)"),
            ('{"api_key": "q8Zt-33xw-Lp"}', "a secret (api_key)"),
            ("export DB_PASSWORD=k9Xv2mQ7rT", "a secret (DB_PASSWORD)"),
        ],
    )
    def test_finds(self, script: Script, line: str, what: str) -> None:
        assert told(script("find_secrets", f"first = 1\n{line}\n")) == [(2, "high", f"{what} is written here")]

    @pytest.mark.parametrize(
        "line",
        [
            'password = os.environ["PASSWORD"]',
            'password = ""',
            'password = "changeme123"',
            'password = "${DB_PASSWORD}"',
            'token = "%s" % name',
            'token_type = "bearer"',
            'secret = "sha256"',
            'password_field = "user_password"',
            'aws = "AKIAIOSFODNN7EXAMPLE"',
            'url = "postgres://user:password@localhost/test"',
            "API_TOKEN: my-secret-name",
            'KEY = re.compile(r"api_key = [A-Z0-9]{20}")',
            'password = "hunter2"  # nosec',
        ],
    )
    def test_leaves_alone(self, script: Script, line: str) -> None:
        assert told(script("find_secrets", f"first = 1\n{line}\n")) == []

    def test_a_quote_ends_where_the_secret_begins(self, script: Script) -> None:
        (finding,) = script("find_secrets", '    PASSWORD = "Qx7-lemon-19"\n')["findings"]
        assert finding["quote"] == 'PASSWORD = "Qx7-…'

    def test_guesses_nothing_in_tests_but_knows_a_key_there(self, script: Script) -> None:
        key = "ghp_" + "a1B2" * 9
        text = f'==> tests/test_login.py <==\npassword = "hunter2"\ntoken = "{key}"\n'
        assert lines(script("find_secrets", text)) == [2]


class TestLeftovers:
    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("def f():\n    breakpoint()\n", [(2, "high", "a breakpoint is left over")]),
            ("import pdb\n\nx = 1\n", [(1, "medium", "a debugger is imported")]),
            ("def f(x):\n    print(f'{x=}')\n    print('here')\n    print('done')\n", [(2, "low"), (3, "low")]),
            ("const a = 1;\nlet b = 2;\ndebugger;\nconsole.log('>>> a', a);\nconsole.log(`ready`);\n", [(3, "high"), (4, "low")]),
            ("fn main() {\n    let mut x = dbg!(1);\n}\n", [(2, "medium")]),
            ('package main\n\nfunc main() {\n\tfmt.Println("here")\n\tfmt.Println("served")\n}\n', [(4, "low")]),
        ],
    )
    def test_finds_debugging(self, script: Script, code: str, expected: list[tuple[Any, ...]]) -> None:
        reply = script("find_leftovers", code)
        assert [one[: len(expected[0])] for one in told(reply)] == expected
        assert reply["ran"] == ["conflict markers", "debug leftovers", "TODOs"]

    def test_reads_strings_and_comments_as_what_they_are(self, script: Script) -> None:
        code = 'TEXT = """\nbreakpoint()\n# TODO: no\n"""\n# breakpoint() is for later\nWORD = "TODO"\n'
        assert told(script("find_leftovers", code)) == []

    def test_finds_notes_in_comments(self, script: Script) -> None:
        code = "def f():\n    return 1  # TODO: more\n\n\ndef g():\n    # it was once an XXX\n    return 2\n"
        assert lines(script("find_leftovers", code)) == [2, 6]

    def test_finds_a_conflict_once_and_only_a_whole_one(self, script: Script) -> None:
        conflict = "a = 1\n<<<<<<< HEAD\nb = 1\n=======\nb = 2\n>>>>>>> other\n"
        assert told(script("find_leftovers", conflict)) == [(2, "high", "a merge conflict is not resolved")]
        assert told(script("find_leftovers", "Title\n=======\n\nText\n")) == []
        assert told(script("find_leftovers", conflict.replace("=======\n", ""))) == []

    def test_names_the_language_it_does_not_know(self, script: Script) -> None:
        reply = script("find_leftovers", 'set -e\nif true; then\n    echo "$x"  # TODO: y\nfi\n')
        assert reply["not_run"] == [{"check": "debug leftovers", "why": "does not know shell"}]
        assert (reply["ran"], lines(reply)) == (["conflict markers", "TODOs"], [3])


class TestHugeFunctions:
    def body(self, language: str, length: int) -> str:
        fill = "\n".join(["    x += 1"] * (length - 2))
        return {
            "Python": f"import os\n\n\ndef long_one(x):\n{fill}\n    return x\n",
            "Go": f"package main\n\nfunc longOne(x int) int {{\n{fill}\n}}\n",
            "JavaScript": f"const a = 1;\n\nfunction longOne(x) {{\n{fill}\n}}\n\nconst b = () => {{\n  return 2;\n}};\n",
            "Rust": f"use std::io;\n\npub fn long_one<'a>(x: &'a str) -> i32 {{\n{fill}\n}}\n",
            "C": f"#include <stdio.h>\n\nint long_one(int x)\n{{\n{fill}\n}}\n",
        }[language]

    @pytest.mark.parametrize("language", ["Python", "Go", "JavaScript", "Rust", "C"])
    def test_measures(self, script: Script, language: str) -> None:
        (finding,) = script("find_huge_functions", self.body(language, 40), parameters={"max_lines": 30})["findings"]
        assert finding["what"].lower().replace("_", "") == f"`longone` has {41 if language == 'C' else 40} lines of code"
        assert finding["severity"] == "low"
        assert script("find_huge_functions", self.body(language, 40), parameters={"max_lines": 50})["findings"] == []

    def test_counts_code_and_not_what_explains_it(self, script: Script) -> None:
        text = self.body("Python", 10).replace("(x):\n", '(x):\n    """Long.\n' + "\n    words\n" * 40 + '    """\n' + "    # why\n\n" * 20)
        (finding,) = script("find_huge_functions", text, parameters={"max_lines": 9})["findings"]
        assert finding["what"] == "`long_one` has 10 lines of code"

    def test_more_than_twice_too_long_is_worse(self, script: Script) -> None:
        assert [one[1] for one in told(script("find_huge_functions", self.body("Python", 161)))] == ["medium"]

    def test_names_the_language_it_does_not_know(self, script: Script) -> None:
        reply = script("find_huge_functions", "require 'set'\n\ndef f\n  1\nend\n\ndef g(x)\n  x\nend\n")
        assert reply == {"ran": [], "findings": [], "not_run": [{"check": "huge functions", "why": "does not know Ruby"}]}


class TestMissingTests:
    CODE = "".join(f"+{line}\n" for line in ("", "", "def order(x):", "    y = x + 1", "    return y", "", "def pay():", "    return 1"))

    def diff(self, path: str, body: str) -> str:
        return f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1,1 +1,{1 + body.count(chr(10))} @@\n first = 1\n{body}"

    def test_new_functions_without_a_test_are_told_once(self, script: Script) -> None:
        reply = script("find_missing_tests", self.diff("desk.py", self.CODE))
        assert told(reply) == [(4, "low", "`order` and 1 more are new, and the diff touches no test")]

    def test_a_test_in_the_diff_is_enough(self, script: Script) -> None:
        text = self.diff("desk.py", self.CODE) + self.diff("tests/test_desk.py", "+def test_order(): ...\n")
        assert script("find_missing_tests", text) == {"ran": ["missing tests"], "findings": [], "not_run": []}

    def test_a_small_or_private_change_needs_none(self, script: Script) -> None:
        assert told(script("find_missing_tests", self.diff("desk.py", "+def a(): ...\n"))) == []
        assert told(script("find_missing_tests", self.diff("desk.py", self.CODE.replace("def ", "def _")))) == []

    def test_a_file_does_not_tell(self, script: Script) -> None:
        reply = script("find_missing_tests", "def order(x):\n    return x\n")
        assert reply == {"ran": [], "findings": [], "not_run": [{"check": "missing tests", "why": "needs a diff"}]}
