"""What a server repeats of its key goes no further: not into results, events, warnings, errors or listings, in whatever form."""

import json
from collections.abc import Sequence

import pytest

from tests.project import Outcome, Project
from tests.secrets.canaries import Canaries
from tests.secrets.conftest import EVERYTHING
from tests.secrets.parrot import BROKEN, FORMATS, REFUSED, SAID, Parrot

SEARCH = Canaries()
PLACES = (*REFUSED, *BROKEN, *SAID)


def agents(here: Project, parrot: Parrot, formats: Sequence[str] = FORMATS) -> int:
    """An ensemble that meets every place in every format; how many agents it has."""
    wanted = [(speaks, place) for speaks in formats for place in PLACES]
    for speaks, place in wanted:
        more = "credential: work\n" if speaks == "ollama" else ""
        here.write(
            f"~/.config/llm-orc/profiles/{speaks}-{place}.yaml",
            f"provider: {speaks}\nmodel: model\nbase_url: {parrot.url(place)}\nmax_tokens: 50\n{more}",
        )
    told = [{"name": f"{speaks}-{place}", "model_profile": f"{speaks}-{place}", "retry": {"attempts": 1}} for speaks, place in wanted]
    here.write(".llm-orc/ensembles/parrots.yaml", json.dumps({"agents": told}))
    return len(wanted)


@pytest.fixture
def crowd(here: Project, parrot: Parrot) -> Project:
    """A project with that ensemble; Ollama's key is kept in the vault."""
    agents(here, parrot)
    kept = here.run("auth", "add", "ollama", "--name", "work", "--store", "vault", "--no-check", stdin=VAULT, env=EVERYTHING)
    assert kept.code == 0, kept.err
    return here


VAULT = "k1a2b/vault+canary=91f3c\"77a0e\\5c2d<8b41&e6a9'0d3f%4c7e"
ALL = SEARCH.plus(vault=VAULT)


def leaks(outcome: Outcome) -> list[str]:
    """Each line that holds a key, and whose."""
    return [f"{names}: {line[:300]}" for line in (outcome.out + "\n" + outcome.err).splitlines() if (names := ALL.found(line))]


WAYS = {
    "text": ["--output-format", "text"],
    "markdown": ["--output-format", "markdown", "-v"],
    "json": ["--output-format", "json", "-v"],
    "jsonl": ["--output-format", "jsonl"],
    "streamed": ["--output-format", "markdown", "--stream", "-v"],
}


@pytest.mark.parametrize("way", WAYS)
def test_no_result_holds_a_key_that_a_server_repeats(crowd: Project, parrot: Parrot, way: str) -> None:
    outcome = crowd.run("invoke", "parrots", "hello", *WAYS[way], env=EVERYTHING)

    assert outcome.code == 3, outcome.err
    assert leaks(outcome) == []
    assert {*parrot.keys} >= {EVERYTHING["ANTHROPIC_API_KEY"], EVERYTHING["GEMINI_API_KEY"], EVERYTHING["OPENAI_COMPATIBLE_API_KEY"], VAULT}
    assert ALL.found_below(crowd.home) == []
