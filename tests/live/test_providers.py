"""One tiny call to each provider whose key is there, and to each server on this machine, by the true command line: `make test-live`.

These leave this machine and cost money, at most so much each; they run only when they are asked for by their marker.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_orc.catalog.cards import catalog
from llm_orc.models.presets import PRESETS
from tests.live.conftest import SPENT
from tests.project import Outcome, run

MOST = 0.05
"""US dollars."""
ENSEMBLE = """
agents:
  - name: one
    provider: {provider}
    model: {model}
    max_tokens: 1000
    retry: {{attempts: 2}}
    timeout_seconds: 120
"""
pytestmark = pytest.mark.live


def called(*args: str | Path, cwd: Path | None = None) -> Outcome:
    """The user's own llm-orc, with the user's own keys, but without the settings of a project."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LLM_ORC_") or name == "LLM_ORC_PASSPHRASE"}
    return run(sys.executable, "-P", "-m", "llm_orc", *args, cwd=cwd, env=env)


def listed(provider: str) -> list[dict[str, Any]]:
    outcome = called("list", "models", provider, "--json")
    return [row for row in json.loads(outcome.out)["models"] if row["source"] == "server" and row["chat"]]


def model_of(provider: str) -> str:
    """The cheap model of a cloud, the first one of a server on this machine; skips the test where there is none."""
    preset = PRESETS[provider]
    if not preset.needs_key:
        return next((row["model"] for row in listed(provider)), "") or pytest.skip(preset.start)
    providers = json.loads(called("list", "providers", "--json").out)["providers"]
    if not any(row["key"] for row in providers if row["name"] == provider):
        pytest.skip(f"no key of {provider}: export {preset.key}=..., or llm-orc auth add {provider}")
    return catalog()[provider].tiers["fast"]


@pytest.mark.parametrize("provider", [name for name, preset in PRESETS.items() if preset.base_url])
def test_answers(provider: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    model = model_of(provider)
    (tmp_path / "live.yaml").write_text(ENSEMBLE.format(provider=provider, model=json.dumps(model)))
    asked = "invoke", "./live.yaml", "Reply with the word yes and nothing else.", "--max-cost", str(MOST), "--output-format", "json"
    outcome = called(*asked, cwd=tmp_path)
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    usage, cost = document["totals"]["usage"], document["totals"]["cost"]
    record_property(SPENT, (provider, model, usage["total"], cost))
    assert "yes" in document["result"].lower()
    assert usage["total"] > 0
    assert 0 <= cost <= MOST
