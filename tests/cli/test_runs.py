"""What `llm-orc runs` says of the runs that are kept."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.test_main import modules_loaded_by
from tests.project import NewProject, Project

STORE = ".llm-orc/store/store.db"
FAN = """
name: fan
agents:
  - name: each
    fan_out: {items: [one, two, three]}
    command: [cat]
    prompt: "item {{ item }}"
  - name: bad
    depends_on: [each]
    command: [sh, -c, 'cat >/dev/null; echo "it is broken" >&2; exit 7']
"""


@pytest.fixture
def ran(here: Project) -> Project:
    """Two runs are kept: one of `echo`, then one of `fan`, of which an agent failed."""
    here.write(".llm-orc/ensembles/fan.yaml", FAN)
    assert here.run("invoke", "echo", "the first input").code == 0
    assert here.run("invoke", "fan", "the second").code == 1
    return here


def listed(here: Project, *flags: str) -> list[str]:
    outcome = here.run("runs", "list", *flags, "--json")
    assert outcome[1:] == ("", 0)
    return [run["ensemble"] for run in json.loads(outcome.out)]


def test_runs_are_listed_the_last_one_first(ran: Project) -> None:
    outcome = ran.run("runs", "list")
    first, second = outcome.out.splitlines()
    assert outcome[1:] == ("", 0)
    assert "fan " in first
    assert " failed " in first
    assert "5 agents, 1 failed" in first
    assert first.endswith("the second")
    assert " echo " in second
    assert " succeeded " in second


def test_a_listing_loads_nothing_that_runs_anything(ran: Project) -> None:
    loaded = modules_loaded_by(ran, "runs", "list")
    assert "sqlite3" in loaded
    assert loaded & {"aiohttp", "asyncio", "httpx", "jinja2", "rich", "ssl"} == set()


def test_a_listing_can_be_narrowed(ran: Project) -> None:
    assert listed(ran) == ["fan", "echo"]
    assert listed(ran, "--ensemble", "echo") == ["echo"]
    assert listed(ran, "--status", "failed") == ["fan"]
    assert listed(ran, "--since", "1h") == ["fan", "echo"]
    assert listed(ran, "--since", "2999-01-01") == []
    assert listed(ran, "--text", "ITEM two") == ["fan"]
    few = ran.run("runs", "list", "--limit", "1")
    assert few.out.split()[1] == "fan"
    assert few.err == "there are more: --limit 2, or --offset to leave some out\n"
    assert listed(ran, "--offset", "1") == ["echo"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--status", "faild"], "error: --status: nothing is 'faild'\nhint: did you mean 'failed'?\n"),
        (["--limit", "0"], "error: --limit: '0' is no number\nhint: a whole number, 1 or more\n"),
        (
            ["--since", "soon"],
            "error: --since: 'soon' is no time\nhint: --since 2h, --since 30min, --since 7d, or a date: --since 2026-01-31\n",
        ),
    ],
)
def test_what_is_wrong_with_a_flag(ran: Project, flags: list[str], said: str) -> None:
    assert ran.run("runs", "list", *flags) == ("", said, 2)


def test_on_a_narrow_terminal_the_input_has_a_line_of_its_own(ran: Project) -> None:
    first, second, third, fourth = ran.run_pty("runs", "list", cols=80).out.splitlines()
    assert [len(line) <= 80 for line in (first, third)] == [True, True]
    assert first.endswith("5 agents, 1 failed")
    assert (second, fourth) == ("  the second", "  the first input")
    assert len(ran.run_pty("runs", "list", cols=120).out.splitlines()) == 2


def test_an_event_is_one_line_of_a_terminal(ran: Project) -> None:
    whole = ran.run("runs", "show", "last", "--events").out.splitlines()
    assert max(map(len, whole)) > 60
    seen = ran.run_pty("runs", "show", "last", "--events", cols=60).out.splitlines()
    assert seen == [line if len(line) <= 60 else f"{line[:59]}…" for line in whole]


def test_a_pinned_run_is_marked_in_the_listing(ran: Project) -> None:
    assert "pinned" not in ran.run("runs", "list").out
    assert ran.run("runs", "prune", "--pin", "last").code == 0
    assert ["pinned" in line for line in ran.run("runs", "list").out.splitlines()] == [True, False]


def test_after_the_last_page_there_are_no_more_runs(ran: Project) -> None:
    assert ran.run("runs", "list", "--offset", "2") == ("", "no more runs are kept\n", 0)


def test_numbers_beyond_all_measure(ran: Project) -> None:
    endless = "9" * 30
    assert listed(ran, "--since", "999999999w") == ["fan", "echo"]
    for flags in (["list", "--limit", endless], ["show", "last", "--offset", endless], ["prune", "--keep", endless]):
        assert ran.run("runs", *flags).err.startswith(f"error: {flags[-2]}: '{endless}' is no number\nhint: ")
    assert "is no time" in ran.run("runs", "list", "--since", f"{endless}d").err
    assert "is no size" in ran.run("runs", "prune", "--max-size", f"{endless}GB").err


def test_a_run_is_shown_with_its_agents(ran: Project) -> None:
    outcome = ran.run("runs", "show", "last")
    head, numbers, given, _, *rows = outcome.out.splitlines()
    assert outcome[1:] == ("", 0)
    assert head.endswith("  fan  failed")
    assert "5 agents  1 failed" in numbers
    assert given == "input  the second"
    assert [row.split()[:2] for row in rows] == [
        ["each", "succeeded"],
        ["each[0]", "succeeded"],
        ["each[1]", "succeeded"],
        ["each[2]", "succeeded"],
        ["bad", "failed"],
    ]
    assert "3/3 done" in rows[0]
    assert "script: 'sh': exit code 7" in rows[4]


def test_the_result_is_shown(ran: Project) -> None:
    run_id = json.loads(ran.run("runs", "list", "--ensemble", "echo", "--json").out)[0]["run"]
    assert ran.run("runs", "show", run_id[-6:]).out.endswith("\nresult\nthe first input\n")
    assert ran.run("runs", "show", run_id, "--result") == ("the first input\n", "", 0)
    assert ran.run("runs", "show", "last", "--result", "--agent", "each[1]") == ("item two\n", "", 0)


def test_one_agent_is_shown_with_what_it_was_sent(ran: Project) -> None:
    outcome = ran.run("runs", "show", "last", "--agent", "bad")
    assert outcome[1:] == ("", 0)
    assert outcome.out.startswith("bad  failed\ncommand  ")
    assert "after each\n" in outcome.out
    assert "no reply\nscript: 'sh': exit code 7\nit is broken\n" in outcome.out
    each = ran.run("runs", "show", "last", "--agent", "each", "--limit", "1", "--offset", "1")
    assert 'reply\n["item one", "item two", "item three"]\n\neach[1]  succeeded' in each.out
    assert each.out.count("each[") == 1
    assert each.err == "there are more: --limit 2, or --offset to leave some out\n"


def test_the_json_of_a_run_is_that_of_invoke(here: Project) -> None:
    invoked = here.run("invoke", "two", "hello", "--output-format", "json")
    shown = here.run("runs", "show", "last", "--json")
    assert json.loads(shown.out) == json.loads(invoked.out)
    one = here.run("runs", "show", "last", "--agent", "good", "--json")
    assert json.loads(one.out) == json.loads(invoked.out)["agents"][0]


def test_the_events_of_a_run_are_those_of_invoke(here: Project) -> None:
    invoked = here.run("invoke", "echo", "hello", "--output-format", "jsonl")
    assert here.run("runs", "show", "last", "--events", "--json").out == invoked.out
    told = here.run("runs", "show", "last", "--events", "--agent", "echo").out.splitlines()
    assert "answered" in told[-1].split()
    assert told[-1].endswith("hello")


def sought(here: Project, *flags: str) -> list[str]:
    outcome = here.run("runs", "show", "last", *flags, "--json")
    assert outcome[1:] == ("", 0)
    return [node["id"] for node in json.loads(outcome.out)]


def test_nodes_are_found_wherever_they_stand(ran: Project) -> None:
    assert sought(ran, "--status", "failed") == ["bad"]
    assert sought(ran, "--body", "command") == ["each", "bad", "each[0]", "each[1]", "each[2]"]
    assert sought(ran, "--status", "succeeded", "--agent", "each") == ["each[0]", "each[1]", "each[2]"]
    assert sought(ran, "--since", "1h", "--status", "failed") == ["bad"]
    assert sought(ran, "--since", "2999-01-01") == []
    assert sought(ran, "--model", "gpt") == []
    assert ran.run("runs", "show", "last", "--status", "pending") == ("", "no node is like this\n", 0)
    outcome = ran.run("runs", "show", "last", "--status", "succeeded", "--limit", "2", "--offset", "1")
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["each[0]", "each[1]"]
    assert outcome[1:] == ("there are more: --limit 4, or --offset to leave some out\n", 0)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--status", "partial"], "error: --status: nothing is 'partial'\nhint: there are: pending, running"),
        (["--body", "modl"], "error: --body: nothing is 'modl'\nhint: did you mean 'model'?"),
        (["--events", "--status", "failed"], "error: --status does nothing with --events\nhint: leave one of them out"),
        (["--result", "--json"], "error: --json does nothing with --result"),
        (["--json", "--limit", "3"], "error: --limit does nothing with --json"),
        (["--agent", "nobody", "--status", "failed"], "error: the run has no node 'nobody'"),
    ],
)
def test_what_does_not_go_together(ran: Project, flags: list[str], said: str) -> None:
    outcome = ran.run("runs", "show", "last", *flags)
    assert outcome[::2] == ("", 2)
    assert outcome.err.startswith(said)


def test_names_that_are_nobodys(ran: Project) -> None:
    assert ran.run("runs", "show", "x") == ("", "error: no run 'x'\nhint: see: llm-orc runs list\n", 2)
    assert ran.run("runs", "show", "last", "--agent", "eech") == ("", "error: the run has no node 'eech'\nhint: did you mean 'each'?\n", 2)


def test_where_nothing_is_kept_that_is_said(here: Project) -> None:
    outcome = here.run("runs", "list")
    assert outcome.code == 2
    assert "no run is kept here\nhint: run something: llm-orc invoke ENSEMBLE\n" in outcome.err
    assert not (here.path / STORE).exists()


@pytest.mark.parametrize(
    ("flags", "config", "env"),
    [
        (["--no-store"], "", {}),
        ([], "store: off\n", {}),
        ([], "", {"LLM_ORC_STORE": "off"}),
    ],
)
def test_nothing_is_kept_where_that_is_wanted(here: Project, flags: list[str], config: str, env: dict[str, str]) -> None:
    here.write(".llm-orc/config.yaml", config)
    outcome = here.run("invoke", "echo", "hello", *flags, env=env)
    assert outcome[::2] == ("hello\n", 0)
    assert re.fullmatch(r"echo succeeded  1 succeeded  \S+ s\n", outcome.err)
    assert not (here.path / ".llm-orc/store").exists()


def test_runs_are_kept_where_the_settings_say(here: Project) -> None:
    here.write(".llm-orc/config.yaml", "store: {path: kept}\n")
    here.run("invoke", "echo", "hello")
    here.run("invoke", "echo", "hello", env={"LLM_ORC_STORE": "{path: there}"})
    assert (here.path / "kept/store.db").exists()
    assert (here.path / "there/store.db").exists()
    assert not (here.path / ".llm-orc/store").exists()


def test_without_a_project_runs_are_kept_in_the_users_state(project: NewProject) -> None:
    bare = project()
    bare.run("invoke", "examples/nested", "hello")
    assert (bare.home / ".local/state/llm-orc/store.db").exists()
    bare.run("invoke", "examples/nested", "hello", env={"XDG_STATE_HOME": str(bare.home / "state")})
    assert (bare.home / "state/llm-orc/store.db").exists()


@pytest.mark.parametrize(
    "change", ["runs SET started_at = 'x'", "runs SET status = char(27)", "runs SET last_at = 1e30", "nodes SET status = '?'"]
)
def test_a_store_that_somebody_else_has_written(ran: Project, change: str) -> None:
    with closing(sqlite3.connect(ran.path / ".llm-orc/store/store.db")) as store, store:
        store.execute(f"UPDATE {change}")
    for words in (("show", "last"), ("graph", "last")):
        outcome = ran.run("runs", *words)
        assert outcome.code == 2
        assert "store.db: holds what no llm-orc has written\nhint: move the folder away" in outcome.err


def test_a_store_that_leads_out_of_an_untrusted_project_is_not_written(project: NewProject) -> None:
    here = project({".llm-orc/ensembles/own.yaml": "agents: [{name: a, model_profile: embedded}]\n", "~/elsewhere/x": ""})
    (here.path / ".llm-orc/store").symlink_to(here.home / "elsewhere")
    outcome = here.run("invoke", "own", "hello")
    assert outcome.code == 0
    assert "lies outside of the project" in outcome.err
    assert sorted(path.name for path in (here.home / "elsewhere").iterdir()) == ["x"]


def make_broken(file: Path) -> None:
    file.write_bytes(b"no database at all" * 1000)


def make_newer(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def make_a_folder(file: Path) -> None:
    for each in (file, file.with_name("store.db-wal"), file.with_name("store.db-shm")):
        each.unlink(missing_ok=True)
    file.mkdir()


@pytest.mark.parametrize(
    ("damage", "what", "hint"),
    [
        (make_broken, "is broken", "move the folder away, and a new store is made"),
        (make_newer, "was written by a newer llm-orc", "update this one, or keep runs elsewhere"),
        (make_a_folder, "cannot be written", "keep runs elsewhere, store: {path: FOLDER} in config.yaml, or none of them: --no-store"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_warning(here: Project, damage: object, what: str, hint: str) -> None:
    here.run("invoke", "echo", "hello")
    file = here.path / STORE
    for log in ("store.db-wal", "store.db-shm"):
        file.with_name(log).unlink(missing_ok=True)
    damage(file)  # type: ignore[operator]
    outcome = here.run("invoke", "echo", "hello")
    assert outcome[::2] == ("hello\n", 0)
    err = outcome.err.replace(f"{here.path}/", "")
    assert err.startswith(f"{STORE}: warning: {what}: this run is not kept\nhint: {hint}\necho succeeded")

    shown = here.run("runs", "list")
    assert shown[::2] == ("", 2)
    assert shown.err == f"{file}: {what}\nhint: {hint}\n"


def test_ids_are_completed(ran: Project) -> None:
    env = {"_LLM_ORC_COMPLETE": "complete_bash", "COMP_WORDS": "llm-orc runs show l", "COMP_CWORD": "3"}
    assert ran.run(env=env).out.split() == ["last"]
    ids = [run["run"] for run in json.loads(ran.run("runs", "list", "--json").out)]
    env = {"_LLM_ORC_COMPLETE": "complete_bash", "COMP_WORDS": f"llm-orc runs show {ids[0][:4]}", "COMP_CWORD": "3"}
    assert ran.run(env=env).out.split() == ids
    for typed, known in (("", ["each", "bad"]), ("each[", ["each[0]", "each[1]", "each[2]"]), ("b", ["bad"])):
        words = {"COMP_WORDS": f"llm-orc runs show last --agent {typed}", "COMP_CWORD": "5"}
        assert ran.run(env={"_LLM_ORC_COMPLETE": "complete_bash", **words}).out.split() == known


def test_runs_are_forgotten_by_number_age_and_size(ran: Project) -> None:
    dry = ran.run("runs", "prune", "--keep", "1", "--dry-run")
    assert dry[1:] == ("1 run would be forgotten\n", 0)
    assert " echo " in dry.out
    assert listed(ran) == ["fan", "echo"]
    for flags in (["--older-than", "1h"], ["--max-size", "1GB"], ["--keep", "2"]):
        assert ran.run("runs", "prune", *flags) == ("", "0 runs forgotten\n", 0)
    assert ran.run("runs", "prune", "--pin", "last").err.startswith("pinned: ")
    assert ran.run("runs", "prune", "--keep", "0").err == "1 run forgotten\n"
    assert listed(ran) == ["fan"]
    unpinned = ran.run("runs", "prune", "--unpin", "last", "--max-size", "0KB", "--json")
    assert [run["ensemble"] for run in json.loads(unpinned.out)] == ["fan"]
    assert listed(ran) == []


def test_what_is_to_be_forgotten_has_to_be_said(ran: Project) -> None:
    outcome = ran.run("runs", "prune")
    assert outcome[::2] == ("", 2)
    assert outcome.err.startswith("error: nothing says which runs to forget\nhint: llm-orc runs prune --older-than 30d")
    assert "--max-size: '5' is no size" in ran.run("runs", "prune", "--max-size", "5").err
    ran.write(".llm-orc/config.yaml", "store: {keep: 1}\n")
    assert ran.run("runs", "prune").err == "1 run forgotten\n"


def test_a_run_forgets_those_that_are_too_many(ran: Project) -> None:
    ran.write(".llm-orc/config.yaml", "store: {keep: 2}\n")
    ran.run("invoke", "echo", "again")
    assert listed(ran) == ["echo", "fan"]


def test_without_a_home_nothing_is_kept_and_nothing_is_made(project: NewProject) -> None:
    here = project()
    nowhere = {"HOME": str(here.home / "nowhere")}
    said = "there is no home folder, where runs are kept\nhint: set HOME or XDG_STATE_HOME, or say in config.yaml: store: {path: FOLDER}\n"
    ran = here.run("invoke", "examples/defaults", env=nowhere)
    assert ran.code == 0
    assert ran.err.startswith(f"warning: {said}")
    assert here.run("runs", "list", env=nowhere) == ("", f"error: {said}", 2)
    assert not (here.home / "nowhere").exists()
    assert here.run("invoke", "examples/defaults", env={**nowhere, "XDG_STATE_HOME": str(here.home / "state")}).code == 0
    assert (here.home / "state/llm-orc/store.db").exists()
