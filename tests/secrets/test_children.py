"""Scripts and commands are shown no key: neither in their environment nor in a command line."""

import json

import pytest

from tests.project import Project
from tests.secrets.canaries import Canaries, canary
from tests.secrets.conftest import EVERYTHING

SEARCH = Canaries()
LOOK = """
import json, os, pathlib, sys
told = sys.stdin.read()
lines = {}
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        if process.joinpath("environ").stat().st_uid == os.getuid():
            lines[process.name] = process.joinpath("cmdline").read_bytes().decode(errors="replace")
    except OSError:
        continue
print(json.dumps({"told": told, "environment": dict(os.environ), "argv": sys.argv, "lines": lines}))
"""
NAMES = (
    *EVERYTHING,
    "OPENAI_API_KEY_BACKUP",
    "MY_API_KEY_2",
    "my_apikey",
    "Gemini_Api_Key",
    "LLM_ORC_ANYTHING",
    "OPENAI_ACCESS_TOKEN",
    "ANTHROPIC_CUSTOM_SECRETS",
    "HUGGING_FACE_HUB_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
)


def looks(env: str = "[LANG, EDITOR, MY_WORD]") -> dict[str, str]:
    return {
        ".llm-orc/scripts/look.py": LOOK,
        ".llm-orc/ensembles/look.yaml": f"""
agents:
  - {{name: script, script: look.py, env: {env}}}
  - {{name: command, command: [python3, .llm-orc/scripts/look.py], env: {env}}}
""",
    }


def run(here: Project, **more: str) -> str:
    for place, text in looks().items():
        here.write(place, text)
    outcome = here.run("invoke", "look", "hello", "--output-format", "json", env={**EVERYTHING, **more})
    assert outcome.code == 0, outcome.err
    seen = [json.loads(each["text"]) for each in json.loads(outcome.out)["agents"]]
    assert [each["environment"]["HOME"] for each in seen] == [str(here.home)] * 2
    assert all("invoke" in "".join(each["lines"].values()) for each in seen)
    return outcome.out + outcome.err


def test_what_runs_is_shown_no_key(here: Project) -> None:
    assert SEARCH.found(run(here, MY_WORD="harmless")) == []


def test_the_search_sees_a_key_in_the_environment_of_a_child(here: Project) -> None:
    assert SEARCH.found(run(here, MY_WORD=canary("OPENAI_API_KEY"))) == ["OPENAI_API_KEY"]


def test_the_search_sees_a_key_in_a_command_line(here: Project) -> None:
    for place, text in looks().items():
        here.write(place, text)
    said = here.run("invoke", "look", canary("OPENAI_API_KEY"), "--output-format", "text", env=EVERYTHING)

    assert '"lines"' in said.out
    assert SEARCH.found(said.out.partition('"lines"')[2]) == ["OPENAI_API_KEY"]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "PYTHON_KEYRING_BACKEND"])
def test_an_allow_list_names_no_key(here: Project, name: str) -> None:
    for place, text in looks(f"[LANG, '{name}']").items():
        here.write(place, text)
    outcome = here.run("invoke", "look", "hello", env={name: canary("passphrase"), "LLM_ORC_TRUST": "1"})

    assert outcome.code == 2
    assert outcome.out == ""
    assert f"'{name}' is never handed to a script or command" in outcome.err


@pytest.mark.parametrize(
    "name", ["LANG", "GITHUB_TOKEN", "DATABASE_URL", "KEYBOARD", "GOOGLE_CLOUD_PROJECT", "OPENAI_BASE_URL", "PASSWORD_STORE_DIR"]
)
def test_others_pass_where_they_are_named(here: Project, name: str) -> None:
    for place, text in looks(f"[{name}]").items():
        here.write(place, text)
    outcome = here.run("invoke", "look", "hello", env={name: "a word of my own"})

    assert outcome.code == 0, outcome.err
    assert outcome.out.count("a word of my own") == 2
