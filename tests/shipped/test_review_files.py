"""`review-files` over HTTP, and without any model."""

import json

from tests.project import NewProject
from tests.servers.fixtures import NewServer
from tests.servers.openai import Line
from tests.servers.wire import Received
from tests.shipped.serving import asked, project_at, prompts

SOURCES: dict[str, str | bytes] = {
    "a.py": "import os\n\n\ndef first(rows):\n    return rows[1]\n",
    "two words.py": "def second(rows):\n    return rows[0]\n",
    "empty.py": "",
    "picture.py": b"\x89PNG\0\0",
    "latin.py": "größe = 1\n".encode("latin-1"),
}


def reviewer(request: Received) -> Line:
    tier, prompt = asked(request)
    if tier == "careful":
        return "**Not ready**: the first row is never read."
    if "a.py <==" in prompt and "as an attacker" in prompt:
        return "a.py:2 high the first row is skipped | return rows[1] | return rows[0]\na.py:9 high made up | eval(rows) | do not"
    return "No findings."


def test_each_file_is_reviewed_by_itself_with_its_quotes_checked(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(reviewer)
    outcome = project_at(project, server, SOURCES).run(
        "invoke", "review-files", "--var", "focus=Mind the rows.", stdin="a.py\ntwo words.py\n"
    )
    assert outcome.code == 0, outcome.err
    verdict, _, files = outcome.out.partition("# File by file\n\n")
    assert verdict == "**Not ready**: the first row is never read.\n\n"
    assert files.startswith("2 findings in a.py (Python, 5 lines) by 6 checks and 3 reviewers: 1 high, 1 ")
    assert "- a.py:5 high the first row is skipped (security) | `return rows[1]` | return rows[0]" in files
    assert "Not to rely on, for the quote is not in the input:\n\n- a.py:9 high made up (security)" in files
    assert "two words.py (Python, 2 lines): nothing found by 6 checks and 3 reviewers" in files
    assert "verdict" not in files
    reads = prompts(server, "<code>\nMind the rows.\n\n==> ")
    assert len(reads) == 6, "three reviewers a file"
    assert all(("a.py <==" in prompt) != ("two words.py <==" in prompt) for prompt in reads)
    (judged,) = prompts(server, "Judge the files")
    assert "2 findings in a.py" in judged
    assert "The person who asked said: Mind the rows." in judged


def test_what_cannot_be_reviewed_fails_alone_and_is_named(project: NewProject, openai_server: NewServer) -> None:
    here = project_at(project, openai_server(reviewer), SOURCES)
    outcome = here.run("invoke", "review-files", stdin="gone.py\na.py\npicture.py\nlatin.py\nempty.py\n")
    assert outcome.code == 3
    for place, why in enumerate(["there is no file 'gone.py'", "", "'picture.py' is binary", "'latin.py' is no UTF-8 text", ""]):
        assert (f"[no reply from reviews[{place}]: " in outcome.out, why in outcome.out) == (bool(why), True)
    assert "empty.py (Python, 0 lines): nothing found" in outcome.out
    assert outcome.out.startswith("**Not ready**")


def test_a_pattern_takes_what_is_text_and_offline_programs_do_what_they_can(project: NewProject) -> None:
    outcome = project(SOURCES).run("invoke", "review-files", "*.py", "--offline")
    assert outcome.code == 3, outcome.err
    assert outcome.out.startswith("1 finding in a.py (Python, 5 lines) by 6 checks: 1 ")
    assert "Not run: missing tests (needs a diff); security, correctness, clarity (offline)." in outcome.out
    assert "passed over, binary: picture.py" in outcome.err


def test_reviews_that_are_too_many_are_judged_in_parts_and_together(project: NewProject, openai_server: NewServer) -> None:
    def talkative(request: Received) -> Line:
        return "**Ready**" if asked(request)[0] == "careful" else "I think this code is fine. " * 300

    server = openai_server(talkative)
    files: dict[str, str | bytes] = {f"m{number}.py": "x = 1\n" for number in range(5)}
    outcome = project_at(project, server, files).run("invoke", "review-files", "*.py", "--output-format", "json")
    assert outcome.code == 0, outcome.err
    judged = prompts(server, "Judge the files")
    assert len(judged) == 3
    assert "**Ready**\n\n**Ready**" in judged[-1]
    assert json.loads(outcome.out)["result"].startswith("**Ready**\n")


def test_a_clone_does_not_send_what_its_links_lead_to(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(reviewer)
    here = project_at(project, server, {"a.py": "x = 1\n", "~/secret.py": "KEY = 1\n"})
    (here.path / "b.py").symlink_to(here.home / "secret.py")
    for named in ("b.py\na.py", "*.py"):
        outcome = here.run("invoke", "review-files", named)
        assert not prompts(server, "KEY"), outcome.err
        assert "a.py (Python, 1 line)" in outcome.out
