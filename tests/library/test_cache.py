"""The cache: a true server counts what reaches it, and nothing that was answered before does."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

import llm_orc
from llm_orc.domain.problem import ProblemError
from tests.library.cached import CHAIN, ONE, OWN, SERVER, agents, echo, made, profile, ran
from tests.project import NewProject, Project
from tests.servers.fixtures import NewServer
from tests.servers.openai import Scripted


def test_the_second_run_sends_nothing_and_says_the_same(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(echo)
    here = made(project, server)
    first, second = ran(here), ran(here)
    assert len(server.chats) == 2
    assert first["result"] == second["result"] == "to Go on: to hello"
    assert [agent["cached"] for agent in first["agents"]] == [False, False]
    again = agents(second)
    assert [agent["status"] for agent in again.values()] == ["succeeded", "succeeded"]
    assert [agent["cached"] for agent in again.values()] == [True, True]
    # Of this run nothing is paid; what was, is told apart.
    assert (again["first"]["usage"]["total"], again["first"]["cost"], again["first"]["attempts"]) == (0, 0.0, None)
    assert again["first"]["saved"] == {"usage": first["agents"][0]["usage"], "cost": pytest.approx(0.00012)}
    assert (again["first"]["prompt"], again["first"]["model"], again["first"]["finish"]) == ("hello", "m", "stop")
    totals = second["totals"]
    assert (totals["usage"]["total"], totals["cost"], totals["models"], totals["endpoints"]) == (0, 0.0, {}, {})
    assert (totals["cached"], totals["saved"]["usage"]["total"], totals["saved"]["cost"]) == (2, 220, pytest.approx(0.00024))
    assert (first["totals"]["cached"], first["totals"]["saved"]) == (0, None)


def test_it_is_off_unless_it_is_asked_for(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(echo)
    here = made(project, server, "agents: [{name: a, model_profile: server}, {name: b, model_profile: server}]")
    for _ in range(2):
        ran(here)
    assert len(server.chats) == 4


@pytest.mark.parametrize(
    ("says", "flag", "wanted"),
    [
        ({}, True, True),
        ({"config": "true"}, None, True),
        ({"config": "true"}, False, False),
        ({"config": "true", "profile": "false"}, None, False),
        ({"profile": "true"}, None, True),
        ({"profile": "true", "ensemble": "false"}, None, False),
        ({"ensemble": "true"}, None, True),
        ({"ensemble": "true", "defaults": "false"}, None, False),
        ({"ensemble": "true", "defaults": "false", "agent": "true"}, None, True),
        ({"defaults": "true", "agent": "false"}, None, False),
        ({"agent": "false"}, True, True),
        ({"environment": "1"}, None, True),
        ({"environment": "false", "config": "true"}, None, False),
    ],
)
def test_the_nearest_word_wins(
    project: NewProject, openai_server: NewServer, says: Mapping[str, str], flag: object, wanted: object
) -> None:
    server = openai_server()
    said = {name: f"cache: {says[name]}" if name in says else "" for name in ("config", "profile", "ensemble", "defaults", "agent")}
    defaults = f"defaults: {{{said['defaults']}}}\n" if said["defaults"] else ""
    own = f"{said['ensemble']}\n{defaults}agents:\n  - name: a\n    model_profile: server\n    {said['agent']}\n"
    here = made(project, server, own, {".llm-orc/config.yaml": said["config"]})
    here.write(SERVER, profile(server, said["profile"]))
    for _ in range(2):
        ran(here, env={"LLM_ORC_CACHE": says.get("environment", "")}, cache=flag)
    assert len(server.chats) == (1 if wanted else 2)


def test_a_flag_goes_for_children_and_the_synthesis(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(echo)
    own = """
    agents: [{name: a, ensemble: below}, {name: b, model_profile: server}]
    synthesis: {model_profile: server, prompt: Merge.}
    """
    here = made(project, server, own, {".llm-orc/ensembles/below.yaml": "agents: [{name: c, model_profile: server, prompt: Look.}]"})
    first, again = (ran(here, cache=True) for _ in range(2))
    assert len(server.chats) == 3
    assert first["result"] == again["result"]
    assert agents(again)["a"]["children"][0]["cached"] is True
    assert agents(again)["a"]["cached"] is False, "a child run is no reply of its own"
    assert agents(again)["a"]["saved"]["usage"]["total"] == 110


def test_a_synthesis_has_the_key_too(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(echo)
    own = "agents: [{name: a, model_profile: server}]\nsynthesis: {model_profile: server, prompt: Merge., cache: true}"
    here = made(project, server, own)
    for _ in range(2):
        ran(here)
    assert len(server.chats) == 3


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("", "", []),
        ("temperature: 0.5", "temperature: 0.6", ["temperature"]),
        ("You are brief.", "You are long.", ["system prompt"]),
        ("name: first", "name: first, model_profile: other", ["model"]),
        ("temperature: 0.5", "max_tokens: 9, stop: [x]", ["max_tokens", "stop", "temperature"]),
        ("temperature: 0.5", "temperature: 0.5, options: {top_k: 3}", ["option top_k"]),
        ("temperature: 0.5", "temperature: 0.5, seed: 1, output_schema: {type: object}", ["output_schema", "seed"]),
        ("temperature: 0.5", "temperature: 0.5, attachments: [note.txt]", ["attachments"]),
        ("name: first", "name: first, prompt: Say this.", ["prompt"]),
        # What is not sent makes no difference.
        ("name: first", "name: first, timeout_seconds: 50, retry: {attempts: 7}, fallback: [other], when: true, require: 0", []),
    ],
)
def test_what_changed_is_said(project: NewProject, openai_server: NewServer, old: str, new: str, parts: list[str]) -> None:
    server = openai_server(lambda _: Scripted('{"a": 1}'))
    here = made(project, server, files={"note.txt": "a note"})
    here.write(".llm-orc/profiles/other.yaml", profile(server).replace("model: m", "model: n"))
    ran(here)
    here.write(OWN, CHAIN.replace(old, new))
    again = agents(ran(here))
    assert sorted(again["first"]["changed"]) == parts
    assert again["first"]["cached"] is not bool(parts)
    assert again["second"]["cached"], "what was asked anew said the same as before"


def test_the_nearest_of_what_is_kept_is_compared(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server()
    here = made(project, server, ONE)
    for text, keys in (("x", "temperature: 0.1"), ("y", "seed: 3, top_p: 0.5")):
        here.write(OWN, ONE.replace("server}", f"server, {keys}}}"))
        ran(here, text)
    here.write(OWN, ONE.replace("server}", "server, temperature: 0.2}"))
    assert agents(ran(here, "x"))["a"]["changed"] == ["temperature"]


def test_another_key_is_no_other_request(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server()
    here = made(project, server)
    for key in ("one-key-000000000000", "two-key-000000000000"):
        ran(here, env={"OPENAI_COMPATIBLE_API_KEY": key, "LLM_ORC_TRUSTED_HOSTS": server.base_url.removesuffix("/v1")})
    assert [request.headers["authorization"] for request in server.chats] == ["Bearer one-key-000000000000"] * 2
    store = b"".join(file.read_bytes() for file in (here.path / ".llm-orc/store").glob("store.db*"))
    assert b"-key-0000" not in store


def test_a_model_elsewhere_is_another(project: NewProject, openai_server: NewServer) -> None:
    one, other = openai_server(), openai_server()
    here = made(project, one)
    ran(here)
    here.write(SERVER, profile(other))
    assert agents(ran(here))["first"]["changed"] == ["address"]
    assert len(other.chats) == 2


def test_failures_are_never_kept(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": [400, "at last"]})
    here = made(project, server, ONE)
    assert agents(ran(here))["a"]["status"] == "failed"
    assert [ran(here)["result"] for _ in range(2)] == ["at last", "at last"]
    assert len(server.chats) == 2


def test_a_repaired_reply_is_kept_as_it_is_good(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": ["no json", '{"a": 1}']})
    here = made(project, server, "cache: true\nagents: [{name: a, model_profile: server, output_schema: {type: object}}]")
    first, again = ran(here), ran(here)
    assert len(server.chats) == 2
    assert again["agents"][0]["json"] == {"a": 1}
    assert again["agents"][0]["saved"]["usage"] == first["agents"][0]["usage"], "the first attempt cost something, too"


def test_a_reply_that_a_budget_cut_is_not_kept(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(lambda _: Scripted("cut", finish_reason="length"))
    here = made(project, server, ONE)
    for _ in range(2):
        ran(here, max_cost=1)
    assert len(server.chats) == 2
    here.write(OWN, ONE.replace("server}", "server, max_tokens: 1}"))
    for _ in range(2):
        ran(here)
    assert len(server.chats) == 3


def test_what_is_kept_fits_into_any_budget(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(echo)
    here = made(project, server)
    ran(here)
    assert ran(here, max_cost=1e-7)["status"] == "succeeded"
    assert ran(here, "new", max_cost=1e-7)["status"] == "failed"
    assert len(server.chats) == 2


def test_equal_requests_share_one_call(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(echo, latency=0.2)
    here = made(project, server, "cache: true\nagents: [{name: a, model_profile: server, fan_out: {items: [x, y, x, x]}}]")
    told = ran(here)
    assert len(server.chats) == 2
    children = told["agents"][0]["children"]
    assert [child["text"] for child in children] == ["to x", "to y", "to x", "to x"]
    assert [child["cached"] for child in children] == [False, False, True, True]
    assert (told["totals"]["usage"]["total"], told["totals"]["saved"]["usage"]["total"]) == (220, 220)


def test_a_fallback_is_kept_as_its_own(project: NewProject, openai_server: NewServer) -> None:
    broken, server = openai_server({"": 401}), openai_server()
    here = made(project, server, "cache: true\nagents: [{name: a, model_profile: broken, fallback: [server]}]")
    here.write(".llm-orc/profiles/broken.yaml", profile(broken))
    ran(here)
    told = ran(here)["agents"][0]
    assert (len(broken.chats), len(server.chats)) == (2, 1)
    assert (told["cached"], told["profile"], told["fell_back"][0]["profile"]) == (True, "server", "broken")


def test_without_a_store_it_holds_within_the_run(project: NewProject, openai_server: NewServer, caplog: pytest.LogCaptureFixture) -> None:
    server = openai_server(echo)
    here = made(project, server, CHAIN.replace("Go on: {{ agents.first }}", "{{ input }}").replace("system_prompt: You are brief.,", ""))
    here.write(OWN, "agents: [{name: a, model_profile: server}, {name: b, depends_on: [a], prompt: '{{ input }}', model_profile: server}]")
    for number in (1, 2):
        told = ran(here, store=False, cache=True)
        assert [agent["cached"] for agent in told["agents"]] == [False, True]
        assert len(server.chats) == number
    assert not (here.path / ".llm-orc/store").exists()
    assert "replies are reused within this run only" in caplog.text


@pytest.mark.parametrize("damage", ["broken", "newer", "row", "texts"])
def test_a_store_that_cannot_be_used_costs_calls_and_not_the_run(
    project: NewProject, openai_server: NewServer, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    server = openai_server({"": "long " * 10_000})
    here = made(project, server, ONE)
    ran(here)
    folder = here.path / ".llm-orc/store"
    if damage == "broken":
        for file in folder.glob("store.db*"):
            file.write_bytes(b"no database at all" * 500)
    elif damage == "texts":
        for file in (folder / "blobs").iterdir():
            file.unlink()
    else:
        with closing(sqlite3.connect(folder / "store.db", isolation_level=None)) as connection:
            connection.execute("PRAGMA user_version = 999" if damage == "newer" else "UPDATE replies SET reply = '{', parts = '['")
    assert ran(here, cache=True)["result"] == "long " * 10_000
    assert len(server.chats) == 2
    assert ("this run is not kept" in caplog.text) == (damage in ("broken", "newer"))
    assert ("reused within this run only" in caplog.text) == (damage in ("broken", "newer"))
    if damage in ("row", "texts"):
        assert ran(here)["agents"][0]["cached"], "what was lost is kept again"


def test_a_key_that_a_server_repeats_is_not_kept(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(lambda request: request.headers["authorization"])
    here = made(project, server, ONE)
    env = {"OPENAI_COMPATIBLE_API_KEY": "one-key-7f3a9c1e55d2", "LLM_ORC_TRUSTED_HOSTS": server.base_url.removesuffix("/v1")}
    assert [ran(here, env=env)["result"] for _ in range(2)] == ["Bearer [key]"] * 2
    assert len(server.chats) == 1
    store = b"".join(file.read_bytes() for file in (here.path / ".llm-orc/store").rglob("*") if file.is_file())
    assert b"one-key-7f3a" not in store


def test_a_callable_is_asked_once_too(project: NewProject) -> None:
    asked = []

    async def shout(prompt: str) -> str:
        asked.append(prompt)
        return prompt.upper()

    here = project({OWN: "cache: true\nagents: [{name: a, provider: mine, model: x}]"})
    assert [ran(here, providers={"mine": shout})["result"] for _ in range(2)] == ["HELLO", "HELLO"]
    assert asked == ["hello"]


@pytest.mark.parametrize(
    ("ensemble", "place", "what"),
    [
        ("cache: sometimes\nagents: [{name: a}]", "1:8", "'cache' must be true or false, not 'sometimes'"),
        ("agents: [{name: a, cache: 3}]", "1:27", "'cache' must be true or false, not 3"),
        ("agents: [{name: b, script: x.py, cache: true}]", "1:10", "'cache' goes with 'pure: true'"),
        ("agents: [{name: c, ensemble: x, cache: true}]", "1:33", "'cache' belongs to model, script and command agents"),
        ("agents: [{name: a, pure: true}]", "1:20", "'pure' belongs to script and command agents"),
    ],
)
def test_wrong_words_are_told_where_they_stand(tmp_path: Path, ensemble: str, place: str, what: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(ensemble)
    with pytest.raises(ProblemError) as caught:
        llm_orc.run(str(file), "x", cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert any(f"own.yaml:{place}: {what}" in str(problem) for problem in caught.value.problems), caught.value


COUNTED = """
import json, os, sys
handed = json.load(sys.stdin)
with open("runs.txt", "a") as runs:
    print("ran", file=runs)
print(handed["input"], handed["parameters"], os.environ.get("TELLS", ""), (handed["dependencies"] or {}).get("a", {}).get("text", ""))
"""
SCRIPT = "cache: true\nagents:\n  - {name: s, script: s.py, pure: true, parameters: {n: 1}, env: [TELLS]}\n"


def times(here: Project) -> int:
    """How often the script ran."""
    return (here.path / "runs.txt").read_text().count("ran")


def test_a_script_is_run_again_unless_it_says_that_it_is_pure(project: NewProject) -> None:
    here = project({OWN: SCRIPT, ".llm-orc/scripts/s.py": COUNTED}, trusted=True)
    first, again = ran(here), ran(here)
    assert first["result"] == again["result"] == "hello {'n': 1}  \n"
    assert [told["agents"][0]["cached"] for told in (first, again)] == [False, True]
    assert (times(here), again["agents"][0]["finish"], again["totals"]["cached"]) == (1, None, 1)
    here.write(OWN, SCRIPT.replace("pure: true", "pure: false"))
    ran(here)
    assert times(here) == 2


@pytest.mark.parametrize(
    ("change", "part"),
    [("input", "input"), ("parameters", "parameters"), ("file", "script"), ("environment", "env TELLS"), ("another variable", "")],
)
def test_what_makes_a_script_another(project: NewProject, change: str, part: str) -> None:
    here = project({OWN: SCRIPT, ".llm-orc/scripts/s.py": COUNTED}, trusted=True)
    ran(here)
    if change == "parameters":
        here.write(OWN, SCRIPT.replace("n: 1", "n: 2"))
    if change == "file":
        here.write(".llm-orc/scripts/s.py", COUNTED + "# more\n")
    env = {"environment": {"TELLS": "something-secret"}, "another variable": {"LANG": "C"}}.get(change)
    told = ran(here, "other" if change == "input" else "hello", env)["agents"][0]
    assert (told["changed"], told["cached"], times(here)) == ([part] if part else [], not part, 2 if part else 1)
    with closing(sqlite3.connect(here.path / ".llm-orc/store/store.db")) as connection:
        rows = connection.execute("SELECT parts FROM replies").fetchall()
    assert "something-secret" not in str(rows)


def test_what_a_dependency_took_is_no_part_of_what_a_script_works_on(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(echo)
    own = SCRIPT.replace("env: [TELLS]", "depends_on: [a]") + "  - {name: a, model_profile: server}\n"
    here = made(project, server, own, {".llm-orc/scripts/s.py": COUNTED})
    ran(here)
    assert agents(ran(here))["s"]["cached"]
    assert (times(here), len(server.chats)) == (1, 1)
    assert agents(ran(here, "other"))["s"]["changed"] == ["input", "dependencies"]


def test_a_script_that_leaves_files_or_fails_is_run_again(project: NewProject) -> None:
    leaving = COUNTED + "open(os.environ['LLM_ORC_ARTIFACTS'] + '/x.txt', 'w').write('x')\n"
    here = project({OWN: SCRIPT, ".llm-orc/scripts/s.py": leaving}, trusted=True)
    assert [ran(here)["agents"][0]["artifacts"][0]["name"] for _ in range(2)] == ["x.txt", "x.txt"]
    assert times(here) == 2
    here.write(".llm-orc/scripts/s.py", COUNTED + "sys.exit(1)\n")
    assert [ran(here)["agents"][0]["status"] for _ in range(2)] == ["failed", "failed"]
    assert times(here) == 4


def test_a_command_is_known_by_its_program_its_words_and_its_stdin(project: NewProject) -> None:
    here = project({OWN: 'agents: [{name: c, command: [./count.sh, "x"], pure: true, cache: true}]'}, trusted=True)
    here.write("count.sh", "#!/bin/sh\necho ran >> runs.txt\ncat\n")
    assert [ran(here)["result"] for _ in range(2)] == ["hello", "hello"]
    assert times(here) == 1
    assert ran(here, "other")["agents"][0]["changed"] == ["stdin"]
    here.write("count.sh", "#!/bin/sh\necho ran >> runs.txt\ncat; echo\n")
    assert ran(here)["agents"][0]["changed"] == ["program"]
    here.write(OWN, 'agents: [{name: c, command: [./count.sh, "y"], pure: true, cache: true}]')
    assert ran(here)["agents"][0]["changed"] == ["command"]
    assert times(here) == 4


def test_equal_scripts_at_once_are_one_process(project: NewProject) -> None:
    own = "cache: true\nagents: [{name: s, script: s.py, pure: true, fan_out: {items: [x, y, x]}}]"
    here = project({OWN: own, ".llm-orc/scripts/s.py": COUNTED}, trusted=True)
    assert [child["cached"] for child in ran(here)["agents"][0]["children"]] == [False, False, True]
    assert times(here) == 2
