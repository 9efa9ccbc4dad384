"""`summarize-long` over HTTP: an input far beyond any window, reduced as a tree."""

import json
import re

from tests.project import NewProject
from tests.servers.fixtures import NewServer
from tests.servers.openai import Line, Scripted, prompt_of
from tests.servers.wire import Received
from tests.shipped.serving import project_at, prompts

WINDOW = 4_096
PARAGRAPHS = [f"Paragraph {number} of the minutes. " + f"Somebody spoke of thing {number}. " * 40 for number in range(300)]
TEXT = "\n\n".join(PARAGRAPHS)


def notes_on(prompt: str) -> str:
    """Which paragraphs were read, and as many words as a model would write about them."""
    read = sorted({int(number) for number in re.findall(r"Paragraph (\d+) of|<(\d+)>", prompt) for number in number if number})
    return " ".join(f"<{number}>" for number in read) + " notes" * 400


class Reader:
    """A model with a window: reads, takes notes, and refuses what is too long for it."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.broken = ""

    def __call__(self, request: Received) -> Line:
        prompt = prompt_of(request.json)
        kind = next(
            kind
            for kind, part in {"read": "<part number=", "merge": "Merge these notes", "write": "Write a summary"}.items()
            if part in prompt
        )
        self.kinds.append(kind)
        if len(prompt.encode()) / 4 > WINDOW:
            return Scripted("this model's maximum context length is 4096 tokens", 400)
        if self.broken and self.broken in prompt:
            return Scripted("no", 400)
        return notes_on(prompt)


def test_a_text_of_many_windows_is_read_whole_and_reduced_to_one(project: NewProject, openai_server: NewServer) -> None:
    model = Reader()
    server = openai_server(model, latency=0.02)
    outcome = project_at(project, server, more="max_parallel: 3\n").run("invoke", "summarize-long", "--output-format", "json", stdin=TEXT)
    assert outcome.code == 0, outcome.err
    assert len(TEXT.encode()) / 4 > 20 * WINDOW
    assert model.kinds.count("read") >= 30
    assert model.kinds.count("merge") >= 9, "three rounds"
    assert model.kinds[-1] == "write"
    read = [int(number) for number in re.findall(r"<(\d+)>", json.loads(outcome.out)["result"])]
    assert read == list(range(300)), "every paragraph came to the end, in its order"
    assert server.peak <= 3


def test_a_part_that_nobody_could_read_is_a_gap_and_is_said(project: NewProject, openai_server: NewServer) -> None:
    model = Reader()
    model.broken = "Paragraph 100 of"
    server = openai_server(model)
    here = project_at(project, server)
    outcome = here.run("invoke", "summarize-long", stdin=TEXT)
    assert outcome.code == 3, outcome.err
    assert re.search(r"notes\[\d+\].*invalid_request", outcome.err)
    assert "Merge these notes" in prompts(server, "[no reply from notes[")[0]


def test_the_question_goes_to_everybody(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": "notes"})
    here = project_at(project, server)
    outcome = here.run("invoke", "summarize-long", "--var", "question=Who paid?", "--var", "words=99", stdin="It was Ann.")
    assert (outcome.code, outcome.out) == (0, "notes\n"), outcome.err
    sent = prompts(server)
    assert [prompt.count("Who paid?") for prompt in sent] == [1, 1, 1]
    assert "in at most 99 words" in sent[-1]


def test_a_plan_says_how_many_calls_there_will_be(project: NewProject, openai_server: NewServer) -> None:
    here = project_at(project, openai_server(), more="price: {input: 1, output: 2}\nmax_tokens: 1000\n")
    here.write("long.txt", TEXT)
    plan = here.run("plan", "summarize-long", "-f", "long.txt").out
    assert re.search(r"piece of \{\{ input \}\} with at most 3,000 tokens, 100 repeated, gathered as list; 3\d children at most", plan), (
        plan
    )
    assert re.search(r"piece of \{\{ agents.notes \}\} with at most 3,000 tokens, reduced to one; [67]\d children at most", plan)
    assert "cost  at most" in plan
