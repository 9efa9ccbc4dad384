"""What `plan` foresees is what the run sends: each dependency here replies with its own placeholder."""

import json
from typing import Any

from tests.project import NewProject

ENSEMBLE = """
name: foreseen
variables: {language: {default: go}}
agents:
  - {name: a, command: [printf, "<a>"]}
  - {name: b-c, command: [printf, "<b-c>"]}
  - {name: alone, model_profile: embedded}
  - {name: task, model_profile: embedded, prompt: Do this., depends_on: [a, b-c]}
  - {name: default, model_profile: embedded, depends_on: [b-c, a]}
  - {name: whole, model_profile: embedded, prompt: "{{ input }} {{ variables.language }} {{ agents.a }}{% if agents.b_c.ok %}!{% endif %}"}
  - {name: child, ensemble: inner, depends_on: [a]}
  - {name: asked, ensemble: inner, prompt: "Look at {{ agents.a }}"}
synthesis: {model_profile: embedded, prompt: Merge.}
"""
INNER = "name: inner\nagents:\n  - {name: only, model_profile: embedded}\n"


def test_the_plan_foresees_every_prompt(project: NewProject) -> None:
    folder = project({".llm-orc/ensembles/foreseen.yaml": ENSEMBLE, ".llm-orc/ensembles/inner.yaml": INNER}, trusted=True)
    planned = folder.run("plan", "foreseen", "the input", "--json")
    ran = folder.run("invoke", "foreseen", "the input", "--output-format", "json", "-v")
    assert (planned.code, ran.code) == (0, 0), planned.err + ran.err
    foreseen = {agent["name"]: agent["prompt"] for agent in json.loads(planned.out)["agents"]}
    sent = {agent["name"]: _sent(agent) for agent in json.loads(ran.out)["agents"]}
    for name in ("alone", "task", "default", "whole", "child", "asked"):
        assert foreseen[name] == sent[name], name
    assert foreseen["synthesis"].startswith("Merge.\n\nthe input\n\n## alone\n\n<alone>\n\n## task")


FANS = """
name: fans
agents:
  - {name: quoted, fan_out: {items: ["<item>"]}, model_profile: embedded, prompt: "Quote {{ item }} of {{ input }}"}
  - {name: alone, fan_out: {items: ["<item>"]}, model_profile: embedded, prompt: Do this.}
  - {name: compared, fan_out: {profiles: [embedded]}, prompt: "{{ item }} reads {{ input }}"}
  - {name: each, fan_out: {profiles: [embedded]}}
"""


def test_in_a_fan_out_the_item_and_the_input_are_two_things(project: NewProject) -> None:
    folder = project({".llm-orc/ensembles/fans.yaml": FANS})
    planned = folder.run("plan", "fans", "the input", "--json")
    ran = folder.run("invoke", "fans", "the input", "--output-format", "json", "-v")
    assert (planned.code, ran.code) == (0, 0), planned.err + ran.err
    foreseen = {agent["name"]: agent["prompt"] for agent in json.loads(planned.out)["agents"]}
    sent = {agent["name"]: _sent(agent) for agent in json.loads(ran.out)["agents"]}
    assert sent["quoted"] == "Quote <item> of the input"
    assert sent["compared"] == "embedded reads the input"
    assert foreseen == {**sent, "compared": "<profile> reads the input"}
    assert "Quote <item> of <input>\n" in folder.run("plan", "fans").out


def _sent(agent: dict[str, Any]) -> str | None:
    """Of a child run its input, which its one agent is sent verbatim."""
    prompt: str | None = (agent["children"] or [agent])[0]["prompt"]
    return prompt
