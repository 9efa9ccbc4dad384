"""Which files a fan-out goes over, on true folders."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from llm_orc.config.tree import MAX_BYTES, Tree
from llm_orc.domain.message import FailedError
from llm_orc.domain.tree import names_of

FILES = {
    "README.md": "read",
    "src/a.py": "a",
    "src/b.txt": "b",
    "src/deep/er/c.py": "c",
    "src/.hidden/d.py": "d",
    "src/[x].py": "x",
    ".github/ci.yml": "ci",
    "build/e.py": "e",
    "build/keep.py": "kept",
    "src/deep/f.log": "f",
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def found(here: Path, *names: str, bounds: Path | None = None) -> list[str]:
    return [file.path for file in Tree(here, str(here)).find(names, str(bounds) if bounds else None).files]


def failure(here: Path, name: str, bounds: Path | None = None) -> str:
    (file,) = Tree(here, str(here)).find([name], str(bounds) if bounds else None).files
    with pytest.raises(FailedError) as caught:
        file.read()
    return str(caught.value)


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["src/*.py"], ["src/[x].py", "src/a.py"]),
        (["**/*.py"], ["build/e.py", "build/keep.py", "src/[x].py", "src/a.py", "src/deep/er/c.py"]),
        (["src/**/*.py"], ["src/[x].py", "src/a.py", "src/deep/er/c.py"]),
        (["src/**"], ["src/[x].py", "src/a.py", "src/b.txt", "src/deep/er/c.py", "src/deep/f.log"]),
        (["src/deep"], ["src/deep/er/c.py", "src/deep/f.log"]),
        (["src/deep/", "./src/a.py", "src/*.py"], ["src/deep/er/c.py", "src/deep/f.log", "src/a.py", "src/[x].py"]),
        (["src/[ab].*"], ["src/a.py", "src/b.txt"]),
        (["src/[x].py"], ["src/[x].py"]),
        ([".github/*"], [".github/ci.yml"]),
        (["**/.hidden/*"], ["src/.hidden/d.py"]),
        (["src/?.py", "", "  README.md "], ["src/a.py", "README.md"]),
        (["nothing.py"], ["nothing.py"]),
        ([], []),
    ],
)
def test_names_folders_and_patterns(here: Path, names: list[str], files: list[str]) -> None:
    assert found(here, *names) == files


def test_what_a_fan_out_reads_is_the_text(here: Path) -> None:
    (here / "src/a.py").write_bytes("\ufeffé\n".encode())
    (file,) = Tree(here, str(here)).find(["src/a.py"], None).files
    item = file.item()
    assert (item, dict(item.parts)) == ("é\n", {"path": "src/a.py", "text": "é\n"})


def test_gitignore_holds_for_what_is_found_and_not_for_what_is_named(here: Path) -> None:
    (here / ".git").mkdir()
    (here / ".gitignore").write_text("build/*\n!build/keep.py\n*.log\n")
    (here / "src/.gitignore").write_text("/deep/er\n!f.log\n")
    assert found(here, "**/*") == ["README.md", "build/keep.py", "src/[x].py", "src/a.py", "src/b.txt", "src/deep/f.log"]
    assert found(here, "build/e.py") == ["build/e.py"]
    assert found(here / "src", ".") == ["[x].py", "a.py", "b.txt", "deep/f.log"]
    with pytest.raises(FailedError) as caught:
        found(here, "build/e*")
    assert str(caught.value) == "not_found: no file matches 'build/e*'"
    assert caught.value.failure.hint == "1 passed over, in .gitignore"


def test_binary_and_large_files_are_passed_over_where_nobody_named_them(here: Path) -> None:
    (here / "src/image.py").write_bytes(b"\x89PNG\0\0")
    (here / "src/large.py").write_bytes(b"x" * (MAX_BYTES + 1))
    os.mkfifo(here / "src/pipe.py")
    files, warnings = Tree(here, str(here)).find(["src/*.py"], None)
    assert [file.path for file in files] == ["src/[x].py", "src/a.py"]
    assert warnings == (
        "passed over, binary: src/image.py",
        "passed over, larger than 1 MB: src/large.py",
        "passed over, neither files nor folders: src/pipe.py",
    )
    assert failure(here, "src/image.py") == "invalid_request: 'src/image.py' is binary"
    assert failure(here, "src/large.py") == "invalid_request: 'src/large.py' is larger than 1 MB"
    assert failure(here, "src/pipe.py") == "invalid_request: 'src/pipe.py' is a pipe or a device, not a file"


def test_a_file_that_cannot_be_read_fails_by_itself(here: Path) -> None:
    (here / "latin.txt").write_bytes("é".encode("latin-1"))
    assert failure(here, "latin.txt") == "invalid_request: 'latin.txt' is no UTF-8 text"
    assert failure(here, "none.txt") == "not_found: there is no file 'none.txt'"
    assert failure(here, "a\0b").startswith("not_found: there is no file")


def test_a_pattern_that_finds_nothing_fails_unless_another_finds_something(here: Path) -> None:
    with pytest.raises(FailedError) as caught:
        found(here, "*.rs", "lib/**")
    assert (str(caught.value), caught.value.failure.hint) == ("not_found: no file matches '*.rs', 'lib/**'", f"looked from {here}")
    assert Tree(here, str(here)).find(["*.rs", "*.md"], None).warnings == ("no file matches '*.rs'",)


@pytest.mark.parametrize(
    "name", [" two  blanks ", "a\nb", 'say "hi"', "größe 漢字", "tab\there", "back\\slash", "\x0b", "\u2028", "-x", "\x07\x0c"]
)
def test_any_name_is_found_as_git_lists_it_and_as_json(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    (tmp_path / "plain").write_text("y")
    git("init", "-q", ".", cwd=tmp_path)
    git("add", ".", cwd=tmp_path)
    listed = git("ls-files", cwd=tmp_path)
    assert sorted(found(tmp_path, *names_of(listed))) == sorted([name, "plain"])
    assert found(tmp_path, *names_of(json.dumps([name]))) == [name]
    assert found(tmp_path, *names_of(f"plain\r\n{listed}")) == ["plain", name]


def git(*arguments: str, cwd: Path) -> str:
    return subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True).stdout


def test_links_out_of_a_project_that_nobody_trusts_lead_nowhere(here: Path) -> None:
    (here.parent / "secret.txt").write_text("secret")
    (here / "src/link.py").symlink_to(here.parent / "secret.txt")
    (here / "up").symlink_to(here.parent)
    (here / "src/same.py").symlink_to(here / "src/a.py")

    def unseen(*names: str) -> tuple[list[str], tuple[str, ...]]:
        files, warnings = Tree(here, str(here), lambda: False).find(names, None)
        return [file.path for file in files], warnings

    assert unseen("src/*.py") == (["src/[x].py", "src/a.py", "src/same.py"], ("passed over, outside of the project: src/link.py",))
    for name in ("src/link.py", "up/secret.txt"):
        (file,) = Tree(here, str(here), lambda: False).find([name], None).files
        with pytest.raises(FailedError) as caught:
            file.read()
        assert str(caught.value) == f"permission: '{name}' lies outside of the project"
        assert caught.value.failure.hint == "it is reached by a link; if you know what is in this project: llm-orc trust ."
    assert Tree(here, str(here), lambda: False).find(["../secret.txt"], None).files[0].read() == "secret"
    assert Tree(here, str(here)).find(["src/link.py"], None).files[0].read() == "secret"


def test_a_file_that_goes_meanwhile_fails_by_itself(here: Path) -> None:
    files = Tree(here, str(here)).find(["src/*.py"], None).files
    (here / "src/a.py").unlink()
    (here / "src/[x].py").unlink()
    (here / "src/[x].py").mkdir()
    for file, why in zip(files, ("'src/[x].py' is a folder, not a file", "there is no file 'src/a.py'"), strict=True):
        with pytest.raises(FailedError, match=re.escape(why)):
            file.read()


def test_a_file_has_one_name_however_it_is_spelt(here: Path) -> None:
    (here / "link.py").symlink_to("src/a.py")
    (here.parent / "beside").symlink_to(here)
    (here / "hard.py").hardlink_to(here / "src/a.py")
    name = Tree(here.parent / "beside", str(here)).naming()
    spelt = [
        "src/a.py",
        "./src/a.py",
        "src/../src//a.py",
        "link.py",
        "hard.py",
        str(here / "src/a.py"),
        str(here.parent / "beside/src/a.py"),
    ]
    assert {name(each) for each in spelt} == {"src/a.py"}
    assert [name("gone.py"), name("./gone.py"), name("../x")] == ["gone.py", "gone.py", str(here.parent / "x")]


def test_nothing_is_read_beyond_its_bounds(here: Path) -> None:
    outside = here.parent / "secret.txt"
    outside.write_text("secret")
    (here / "src/link.py").symlink_to(outside)
    (here / "src/up").symlink_to(here.parent)
    files, warnings = Tree(here, str(here)).find(["src/**/*.py"], str(here))
    assert [file.path for file in files] == ["src/[x].py", "src/a.py", "src/deep/er/c.py"]
    assert warnings == ("passed over, outside of the project: src/link.py",)
    for name in ("src/link.py", "../secret.txt", str(outside), "src/up/secret.txt"):
        assert "lies outside of the project" in failure(here, name, here)
    (file,) = Tree(here, str(here)).find(["../secret.txt"], None).files
    assert (file.path, file.read()) == (str(outside), "secret")
