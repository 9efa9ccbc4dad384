"""The smaller documents over HTTP: `readme`, `changelog`, `meeting-notes` and `adr`."""

import json
import re
import subprocess
from collections.abc import Sequence
from typing import ClassVar

import pytest

from tests.project import NewProject, Project
from tests.servers.fixtures import NewServer
from tests.servers.openai import Line, Scripted
from tests.shipped.conftest import Script
from tests.shipped.serving import project_at, prompts

MANIFEST = '[project]\nname = "tide"\n[project.scripts]\ntide = "tide:main"\n'


def commit(here: Project, *messages: str) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "init", "-q"], cwd=here.path, env=here.env(), check=True)
    subprocess.run(["git", "add", "tide.py", "pyproject.toml", ".gitignore"], cwd=here.path, env=here.env(), check=True)
    for message in messages:
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", message], cwd=here.path, env=here.env(), check=True)


class TestReadme:
    def test_it_is_written_of_what_the_repository_holds(self, project: NewProject, openai_server: NewServer) -> None:
        server = openai_server({"": "# tide\n\nTells the tide."})
        files = {"tide.py": "print('high')\n", "pyproject.toml": MANIFEST, ".gitignore": "secret.txt\n", "secret.txt": "hidden words"}
        here = project_at(project, server, files)
        commit(here, "Tell the tide of any harbour")
        outcome = here.run("invoke", "readme", "Mention Rostock.", "--var", "words=99")
        assert (outcome.code, outcome.out) == (0, "# tide\n\nTells the tide.\n"), outcome.err
        (asked,) = prompts(server)
        assert all(
            part in asked for part in ("Mention Rostock.", "at most 99 words", "tide.py", 'name = "tide"', "Tell the tide of any harbour")
        )
        assert "secret.txt" not in asked.replace(".gitignore\n\nsecret.txt", "")
        assert "hidden words" not in asked

    def test_offline_what_it_would_be_written_of_is_there(self, project: NewProject) -> None:
        outcome = project({"Makefile": "all:\n\techo"}).run("invoke", "readme", "--offline", "--output-format", "json")
        facts, text = json.loads(outcome.out)["agents"]
        assert (text["status"], text["cause"]) == ("skipped", "offline")
        assert "# Makefile\n\nall:\n\techo" in facts["text"]

    def test_a_folder_without_files_is_told(self, project: NewProject, openai_server: NewServer) -> None:
        here = project_at(project, openai_server())
        (here.path / "empty").mkdir()
        outcome = here.run("invoke", "readme", cwd="empty")
        assert (outcome.code, "there are no files here: call it in the repository" in outcome.err) == (1, True), outcome.err

    def test_nothing_is_read_from_beyond_the_repository(self, script: Script, project: NewProject) -> None:
        here = project({"~/key.md": "a private key", "a.md": "x" * 5_000, "b.bin": b"\xff\xfe", "readme.md": b"\xff\xfe"})
        (here.path / "link.md").symlink_to(here.home / "key.md")
        told = script("list_repository", cwd=here.path, env=here.env())
        assert "a private key" not in told
        assert "# a.md\n\n" + "x" * 3_000 + "\n[...]\n" in told


class TestChangelog:
    LOG = "\n".join(
        f"{number:07x} Change number {number}\nBecause somebody asked for thing {number}. {'More of it. ' * 30}" for number in range(120)
    )

    def test_a_long_log_is_read_in_pieces_and_made_into_one_entry(self, project: NewProject, openai_server: NewServer) -> None:
        script = {"Write the entry": "## 1.3.0 - today\n\n### Added\n\n- Tides (0000001)", "": "Added: tides (0000001)"}
        server = openai_server(script)
        outcome = project_at(project, server).run("invoke", "changelog", "--var", "version=1.3.0", "--var", "date=today", stdin=self.LOG)
        assert (outcome.code, outcome.out) == (0, "## 1.3.0 - today\n\n### Added\n\n- Tides (0000001)\n"), outcome.err
        read = prompts(server, "<commits>")
        assert len(read) > 2
        assert {int(found) for prompt in read for found in re.findall(r"Change number (\d+)", prompt)} == set(range(120))
        (entry,) = prompts(server, "Write the entry")
        assert entry.count("Added: tides (0000001)") == len(read)
        assert "`## 1.3.0 - today`" in entry

    def test_an_empty_log_is_told(self, project: NewProject) -> None:
        outcome = project().run("invoke", "changelog", "--profile", "embedded", stdin="")
        assert (outcome.code, "'changelog' has nothing to work on" in outcome.err) == (2, True)


class TestMeetingNotes:
    TRANSCRIPT = "\n".join(f"Ann: I say thing {number}, and {'a little more ' * 20}." for number in range(200))
    SAID: ClassVar[dict[str, Line | Sequence[Line]]] = {
        "Write a summary": "# Summary\n\nThings were said.",
        "what was decided": "# Decisions\n\n- To go on.",
        "Which tasks": json.dumps({"tasks": [{"what": "Buy | sell", "who": "Ann", "when": ""}]}),
        "what was left open": Scripted("no", 400),
        "": "Ann says things.",
    }

    def test_four_writers_make_one_document_of_notes_on_every_part(self, project: NewProject, openai_server: NewServer) -> None:
        server = openai_server(self.SAID)
        here = project_at(project, server)
        outcome = here.run("invoke", "meeting-notes", "--var", "title=Harbour", "--output-format", "json", stdin=self.TRANSCRIPT)
        assert outcome.code == 3, "what was left open is missing"
        told = json.loads(outcome.out)
        assert told["result"].startswith("# Harbour\n")
        assert "| Task | Who | By when |\n|---|---|---|\n| Buy / sell | Ann |  |\n\n## open\n\n*(missing: invalid_request" in told["result"]
        assert re.findall(r"(?m)^## (.*)$", told["result"]) == ["Summary", "Decisions", "Tasks", "open"]
        tasks = next(each for each in told["agents"] if each["name"] == "tasks")
        assert tasks["json"] == {"tasks": [{"what": "Buy | sell", "who": "Ann", "when": ""}]}
        assert len(prompts(server, "<transcript part=")) > 3
        assert len(prompts(server, "Ann says things.")) == 4

    def test_tasks_in_free_text_are_marked(self, project: NewProject, openai_server: NewServer) -> None:
        server = openai_server({**self.SAID, "Which tasks": "# Tasks\n\nAnn buys.", "what was left open": "# Open Questions\n\nNone."})
        outcome = project_at(project, server).run("invoke", "meeting-notes", stdin="Ann: I buy it.")
        assert outcome.code == 0, outcome.err
        assert "## Tasks\n\nAnn buys.\n\n*(free text: the model did not keep to the form" in outcome.out


class TestAdr:
    NOTES = "---\nnumber: 7\ntitle: Keep runs in SQLite\nstatus: accepted\ndate: 2025-10-01\n---\nPostgres was too much.\n"

    def test_a_record_is_written_from_notes_with_its_particulars_at_their_head(self, project: NewProject, openai_server: NewServer) -> None:
        titles = {
            "`# Open Questions`": "Open Questions",
            "`# Consequences`": "Consequences",
            "`# Decision`": "Decision",
            "`# Options`": "Options",
        }
        server = openai_server({part: f"# {title}\n\n{title} it is." for part, title in {**titles, "": "Context"}.items()})
        here = project_at(project, server, {"decision.md": self.NOTES})
        outcome = here.run("invoke", "adr", "-f", "decision.md", "-o", "0007.md")
        assert (outcome.code, outcome.out) == (0, ""), outcome.err
        text = (here.path / "0007.md").read_text()
        assert text.startswith("# 7. Keep runs in SQLite\n")
        assert re.findall(r"(?m)^## (.*)$", text) == ["Status", "Context", "Options", "Decision", "Consequences", "Open Questions"]
        assert "## Status\n\nAccepted, 2025-10-01\n" in text
        asked = prompts(server)
        assert all("Postgres was too much." in prompt and "number: 7" not in prompt for prompt in asked)
        assert "Consequences it is." in prompts(server, "`# Open Questions`")[0]

    @pytest.mark.parametrize(
        ("text", "wrong"),
        [
            ("We take SQLite.", r"adr\.yaml:\d+:\d+: variable 'title' of 'adr' has no value\nhint: give it: --var title="),
            ("---\ntitle: It\nstatus: done\n---\nx", r"stdin:3:1: variable 'status' of 'adr': 'done' is none of proposed, accepted"),
        ],
    )
    def test_what_is_missing_or_wrong_is_told(self, project: NewProject, text: str, wrong: str) -> None:
        outcome = project().run("invoke", "adr", stdin=text)
        assert outcome.code == 2
        assert re.search(wrong, outcome.err), outcome.err
