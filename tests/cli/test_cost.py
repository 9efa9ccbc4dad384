"""What a run may cost and did cost, and what it waited for: in `plan`, in the first lines, in `-v`, in the summary and in JSON."""

import json
import re
from collections.abc import Mapping

import pytest

from tests.project import NewProject, Project
from tests.servers.fixtures import NewServer
from tests.servers.openai import OpenAIServer, Scripted

ABSENT = {"LMSTUDIO_BASE_URL": "http://127.0.0.1:9/v1", "OLLAMA_HOST": "http://127.0.0.1:9"}
NO_WAY_OUT = {**ABSENT, "OPENAI_API_KEY": "sk-test", "HTTPS_PROXY": "http://127.0.0.1:9"}
"""A key, so that a model is chosen, and a proxy that nobody is at: no request leaves this machine."""
ONE = "agents: [{name: one, model_profile: careful, retry: {attempts: 1}}]"
PAID = "agents: [{name: one, model_profile: paid, retry: {attempts: 2}}]"
BUSY = Scripted("too many", status=429, headers={"Retry-After": "0"})
PRICE = (3, 15)
"""Dollars per million tokens."""


@pytest.fixture
def here(project: NewProject) -> Project:
    return project({".llm-orc/ensembles/one.yaml": ONE, ".llm-orc/ensembles/paid.yaml": PAID}, trusted=True)


def with_profile(here: Project, name: str, server: OpenAIServer, more: str = "") -> None:
    """A model on this machine that has a price."""
    text = (
        f"provider: openai-compatible\nmodel: {name}-model\nbase_url: {server.base_url}\nmax_tokens: 100\nprice: {{input: 3, output: 15}}\n"
    )
    here.write(f".llm-orc/profiles/{name}.yaml", text + more)


def host(server: OpenAIServer) -> str:
    return f"127.0.0.1:{server.port}"


# ---- before anything is sent


def first_line(here: Project, *flags: str, ensemble: str = "one", env: Mapping[str, str] = NO_WAY_OUT) -> str:
    return here.run("invoke", ensemble, "hello", *flags, env=env).err.splitlines()[0]


def test_the_first_line_says_what_a_choice_may_cost(here: Project) -> None:
    said = first_line(here)
    assert re.fullmatch(r"careful -> openai/\S+ \(OPENAI_API_KEY\); sends 5 bytes to api\.openai\.com; at most \$\d+\.\d+", said)
    assert first_line(here, "--max-cost", "0.0005").endswith("; at most $0.0005")


def test_the_first_line_says_why_there_is_no_bound(here: Project) -> None:
    here.write(".llm-orc/ensembles/wide.yaml", "agents: [{name: list, command: [cat]}, {name: each, depends_on: [list], fan_out: true}]")
    here.write(".llm-orc/config.yaml", "default_profile: careful")
    said = first_line(here, ensemble="wide")
    assert said.endswith("; sends 5 bytes to api.openai.com; no upper bound: each (unknown number of items); --max-cost sets one")


def test_every_destination_is_said_with_v_only(here: Project, openai_server: NewServer) -> None:
    server = openai_server({"": "yes"})
    with_profile(here, "paid", server)
    local = f"paid -> openai-compatible/paid-model; stays on this machine ({host(server)})"
    assert first_line(here, "-v", ensemble="paid") == local
    assert first_line(here, ensemble="paid").startswith("paid succeeded")
    here.write(".llm-orc/profiles/paid.yaml", "provider: openai\nmodel: m\nmax_tokens: 100\nprice: {input: 1000, output: 0}")
    said = first_line(here, "-v", ensemble="paid")
    assert re.fullmatch(r"paid -> openai/m; sends 5 bytes to api\.openai\.com; at most \$0\.\d\d", said)


def test_the_plan_ends_with_what_it_may_cost(here: Project) -> None:
    text = "provider: openai\nmodel: m\nmax_tokens: 1000\nprice: {input: 0, output: 1000}\nfallback: [cheap]"
    here.write(".llm-orc/profiles/careful.yaml", text)
    here.write(".llm-orc/profiles/cheap.yaml", text.replace("1000}", "100}").replace("fallback: [cheap]", ""))
    here.write(".llm-orc/ensembles/one.yaml", ONE.replace("attempts: 1", "attempts: 2"))
    plan = here.run("plan", "one", "hello", env=NO_WAY_OUT)
    assert plan.out.endswith("\n\ncost  at most $1.00 with one request each, $2.20 with every retry, repair and fallback\n")
    assert "    fallback  cheap -> openai/m at api.openai.com\n" in plan.out
    cost = json.loads(here.run("plan", "one", "hello", "--json", env=NO_WAY_OUT).out)["cost"]
    assert cost == {"at_most": pytest.approx(1), "with_retries": pytest.approx(2.2), "unbounded": [], "summaries": [], "max_cost": None}
    capped = here.run("plan", "one", "hello", "--max-cost", "0.5", env=NO_WAY_OUT)
    assert capped.out.endswith("\ncost  at most $0.50, the max_cost\n")


def test_the_plan_says_why_a_model_was_chosen_and_what_is_asked_of_it(here: Project) -> None:
    schema = "{type: object, required: [title]}"
    here.write(
        ".llm-orc/ensembles/one.yaml", f"agents: [{{name: one, model_profile: careful, requires: [vision], output_schema: {schema}}}]"
    )
    out = here.run("plan", "one", "hello", env=NO_WAY_OUT).out
    assert re.search(r"careful -> openai/\S+ at api\.openai\.com \(OPENAI_API_KEY", " ".join(out.split()))
    assert '    requires  vision\n    schema    {"type": "object", "required": ["title"]}\n' in out
    (agent,) = json.loads(here.run("plan", "one", "hello", "--json", env=NO_WAY_OUT).out)["agents"]
    assert agent["profiles"][0]["why"].startswith("OPENAI_API_KEY")
    assert (agent["requires"], agent["output_schema"], agent["attempts"]) == (["vision"], {"type": "object", "required": ["title"]}, 3)


def test_what_is_free_or_asks_nobody_says_so(here: Project) -> None:
    here.write(".llm-orc/ensembles/echo.yaml", "agents: [{name: echo, command: [cat]}]")
    assert "cost" not in here.run("plan", "echo", "x").out
    assert here.run("plan", "one", "x", "--profile", "embedded").out.endswith("\n\ncost  $0\n")


def test_prices_are_looked_up_for_other_machines_only(here: Project, openai_server: NewServer) -> None:
    server = openai_server({"": "fine"}, models=["m"])
    here.write(".llm-orc/profiles/free.yaml", f"provider: lmstudio\nmodel: m\nbase_url: {server.base_url}")
    imports = {**NO_WAY_OUT, "PYTHONPROFILEIMPORTTIME": "1"}
    for call in (["invoke", "one", "x", "-v", "--profile", "free"], ["plan", "one", "x", "--profile", "free"]):
        outcome = here.run(*call, env=imports)
        assert (outcome.code, "llm_orc.domain.price" in outcome.err, "genai_prices" in outcome.err) == (0, True, False)
    assert "genai_prices" in here.run("plan", "one", "x", env=imports).err


# ---- afterwards


def test_attempts_fallbacks_and_money_come_out_as_the_server_counts_them(here: Project, openai_server: NewServer) -> None:
    good, bad = openai_server({"": [BUSY, Scripted("fine", usage=(1_000, 10))]}), openai_server({"": BUSY})
    with_profile(here, "paid", bad, "fallback: [cheap]")
    with_profile(here, "cheap", good, "context_window: 4000")
    outcome = here.run("invoke", "paid", "hello", "--output-format", "json")
    out = json.loads(outcome.out)
    (agent,) = out["agents"]
    sent = len(good.chats) + len(bad.chats)
    assert (agent["attempts"], sent, agent["profile"], agent["model"]) == (4, 4, "cheap", "cheap-model")
    assert [each["profile"] for each in agent["fell_back"]] == ["paid"]
    assert agent["window"] == {"size": 4000, "used": 1010, "available": 2990, "utilisation": 0.2525}
    bill = (good.bill.input * PRICE[0] + good.bill.output * PRICE[1]) / 1_000_000
    totals = out["totals"]
    assert (agent["cost"], totals["cost"], totals["models"]["cheap-model"]["cost"]) == (bill, bill, bill)
    assert {name: use["requests"] for name, use in totals["endpoints"].items()} == {host(bad): 2, host(good): 2}
    lines = outcome.err.splitlines()
    assert lines[0].startswith("fell back  one: cheap answered instead of paid (paid: rate_limit: ")
    assert re.fullmatch(r"paid succeeded  1 succeeded  \d+\.\d s  1,010 tokens  \$0\.0032", lines[1])
    assert len(lines) == 2


def test_with_v_each_attempt_and_server_is_told(here: Project, openai_server: NewServer) -> None:
    server = openai_server({"": [BUSY, Scripted("fine", usage=(1_000, 10))]})
    with_profile(here, "paid", server)
    lines = here.run("invoke", "paid", "hello", "-v").err.splitlines()
    assert lines[1].startswith("one  retries in 0.0 s  rate_limit: ")
    assert re.fullmatch(r"one  succeeded  \d+\.\d s  1,010 tokens", lines[2])
    assert lines[3] == f"{host(server)}  2 requests, at most 1 at once"
    assert len(lines) == 5


def test_on_a_terminal_that_cannot_be_drawn_on_a_fallback_is_a_line(here: Project, openai_server: NewServer) -> None:
    good, bad = openai_server({"": "fine"}), openai_server({"": BUSY})
    with_profile(here, "paid", bad, "fallback: [cheap]")
    with_profile(here, "cheap", good)
    err = here.run_pty("invoke", "paid", "hello", tty=["stderr"], cols=200, env={"TERM": "dumb"}).err
    assert err.startswith("one  falls back to cheap  rate_limit: ")


def test_a_run_whose_money_is_spent_says_so_and_exits_4(here: Project, openai_server: NewServer) -> None:
    server = openai_server({"": "fine"})
    with_profile(here, "paid", server)
    outcome = here.run("invoke", "paid", "hello", "--max-cost", "0.0001", "--output-format", "json")
    out = json.loads(outcome.out)
    assert (outcome.code, server.chats, out["status"], out["agents"][0]["attempts"]) == (4, [], "failed", None)
    assert out["agents"][0]["cause"].startswith("budget: a call may cost $0.001899,")
    assert re.search(r"^paid failed  the run's budget is spent  1 failed", outcome.err, re.MULTILINE)


def test_no_event_holds_the_key(here: Project, openai_server: NewServer) -> None:
    server = openai_server({"": [BUSY, "fine"]}, keys=["sk-canary-1234"])
    with_profile(here, "paid", server)
    trusting = {"OPENAI_COMPATIBLE_API_KEY": "sk-canary-1234"}
    here.write("~/.config/llm-orc/config.yaml", f"trusted_hosts: ['http://{host(server)}']")
    outcome = here.run("invoke", "paid", "hello", "-v", "--output-format", "jsonl", env=trusting)
    events = [json.loads(line)["event"] for line in outcome.out.splitlines()]
    assert [name for name in events if name in {"sent", "received", "retrying"}] == ["sent", "received", "retrying", "sent", "received"]
    assert "canary" not in outcome.out + outcome.err
    assert server.chats[0].headers["authorization"] == "Bearer sk-canary-1234"
