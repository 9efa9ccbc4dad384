"""What an ensemble works on: argument, files, stdin."""

import subprocess
from hashlib import sha256
from tempfile import TemporaryFile

import pytest

from tests.project import NewProject, Project

TEXT_ONLY = "hint: only UTF-8 text is read here; pictures and documents go with --attach FILE\n"


def test_argument_files_and_stdin_are_joined_by_a_blank_line(here: Project) -> None:
    here.write("a.txt", "from a\n")
    here.write("b.txt", "from b\n\n")
    outcome = here.run("invoke", "echo", "said", "-f", "a.txt", "--file", "b.txt", stdin="piped\n")
    assert outcome[::2] == ("said\n\nfrom a\n\nfrom b\n\npiped\n", 0)


def test_one_part_alone_stays_as_it_is(here: Project) -> None:
    text = "\n  two\n\nlines\n\n\n"
    assert here.run("invoke", "echo", stdin=text).out == text


def test_stdin_may_be_a_file(here: Project) -> None:
    with TemporaryFile() as file:
        file.write(b"in a file\n")
        file.seek(0)
        process = here.start("invoke", "echo", stdin=file)
        assert process.communicate(timeout=60)[0] == b"in a file\n"


def test_stdin_is_left_alone_when_told_so(here: Project) -> None:
    process = here.start("invoke", "echo", "said", "--no-stdin", stdin=subprocess.PIPE)  # a pipe that stays open
    assert process.stdout is not None
    assert (process.stdout.read(), process.wait(60)) == (b"said\n", 0)


def test_a_silent_pipe_is_said_once_and_waited_for(here: Project) -> None:
    process = here.start("invoke", "echo", stdin=subprocess.PIPE)
    assert process.stderr is not None
    assert process.stderr.readline() == b"waiting for input on stdin; Ctrl-D ends it, --no-stdin does without\n"
    out, err = process.communicate(b"late", timeout=60)
    assert (out, process.returncode) == (b"late\n", 0)
    assert b"waiting" not in err


@pytest.mark.parametrize("stdin", [None, "", " \n\n"])
def test_the_default_task_replaces_an_empty_input(here: Project, stdin: str | None) -> None:
    assert here.run("invoke", "lazy", stdin=stdin)[::2] == ("nothing to do\n", 0)


def test_without_one_an_empty_input_is_a_problem(here: Project) -> None:
    hint = "hint: pipe something in, name a file with -f, or pass a text after the ensemble's name\n"
    assert here.run("invoke", "echo", stdin="\n") == ("", f"error: 'echo' has nothing to work on\n{hint}", 2)


def test_unless_nobody_would_read_it(here: Project) -> None:
    here.write(".llm-orc/ensembles/fixed.yaml", "agents: [{name: only, command: [cat], prompt: '{{ 6 * 7 }}'}]")
    assert here.run("invoke", "fixed")[::2] == ("42\n", 0)


def test_a_byte_order_mark_is_no_text(here: Project) -> None:
    assert here.run("invoke", "echo", stdin=b"\xef\xbb\xbfmarked")[::2] == ("marked\n", 0)


@pytest.mark.parametrize(
    ("raw", "place", "what", "hint"),
    [
        (b"good\nbad: \xe9\n", ":2:6", "is not UTF-8 text: byte 0xe9", TEXT_ONLY),
        (b"\xff\xfeh\0i\0", ":1:1", "is not UTF-8 text: byte 0xff", "hint: convert it: iconv -f UTF-16 -t UTF-8\n"),
        (b"h\0i\0", "", "holds NUL bytes, as no text does", TEXT_ONLY),
        ("ü".encode()[:1], ":1:1", "is not UTF-8 text: byte 0xc3", TEXT_ONLY),
        (b"x" * (1 << 20) + b"\n\xff", ":2:1", "is not UTF-8 text: byte 0xff", TEXT_ONLY),
    ],
)
def test_what_is_not_text_is_refused(here: Project, raw: bytes, place: str, what: str, hint: str) -> None:
    assert here.run("invoke", "echo", stdin=raw) == ("", f"stdin{place}: {what}\n{hint}", 2)
    here.write("raw", raw)
    assert here.run("invoke", "echo", "-f", "raw") == ("", f"raw{place}: {what}\n{hint}", 2)


def test_a_source_without_end_is_refused_at_once(here: Project) -> None:
    assert here.run("invoke", "echo", "-f", "/dev/zero") == ("", f"/dev/zero: holds NUL bytes, as no text does\n{TEXT_ONLY}", 2)


def test_every_file_that_cannot_be_read_is_said(here: Project) -> None:
    here.write("folder/x", "")
    outcome = here.run("invoke", "echo", "-f", "nope", "-f", "folder")
    assert outcome.out == ""
    assert outcome.err == (
        "folder: is a folder, not a file\nhint: name its files: -f folder/FILE\nnope: cannot be read: no such file or directory\n"
    )
    assert outcome.code == 2


def test_the_name_of_a_file_instead_of_its_text_is_said(here: Project) -> None:
    here.write("notes.txt", "the notes")
    outcome = here.run("invoke", "echo", "notes.txt")
    assert outcome[::2] == ("notes.txt\n", 0)
    assert "warning: the input is the name 'notes.txt', not the text of that file\nhint: to read the file: -f notes.txt\n" in outcome.err
    assert "warning" not in here.run("invoke", "echo", "notes").err


def test_the_name_of_a_file_is_what_a_fan_out_over_files_works_on(here: Project) -> None:
    here.write("notes.txt", "the notes")
    here.write(".llm-orc/ensembles/each.yaml", "agents: [{name: each, fan_out: {files: '{{ input }}'}, gather: text, command: [cat]}]")
    outcome = here.run("invoke", "each", "notes.txt")
    assert outcome[::2] == ("the notes\n", 0)
    assert "warning" not in outcome.err


def test_a_hundred_megabytes_arrive_whole(here: Project) -> None:
    here.write(".llm-orc/ensembles/hash.yaml", "agents: [{name: hash, command: [sha256sum]}]")
    line = "A line of text, grün ✓.\n".encode()
    text = line * (100_000_000 // len(line))
    outcome = here.run("invoke", "hash", stdin=text, timeout=120)
    assert outcome[::2] == (f"{sha256(text).hexdigest()}  -\n", 0)


def test_an_empty_input_is_no_mistake_where_offline_only_scripts_would_read_it(project: NewProject) -> None:
    empty = project()
    outcome = empty.run("invoke", "code-review", "--offline", stdin="")
    assert (outcome.out.splitlines()[0], outcome.code) == ("The input is empty: nothing found by 3 checks", 0)
    assert empty.run("invoke", "code-review", "--offline", "--profile", "embedded", stdin="").code == 2


def test_a_blank_input_is_an_empty_one(project: NewProject) -> None:
    here = project({"x.yaml": "{default_task: do this, agents: [{name: a, command: [cat]}]}"}, trusted=True)
    assert here.run("invoke", "x.yaml", stdin=" \n")[::2] == ("do this\n", 0)
