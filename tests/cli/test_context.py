"""Requests that are longer than their model's window, by the true command line, against a server that has a window and keeps to it."""

import json
import re
from collections.abc import Callable, Iterable

import pytest

from tests.project import NewProject, Outcome, Project
from tests.servers.fixtures import NewServer
from tests.servers.openai import Line, NativeModel, OpenAIServer, Scripted, prompt_of
from tests.servers.wire import Received

WINDOW = 1_000
LINES = [
    f"Line {number}: a small thing happened in the town of number {number}, and nobody saw it but the clock.\n" for number in range(400)
]
BOOK = "".join(LINES)
SUMMARY = "SUMMARY of lines"
TOO_LONG = Scripted("This model's maximum context length is less than that.", status=400)


def text_of(request: Received) -> str:
    return prompt_of(request.json)


def keeping_to(window: int, answer: Callable[[str], Line] = lambda _: "THE ANSWER") -> Callable[[Received], Line]:
    """A model that refuses what is longer, and says of what it summarises which lines those were."""

    def said(request: Received) -> Line:
        text = text_of(request)
        if len(text) / 4 > window:
            return TOO_LONG
        if text.startswith("Summarise"):
            return f"{SUMMARY} {', '.join(re.findall(r'(?:Line|lines) ([0-9]+)', text)[:3])}"
        return answer(text)

    return said


def project_with(project: NewProject, server: OpenAIServer, context: str, *, window: int | None = WINDOW, more: str = "") -> Project:
    known = f"context_window: {window}\n" if window else ""
    profile = f"provider: openai-compatible\nmodel: m\nbase_url: {server.base_url}\nmax_tokens: 100\n{known}{more}"
    agents = f"agents:\n  - name: reader\n    system_prompt: You read.\n    prompt: Which towns are named?\n    context: {context}\n"
    return project({".llm-orc/profiles/default.yaml": profile, ".llm-orc/ensembles/read.yaml": agents, "book.txt": BOOK})


def read(here: Project, *flags: str) -> Outcome:
    return here.run("invoke", "read", "Mind the clock.", "-f", "book.txt", *flags)


def agent(outcome: Outcome) -> dict[str, object]:
    (found,) = json.loads(outcome.out)["agents"]
    assert isinstance(found, dict)
    return found


def numbers(texts: Iterable[str]) -> list[int]:
    return [int(number) for text in texts for number in re.findall(r"^Line (\d+): ", text, re.MULTILINE)]


def test_an_error_is_told_before_anything_is_sent_with_the_ways_out(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(keeping_to(WINDOW))
    outcome = read(project_with(project, server, "{policy: error}"))
    assert (outcome.code, outcome.out, server.chats) == (1, "", [])
    assert re.search(r"context_length: at least 3,\d{3} tokens do not fit the 1,000 of m", outcome.err)
    assert "hint: send less: split the input with fan_out, or choose a model with a larger window; or let the oldest part go" in outcome.err
    assert "context: {policy: truncate}" in outcome.err


def test_what_only_the_server_knows_to_be_too_long_has_the_same_way_out(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(keeping_to(WINDOW))
    outcome = read(project_with(project, server, "{policy: error}", window=None))
    assert (outcome.code, len(server.chats)) == (1, 1)
    assert "context: {policy: truncate}" in outcome.err


def test_truncate_sends_the_end_with_the_task_and_a_mark(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(keeping_to(WINDOW))
    here = project_with(project, server, "{policy: truncate}")
    outcome = read(here, "--output-format", "json")
    assert outcome.code == 0, outcome.err
    (chat,) = server.chats
    system, user = chat.json["messages"]
    assert (system["role"], system["content"]) == ("system", "You read.")
    assert user["content"].startswith("Which towns are named?\n\nMind the clock.\n\n[... ")
    kept = numbers([user["content"]])
    assert kept == list(range(kept[0], 400))
    assert f"[... {sum(map(len, LINES[: kept[0]])):,} characters left out ...]" in user["content"]
    found = agent(outcome)["shortened"]
    assert isinstance(found, dict)
    assert (found["policy"], found["room"], found["after"] <= found["room"] < found["before"]) == ("truncate", 800, True)
    assert re.search(r"^shortened  reader: sent without its oldest part: ~\d{3} tokens of ~9,\d{3}$", outcome.err, re.MULTILINE)
    shown = here.run("runs", "show", "last", "--agent", "reader").out
    assert ("Line 0:" in shown.partition("sent without its oldest part")[0], "characters left out" in shown) == (True, True)


def test_summarize_reads_every_line_of_the_old_part_once_and_the_rest_as_it_is(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(keeping_to(WINDOW))
    here = project_with(project, server, "{policy: summarize}")
    outcome = read(here, "--output-format", "json", "-v")
    assert outcome.code == 0, outcome.err
    *summarised, last = [text_of(chat) for chat in server.chats]
    assert max(len(text) / 4 for text in [*summarised, last]) <= WINDOW
    assert last.startswith("You read.\nWhich towns are named?\n\nMind the clock.\n\n[Summary of ")
    assert f"{SUMMARY} 0, " in last, "the summary of the summaries begins at the beginning"
    kept = numbers([last])
    assert sorted([*numbers(summarised), *kept]) == list(range(400)), "each line is summarised once or kept, and never both"
    assert kept == list(range(kept[0], 400))
    assert any(text.count(SUMMARY) > 1 for text in summarised), "summaries of summaries were made"
    assert all("Which towns are named?" in text and "Mind the clock." in text and "You read." in text for text in summarised)
    found = agent(outcome)
    children, usage = found["children"], found["usage"]
    assert isinstance(children, list)
    assert isinstance(usage, dict)
    assert [child["name"] for child in children] == [f"summary-{number}" for number in range(1, len(summarised) + 1)]
    assert (usage["input"], usage["output"]) == (server.bill.input, server.bill.output), "they are counted"
    assert f"reader/summary-{len(summarised)}  succeeded" in outcome.err
    shown = here.run("runs", "show", "last", "--agent", "reader/summary-1").out
    assert ("Line 0: a small thing" in shown, f"reply\n{SUMMARY} 0, 1, 2" in shown) == (True, True)


def test_summaries_are_bounded_by_the_budget_as_all_calls_are(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(keeping_to(WINDOW))
    here = project_with(project, server, "{policy: summarize}", more="price: {input: 100, output: 100}\n")
    outcome = read(here, "--max-cost", "0.5")
    assert outcome.code == 4, outcome.err
    assert "budget: a call may cost" in outcome.err
    assert 0 < (server.bill.input + server.bill.output) * 100 / 1e6 <= 0.5


def test_summaries_are_made_again_and_a_failed_one_is_the_agents_failure(project: NewProject, openai_server: NewServer) -> None:
    busy: list[Line] = [Scripted("busy", status=429, headers={"Retry-After": "0"}), "fine"]

    def broken(request: Received) -> Line:
        return 401 if "Line 0:" in text_of(request) else "x"

    server = openai_server({"Line 0:": busy, "": "fine"})
    outcome = read(project_with(project, server, "{policy: summarize}"), "--output-format", "json")
    assert outcome.code == 0, outcome.err
    outcome = read(project_with(project, openai_server(broken), "{policy: summarize}"))
    assert outcome.code == 1
    assert re.search(r"failed 2 agents  reader, reader/summary-1: authentication", outcome.err)


def test_another_profile_answers_where_a_summary_fails(project: NewProject, openai_server: NewServer) -> None:
    server, other = openai_server({"": 401}), openai_server({"": "from the large one"})
    here = project_with(project, server, "{policy: summarize}", more="fallback: [large]\n")
    here.write(".llm-orc/profiles/large.yaml", f"provider: openai-compatible\nmodel: l\nbase_url: {other.base_url}\n")
    outcome = read(here)
    assert (outcome.code, outcome.out) == (0, "from the large one\n"), outcome.err
    assert len(other.chats) == 1


@pytest.mark.parametrize("policy", ["truncate", "summarize"])
@pytest.mark.parametrize("known", [None, 4 * WINDOW])
def test_what_a_server_still_refuses_is_made_shorter(project: NewProject, openai_server: NewServer, policy: str, known: int | None) -> None:
    server = openai_server(keeping_to(WINDOW))
    outcome = read(project_with(project, server, f"{{policy: {policy}}}", window=known))
    assert (outcome.code, outcome.out) == (0, "THE ANSWER\n"), outcome.err
    assert "Line 399:" in text_of(server.chats[-1])


def test_what_lm_studio_has_loaded_is_what_it_is_made_to_fit(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(keeping_to(WINDOW), native=[NativeModel("m", loaded_context_length=WINDOW)])
    here = project_with(project, server, "{policy: truncate}", window=None)
    here.write(".llm-orc/profiles/default.yaml", f"provider: lmstudio\nmodel: m\nbase_url: {server.base_url}\n")
    outcome = read(here)
    assert (outcome.code, outcome.out) == (0, "THE ANSWER\n"), outcome.err
    (chat,) = server.chats
    assert 0.5 * WINDOW < len(text_of(chat)) / 4 < WINDOW


def test_what_cannot_fit_even_so_fails(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(keeping_to(WINDOW))
    here = project_with(project, server, "{policy: truncate}")
    here.write(".llm-orc/ensembles/read.yaml", f"agents:\n  - name: a\n    context: {{policy: truncate}}\n    prompt: '{'word ' * 2000}'\n")
    outcome = read(here)
    assert (outcome.code, server.chats) == (1, [])
    assert re.search(r"context_length: about \d+,\d{3} tokens cannot be cut to the 800 that m has room for", outcome.err)
    assert "hint: make what always stays shorter" in outcome.err


def test_a_repair_of_a_long_reply_is_made_to_fit_too(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(keeping_to(WINDOW, lambda text: '{"towns": 400}' if "cannot be used" in text else "no JSON " * 60))
    here = project_with(project, server, "{policy: truncate}\n    output_schema: {type: object}")
    outcome = read(here)
    assert (outcome.code, json.loads(outcome.out)) == (0, {"towns": 400}), outcome.err
    assert [len(chat.json["messages"]) for chat in server.chats] == [2, 4]


def test_plan_says_the_policy_and_that_summaries_come_on_top(project: NewProject, openai_server: NewServer) -> None:
    here = project_with(project, openai_server(), "{policy: summarize, keep_last: 2, reminder: 3}", more="price: {input: 1, output: 1}\n")
    plan = here.run("plan", "read", "-f", "book.txt")
    said = (
        "of what is longer than the window the oldest part is summarised, by calls of their own; the last 2 messages of a conversation stay"
    )
    assert f"    context   {said}; the task is repeated every 3 turns\n" in plan.out
    assert plan.out.endswith("; summaries of what is too long come on top (reader)\n")
    known = json.loads(here.run("plan", "read", "-f", "book.txt", "--json").out)
    assert known["agents"][0]["context"] == {"policy": "summarize", "keep_last": 2, "reminder": 3}
    assert known["cost"]["summaries"] == ["reader"]
    assert "on top" not in here.run("plan", "read", "short").out
    assert "on top" not in here.run("plan", "read", "-f", "book.txt", "--max-cost", "1").out


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ("truncate", "14: 'context' must be keys and values, not 'truncate'"),
        ("{policy: shorten}", "23: 'policy' must be error, truncate or summarize, not 'shorten'"),
        ("{keep_last: 0}", "26: 'keep_last' must be at least 1, not 0"),
        ("{remind: 5}", "15: no key 'remind' in context\nhint: did you mean 'reminder'?"),
        ("{reminder: true}", "25: 'reminder' must be a whole number, not true"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(project: NewProject, openai_server: NewServer, context: str, said: str) -> None:
    outcome = project_with(project, openai_server(), context).run("validate", "read")
    assert outcome.code == 2
    assert f".llm-orc/ensembles/read.yaml:5:{said}\n" in outcome.err
