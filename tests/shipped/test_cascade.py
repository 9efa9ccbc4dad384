"""`cascade` on scripted servers: who answers, what is escalated, and what that saves."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

import llm_orc
from llm_orc.domain.message import Reply, Request, Tell
from tests.project import NewProject, Outcome, Project
from tests.servers.fixtures import NewServer
from tests.servers.openai import OpenAIServer, Scripted
from tests.servers.wire import Received
from tests.shipped.conftest import Script

CHEAP, MIDDLE, CAREFUL = "cheap-1", "middle-1", "careful-1"
PRICES = {"fast": (CHEAP, 1, 2), "default": (MIDDLE, 2, 4), "careful": (CAREFUL, 100, 200)}
"""Profile -> model, and US dollars per million tokens."""
USAGE = {CHEAP: (1000, 500), MIDDLE: (100, 10), CAREFUL: (1000, 1000)}
COST = {name: (USAGE[name][0] * price + USAGE[name][1] * reply) / 1_000_000 for name, price, reply in PRICES.values()}
SCHEMA = {"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["year"]}


def said(request: Received) -> Scripted:
    """Cheap answers to hard questions are wrong, and the grader sees it."""
    asked = request.json
    prompt, model = asked["messages"][-1]["content"], asked["model"]
    text = f"{model} says so"
    if model == MIDDLE:
        text = "It is wrong.\nVERDICT: fail" if "hard" in prompt else "Nothing.\n**VERDICT: pass**"
    elif "schema" in prompt:
        text = "about 1900" if "hard" in prompt and model == CHEAP else '```json\n{"year": 1912}\n```'
    elif "refuse" in prompt and model == CHEAP:
        text = "I'm sorry, I cannot."
    if "down" in prompt and model == CHEAP:
        return Scripted("no", status=400)
    return Scripted(text, usage=USAGE[model])


@pytest.fixture
def server(openai_server: NewServer) -> OpenAIServer:
    return openai_server(said)


@pytest.fixture
def here(project: NewProject, server: OpenAIServer) -> Project:
    return project({f".llm-orc/profiles/{name}.yaml": profile(server, name) for name in PRICES}, trusted=True)


def profile(server: OpenAIServer, name: str, *, priced: bool = True) -> str:
    model, price, reply = PRICES[name]
    known = f"price: {{input: {price}, output: {reply}}}\n" if priced else ""
    return f"provider: openai-compatible\nmodel: {model}\nbase_url: {server.base_url}\n{known}"


def asked(server: OpenAIServer) -> dict[str, int]:
    models = [request.json["model"] for request in server.chats]
    return {model: models.count(model) for model in dict.fromkeys(models)}


def cascaded(here: Project, text: str, code: int = 0, **variables: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What its report says, and the whole run."""
    flags = [word for name, value in variables.items() for word in ("--var", f"{name}={value}")]
    outcome = here.run("invoke", "cascade", "--output-format", "json", *flags, stdin=text)
    assert outcome.code == code, outcome.err
    run = json.loads(outcome.out)
    return next(agent["json"] for agent in run["agents"] if agent["name"] == "report"), run


def test_a_good_answer_is_not_asked_for_twice(here: Project, server: OpenAIServer) -> None:
    report, run = cascaded(here, "An easy one?")
    assert asked(server) == {CHEAP: 1, MIDDLE: 1}
    assert report["answers"] == [{"item": "An easy one?", "answer": f"{CHEAP} says so", "by": "cheap", "why": None}]
    assert (report["items"], report["escalated"], report["share"]) == (1, 0, 0.0)
    by_price = (1000 * 100 + 500 * 200) / 1_000_000
    assert report["cost"] == pytest.approx(COST[CHEAP] + COST[MIDDLE]) == pytest.approx(run["totals"]["cost"])
    assert report["careful_alone"] == pytest.approx(by_price)
    assert report["saved"] == pytest.approx(by_price - COST[CHEAP] - COST[MIDDLE])


def test_a_bad_answer_goes_to_the_careful_model(here: Project, server: OpenAIServer) -> None:
    outcome = here.run("invoke", "cascade", "A hard one?")
    assert outcome.code == 0
    assert asked(server) == {CHEAP: 1, MIDDLE: 1, CAREFUL: 1}
    spent, alone = COST[CHEAP] + COST[MIDDLE] + COST[CAREFUL], COST[CAREFUL]
    summary = f"1 of 1 went to the careful model (100%); ${spent:.2f} spent, the careful model alone about ${alone:.2f}"
    more = f"about ${spent - alone:.2g} more than that"
    assert outcome.out == f"{CAREFUL} says so\n\n*careful: It is wrong.*\n\n---\n{summary}: {more}\n"


def test_of_many_items_only_those_that_fail_are_escalated(here: Project, server: OpenAIServer) -> None:
    report, run = cascaded(here, "easy 1\n\n hard 2 \neasy 3\neasy 4\n", items="lines", task="Name it.")
    assert asked(server) == {CHEAP: 4, MIDDLE: 4, CAREFUL: 1}
    assert [(each["item"], each["by"]) for each in report["answers"]] == [
        ("easy 1", "cheap"),
        ("hard 2", "careful"),
        ("easy 3", "cheap"),
        ("easy 4", "cheap"),
    ]
    assert (report["escalated"], report["share"]) == (1, 0.25)
    assert report["careful_alone"] == pytest.approx(4 * COST[CAREFUL])
    assert report["saved"] == pytest.approx(4 * COST[CAREFUL] - run["totals"]["cost"])
    cheap, careful = (
        {request.json["messages"][-1]["content"] for request in server.chats if request.json["model"] == m} for m in (CHEAP, CAREFUL)
    )
    assert careful == {"Name it.\n\nhard 2"} <= cheap
    assert run["result"].startswith(
        f"## 1. easy 1\n\n{CHEAP} says so\n\n## 2. hard 2\n\n{CAREFUL} says so\n\n*careful: It is wrong.*\n\n## 3."
    )


def test_a_json_list_is_many_items(here: Project, server: OpenAIServer) -> None:
    report, _ = cascaded(here, json.dumps(["easy", {"q": "hard"}]), items="json")
    assert [(each["item"], each["by"]) for each in report["answers"]] == [("easy", "cheap"), ('{"q": "hard"}', "careful")]


def test_a_schema_decides(here: Project, server: OpenAIServer) -> None:
    report, _ = cascaded(here, "easy\nhard\n", items="lines", check="schema", schema=json.dumps(SCHEMA))
    assert asked(server) == {CHEAP: 2, CAREFUL: 1}
    assert [(each["by"], each["answer"]) for each in report["answers"]] == [("cheap", '{"year": 1912}'), ("careful", '{"year": 1912}')]
    assert report["answers"][1]["why"] == "it is no JSON"
    assert all(json.dumps(SCHEMA) in request.json["messages"][-1]["content"] for request in server.chats)


def test_what_breaks_the_schema_is_not_even_graded(here: Project, server: OpenAIServer) -> None:
    cascaded(here, "easy\nhard\n", items="lines", schema=json.dumps(SCHEMA))
    assert asked(server) == {CHEAP: 2, MIDDLE: 1, CAREFUL: 1}


def test_a_script_decides(here: Project, server: OpenAIServer) -> None:
    report, _ = cascaded(here, "easy\nrefuse\n", items="lines", check="script")
    assert asked(server) == {CHEAP: 2, CAREFUL: 1}
    assert [(each["by"], each["why"]) for each in report["answers"]] == [("cheap", None), ("careful", 'it says "I\'m sorry"')]


def test_a_script_of_ones_own_decides(here: Project, server: OpenAIServer) -> None:
    here.write(".llm-orc/ensembles/cascade-check.yaml", "agents: [{name: mine, script: mine.py}]\n")
    here.write(
        ".llm-orc/scripts/mine.py",
        "import json, sys\nprint(json.dumps(['2' in each['item'] for each in json.loads(json.load(sys.stdin)['input'])]))\n",
    )
    report, _ = cascaded(here, "item 1\nitem 2\n", items="lines", check="script")
    assert [(each["by"], each["why"]) for each in report["answers"]] == [("careful", "the check fails it"), ("cheap", None)]


def test_a_check_that_says_nothing_passes_nothing(here: Project, server: OpenAIServer) -> None:
    here.write(".llm-orc/ensembles/cascade-check.yaml", "agents: [{name: mine, command: [echo, '[true]']}]\n")
    report, _ = cascaded(here, "item 1\nitem 2\n", items="lines", check="script")
    assert [each["by"] for each in report["answers"]] == ["cheap", "careful"]
    assert report["answers"][1]["why"] == "the check gave no verdict (too few of them)"


def test_an_item_that_cannot_be_asked_goes_to_the_careful_model_and_takes_nobody_along(here: Project, server: OpenAIServer) -> None:
    report, _ = cascaded(here, "easy\ndown\n", 3, items="lines")
    assert [(each["by"], each["why"]) for each in report["answers"]] == [("cheap", None), ("careful", "no answer")]
    assert asked(server)[CAREFUL] == 1


def test_what_nobody_answers_is_said(here: Project, server: OpenAIServer) -> None:
    here.write(".llm-orc/profiles/careful.yaml", "provider: openai-compatible\nmodel: m\nbase_url: http://127.0.0.1:9/v1\n")
    outcome = here.run("invoke", "cascade", "A hard one?")
    assert outcome.code == 3
    assert outcome.out.startswith("(no answer)\n\n*no answer: It is wrong; careful has no answer (")


def test_money_that_is_not_known_is_not_made_up(project: NewProject, server: OpenAIServer) -> None:
    far = {name: profile(server, name, priced=False).replace("127.0.0.1", "0.0.0.0") + "insecure: true\n" for name in PRICES}
    here = project({f".llm-orc/profiles/{name}.yaml": text for name, text in far.items()}, trusted=True)
    report, _ = cascaded(here, "An easy one?")
    assert (report["cost"], report["saved"]) == (None, None)
    assert report["summary"].endswith("what it cost is not known: a model has no known price")


def test_models_on_this_machine_are_free(project: NewProject, server: OpenAIServer) -> None:
    here = project({f".llm-orc/profiles/{name}.yaml": profile(server, name, priced=False) for name in PRICES}, trusted=True)
    report, _ = cascaded(here, "An easy one?")
    assert report["summary"] == "0 of 1 went to the careful model (0%); nothing spent: these models are free"


@pytest.mark.parametrize(
    ("variables", "text", "error"),
    [
        ({"check": "schema"}, "x", 'check=schema needs one: --var schema="$(cat schema.json)"'),
        ({"schema": "{"}, "x", "the variable schema is no JSON: "),
        ({"schema": '{"type": "nothing"}'}, "x", "the variable schema is no JSON Schema: at $.type: "),
        ({"items": "json"}, '{"a": 1}', "items=json, and the input is no JSON list"),
        ({"items": "json"}, "a", "items=json, and the input is no JSON: "),
        ({"items": "json"}, "[]", "the input holds no items"),
    ],
)
def test_what_is_wrong_is_said_before_anybody_is_asked(
    here: Project, server: OpenAIServer, variables: Mapping[str, str], text: str, error: str
) -> None:
    flags = [word for name, value in variables.items() for word in ("--var", f"{name}={value}")]
    outcome: Outcome = here.run("invoke", "cascade", *flags, stdin=text)
    assert (outcome.code, error in outcome.err) == (1, True), outcome.err
    assert not server.requests


def test_nobody_offline_is_asked(here: Project, server: OpenAIServer, project: NewProject) -> None:
    far = {name: f"provider: openai\nmodel: {model}\n" for name, (model, *_) in PRICES.items()}
    outcome = project({f".llm-orc/profiles/{name}.yaml": text for name, text in far.items()}, trusted=True).run(
        "invoke", "cascade", "easy", "--offline"
    )
    assert outcome.code == 1
    assert "skipped 3 agents  cheap, grades, careful: offline" in outcome.err
    assert "Traceback" not in outcome.err


SPENT = """
agents:
  - {name: list, command: [echo, '["easy", "down"]']}
  - {name: many, fan_out: true, depends_on: [list], model_profile: fast}
  - {name: child, ensemble: inner}
  - {name: shown, script: show.py, depends_on: [list, many, child]}
"""


def test_a_script_hears_what_its_dependencies_took(here: Project, server: OpenAIServer) -> None:
    here.write(".llm-orc/ensembles/spent.yaml", SPENT)
    here.write(".llm-orc/ensembles/inner.yaml", "agents: [{name: a, model_profile: careful}]\n")
    show = "import json, sys\nprint(json.dumps({k: v['spent'] for k, v in json.load(sys.stdin)['dependencies'].items()}))\n"
    here.write(".llm-orc/scripts/show.py", show)
    outcome = here.run("invoke", "spent", "x")
    spent = json.loads(outcome.out)
    assert spent["list"] is None
    assert spent["many"]["cost"] == pytest.approx(COST[CHEAP])
    assert spent["many"]["price"] == pytest.approx({"input": 1.0, "output": 2.0})
    assert [(child["ok"], child["usage"]["input"], child["usage"]["output"]) for child in spent["many"]["children"]] == [
        (True, *USAGE[CHEAP]),
        (False, 0, 0),
    ]
    assert (spent["child"]["cost"], spent["child"]["price"], spent["child"]["children"]) == (pytest.approx(COST[CAREFUL]), None, None)


@pytest.mark.parametrize(
    ("reply", "passes"),
    [
        ("VERDICT: pass", True),
        ("fine\n**VERDICT: PASS**", True),
        ("VERDICT: fail\nno:\nVERDICT: pass", True),
        ("verdict pass or fail", False),
        ("1: VERDICT: pass", False),
        ("VERDICT: fail", False),
        (None, False),
    ],
)
def test_a_grade_is_read_from_its_last_verdict(script: Script, reply: str | None, *, passes: bool) -> None:
    drafts = {"json": {"passed": [{"index": 0, "item": "q", "answer": "a"}], "failed": []}}
    grades = {"json": [reply], "cause": None}
    request = {"drafts": drafts, "grades": grades, "own": {"json": None, "cause": "when"}}
    assert script("collect_failures", dependencies=request, variables={"check": "grader"})["indices"] == ([] if passes else [0])


async def test_what_a_server_bills_without_counting_tokens_is_heard(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    async def billed(request: Request, tell: Tell) -> Reply:
        return Reply("yes", cost=0.25)

    here.write(".llm-orc/scripts/show.py", "import json, sys\nprint(json.load(sys.stdin)['dependencies']['a']['spent']['cost'])\n")
    own = "agents:\n  - {name: a, provider: mine, model: m}\n  - {name: shown, script: show.py, depends_on: [a]}\n"
    path = here.write(".llm-orc/ensembles/billed.yaml", own)
    monkeypatch.setenv("LLM_ORC_TRUST", "1")
    run = await llm_orc.arun(str(path), "x", providers={"mine": billed})
    assert run.result.strip() == "0.25"
