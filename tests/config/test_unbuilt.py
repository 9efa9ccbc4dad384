"""Every key that is designed and not built yet is refused where it stands. Whoever builds one deletes its row in UNBUILT, and these go."""

from collections.abc import Iterator

import pytest

from llm_orc.config.unbuilt import UNBUILT
from tests.config.said import of_ensemble, of_profile

WRITTEN = {
    "agent": "agents:\n  - name: a\n    {key}: 1\n",
    "defaults": "agents: [{{name: a}}]\ndefaults:\n    {key}: 1\n",
    "ensemble": "agents: [{{name: a}}]\n\n{key}: 1\n",
    "limits": "agents: [{{name: a}}]\nlimits:\n  {key}: 1\n",
    "synthesis": "agents: [{{name: a}}]\nsynthesis:\n  {key}: 1\n",
    "profile": "model: x\nprovider: y\n{key}: 1\n",
}
DESIGNED = {
    "agent": "context",
}


def rows() -> Iterator[tuple[str, str]]:
    for where, keys in UNBUILT.items():
        yield from ((where, key) for key in keys if where != "config")
    yield from (("defaults", key) for key in UNBUILT["agent"])


@pytest.mark.parametrize(("where", "key"), list(rows()))
def test_an_unbuilt_key_is_refused_where_it_stands(where: str, key: str) -> None:
    said = (of_profile if where == "profile" else of_ensemble)(WRITTEN[where].format(key=key))
    assert [line.partition(" ")[2] for line in said] == [f"'{key}' is not supported yet\nhint: leave it out"]
    assert said[0].startswith("review.yaml:3:")


@pytest.mark.parametrize("where", DESIGNED)
def test_the_table_has_every_key_of_the_later_issues(where: str) -> None:
    assert set(DESIGNED[where].split()) <= set(UNBUILT[where])


def test_false_and_null_are_no_way_round() -> None:
    assert of_ensemble("agents: [{name: a}]\nsynthesis: {context: false}") == [
        "review.yaml:2:13: 'context' is not supported yet\nhint: leave it out"
    ]
