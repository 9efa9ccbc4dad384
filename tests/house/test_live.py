"""`make test-live` asks whoever has a key, says what it spent, and is no part of the other tests."""

import os
import sys

from llm_orc.models.presets import PRESETS
from tests.docs.pages import ROOT
from tests.project import INHERITED, Outcome, run
from tests.servers.fixtures import NewServer
from tests.servers.openai import Scripted

KEY = "sk-canary-0123456789-tail"
NOBODY = "http://127.0.0.1:9"
PROVIDERS = sum(preset.base_url is not None for preset in PRESETS.values())


def live(*flags: str, env: dict[str, str]) -> Outcome:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    alone = {"LMSTUDIO_BASE_URL": f"{NOBODY}/v1", "OLLAMA_HOST": NOBODY, "HOME": str(ROOT / "nobody")}
    pytest_ = sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider"
    return run(*pytest_, *flags, "tests/live", cwd=ROOT, env=inherited | alone | env)


def test_nothing_is_asked_unasked(openai_server: NewServer) -> None:
    server = openai_server({"": "yes"})
    outcome = live(env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    assert f"{PROVIDERS} deselected" in outcome.out
    assert not server.requests


def test_whoever_has_a_key_is_asked_once_and_the_bill_is_shown(openai_server: NewServer) -> None:
    server = openai_server({"": Scripted("Yes.", usage=(20, 5))}, keys=[KEY])
    outcome = live("-m", "live", env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    assert outcome.code == 0, outcome.out
    assert f"1 passed, {PROVIDERS - 1} skipped" in outcome.out
    assert "no key of anthropic: export ANTHROPIC_API_KEY=..., or llm-orc auth add anthropic" in outcome.out
    (chat,) = server.chats
    assert chat.json["model"] == "gpt-6-luna"
    assert "openai       gpt-6-luna                            25 tokens  $0.000000\nall together $0.000000\n" in outcome.out
    assert KEY not in outcome.out


def test_a_call_that_goes_wrong_is_red(openai_server: NewServer) -> None:
    server = openai_server({"": "no"})
    outcome = live("-m", "live", env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    assert outcome.code == 1
    assert "1 failed" in outcome.out
