"""Retries, fallbacks, schemas and limits as a user meets them: the true command line on true servers."""

import asyncio
import json
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import llm_orc
from llm_orc import Ensemble, Profile
from llm_orc.domain.run import Run
from tests.project import NewProject, Project, run
from tests.servers.faults import FaultServer
from tests.servers.fixtures import NewServer
from tests.servers.openai import OpenAIServer, Scripted
from tests.servers.wire import Connection, Received, ThreadServer

NOBODY = "http://127.0.0.1:1"
ALONE = {"LMSTUDIO_BASE_URL": f"{NOBODY}/v1", "OLLAMA_HOST": NOBODY}
AT_ONCE = {"Retry-After": "0"}
AGAIN = Scripted(status=503, headers=AT_ONCE)


def profile(name: str, url: str, **keys: Any) -> str:
    """A profile file."""
    return json.dumps({"provider": "openai-compatible", "model": f"{name}-model", "base_url": url, **keys})


def at(project: NewProject, agents: object, profiles: Mapping[str, str], **files: str) -> Project:
    """A project with the ensemble `x`, whose words may be a list of agents or all of it."""
    body = agents if isinstance(agents, dict) else {"agents": agents}
    told = {f".llm-orc/profiles/{name}.yaml": text for name, text in profiles.items()}
    more = {f".llm-orc/{name.replace('__', '/').replace('_', '.')}": text for name, text in files.items()}
    return project({".llm-orc/ensembles/x.yaml": json.dumps({"name": "x", **body}), **told, **more})


def ask(name: str = "a", **keys: Any) -> dict[str, Any]:
    return {"name": name, "model_profile": "p", **keys}


def told(here: Project, *flags: str, env: Mapping[str, str] | None = None) -> tuple[dict[str, Any], str, int]:
    """The JSON of a run, what was said on stderr, and the exit code."""
    outcome = here.run("invoke", "x", "hi", "--output-format", "json", *flags, env=env)
    return json.loads(outcome.out), outcome.err, outcome.code


# Retries


@pytest.mark.parametrize(
    ("fault", "attempts", "requests"),
    [
        ("503", None, 3),
        ("503", 1, 1),
        ("429", 5, 5),
        ("html", 2, 2),
        ("empty", 2, 2),
        ("401", 5, 1),
        ("403", 5, 1),
        ("404", 5, 1),
        ("400", 5, 1),
    ],
)
def test_exactly_so_many_requests_reach_the_server(
    project: NewProject, faults_server: FaultServer, fault: str, attempts: int | None, requests: int
) -> None:
    retry: dict[str, Any] = {"retry": {"attempts": attempts}} if attempts else {}
    url = faults_server.url(fault, retry_after="0") if fault in {"503", "429"} else faults_server.url(fault)
    run, _, code = told(at(project, [ask(**retry)], {"p": profile("p", url)}))
    assert (faults_server.counts[fault], run["agents"][0]["attempts"], code) == (requests, requests, 1)
    assert run["agents"][0]["status"] == "failed"


def test_a_reply_after_failures_is_a_success_and_its_attempts_are_told(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": [AGAIN, AGAIN, "fine"]})
    run, _, code = told(at(project, [ask()], {"p": profile("p", server.base_url)}))
    assert (run["result"], run["agents"][0]["attempts"], len(server.chats), code) == ("fine", 3, 3, 0)


def test_what_the_server_asks_for_is_longer_than_the_agent_may_take(project: NewProject, faults_server: FaultServer) -> None:
    url = faults_server.url("429", retry_after="3600")
    run, _, code = told(at(project, [ask(timeout_seconds=30)], {"p": profile("p", url)}))
    assert (run["agents"][0]["cause"].partition(":")[0], faults_server.counts["429"], code) == ("rate_limit", 1, 1)


# Fallbacks


def test_another_model_answers_and_all_formats_say_which(project: NewProject, faults_server: FaultServer, openai_server: NewServer) -> None:
    server = openai_server({"": Scripted("fine", usage=(10, 5))})
    profiles = {
        "p": profile("p", faults_server.url("503", retry_after="0"), fallback=["gone", "q"]),
        "gone": profile("gone", f"{NOBODY}/v1"),
        "q": profile("q", server.base_url, price={"input": 1.0, "output": 2.0}),
    }
    here = at(project, [ask(retry={"attempts": 1})], profiles)
    run, err, code = told(here)
    agent = run["agents"][0]
    assert (agent["profile"], agent["provider"], agent["model"]) == ("q", "openai-compatible", "q-model")
    assert [each["profile"] for each in agent["fell_back"]] == ["p", "gone"]
    assert [each["cause"].partition(":")[0] for each in agent["fell_back"]] == ["server", "network"]
    assert (agent["attempts"], agent["cost"], run["totals"]["cost"], code) == (3, 20e-6, 20e-6, 0)
    assert agent["usage"]["input"] == run["totals"]["usage"]["input"] == 10
    assert "fell back  a: q answered instead of p (p: server: " in " ".join(err.split("\n")).replace("  ", "  ")
    assert here.run("invoke", "x", "hi").out == "fine\n"


def test_a_tier_without_a_model_falls_back_at_load_and_says_so(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": "fine"})
    agents = [{"name": "a", "model_profile": "careful", "fallback": ["q"]}, {"name": "b", "depends_on": ["a"], "model_profile": "q"}]
    here = at(project, agents, {"q": profile("q", server.base_url)})
    run, err, code = told(here, env=ALONE)
    assert (run["agents"][0]["profile"], run["agents"][0]["status"], code) == ("q", "succeeded", 0)
    assert run["agents"][0]["fell_back"] == [{"profile": "careful", "cause": "offline: no model was found for 'careful'"}]
    assert "fell back  a: q answered instead of careful (careful: offline: no model was found for 'careful')" in err


@pytest.mark.parametrize("alone", [{"name": "b", "model_profile": "fast"}, {"name": "b", "model_profile": "careful", "fallback": ["fast"]}])
def test_an_agent_without_another_way_is_said_before_anything_runs(
    project: NewProject, openai_server: NewServer, alone: dict[str, Any]
) -> None:
    server = openai_server({"": "fine"})
    here = at(project, [{"name": "a", "model_profile": "careful", "fallback": ["q"]}, alone], {"q": profile("q", server.base_url)})
    outcome = here.run("invoke", "x", "hi", env=ALONE)
    assert (outcome.out, outcome.code, server.chats) == ("", 2, [])
    assert "no model can be reached for " in outcome.err
    assert "fast" in outcome.err


def test_a_tier_that_is_there_is_chosen_beside_one_that_falls_back(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": "fine"}, models=["chat"])
    agents = [{"name": "a", "model_profile": "fast"}, {"name": "b", "model_profile": "sees", "requires": ["vision"], "fallback": ["q"]}]
    sees = json.dumps({"provider": "auto", "model": "careful"})
    here = at(project, agents, {"sees": sees, "q": profile("q", server.base_url)})
    run, err, code = told(here, env={**ALONE, "LMSTUDIO_BASE_URL": server.base_url})
    assert [(agent["provider"], agent["model"]) for agent in run["agents"]] == [("lmstudio", "chat"), ("openai-compatible", "q-model")]
    assert code == 0
    assert "fast -> lmstudio/chat" in err


def test_offline_the_model_on_this_machine_answers_for_one_that_is_elsewhere(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": "fine"})
    profiles = {"p": profile("p", "https://api.example.com/v1"), "q": profile("q", server.base_url)}
    here = at(project, [ask(fallback=["q"]), ask("b")], profiles)
    run, err, code = told(here, "--offline")
    assert [(agent["status"], agent["profile"] or agent["cause"]) for agent in run["agents"]] == [
        ("succeeded", "q"),
        ("skipped", "offline"),
    ]
    assert code == 0
    assert "q answered instead of p (p: offline: openai-compatible/p-model is not on this machine)" in err


def test_with_an_empty_input_a_fallback_that_would_read_it_is_a_problem(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": "fine"})
    here = at(project, [ask(fallback=["q"])], {"p": profile("p", "https://api.example.com/v1"), "q": profile("q", server.base_url)})
    outcome = here.run("invoke", "x", "--offline")
    assert (outcome.code, server.chats) == (2, [])
    assert "nothing to work on" in outcome.err


# Streams


@pytest.mark.parametrize("keys", [{}, {"output_schema": {"type": "object"}}])
def test_a_reply_that_breaks_off_on_stdout_is_not_followed_by_another(
    project: NewProject, faults_server: FaultServer, openai_server: NewServer, keys: dict[str, Any]
) -> None:
    server = openai_server({"": "fine"})
    profiles = {"p": profile("p", faults_server.url("cut")), "q": profile("q", server.base_url)}
    here = at(project, [ask(fallback=["q"], **keys)], profiles)
    outcome = here.run("invoke", "x", "hi", "--stream")
    assert outcome.out.strip() == "one two"
    assert "the text on stdout is cut: its agent failed while it was streaming" in outcome.err
    assert (faults_server.counts["cut"], server.chats, outcome.code) == (1, [], 1)


def test_an_agent_before_the_last_is_asked_again_while_the_last_streams(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"first": [AGAIN, "a b"], "second": [AGAIN, "c d"]})
    here = at(project, [ask(prompt="first"), ask("b", prompt="second {{ agents.a }}")], {"p": profile("p", server.base_url)})
    outcome = here.run("invoke", "x", "hi", "--stream")
    assert (outcome.out, outcome.code, len(server.chats)) == ("c d\n", 0, 4)


# Schemas


def test_a_schema_and_a_template_in_files(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": ["sorry", '```json\n{"city": "Rome"}\n```']})
    agents = [ask(output_schema="city.json", template="city.j2"), {"name": "b", "command": ["cat"], "prompt": "{{ agents.a.json.city }}!"}]
    files = {"ensembles__city_json": '{"type": "object", "required": ["city"]}', "templates__city_j2": "The city is {{ output.city }}."}
    here = at(project, {"agents": agents, "synthesis": {"concat": True}}, {"p": profile("p", server.base_url)}, **files)
    outcome = here.run("invoke", "x", "hi", "--output-format", "json", env={"LLM_ORC_TRUST": "1"})
    run = json.loads(outcome.out)
    first, second = run["agents"]
    assert (first["text"], first["json"], first["attempts"], second["text"]) == ("The city is Rome.", {"city": "Rome"}, 2, "Rome!")
    sent = [json.loads(request.body)["response_format"]["json_schema"]["schema"] for request in server.chats]
    assert sent == [{"type": "object", "required": ["city"]}] * 2


@pytest.mark.parametrize(
    ("schema", "wrong"),
    [
        ({"type": "objekt"}, "at $.type: 'objekt' is not valid under any of the given schemas"),
        ({"properties": {"a": {"pattern": "["}}}, "at $.properties.a.pattern: '[' is not a 'regex'"),
        ({"$ref": "#/$defs/nothing"}, "'#/$defs/nothing' names nothing within it"),
        ({"items": {"$ref": "other.json"}}, "'other.json' names nothing within it"),
        ({"$schema": 3}, "at $['$schema']: 3 is not of type 'string'"),
    ],
    ids=str,
)
def test_a_schema_that_is_none_is_a_problem_where_it_stands(project: NewProject, schema: object, wrong: str) -> None:
    here = at(project, [ask(output_schema=schema)], {"p": profile("p", f"{NOBODY}/v1")})
    for command in (["validate", "x"], ["invoke", "x", "hi"]):
        outcome = here.run(*command)
        assert outcome.code == 2
        words = " ".join(outcome.err.split())
        assert f".llm-orc/ensembles/x.yaml:1:79: 'output_schema' is no JSON Schema: {wrong}" in words


def test_a_schema_that_refers_to_the_network_fetches_nothing(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": "{}"})
    for schema in ({"$ref": f"{server.origin}/s.json"}, {"$schema": f"{server.origin}/m.json", "$ref": f"{server.origin}/s.json"}):
        here = at(project, [ask(output_schema=schema)], {"p": profile("p", server.base_url)})
        outcome = here.run("invoke", "x", "hi")
        assert outcome.code == 2
        assert "names nothing within it" in outcome.err
    hidden = {"x-more": {"s": {"$ref": f"{server.origin}/s.json"}}, "$ref": "#/x-more/s"}
    run, _, code = told(at(project, [ask(output_schema=hidden)], {"p": profile("p", server.base_url)}))
    assert (code, run["agents"][0]["cause"].partition(":")[0]) == (1, "malformed")
    assert {request.path for request in server.requests} == {"/v1/chat/completions"}


# Limits


class Bearing(ThreadServer):
    """Takes ten at once, and refuses the others."""

    def __init__(self, most: int = 10) -> None:
        super().__init__()
        self.most = most
        self.running = self.peak = self.refused = 0

    async def answer(self, _: Received, connection: Connection) -> None:
        if self.running >= self.most:
            self.refused += 1
            connection.send(429, {"error": {"message": "too many at once"}}, AT_ONCE)
            return
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            await asyncio.sleep(0.02)
        finally:
            self.running -= 1
        choice = {"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}
        connection.send(200, {"id": "c", "model": "m", "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})


def test_a_server_that_bears_ten_at_once_answers_a_hundred(project: NewProject) -> None:
    with Bearing() as server:
        run, _, code = told(at(project, [ask(f"a{number}") for number in range(100)], {"p": profile("p", server.base_url)}))
        assert {agent["status"] for agent in run["agents"]} == {"succeeded"}
        assert code == 0
        assert server.refused <= 54 + 30


@pytest.mark.parametrize(
    ("agents", "keys", "flags", "most"),
    [
        ([ask(f"a{number}") for number in range(12)], {"max_parallel": 3}, [], 3),
        ([ask(f"a{number}") for number in range(12)], {}, ["--max-parallel", "2"], 2),
        ([ask(fan_out={"items": list(range(12))})], {"max_parallel": 3}, [], 3),
        ([ask(fan_out={"items": list(range(12)), "max_parallel": 4})], {}, [], 4),
        ([{"name": f"n{number}", "ensemble": "child"} for number in range(4)], {}, ["--max-parallel", "3"], 3),
        ([{"name": f"n{number}", "ensemble": "narrow"} for number in range(4)], {}, [], 4),
    ],
    ids=["endpoint", "run", "fan-out endpoint", "fan-out", "children", "each child"],
)
def test_never_more_at_once_than_the_bound(
    project: NewProject, openai_server: NewServer, agents: list[object], keys: dict[str, Any], flags: list[str], most: int
) -> None:
    server = openai_server({"": "fine"}, latency=0.03)
    inner = [ask(f"c{number}") for number in range(3)]
    children = {
        "ensembles__child_yaml": json.dumps({"agents": inner}),
        "ensembles__narrow_yaml": json.dumps({"agents": inner, "limits": {"max_parallel": 1}}),
    }
    run, _, code = told(at(project, agents, {"p": profile("p", server.base_url, **keys)}, **children), *flags)
    assert (code, len(server.chats)) == (0, 12)
    assert server.peak == most
    assert {agent["status"] for agent in run["agents"]} == {"succeeded"}


def two_threads(server: OpenAIServer, here: Path, agents: int, timeout: float | None = None, **keys: Any) -> list[Run]:
    """Two runs of the same agents at once, each in a thread of its own."""
    profiles = [Profile.model_validate({"name": "p", "model": "m", "provider": "openai-compatible", "base_url": server.base_url, **keys})]

    def one(name: str) -> Run:
        body = {"name": name, "agents": [ask(f"a{number}") for number in range(agents)], "limits": {"timeout_seconds": timeout}}
        return llm_orc.run(Ensemble.model_validate(body), "hi", profiles=profiles, cwd=here, env={"HOME": str(here)})

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(one, ("x", "y")))


def test_runs_in_two_threads_share_the_slots_of_a_server(openai_server: NewServer, tmp_path: Path) -> None:
    server = openai_server({"": "fine"}, latency=0.02)
    runs = two_threads(server, tmp_path, 10, max_parallel=3)
    assert [run.status for run in runs] == ["succeeded", "succeeded"]
    assert (server.peak, len(server.chats)) == (3, 20)


def test_runs_in_two_threads_share_the_requests_of_a_minute(openai_server: NewServer, tmp_path: Path) -> None:
    server = openai_server({"": "fine"})
    runs = two_threads(server, tmp_path, 4, timeout=1.5, requests_per_minute=5)
    assert len(server.chats) == 5
    assert [run.cause for run in runs].count("timeout") >= 1
    assert sum(run.count("succeeded") for run in runs) == 5


def test_a_hanging_agent_is_ended_by_its_own_clock_and_keeps_what_it_said(project: NewProject, faults_server: FaultServer) -> None:
    here = at(project, [ask(timeout_seconds=1, retry={"attempts": 1})], {"p": profile("p", faults_server.url("hang-middle"))})
    outcome = here.run("invoke", "x", "hi", "--stream")
    assert (outcome.out.strip(), outcome.code, faults_server.counts["hang-middle"]) == ("one two", 1, 1)
    assert "timeout: no reply within 1 s" in outcome.err


def test_a_long_wait_is_told_in_a_pipe_too_and_once(project: NewProject, faults_server: FaultServer) -> None:
    agents = {"agents": [ask(), ask("b")], "limits": {"timeout_seconds": 1}}
    here = at(project, agents, {"p": profile("p", faults_server.url("429", retry_after="77"))})
    outcome = here.run("invoke", "x", "hi")

    assert outcome.code == 4
    assert outcome.err.count(" retries in 1m 17s: rate_limit: ") == 1, outcome.err


def test_where_the_system_lets_too_few_files_be_open_that_is_said(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(latency=1.0)
    profile = f"{{model: m, provider: openai-compatible, base_url: '{server.base_url}'}}"
    each = "agents: [{name: each, model_profile: m, fan_out: {items: '{{ range(64) | list }}'}, prompt: x}]"
    here = project({".llm-orc/profiles/m.yaml": profile, "e.yaml": each}, trusted=True)
    few = ("sh", "-c", 'ulimit -n 50; exec "$@"', "sh", sys.executable, "-P", "-m", "llm_orc")
    outcome = run(*few, "invoke", "e.yaml", "hi", cwd=here.path, env=here.env())
    assert "this system lets no more" in outcome.err
    assert (outcome.code == 70, "mistake" in outcome.err) == (False, False)
