"""`compare`: an ensemble under several profiles, side by side, on one run."""

import json
import re
from collections.abc import Callable

import pytest

from tests.project import NewProject, Project
from tests.servers.fixtures import NewServer
from tests.servers.openai import Line, OpenAIServer, Scripted
from tests.servers.wire import Received
from tests.shipped.serving import asked, prompts

TWO = "description: Two steps\nagents: [{name: first}, {name: second, prompt: 'Better: {{ agents.first }}'}]\n"
RANKS = "Which answer serves"
Judge = Callable[[list[str], dict[str, str]], list[tuple[str, int]]]


def by_length(labels: list[str], texts: dict[str, str]) -> list[tuple[str, int]]:
    """The same whatever the order is."""
    return [(label, 1 + sum(len(texts[other]) > len(texts[label]) for other in labels)) for label in labels]


def first_wins(labels: list[str], _: dict[str, str]) -> list[tuple[str, int]]:
    """A judge whom only the order matters to."""
    return [(label, index) for index, label in enumerate(labels, 1)]


def none_wins(labels: list[str], _: dict[str, str]) -> list[tuple[str, int]]:
    return [(label, 1) for label in labels]


def careless(labels: list[str], texts: dict[str, str]) -> list[tuple[str, int]]:
    """Leaves out an answer where a short one stands first."""
    return by_length(labels, texts)[: 1 if len(texts[labels[0]]) < len(texts[labels[-1]]) else None]


def here(project: NewProject, new: NewServer, judge: Judge = by_length) -> tuple[Project, OpenAIServer]:
    def answer(request: Received) -> Line:
        model, prompt = asked(request)
        if RANKS in prompt:
            texts = dict(re.findall(r"(?ms)^<(answer-\d+)>\n(.*?)\n</\1>$", prompt))
            ranking = [
                {"answer": label, "place": place, "reason": f"{label.capitalize()} says it."} for label, place in judge([*texts], texts)
            ]
            return Scripted(text=json.dumps({"ranking": ranking}), usage=(500, 50))
        if model == "bad":
            return 400
        return Scripted(text=f"# By someone\n\n{'word ' * len(model)}", usage=(100, 20))

    server: OpenAIServer = new(answer)
    shared = f"provider: openai-compatible\nbase_url: {server.base_url}\nprice: {{input: 1, output: 5}}\nmax_tokens: 500\n"
    profiles = {f".llm-orc/profiles/{name}.yaml": f"model: {name}\n{shared}" for name in ("big", "small", "bad")}
    return project({**profiles, ".llm-orc/ensembles/two.yaml": TWO}), server


def test_every_profile_runs_the_whole_ensemble_and_a_failure_hides_nothing(project: NewProject, openai_server: NewServer) -> None:
    at, server = here(project, openai_server)
    outcome = at.run("compare", "two", "Why?", "--profiles", "big,bad,small")
    assert outcome.code == 3, outcome.err
    head, *sections = outcome.out.split("\n## ")
    assert head.startswith("# two: big, bad, small")
    assert [section.partition("\n")[0] for section in sections] == ["In short", "big", "bad", "small"]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in sections[0].splitlines() if line.startswith("|")]
    assert [(row[0], row[1], row[2], *row[4:]) for row in rows[2:]] == [
        ("big", "big", "succeeded", "240 tokens", "$0.0004"),
        ("bad", "bad", "failed", "", ""),
        ("small", "small", "succeeded", "240 tokens", "$0.0004"),
        ("all", "", "partial", "480 tokens", "$0.0008"),
    ]
    assert all(re.fullmatch(r"\d+\.\d s", row[3]) for row in rows[2:])
    assert sections[1] == "big\n\n### By someone\n\nword word word \n"
    assert "answered 400" in sections[2]
    assert sorted(asked(request)[0] for request in server.chats) == ["bad", "big", "big", "small", "small"]
    assert "Better: # By someone\n\nword word word " in prompts(server)


@pytest.mark.parametrize(
    ("judge", "ranking", "counts"),
    [
        (by_length, [(1, "small", 2), (2, "big", 0)], {"agreed": 1, "ties": 0, "contradictions": 0}),
        (first_wins, [(1, "big", 1), (1, "small", 1)], {"agreed": 0, "ties": 0, "contradictions": 1}),
        (none_wins, [(1, "big", 1), (1, "small", 1)], {"agreed": 0, "ties": 1, "contradictions": 0}),
    ],
)
def test_a_judge_ranks_answers_without_names_in_both_orders(
    project: NewProject, openai_server: NewServer, judge: Judge, ranking: list[tuple[int, str, float]], counts: dict[str, int]
) -> None:
    at, server = here(project, openai_server, judge)
    outcome = at.run("compare", "two", "Why?", "--profiles", "big,small", "--judge", "small", "--output-format", "json")
    assert outcome.code == 0, outcome.err
    assert "warning: 'small' judges its own answer, too" in outcome.err
    told = json.loads(outcome.out)["comparison"]["judge"]
    assert [(each["place"], each["profile"], each["wins"]) for each in told["ranking"]] == ranking
    assert {key: told[key] for key in counts} == counts
    assert (told["orders"], told["unusable"], told["pairs"], told["cost"]) == (["forward", "backward"], {}, 1, 0.0015)
    assert told["ranking"][0]["reasons"] == [f"{ranking[0][1]} says it."] * 2
    forward, backward = (re.findall(r"(?m)^<(answer-\d)>\n# By someone\n\n((?:word )+)", prompt) for prompt in prompts(server, RANKS))
    assert sorted([forward, backward]) == [
        [("answer-1", "word word word "), ("answer-2", "word word word word word ")],
        [("answer-1", "word word word word word "), ("answer-2", "word word word ")],
    ]
    assert not any(re.search(r"\b(big|small)\b", prompt) for prompt in prompts(server, RANKS))


def test_a_ranking_that_cannot_be_used_is_told_and_not_counted(project: NewProject, openai_server: NewServer) -> None:
    at, _ = here(project, openai_server, careless)
    outcome = at.run("compare", "two", "Why?", "--profiles", "big,small", "--judge", "big")
    verdict = outcome.out.split("\n## ")[2]
    assert "- 1: **small**, 1 of 1 comparisons won\n" in verdict
    assert "The ranking of the answers in forward order cannot be used: it leaves out small. Only one order was ranked" in verdict


def test_with_one_answer_nothing_is_judged(project: NewProject, openai_server: NewServer) -> None:
    at, server = here(project, openai_server)
    outcome = at.run("compare", "two", "Why?", "--profiles", "bad,small", "--judge", "big")
    assert "Nothing was judged: there are fewer than two answers." in outcome.out
    assert (outcome.code, prompts(server, RANKS)) == (3, [])


def test_it_is_one_run_that_can_be_shown_exported_and_gone_on_with(project: NewProject, openai_server: NewServer) -> None:
    at, server = here(project, openai_server)
    first = at.run("compare", "two", "Why?", "--profiles", "bad,small", "-o", "it.html")
    assert first.code == 3
    page = (at.path / "it.html").read_text()
    assert page.index('<article>\n<h2 id="bad">') < page.index("answered 400") < page.index('<article>\n<h2 id="small">')
    assert '<h3 id="by-someone">By someone</h3>' in page
    assert at.run("runs", "export", "last", "-o", "again.html").code == 0
    assert (at.path / "again.html").read_text() == page
    assert "compare-two  partial" in at.run("runs", "list").out
    assert "\n## small\n\n### By someone\n" in at.run("runs", "show", "last").out
    before = len(server.chats)
    again = at.run("runs", "resume", "last", "--output-format", "json")
    assert again.err.count("warning") == 0
    assert [each["status"] for each in json.loads(again.out)["comparison"]["answers"]] == ["failed", "succeeded"]
    assert [asked(request)[0] for request in server.chats[before:]] == ["bad"]


def test_in_a_terminal_answers_stand_beside_one_another_as_far_as_they_fit(project: NewProject, openai_server: NewServer) -> None:
    at, _ = here(project, openai_server)
    wide = at.run_pty(
        "compare", "two", "Why?", "--profiles", "big,bad,small", "--no-store", tty=["stdout"], env={"NO_COLOR": "1"}, cols=120
    )
    lines = wide.out.replace("\r", "").splitlines()
    assert re.fullmatch(r" big +│ bad +│ small", lines[0])
    assert all(len(line) <= 120 for line in lines)
    narrow = at.run_pty(
        "compare", "two", "Why?", "--profiles", "big,bad,small", "--no-store", tty=["stdout"], env={"NO_COLOR": "1"}, cols=50
    )
    lines = narrow.out.replace("\r", "").splitlines()
    assert [line.strip() for line in lines if line.strip() in ("big", "bad", "small")] == ["big", "big", "bad", "bad", "small", "small"]
    assert all(len(line) <= 50 for line in lines)


def test_what_all_of_it_may_cost_is_bounded_together(project: NewProject, openai_server: NewServer) -> None:
    at, server = here(project, openai_server)
    outcome = at.run("compare", "two", "Why?", "--profiles", "big,small", "--judge", "big", "--max-cost", "0.0001", "--max-parallel", "1")
    assert (outcome.code, server.chats) == (4, [])


@pytest.mark.parametrize(
    ("args", "err"),
    [
        (("two",), "error: --profiles names no profile: there is nothing to compare\nhint: --profiles A,B; see: llm-orc list profiles\n"),
        (("two", "--profiles", "big"), "error: --profiles names only 'big': there is nothing to compare\n"),
        (("two", "--profiles", "big,small,big"), "error: --profiles: 'big' stands there twice\nhint: leave one out\n"),
        (
            ("two", "--profiles", "big,smal", "--judge", "nobody"),
            "error: no profile 'nobody'\nhint: see: llm-orc list profiles\nerror: no profile 'smal'\nhint: did you mean 'small'?",
        ),
        (("cat.yaml", "--profiles", "big,small"), "error: 'cat' asks no model, so there is nothing to compare\n"),
        (("two", "--profiles", "big,small", "--var", "x=1"), "error: 'two' has no variable 'x'\nhint: it declares none\n"),
        (
            ("lang.yaml", "--profiles", "big,small"),
            "lang.yaml:1:19: variable 'lang' of 'lang' has no value\nhint: give it: --var lang=...\n",
        ),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(project: NewProject, openai_server: NewServer, args: tuple[str, ...], err: str) -> None:
    at, server = here(project, openai_server)
    at.write("cat.yaml", "agents: [{name: a, command: [cat]}]")
    at.write("lang.yaml", "variables: {lang: {required: true}}\nagents: [{name: a, prompt: '{{ variables.lang }}'}]")
    outcome = at.run("compare", *args, "--no-store", stdin="Why?", env={"LLM_ORC_TRUST": "1"})
    assert outcome.err.startswith(err), outcome.err
    assert (outcome.out, outcome.code, server.chats) == ("", 2, [])


def test_profiles_are_completed_behind_a_comma(project: NewProject, openai_server: NewServer) -> None:
    at, _ = here(project, openai_server)
    env = {"_LLM_ORC_COMPLETE": "complete_bash", "COMP_WORDS": "llm-orc compare two --profiles big,s", "COMP_CWORD": "4"}
    assert at.run(env=env).out.split() == ["big,small"]
