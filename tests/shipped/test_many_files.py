"""`ask-files` and `describe-changes` over HTTP: much is read in parts, and one text comes of it."""

import re

import pytest

from tests.pictures import png
from tests.project import NewProject
from tests.servers.fixtures import NewServer
from tests.servers.openai import Line
from tests.servers.wire import Received
from tests.shipped.serving import asked, project_at, prompts


def reader(request: Received) -> Line:
    tier, prompt = asked(request)
    if tier == "careful":
        return "The answer (a.md, two words.md)."
    return f"{re.search('that reads: (.*)', prompt)[1]}\nIt says {prompt.count('harbour')}."  # type: ignore[index]


def test_every_file_is_asked_by_itself_and_the_answer_names_them(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(reader)
    here = project_at(project, server, {"a.md": "The harbour.", "two words.md": "harbour, harbour"})
    outcome = here.run("invoke", "ask-files", "--var", "question=How often?", stdin="a.md\n\n two words.md \n")
    assert (outcome.code, outcome.out) == (0, "The answer (a.md, two words.md).\n"), outcome.err
    one, other = prompts(server, "attached file alone: How often?")
    assert ('<file name="a.md">' in one) != ('<file name="a.md">' in other)
    (last,) = prompts(server, "<found>")
    assert "<found>\na.md\nIt says 1.\n\ntwo words.md\nIt says 2.\n</found>" in last


def test_a_file_that_no_model_takes_fails_alone(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(reader)
    files: dict[str, str | bytes] = {"a.md": "x", "picture.png": png(), "sound.raw": b"\0\1\2\xff", "~/secret.md": "KEY"}
    here = project_at(project, server, files, more="capabilities: []\n")
    outcome = here.run("invoke", "ask-files", stdin="picture.png\na.md\nsound.raw\ngone.pdf\n../secret.md\n")
    assert outcome.code == 3
    (last,) = prompts(server, "<found>")
    assert [int(number) for number in re.findall(r"\[no reply from answers\[(\d)\]: ", last)] == [0, 2, 3, 4]
    assert "cannot look at images" in last
    assert not prompts(server, "KEY")


DIFF = "".join(
    f"diff --git a/m{number}.py b/m{number}.py\n--- a/m{number}.py\n+++ b/m{number}.py\n@@ -1 +1 @@\n-old = {number}\n+new = {number}\n"
    * 30
    for number in range(20)
)


@pytest.mark.parametrize(
    ("kind", "told"), [("description", "Look closely at"), ("commit", "at most 72 characters"), ("changelog", "**Added**")]
)
def test_a_diff_of_any_size_becomes_one_text(project: NewProject, openai_server: NewServer, kind: str, told: str) -> None:
    server = openai_server({"<diff part=": "- m.py: old is new now", "": "The text."})
    outcome = project_at(project, server).run("invoke", "describe-changes", "--var", f"as={kind}", "--var", "why=It was slow.", stdin=DIFF)
    assert (outcome.code, outcome.out) == (0, "The text.\n"), outcome.err
    read = prompts(server, "<diff part=")
    assert len(read) == 3
    (written,) = prompts(server, "<notes>")
    assert (told in written, "Why it was changed: It was slow." in written, written.count("old is new now")) == (True, True, 3)
