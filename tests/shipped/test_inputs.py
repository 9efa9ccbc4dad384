"""What the checks make of their input. Notes (`TODO`) show which lines are read, and as what."""

import subprocess
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.shipped.conftest import Script

DIFF = """\
diff --git a/desk.py b/desk.py
index 1111111..2222222 100644
--- a/desk.py
+++ b/desk.py
@@ -1,4 +1,5 @@
 import os
-# TODO: gone
+# TODO: first
 x = 1  # TODO: old
+y = 2
 z = 3
@@ -20,2 +21,3 @@ def f():
 a = 1
+b = 2  # TODO: second
 c = 3
diff --git a/gone.go b/gone.go
deleted file mode 100644
--- a/gone.go
+++ /dev/null
@@ -1,2 +0,0 @@
-package gone
-// TODO: gone too
diff --git a/new file.rs b/new file.rs
new file mode 100644
--- /dev/null
+++ b/new file.rs\t
@@ -0,0 +1,2 @@
+fn f() {
+} // TODO: third
"""
NOTES = [("desk.py", 2), ("desk.py", 22), ("new file.rs", 2)]


def notes(script: Script, text: str, **given: Any) -> list[tuple[str, int]]:
    findings = script("find_leftovers", text, **given)["findings"]
    return [(finding["file"], finding["line"]) for finding in findings if finding["rule"] == "note"]


def test_a_diff_is_reviewed_on_its_added_lines_with_the_numbers_of_the_new_file(script: Script) -> None:
    assert notes(script, DIFF) == NOTES


@pytest.mark.parametrize(
    "before", ["mind the SQL\n\n", "commit 1234\nAuthor: a\n\n    Subject\n\n", "Two lines\nof a wish.\n\n# A guide\n\n- clear\n\n"]
)
def test_what_stands_before_a_diff_is_no_code(script: Script, before: str) -> None:
    assert notes(script, before + DIFF) == NOTES


def test_windows_line_ends_change_nothing(script: Script) -> None:
    assert notes(script, DIFF.replace("\n", "\r\n")) == NOTES
    assert notes(script, "import os\r\n\r\nx = 1  # TODO: it\r\n") == [("input.py", 3)]


def test_a_diff_without_git(script: Script) -> None:
    text = (
        "--- old/desk.py\t2026-01-01 10:00:00\n+++ new/desk.py\t2026-01-01 11:00:00\n@@ -1,2 +1,2 @@\n x = 1\n-y = 1\n+y = 2  # TODO: it\n"
    )
    assert notes(script, text + text.replace("desk", "till")) == [("new/desk.py", 2), ("new/till.py", 2)]


def test_a_removed_line_that_looks_like_a_header_is_one_no_longer(script: Script) -> None:
    text = "diff --git a/q.sql b/q.sql\n--- a/q.sql\n+++ b/q.sql\n@@ -1,2 +1,2 @@\n--- TODO: gone\n select 1;\n+-- TODO: came\n"
    assert notes(script, text) == [("q.sql", 2)]


def test_a_merge_is_read_too(script: Script) -> None:
    head = "diff --cc desk.py\nindex 1,2..3\n--- a/desk.py\n+++ b/desk.py\n@@@ -1,2 -1,2 +1,3 @@@\n"
    text = head + "  x = 1\n +y = 2  # TODO: theirs\n++z = 3  # TODO: merged\n"
    assert notes(script, text) == [("desk.py", 2), ("desk.py", 3)]


def test_paths_that_git_quotes(script: Script) -> None:
    text = 'diff --git "a/\\303\\274.py" "b/\\303\\274.py"\n--- /dev/null\n+++ "b/\\303\\274.py"\n@@ -0,0 +1 @@\n+x = 1  # TODO: it\n'
    assert notes(script, text) == [("ü.py", 1)]


def test_code_with_a_diff_inside_is_code(script: Script) -> None:
    text = 'import os\n\n\ndef f():\n    return os  # TODO: it\n\n\nDIFF = """\n' + DIFF + '"""\n'
    assert notes(script, text) == [("input.py", 5)]


def test_files_with_their_names(script: Script) -> None:
    text = "==> a.py <==\nx = 1  # TODO: it\n\n==> b/c.go <==\npackage c\n\n// TODO: it\n"
    assert notes(script, text) == [("a.py", 1), ("b/c.go", 3)]


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        ("is this safe?", 1),
        ("mind the SQL", 1),
        ("security", 1),
        ("import os", 3),
        ("x = 1", 3),
        ('"""Doc."""', 3),
        ("# note", 3),
    ],
)
def test_plain_words_before_code_are_a_request_and_do_not_count(script: Script, request_: str, line: int) -> None:
    assert notes(script, f"{request_}\n\nx = [1]  # TODO: it\n") == [("input.py", line)]


@pytest.mark.parametrize(
    ("path", "language", "text"),
    [
        ("input.py", "Python", "x = [1]\nprint(x)\n"),
        ("input.js", "JavaScript", "const a = 1;\nfunction f(x) {\n  return x;\n}\n"),
        ("input.ts", "TypeScript", "interface A {\n  x: string;\n}\nexport const f = (a: number): void => {};\n"),
        ("input.go", "Go", "package main\n\nfunc main() {\n\tx := 1\n}\n"),
        ("input.rs", "Rust", "use std::io;\n\nfn main() {\n    let mut x = 1;\n}\n"),
        ("input.sh", "shell", "#!/bin/sh\necho hi\n"),
        ("input.php", "PHP", "<?php\necho 1;\n"),
        ("input.json", "JSON", '{"a": 1}\n'),
        ("input.yaml", "YAML", "a: 1\nb:\n  - x\n"),
        ("input.md", "Markdown", "# Title\n\nSome words.\n\n## More\n"),
        ("input.toml", "TOML", '[project]\nname = "x"\n# note\n# note\n'),
        ("input", "unknown language", "Once upon a time there was a king.\n"),
    ],
)
def test_languages_are_known_by_their_looks(script: Script, path: str, language: str, text: str) -> None:
    assert script("merge_findings", text, dependencies={})["subject"] == f"{path} ({language}, {text.count(chr(10))} lines)".replace(
        "1 lines", "1 line"
    )


class TestOnDisk:
    """A file that the diff names is read whole where it is here as the diff has it."""

    NEW = "import os\n\n\ndef first():\n    return 1\n\n\ndef second():\n    return undefined\n\n\ndef third():\n    return 3\n"

    def repository(self, folder: Path) -> str:
        def git(*args: str) -> str:
            identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
            return subprocess.run(["git", *identity, *args], cwd=folder, check=True, capture_output=True, text=True).stdout

        (folder / "src").mkdir()
        (folder / "src/desk.py").write_text(self.NEW.replace("return undefined", "return 2"))
        git("init", "-q")
        git("add", ".")
        git("commit", "-qm", "one")
        (folder / "src/desk.py").write_text(self.NEW)
        return git("diff", "-U0")

    def test_ruff_sees_all_and_tells_of_the_change(self, script: Script, tmp_path: Path) -> None:
        diff = self.repository(tmp_path)
        for cwd in (tmp_path, tmp_path / "src"):
            reply = script("find_with_ruff", diff, cwd=cwd)
            assert [(one["file"], one["line"], one["rule"]) for one in reply["findings"]] == [("src/desk.py", 9, "F821")]
            assert reply["not_run"] == []

    def test_elsewhere_it_says_what_it_did_not_see(self, script: Script, tmp_path: Path) -> None:
        diff = self.repository(tmp_path).replace("return undefined", "return eval(x)")
        (tmp_path / "empty").mkdir()
        for cwd in (tmp_path, Path("/")):  # another text there; no such file
            reply = script("find_with_ruff", diff, cwd=cwd)
            assert [(one["line"], one["rule"]) for one in reply["findings"]] == [(9, "S307")]
            assert reply["not_run"] == [{"check": "ruff", "why": "saw only hunks of src/desk.py: no such file here"}]

    def test_nothing_outside_is_read(self, script: Script, tmp_path: Path) -> None:
        (tmp_path / "secret.py").write_text("import os\nx = 1\n")
        (tmp_path / "inner").mkdir()
        diff = "--- a/../secret.py\n+++ b/../secret.py\n@@ -1 +2,1 @@\n+x = 1\n"
        assert script("find_with_ruff", diff, cwd=tmp_path / "inner")["not_run"] != []


def test_a_text_of_no_language_is_named_by_its_file(script: Script) -> None:
    reply = script("find_with_ruff", "==> b.txt <==\nx\n\n==> notes <==\nOnce upon a time.\n")
    assert reply["not_run"] == [{"check": "ruff", "why": "does not know text, the language of notes"}]


def test_nothing_is_nothing(script: Script) -> None:
    for text in ("", None, "\n\n", DIFF[: DIFF.index("@@")]):
        assert notes(script, text or "") == []
    assert dedent(script("merge_findings", "", dependencies={})["subject"]) == ""
