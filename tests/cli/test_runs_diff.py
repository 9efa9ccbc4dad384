"""What differs between two runs: what they were begun with, what was said, what it took."""

import json
import re
from collections.abc import Mapping

import pytest

from tests.project import Project

FIRST = """\
description: One
agents:
  - {name: facts, model_profile: embedded, prompt: "{{ input }}"}
  - {name: old, command: [cat]}
  - {name: each, fan_out: {items: [one, two, three]}, command: [cat], prompt: "item {{ item }}"}
  - name: last
    command: [cat]
    depends_on: [facts, each, old]
    prompt: |
      Some words,
      {{ agents.facts }}
      and these: {{ agents.each.json | join(" ") }}
"""
CHANGES = {
    "description: One": "description: Two",
    "name: old, command: [cat]": "name: new, command: [cat]",
    "two, three": "2, three",
    "each, old]": "each, new]",
    "Some words": "Other words",
}
LAST = (
    "@@ -1,5 +1,5 @@\n-Some words,\n+Other words,\n Extracted by the embedded model (it quotes, it does not reason):\n"
    "-1: first input\n-and these: item one item two item three\n+1: second input\n+and these: item one item 2 item three\n"
)
"""What differs in what the last agent is told, and says."""


def changed(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Three runs: the second of another ensemble on another input, the third as the second."""
    here = Project(tmp_path_factory.mktemp("home"), "project", {".llm-orc/ensembles/some.yaml": FIRST}, trusted=True)
    here.run("invoke", "some", "first input")
    here.write(".llm-orc/ensembles/some.yaml", changed(FIRST, CHANGES))
    here.run("invoke", "some", "second input")
    here.run("invoke", "some", "second input")
    return here


def test_two_runs_are_laid_side_by_side(ran: Project) -> None:
    outcome = ran.run("runs", "diff", "last~2", "last~1")
    assert outcome[1:] == ("", 0)
    said = re.sub(r"\d+\.\d s( -> \d+\.\d s)?", "TIME", re.sub(r"\d{8}-\d{6}-\w{6}", "RUN", re.sub(r"\d{4}-\S+Z", "WHEN", outcome.out)))
    assert re.sub(" +", " ", said) == (
        "--- RUN some succeeded WHEN\n"
        "+++ RUN some succeeded WHEN\n"
        "time TIME cost $0 tokens 23 nodes 7\n"
        "\nspec\n"
        "description One -> Two\n"
        'agents.old {"name": "old", "command": ["cat"]} -> (not there)\n'
        'agents.each.fan_out.items ["one", "two", "three"] -> ["one", 2, "three"]\n'
        'agents.last.depends_on ["facts", "each", "old"] -> ["facts", "each", "new"]\n'
        "agents.last.prompt\n@@ -1,4 +1,4 @@\n-Some words,\n+Other words,\n {{ agents.facts }}\n"
        ' and these: {{ agents.each.json | join(" ") }}\n \n'
        'agents.new (not there) -> {"name": "new", "command": ["cat"]}\n'
        "\nnodes\n"
        "facts succeeded TIME $0 prompt, reply\n"
        "old succeeded TIME only in A\n"
        "each succeeded TIME reply; 1 of 3 nodes inside differ\n"
        "last succeeded TIME prompt, reply\n"
        "new succeeded TIME only in B\n"
        "\ninput\n@@ -1 +1 @@\n-first input\n+second input\n"
        "\nfacts: prompt\n@@ -1 +1 @@\n-first input\n+second input\n"
        "\nfacts: reply\n@@ -1,2 +1,2 @@\n Extracted by the embedded model (it quotes, it does not reason):\n"
        "-1: first input\n+1: second input\n"
        '\neach: reply\n@@ -1,5 +1,5 @@\n [\n "item one",\n- "item two",\n+ "item 2",\n "item three"\n ]\n'
        f"\nlast: prompt\n{LAST} \n\nlast: reply\n{LAST} \n"
    )


def test_a_run_is_as_another_one_that_did_the_same(ran: Project) -> None:
    said = ran.run("runs", "diff", "last~1", "last").out
    assert said.endswith("\n\nnodes\n4 nodes are the same\n")
    assert "spec" not in said
    document = json.loads(ran.run("runs", "diff", "last~1", "last", "--json").out)
    assert (document["same"], document["spec"], document["input"], document["result"]) == (True, [], None, None)
    assert [node["differs"] for node in document["nodes"]] == [[]] * 4


def test_one_node_is_compared_with_what_is_inside_of_it(ran: Project) -> None:
    said = ran.run("runs", "diff", "last~2", "last", "--agent", "each", "--brief").out
    rows = said.partition("nodes\n")[2].splitlines()
    assert [row.split()[0] for row in rows[:-1]] == ["each", "each[1]"]
    assert rows[-1] == "2 nodes are the same"
    one = ran.run("runs", "diff", "last~2", "last", "--agent", "each[1]").out
    assert one.endswith("\n\neach[1]: reply\n@@ -1 +1 @@\n-item two\n+item 2\n")
    only = ran.run("runs", "diff", "last~2", "last", "--agent", "new").out
    assert "only in B" in only
    few = ran.run("runs", "diff", "last~2", "last", "--brief", "--limit", "1")
    assert few.err == "there are more: --limit 2\n"


def test_the_difference_as_json(ran: Project) -> None:
    document = json.loads(ran.run("runs", "diff", "last~2", "last", "--json").out)
    assert document["same"] is False
    assert {"path": "description", "a": "One", "b": "Two"} in document["spec"]
    assert {"path": "agents.new", "b": {"name": "new", "command": ["cat"]}} in document["spec"]
    assert document["input"] == "@@ -1 +1 @@\n-first input\n+second input"
    nodes = {node["id"]: node for node in document["nodes"]}
    assert nodes["each"]["inside"] == {"nodes": 3, "differ": 1}
    assert nodes["facts"]["differs"] == ["prompt", "reply"]
    assert nodes["facts"]["prompt"] == "@@ -1 +1 @@\n-first input\n+second input"
    assert nodes["last"]["prompt"] == nodes["last"]["reply"], "a command is told, too"
    assert nodes["old"]["b"] is None
    assert nodes["new"]["a"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["last", "nobody"], "error: no run 'nobody'\nhint: see: llm-orc runs list\n"),
        (["last", "last~9"], "error: no run 'last~9'\nhint: see: llm-orc runs list\n"),
        (["last", "2"], "error: several runs begin with '2': "),
        (["last", "last", "--agent", "lost"], "error: the run has no node 'lost'\nhint: did you mean 'last'?\n"),
        (["last", "last", "--json", "--limit", "3"], "error: --limit does nothing with --json\n"),
    ],
)
def test_what_is_wrong(ran: Project, words: list[str], said: str) -> None:
    outcome = ran.run("runs", "diff", *words)
    assert outcome[::2] == ("", 2)
    assert outcome.err.startswith(said)
