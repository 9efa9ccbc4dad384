"""Every command, in every format, to every stream and file: no key, be it in a variable, the vault or a login."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from llm_orc.cli.commands import COMMANDS
from tests.project import NewProject, Outcome, Project
from tests.secrets.canaries import ENVIRONMENT, PROXY_PASSWORD, Canaries, canary
from tests.secrets.conftest import EVERYTHING
from tests.secrets.parrot import FORMATS, Parrot
from tests.servers.oauth import SECRET, OAuthServer
from tests.servers.openai import OpenAIServer
from tests.servers.proxy import TunnelServer
from tests.servers.tls import authority

VAULT = canary("vault")
SEARCH = Canaries().plus(vault=VAULT, proxy=PROXY_PASSWORD, client=SECRET)
TOKENS = re.compile(r"(?:access|refresh)-\d+-canary")
ECHO = {
    ".llm-orc/ensembles/echo.yaml": "description: Says what it hears\nagents: [{name: echo, script: echo.py}]\n",
    ".llm-orc/ensembles/wrong.yaml": "agents: [{name: a, model_profile: nobody, api_key: on}]\n",
    ".llm-orc/scripts/echo.py": "import json, sys\nprint(json.load(sys.stdin)['input'])\n",
    ".llm-orc/scripts/fail.py": "import sys\nsys.exit(sys.stdin.read())\n",
    ".llm-orc/ensembles/fail.yaml": "agents: [{name: fail, script: fail.py}]\n",
}


@pytest.fixture(scope="module")
def issuer() -> Iterator[OAuthServer]:
    with OAuthServer(secret=SECRET, lives=1) as server:
        yield server


@pytest.fixture
def full(project: NewProject, parrot: Parrot, issuer: OAuthServer) -> Project:
    """Somebody with a key of every kind, whose every profile leads to the parrot."""
    here = project(ECHO, trusted=True)
    for speaks, name, place in (
        ("openai-compatible", "kept", "split"),
        ("ollama", "login", "text"),
        *((each, each, "body") for each in FORMATS),
    ):
        named = f"credential: {name}\n" if name in ("kept", "login") else ""
        where = "~/.config/llm-orc/profiles" if name != "google" else ".llm-orc/profiles"
        here.write(f"{where}/{name}.yaml", f"provider: {speaks}\nmodel: model\nbase_url: {parrot.url(place)}\nmax_tokens: 9\n{named}")
    agents = [{"name": each, "model_profile": each, "retry": {"attempts": 1}} for each in ("kept", "login", *FORMATS)]
    here.write(".llm-orc/ensembles/all.yaml", json.dumps({"description": "Everything", "agents": agents}))
    added = here.run("auth", "add", "openai-compatible", "--name", "kept", "--no-check", stdin=VAULT, env=EVERYTHING)
    login = ["auth", "login", "ollama", "--name", "login", "--device", "--issuer", issuer.origin, "--client-id", "me", "--client-secret"]
    logged_in = here.run(*login, stdin=SECRET, env=EVERYTHING)
    assert (added.code, logged_in.code) == (0, 0), added.err + logged_in.err
    assert leaks(added) + leaks(logged_in) == []
    return here


def leaks(outcome: Outcome) -> list[str]:
    """Each line that holds a secret, and which."""
    lines = (outcome.out + "\n" + outcome.err).splitlines()
    return [f"{names}: {line[:300]}" for line in lines if (names := [*SEARCH.found(line), *TOKENS.findall(line)])]


def left_behind(here: Project) -> list[str]:
    """Each file of the project and the home that holds a secret."""
    tokens = [str(file) for file in here.home.rglob("*") if file.is_file() and TOKENS.search(file.read_bytes().decode(errors="replace"))]
    return SEARCH.found_below(here.home) + tokens


CALLS: dict[str, Sequence[Sequence[str]]] = {
    "invoke": [
        ["all", "hello"],
        ["all", "hello", "--output-format", "json", "-v"],
        ["all", "hello", "-vv", "--log-file", "log.jsonl"],
        ["all", "hello", "--output-format", "jsonl"],
        ["all", "hello", "--output-format", "markdown", "--stream", "-v"],
        ["all", "hello", "-o", "made.md"],
        ["all", "hello", "-o", "made.json", "-v"],
        ["all", "hello", "-o", "made.jsonl"],
        ["all", "hello", "--fail-on", "agents.kept.text"],
        ["all", "hello", "--offline"],
        ["all", "hello", "--profile", "kept"],
        ["nobody"],
        ["wrong", "x"],
    ],
    "compare": [
        ["all", "hello", "--profiles", "kept,login", "-v"],
        ["all", "hello", "--profiles", "kept,ollama", "--judge", "google", "--output-format", "json"],
        ["all", "hello", "--profiles", "kept,login", "-o", "compared.html"],
    ],
    "continue": [["last", "hello"]],
    "plan": [["all"], ["all", "--json"], ["echo"], ["code-review"]],
    "validate": [[], ["all"], ["--json"]],
    "list": [
        [],
        ["ensembles", "--all"],
        ["profiles"],
        ["providers"],
        ["models"],
        ["--json"],
        ["providers", "--json"],
        ["models", "--json"],
    ],
    "show": [["all"], ["all", "--json"]],
    "runs": [
        ["list"],
        ["list", "--json"],
        ["list", "--text", "hello"],
        ["show", "last"],
        ["show", "last", "--json"],
        ["show", "last", "--events"],
        ["show", "last", "--events", "--json"],
        ["show", "last", "--agent", "kept"],
        ["show", "last", "--result"],
    ],
    "init": [["fresh"]],
    "trust": [[], ["--list"]],
    "auth": [
        ["list"],
        ["list", "--json"],
        ["test"],
        ["test", "--json"],
        ["remove", "openai"],
        ["remove", "openai-compatible", "--name", "kept"],
    ],
    "config": [["show"], ["show", "--origin"], ["show", "--json"], ["path"]],
    "schema": [["ensemble"], ["profile"], ["config"]],
    "doctor": [[], ["--json"]],
}


def test_every_command_is_called() -> None:
    assert set(COMMANDS) <= set(CALLS)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_shows_a_key(full: Project, parrot: Parrot, command: str) -> None:
    served = {f"{name}_BASE_URL": parrot.url("listing") for name in ("ANTHROPIC", "OPENAI", "GOOGLE_GEMINI", "LMSTUDIO")}
    env = {**EVERYTHING, **served, "OLLAMA_HOST": parrot.url("listing"), "HTTPS_PROXY": f"http://me:{PROXY_PASSWORD}@127.0.0.1:9"}
    said = [full.run(command, *args, env=env) for args in [*CALLS[command], ["--help"], ["--no-such-flag"]]]

    assert [leak for outcome in said for leak in leaks(outcome)] == []
    assert all(outcome.code != 70 for outcome in said), [outcome.err for outcome in said if outcome.code == 70]
    assert left_behind(full) == []


def test_no_run_that_is_kept_holds_a_key(full: Project) -> None:
    assert full.run("invoke", "all", "hello", env=EVERYTHING).code != 70
    said = [full.run("runs", *args, env=EVERYTHING) for args in CALLS["runs"]]

    assert [leak for outcome in said for leak in leaks(outcome)] == []
    assert [outcome.code for outcome in said] == [0] * len(said)
    assert [file.name for file in (full.path / ".llm-orc/store").iterdir() if file.name.startswith("store.db")]
    assert left_behind(full) == []


def test_the_search_sees_a_key_that_is_kept(here: Project) -> None:
    here.write(".llm-orc/ensembles/echo.yaml", "agents: [{name: echo, command: [cat]}]\n")
    here.run("invoke", "echo", ENVIRONMENT["OPENAI_API_KEY"])
    here.run("invoke", "echo", ENVIRONMENT["GEMINI_API_KEY"] + " and so on" * 5_000)

    found = [each.partition(" in ")[::2] for each in left_behind(here)]
    assert {(name, file.split("/")[3][:8]) for name, file in found} == {
        ("OPENAI_API_KEY", "store.db"),
        ("GEMINI_API_KEY", "store.db"),
        ("GEMINI_API_KEY", "blobs"),
    }


def test_no_live_view_shows_a_key(full: Project) -> None:
    for args in (["all", "hello"], ["all", "hello", "-v"], ["all", "hello", "--output-format", "rich"]):
        outcome = full.run_pty("invoke", *args, env=EVERYTHING, cols=400, rows=60)

        assert "kept" in outcome.out
        assert leaks(outcome) == []
    assert left_behind(full) == []


def test_completion_shows_no_key(full: Project) -> None:
    for words in ("llm-orc invoke ", "llm-orc invoke all --profile ", "llm-orc auth test "):
        shell = {"_LLM_ORC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()))}
        outcome = full.run(env={**EVERYTHING, **shell})

        assert leaks(outcome) == []
        assert outcome.code == 0


def test_no_artifact_holds_a_key_that_is_in_use(full: Project) -> None:
    leave = "command: [sh, -c, 'cat > $LLM_ORC_ARTIFACTS/left'], prompt: '{{ input }}', depends_on: [asked], require: 0"
    full.write(".llm-orc/ensembles/leave.yaml", f"agents: [{{name: asked, model_profile: kept}}, {{name: leaves, {leave}}}]\n")
    key = full.run("invoke", "leave", f"all but {VAULT}", env=EVERYTHING)
    other = full.run("invoke", "leave", canary("a key of nobody"), env=EVERYTHING)

    assert "left left as artifacts, not kept: holds a key" in key.err
    assert "artifacts  left" in other.err
    found = Canaries({"in use": VAULT, "deliberate": canary("a key of nobody")}).found_below(full.path / ".llm-orc/store/blobs")
    assert [each.partition(" in ")[0] for each in found] == ["deliberate"], "the search sees what is not known as a key"


def test_a_key_in_the_wrong_place_is_not_repeated(here: Project) -> None:
    key = ENVIRONMENT["OPENAI_API_KEY"]
    for args in (
        ["auth", "add", "openai", key],
        ["auth", "add", key],
        ["auth", key],
        ["auth", "add", "openai", "--name", key],
        ["auth", "test", key],
    ):
        outcome = here.run(*args, env=EVERYTHING)

        assert outcome.code == 2
        assert leaks(outcome) == []


WRONG = {
    "a number": "provider: openai\nmodel: m\ntemperature: ${OPENAI_API_KEY}\n",
    "a choice": "provider: ${OPENAI_API_KEY}\nmodel: m\n",
    "a URL": "provider: vllm\nmodel: m\nbase_url: ${OPENAI_API_KEY}\n",
    "a host": "provider: vllm\nmodel: m\nbase_url: http://${OPENAI_API_KEY}\n",
    "a fallback": "provider: vllm\nmodel: m\nfallback: ['${OPENAI_API_KEY}']\n",
    "a name": "provider: openai\nmodel: m\ncredential: ${OPENAI_API_KEY}\n",
    "an option": "provider: ollama\nmodel: m\noptions: {num_ctx: '${OPENAI_API_KEY}'}\n",
    "capabilities": "provider: ollama\nmodel: m\ncapabilities: ['${OPENAI_API_KEY}']\n",
}


@pytest.mark.parametrize("way", WRONG)
def test_a_wrong_value_that_a_variable_filled_in_is_not_shown(here: Project, way: str) -> None:
    here.write("~/.config/llm-orc/profiles/mine.yaml", WRONG[way])
    here.write(".llm-orc/ensembles/e.yaml", "agents: [{name: a, model_profile: mine, retry: {attempts: 1}}]\n")
    for args in (["invoke", "e", "hello"], ["validate"], ["list", "profiles"], ["config", "show"], ["plan", "e"], ["show", "e"]):
        assert leaks(here.run(*args, env=EVERYTHING)) == []


def test_a_proxy_sees_no_key_and_nobody_sees_its_password(here: Project, tmp_path: Path) -> None:
    made = authority(tmp_path, ["models.example"])
    here.write("~/.config/llm-orc/profiles/far.yaml", "provider: openai-compatible\nmodel: m\nbase_url: https://models.example/v1\n")
    here.write(".llm-orc/ensembles/far.yaml", "agents: [{name: a, model_profile: far, retry: {attempts: 1}}]\n")
    with OpenAIServer(tls=made.context) as server, TunnelServer(server.port) as proxy:
        env = {**EVERYTHING, "SSL_CERT_FILE": str(made.ca_file)}
        through = here.run("invoke", "far", "hello", env={**env, "HTTPS_PROXY": f"http://me:{PROXY_PASSWORD}@127.0.0.1:{proxy.port}"})
        broken = here.run("invoke", "far", "hello", env={**env, "HTTPS_PROXY": f"http://me:{PROXY_PASSWORD}@127.0.0.1:9"})
        unusable = here.run("invoke", "far", "hello", env={**env, "HTTPS_PROXY": f"socks5://me:{PROXY_PASSWORD}@127.0.0.1:9"})

        assert through.code == 0, through.err
        assert server.requests[-1].headers["authorization"] == f"Bearer {ENVIRONMENT['OPENAI_COMPATIBLE_API_KEY']}"
        assert set(proxy.targets) == {"models.example:443"}
        assert Canaries().found(*(f"{each.target} {each.headers} {each.body!r}" for each in proxy.requests)) == []
        assert "proxy-authorization" in proxy.requests[-1].headers
    assert (broken.code, unusable.code) == (1, 1)
    assert leaks(through) + leaks(broken) + leaks(unusable) == []


# one leak of each channel, made on purpose


@pytest.mark.parametrize("way", ["text", "markdown", "json", "jsonl"])
def test_the_search_sees_a_key_in_a_result(here: Project, way: str) -> None:
    for place, text in ECHO.items():
        here.write(place, text)
    outcome = here.run("invoke", "echo", ENVIRONMENT["OPENAI_API_KEY"], "--output-format", way, env=EVERYTHING)

    assert SEARCH.found(outcome.out) == ["OPENAI_API_KEY"]
    assert SEARCH.found(outcome.err) == []


def test_the_search_sees_a_key_on_a_terminal(here: Project) -> None:
    for place, text in ECHO.items():
        here.write(place, text)
    outcome = here.run_pty("invoke", "echo", ENVIRONMENT["OPENAI_API_KEY"], env=EVERYTHING, cols=400)

    assert "OPENAI_API_KEY" in SEARCH.found(outcome.out)


def test_the_search_sees_a_key_in_an_error(here: Project) -> None:
    for place, text in ECHO.items():
        here.write(place, text)
    outcome = here.run("invoke", "fail", ENVIRONMENT["OPENAI_API_KEY"], env=EVERYTHING)

    assert outcome.code == 1
    assert SEARCH.found(outcome.err) == ["OPENAI_API_KEY"]


@pytest.mark.parametrize("name", ["made.md", "made.json", "made.jsonl", "made.txt"])
def test_the_search_sees_a_key_in_a_file(here: Project, name: str) -> None:
    for place, text in ECHO.items():
        here.write(place, text)
    outcome = here.run("invoke", "echo", ENVIRONMENT["OPENAI_API_KEY"], "-o", name, env=EVERYTHING)

    assert outcome.code == 0
    assert f"OPENAI_API_KEY in {here.path.name}/{name}" in left_behind(here)


def test_the_search_sees_a_key_in_what_is_kept_beside_the_vault(full: Project) -> None:
    full.write("~/.config/llm-orc/credentials/vault.json.bak", json.dumps({"kept": VAULT}))

    assert left_behind(full) == ["vault in .config/llm-orc/credentials/vault.json.bak"]
