"""Files that a script or command leaves in its folder are kept with the run, and can be had again."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.project import NewProject, Project

LEAVES = "import os\nfrom pathlib import Path\nhere = Path(os.environ['LLM_ORC_ARTIFACTS'])\n"
BYTES = bytes(range(256)) * 5


def one(code: str, more: str = "") -> Mapping[str, str]:
    """An ensemble of one script."""
    return {
        ".llm-orc/ensembles/one.yaml": f"agents: [{{name: it, script: it.py{more}}}]\n",
        ".llm-orc/scripts/it.py": f"{LEAVES}{code}\n",
    }


def blobs(here: Project) -> list[str]:
    return sorted(file.name for file in (here.path / ".llm-orc/store/blobs").iterdir())


def left(here: Project) -> list[str]:
    """The artifacts of the last run, as JSON has them."""
    agents = json.loads(here.run("runs", "show", "last", "--json").out)["agents"]
    return [f"{agent['name']}/{each['name']} {each['media_type']} {each['bytes']}" for agent in agents for each in agent["artifacts"]]


@pytest.fixture
def here(project: NewProject, tmp_path: Path) -> Project:
    """A project whose folders for artifacts can be seen."""
    (tmp_path / "tmp").mkdir()
    made = project(trusted=True)
    made._settings["TMPDIR"] = str(tmp_path / "tmp")
    return made


def fill(here: Project, files: Mapping[str, str]) -> Project:
    for place, content in files.items():
        here.write(place, content)
    return here


def test_what_programs_leave_is_kept_and_can_be_had(here: Project, tmp_path: Path) -> None:
    script = (
        LEAVES + "(here / 'plots').mkdir()\n(here / 'plots/a.bin').write_bytes(bytes(range(256)) * 5)\n(here / 'same.txt').write_text('x')"
    )
    command = "cd $LLM_ORC_ARTIFACTS; cat > same.txt; echo 1 > b.json"
    agents = f"{{name: it, script: it.py}}, {{name: too, command: [sh, -c, '{command}']}}"
    fill(here, {".llm-orc/ensembles/two.yaml": f"agents: [{agents}]\n", ".llm-orc/scripts/it.py": script})
    outcome = here.run("invoke", "two", "y")
    names = "plots/a.bin, same.txt, b.json"
    assert outcome.code == 0
    assert f"artifacts  {names}: llm-orc runs show " in outcome.err
    assert left(here) == [
        "it/plots/a.bin application/octet-stream 1280",
        "it/same.txt text/plain 1",
        "too/b.json application/json 2",
        "too/same.txt text/plain 1",
    ]
    shown = here.run("runs", "show", "last").out
    assert "artifacts\nit   plots/a.bin  application/octet-stream  1.3 kB\nit   same.txt  text/plain  1 byte\ntoo  b.json" in shown
    assert "same.txt  text/plain  1 byte\n" in here.run("runs", "show", "last", "--agent", "too").out

    process = here.start("runs", "show", "last", "--artifact", "plots/a.bin")
    assert process.communicate() == (BYTES, b"")
    assert here.run("runs", "show", "last", "--artifact", "same.txt", "--agent", "it") == ("x", "", 0)
    assert here.run("runs", "show", "last", "--artifact", "same.txt", "--agent", "too") == ("y", "", 0)
    assert list((tmp_path / "tmp").iterdir()) == [], "nothing is left behind"
    words = {"COMP_WORDS": "llm-orc runs show last --artifact p", "COMP_CWORD": "5"}
    assert here.run(env={"_LLM_ORC_COMPLETE": "complete_bash", **words}).out.split() == ["plots/a.bin"]
    assert {file.stat().st_mode & 0o777 for file in (here.path / ".llm-orc/store/blobs").iterdir()} == {0o600}


def test_one_that_is_not_there(here: Project) -> None:
    agents = "{name: a, command: [sh, -c, 'echo > $LLM_ORC_ARTIFACTS/same.txt']}"
    here.write(".llm-orc/ensembles/two.yaml", f"agents: [{agents}, {agents.replace('name: a', 'name: b')}]\n")
    here.run("invoke", "two", "x")
    wrong = {
        ("sam.txt",): "error: the run has no artifact 'sam.txt'\nhint: did you mean 'same.txt'?\n",
        ("same.txt",): "error: several agents have an artifact 'same.txt': a, b\nhint: say which: --agent 'a'\n",
        ("x", "--agent", "a"): "error: 'a' has no artifact 'x'\nhint: see: llm-orc runs show",
        ("",): "error: --artifact is empty\n",
    }
    for args, said in wrong.items():
        out, err, code = here.run("runs", "show", "last", "--artifact", *args)
        assert (out, code) == ("", 2)
        assert err.startswith(said)


def test_one_that_is_lost_or_changed_is_not_handed_out(here: Project) -> None:
    fill(here, one("(here / 'a').write_text('whole')"))
    here.run("invoke", "one", "x")
    (name,) = blobs(here)
    (here.path / ".llm-orc/store/blobs" / name).write_text("other")
    out, err, code = here.run("runs", "show", "last", "--artifact", "a")
    assert (out, code) == ("", 2)
    assert "is lost: it is not there any more, or not whole" in err


def test_no_bytes_are_written_to_a_terminal(here: Project) -> None:
    fill(here, one("(here / 'a.bin').write_bytes(b'\\0\\x1b[31m')\n(here / 'a.txt').write_text('\\x1b[31mred')"))
    here.run("invoke", "one", "x")
    outcome = here.run_pty("runs", "show", "last", "--artifact", "a.bin")
    assert (outcome.out, outcome.code) == ("", 2)
    assert "'a.bin' is no text, but application/octet-stream" in outcome.err
    assert "--artifact a.bin > a.bin" in outcome.err
    assert here.run_pty("runs", "show", "last", "--artifact", "a.txt").out == "␛[31mred"


def test_it_is_kept_of_a_program_that_ends_badly(here: Project) -> None:
    fill(here, one("(here / 'a').write_text('kept'); raise SystemExit(3)"))
    assert here.run("invoke", "one", "x").code == 1
    assert left(here) == ["it/a text/plain 4"]


def test_it_is_kept_of_a_program_whose_time_is_up(here: Project, tmp_path: Path) -> None:
    fill(here, one("(here / 'a').write_text('kept'); import time; time.sleep(600)", ", timeout_seconds: 1"))
    assert here.run("invoke", "one", "x").code == 1
    assert left(here) == ["it/a text/plain 4"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_a_killed_one_left_behind_is_removed_by_the_next(here: Project, tmp_path: Path) -> None:
    waits = "import time\nparent = os.getppid()\nwhile os.getppid() == parent: time.sleep(0.02)"
    fill(here, one(f"(here / 'a').write_text('x'); (here / 'in').mkdir(); open('there', 'w')\n{waits}"))
    here.write(".llm-orc/ensembles/quick.yaml", "agents: [{name: q, command: [cat]}]\n")
    (tmp_path / "tmp/llm-orc-of-somebody").mkdir()

    def started() -> subprocess.Popen[bytes]:
        (here.path / "there").unlink(missing_ok=True)
        process = here.start("invoke", "one", "x")
        while not (here.path / "there").exists():
            assert process.poll() is None
        return process

    killed = started()
    killed.kill()
    killed.communicate()
    assert len(list((tmp_path / "tmp").iterdir())) == 2
    alive = started()
    assert here.run("invoke", "quick", "x").code == 0
    assert [len(list(folder.rglob("a"))) for folder in (tmp_path / "tmp").iterdir() if "somebody" not in folder.name] == [1]
    os.kill(alive.pid, signal.SIGINT)
    alive.communicate(timeout=60)
    assert [folder.name for folder in (tmp_path / "tmp").iterdir()] == ["llm-orc-of-somebody"]


def test_it_is_kept_of_a_run_that_is_interrupted(here: Project, tmp_path: Path) -> None:
    fill(here, one("(here / 'a').write_text('kept'); open('there', 'w'); import time; time.sleep(600)"))
    process = here.start("invoke", "one", "x")
    while not (here.path / "there").exists():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert left(here) == ["it/a text/plain 4"]
    assert list((tmp_path / "tmp").iterdir()) == []


WRONG = r"""
import socket
os.symlink('/etc/hostname', here / 'link')
(here / 'folder').symlink_to('/etc', target_is_directory=True)
os.mkfifo(here / 'pipe')
os.makedirs(here / '/'.join('d' * 18))
open(os.fsencode(here) + b'/a\xff', 'w')
(here / 'a\n\x1b[31m').touch()
os.truncate(os.open(here / 'large', os.O_CREAT | os.O_RDWR), 100_000_001)
os.chdir(here)
socket.socket(socket.AF_UNIX).bind('door')
(here / 'z').write_text('kept')
"""


def test_what_is_not_kept_is_told(here: Project, tmp_path: Path) -> None:
    fill(here, one(WRONG))
    outcome = here.run("invoke", "one", "x")
    assert outcome.code == 0
    assert [line for line in outcome.err.splitlines() if line.startswith("warning")] == [
        "warning  it: left a??[31m, a? as artifacts, not kept: the name is not printable UTF-8",
        f"warning  it: left {'/'.join('d' * 17)} as artifacts, not kept: more than 16 folders within one another",
        "warning  it: left door, folder, link, pipe as artifacts, not kept: a link or a special file",
        "warning  it: left large as artifacts, not kept: larger than 100 MB",
    ]
    artifacts = json.loads(here.run("runs", "show", "last", "--json").out)["agents"][0]["artifacts"]
    assert [(each["name"], bool(each["sha256"])) for each in artifacts] == [("large", False), ("z", True)]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_folder_that_is_shut_is_opened(here: Project, tmp_path: Path) -> None:
    fill(here, one("(here / 'in').mkdir(); (here / 'in/a').write_text('x'); os.chmod(here / 'in', 0); os.chmod(here, 0o500)"))
    assert here.run("invoke", "one", "x").code == 0
    assert left(here) == ["it/in/a text/plain 1"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_program_may_remove_its_folder(here: Project) -> None:
    fill(here, one("here.rmdir(); print('ok')"))
    assert here.run("invoke", "one", "x")[0::2] == ("ok\n", 0)


def test_without_a_store_it_is_told_and_not_kept(here: Project, tmp_path: Path) -> None:
    fill(here, one("(here / 'a').write_text('gone')"))
    outcome = here.run("invoke", "one", "x", "--no-store", "--output-format", "json")
    assert outcome.code == 0
    assert "warning  it: left a as artifacts, not kept: nothing of this run is kept" in outcome.err
    assert json.loads(outcome.out)["agents"][0]["artifacts"] == [{"name": "a", "media_type": "text/plain", "bytes": 4, "sha256": None}]
    assert not (here.path / ".llm-orc/store").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_without_a_place_for_the_folder_the_program_runs(here: Project) -> None:
    fill(here, {".llm-orc/ensembles/one.yaml": "agents: [{name: it, command: [sh, -c, 'echo ${LLM_ORC_ARTIFACTS-none}']}]\n"})
    outcome = here.run("invoke", "one", "x", env={"TMPDIR": "/nowhere"})
    assert (outcome.out, outcome.code) == ("none\n", 0)
    assert "warning  it: has no folder for artifacts: /nowhere cannot be written" in outcome.err


def test_the_children_of_a_fan_out_do_not_collide(here: Project) -> None:
    agent = "{name: each, fan_out: {items: [x, y, x]}, command: [sh, -c, 'cat > $LLM_ORC_ARTIFACTS/a'], prompt: '{{ item }}'}"
    here.write(".llm-orc/ensembles/each.yaml", f"agents: [{agent}]\n")
    assert here.run("invoke", "each", "go").code == 0
    assert [here.run("runs", "show", "last", "--artifact", "a", "--agent", f"each[{n}]").out for n in range(3)] == ["x", "y", "x"]
    assert len(blobs(here)) == 2, "what is equal is kept once"
