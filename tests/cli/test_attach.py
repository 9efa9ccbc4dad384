"""Files that are sent along: by `attachments`, by `--attach`, in a fan-out; what is refused before anything is sent."""

import json
import re
from base64 import b64decode
from typing import Any

import pytest

from tests import pictures
from tests.project import NewProject, Project
from tests.servers.fixtures import NewServer
from tests.servers.openai import OpenAIServer

PICTURE = pictures.png(16, 8)
FILES: dict[str, str | bytes] = {"diagram.png": PICTURE, "notes.md": "# Notes\n", "paper.pdf": pictures.PDF}
SHOWN = """
import json, sys
for file in json.load(sys.stdin)["attachments"] or []:
    print(file["name"], file["media_type"], file["path"] or file["base64"])
"""


@pytest.fixture
def server(openai_server: NewServer) -> OpenAIServer:
    return openai_server({"": "seen"})


@pytest.fixture
def here(project: NewProject, server: OpenAIServer) -> Project:
    profile = f"provider: openai-compatible\nmodel: eye\nbase_url: {server.base_url}\n"
    blind = f"{profile}capabilities: [tools]\n"
    profiles = {".llm-orc/profiles/mine.yaml": profile, ".llm-orc/profiles/blind.yaml": blind}
    return project(
        {**FILES, **profiles, ".llm-orc/config.yaml": "default_profile: mine\n", ".llm-orc/scripts/shown.py": SHOWN}, trusted=True
    )


def ensemble(here: Project, agents: str, name: str = "one") -> str:
    here.write(f".llm-orc/ensembles/{name}.yaml", agents)
    return name


def contents(server: OpenAIServer) -> list[list[Any]]:
    """Of each request the parts of its last message: texts, and files as bytes."""
    return [_parts(chat.json["messages"][-1]["content"]) for chat in server.chats]


def _parts(content: Any) -> list[Any]:
    return [content] if isinstance(content, str) else [_part(part) for part in content]


def _part(part: dict[str, Any]) -> Any:
    if part["type"] == "text":
        return part["text"]
    url = part["image_url"]["url"] if part["type"] == "image_url" else part["file"]["file_data"]
    return b64decode(url.partition("base64,")[2])


NOTES = '<file name="notes.md">\n# Notes\n\n</file>'


def test_an_agents_files_go_with_its_prompt(here: Project, server: OpenAIServer) -> None:
    name = ensemble(here, "agents: [{name: a, prompt: What is it?, attachments: [diagram.png, notes.md, paper.pdf, diagram.png]}]")
    outcome = here.run("invoke", name, "hello")
    assert (outcome.out, outcome.code) == ("seen\n", 0), outcome.err
    assert contents(server) == [["What is it?\n\nhello", PICTURE, NOTES, pictures.PDF]]


def test_files_of_the_caller_go_where_the_input_goes(here: Project, server: OpenAIServer) -> None:
    text = """
        agents:
          - {name: plain}
          - {name: silent, prompt: "{{ variables.x }}"}
          - {name: own, prompt: "On: {{ input }}", attachments: [notes.md]}
          - {name: each, fan_out: {items: [one]}}
          - {name: nested, ensemble: child}
        variables: {x: {default: nothing}}
        synthesis: {prompt: Sum up.}
    """
    here.write(".llm-orc/ensembles/one.yaml", "\n" + text)
    ensemble(here, "agents: [{name: inner}, {name: deaf, prompt: '{{ agents.inner }}!'}]", "child")
    outcome = here.run("invoke", "one", "hello", "--attach", "diagram.png")
    assert outcome.code == 0, outcome.err
    sent = {parts[0]: parts[1:] for parts in contents(server)}
    assert sent.pop("nothing") == sent.pop("one") == sent.pop("seen!") == []
    assert sent.pop("On: hello") == [PICTURE, NOTES]
    [(summed, files)] = [(text, files) for text, files in sent.items() if text.startswith("Sum up.")]
    assert (files, sent[summed], sent["hello"]) == ([PICTURE], [PICTURE], [PICTURE])
    assert sum(parts == ["hello", PICTURE] for parts in contents(server)) == 2  # plain, and nested/inner


def test_a_file_alone_is_enough_of_an_input(here: Project, server: OpenAIServer) -> None:
    outcome = here.run("invoke", ensemble(here, "agents: [{name: a}]"), "--attach", "diagram.png", "--attach", "diagram.png")
    assert outcome.code == 0, outcome.err
    assert contents(server) == [[PICTURE]]


def test_a_file_may_come_through_stdin(here: Project, server: OpenAIServer) -> None:
    outcome = here.run("invoke", ensemble(here, "agents: [{name: a}]"), "look", "--attach", "-", stdin=PICTURE)
    assert outcome.code == 0, outcome.err
    assert contents(server) == [["look", PICTURE]]
    nothing = here.run("invoke", "one", "look", "--attach", "-")
    said = "--attach -: nothing comes through stdin\nhint: cat FILE | llm-orc invoke ENSEMBLE --attach -\n"
    assert (nothing.err.removeprefix("error: "), nothing.code) == (said, 2)


def test_each_item_has_its_own_file(here: Project, server: OpenAIServer) -> None:
    here.write("deep/b.png", pictures.png(2, 2))
    name = ensemble(here, 'agents: [{name: a, fan_out: {items: [diagram.png, deep/b.png, nope.png]}, attachments: ["{{ item }}"]}]')
    outcome = here.run("invoke", name, "--output-format", "json")
    assert outcome.code == 3, outcome.err
    assert sorted(map(tuple, contents(server))) == [("deep/b.png", pictures.png(2, 2)), ("diagram.png", PICTURE)]
    [agent] = json.loads(outcome.out)["agents"]
    assert agent["json"] == ["seen", "seen", None]
    failed = next(child for child in agent["children"] if child["status"] == "failed")
    assert failed["cause"] == "invalid_request: no file 'nope.png'"
    assert (failed["attempts"], failed["usage"]["total"]) == (None, 0)


def test_a_name_may_come_from_a_reply_but_leads_nowhere_else(here: Project, server: OpenAIServer) -> None:
    here.write("~/private.txt", "secret")
    text = "agents: [{name: pick, command: [echo, '%s']}, {name: a, prompt: Look., attachments: ['{{ agents.pick }}']}]"
    assert here.run("invoke", ensemble(here, text % "notes.md"), "x").code == 0
    assert contents(server) == [[*contents(server)[0][:-1], NOTES]]
    outcome = here.run("invoke", ensemble(here, text % "../private.txt"), "x")
    assert outcome.code == 1
    assert "a: invalid_request: '../private.txt' lies outside of the project" in outcome.err
    assert len(server.chats) == 1


def test_a_script_is_told_where_the_files_lie(here: Project) -> None:
    name = ensemble(here, "agents: [{name: a, script: shown.py, attachments: [diagram.png]}]")
    outcome = here.run("invoke", name, "--attach", "notes.md", "--attach", "-", stdin="piped")
    paths = [f"notes.md text/markdown {here.path}/notes.md", f"diagram.png image/png {here.path}/diagram.png"]
    assert outcome.out.splitlines() == [paths[0], "stdin text/plain cGlwZWQ=", paths[1]], outcome.err


def test_all_that_is_wrong_is_told_before_anything_is_sent(here: Project, server: OpenAIServer) -> None:
    here.write("cut.png", PICTURE[:-9])
    here.write("report.docx", b"PK\x03\x04\0word/")
    text = "agents:\n- {name: a, attachments: [cut.png, nope.png, diagram.png]}\n- {name: b, attachments: ['{{ item }}', report.docx]}\n"
    outcome = here.run("invoke", ensemble(here, text), "hello")
    assert outcome.code == 2
    assert [line.partition("one.yaml:")[2] for line in outcome.err.splitlines() if "hint" not in line] == [
        "2:27: 'cut.png' is cut off: a PNG image ends otherwise",
        "2:36: no file 'nope.png'",
        "3:27: no name 'item' in the template of 'attachments'",
        "3:41: 'report.docx' is a Word document, which no model takes",
    ]
    flags = here.run("invoke", "one", "hello", "--attach", "cut.png", "--attach", "report.docx", "--attach", "nope")
    assert flags.code == 2
    assert [line for line in flags.err.splitlines() if "hint" not in line] == [
        "error: 'cut.png' is cut off: a PNG image ends otherwise",
        "error: 'report.docx' is a Word document, which no model takes",
        "error: no file 'nope'",
    ]
    assert server.chats == []


def test_a_model_that_is_known_not_to_see_is_a_problem_before_the_run(here: Project, server: OpenAIServer) -> None:
    name = ensemble(here, "agents: [{name: a, model_profile: blind, attachments: [diagram.png, paper.pdf, notes.md]}]")
    outcome = here.run("invoke", name, "hello")
    assert outcome.code == 2
    assert "'a': openai-compatible/eye cannot look at images: diagram.png" in outcome.err
    assert "'a': openai-compatible/eye cannot read PDFs: paper.pdf" in outcome.err
    text_only = ensemble(here, "agents: [{name: a, model_profile: blind, attachments: [notes.md]}]")
    assert here.run("invoke", text_only, "hello").code == 0
    assert here.run("plan", text_only, "--attach", "diagram.png").code == 2
    assert len(server.chats) == 1


def test_a_model_that_cannot_see_is_not_sent_what_the_run_names(here: Project, server: OpenAIServer) -> None:
    name = ensemble(here, 'agents: [{name: a, model_profile: blind, fan_out: {items: [diagram.png]}, attachments: ["{{ item }}"]}]')
    outcome = here.run("invoke", name, "hello")
    assert (outcome.code, server.chats) == (1, [])
    assert "invalid_request: eye cannot look at images: diagram.png" in outcome.err


def test_files_that_nobody_would_be_sent_are_a_problem(here: Project) -> None:
    name = ensemble(here, "agents: [{name: a, command: [cat]}]")
    outcome = here.run("invoke", name, "hello", "--attach", "diagram.png")
    assert (outcome.out, outcome.code) == ("", 2)
    assert outcome.err.startswith("error: no agent of 'one' is sent what is attached to the input\nhint: they go where the input goes")


def test_a_tier_is_chosen_by_what_is_attached(here: Project) -> None:
    here.write(".llm-orc/profiles/mine.yaml", "provider: auto\nmodel: fast\n")
    models = "{plain: {capabilities: []}, eye: {capabilities: [vision], price: {input: 0.001, output: 0.001}}}"
    here.write("~/.config/llm-orc/config.yaml", f"catalog: {{openai: {{tiers: {{fast: plain}}, models: {models}}}}}")
    env = {"OPENAI_API_KEY": "sk-test", "HTTPS_PROXY": "http://127.0.0.1:9"}
    name = ensemble(here, "agents: [{name: a, retry: {attempts: 1}}]")
    for flags, chosen in (
        ([], "fast -> openai/plain (OPENAI_API_KEY); sends 5 bytes to "),
        (["--attach", "notes.md"], "fast -> openai/plain (OPENAI_API_KEY); sends 5 bytes and 1 attachment (8 bytes) to "),
        (["--attach", "diagram.png"], "fast -> openai/eye (OPENAI_API_KEY; cheapest with vision: "),
    ):
        assert here.run("invoke", name, "hello", *flags, env=env).err.startswith(chosen)


def test_a_mislabelled_picture_is_sent_as_what_it_is_with_a_warning(here: Project, server: OpenAIServer) -> None:
    here.write("photo.jpg", PICTURE)
    outcome = here.run("invoke", ensemble(here, "agents: [{name: a, attachments: [photo.jpg]}, {name: b, attachments: [photo.jpg]}]"), "x")
    assert outcome.code == 0
    assert "warning  a, b: 'photo.jpg' is a PNG image, and sent as one\n" in outcome.err
    url = server.chats[0].json["messages"][-1]["content"][1]["image_url"]["url"]
    assert url.startswith("data:image/png;base64,")


def test_plan_names_the_files(here: Project) -> None:
    name = ensemble(
        here, 'agents: [{name: a, attachments: [diagram.png, notes.md]}, {name: b, fan_out: {items: [x]}, attachments: ["{{ item }}.png"]}]'
    )
    text = here.run("plan", name, "hello", "--attach", "paper.pdf")
    assert text.code == 0, text.err
    size = len(PICTURE)
    assert re.search(
        rf"attached  paper\.pdf  application/pdf  \d+ bytes\n +diagram\.png  image/png  {size} bytes  16 x 8 pixels\n", text.out
    )
    assert "attached  {{ item }}.png  named during the run" in text.out
    document = json.loads(here.run("plan", name, "hello", "--json").out)
    known = document["agents"][0]["attachments"][0]
    assert (known["name"], known["bytes"], known["width"], known["height"], len(known["sha256"])) == ("diagram.png", size, 16, 8, 64)
    assert document["agents"][1]["attachments"] == [{"name": "{{ item }}.png"}]
    assert document["agents"][0]["requires"] == ["vision"]


def test_the_first_line_counts_them(here: Project) -> None:
    here.write(".llm-orc/profiles/mine.yaml", "provider: openai\nmodel: m\nmax_tokens: 100\nprice: {input: 1000, output: 0}")
    env = {"OPENAI_API_KEY": "sk-test", "HTTPS_PROXY": "http://127.0.0.1:9"}
    name = ensemble(
        here, "agents: [{name: a, attachments: [diagram.png], retry: {attempts: 1}}, {name: b, command: [cat], depends_on: [a]}]"
    )

    def first(*flags: str) -> tuple[str, float]:
        said = here.run("invoke", name, "hello", "-v", *flags, env=env).err.splitlines()[0]
        found = re.fullmatch(r"mine -> openai/m; sends (.*) to api\.openai\.com; at most \$([\d.]+)", said)
        assert found, said
        return found[1], float(found[2])

    size, more = len(PICTURE), len(PICTURE) + len(pictures.PDF)
    assert first()[0] == f"5 bytes and 1 attachment ({size} bytes)"
    assert first("--attach", "paper.pdf")[0] == f"5 bytes and 2 attachments ({more} bytes)"
    assert first()[1] > 6  # dollars: an image may be 6,000 tokens
    assert first("--attach", "paper.pdf")[1] > first()[1]


@pytest.mark.parametrize("agents", ["[{name: a, attachments: [notes.md]}]", "[{name: a, ensemble: sends}]"])
def test_an_ensemble_that_an_agent_replied_with_sends_no_files(here: Project, server: OpenAIServer, agents: str) -> None:
    ensemble(here, "agents: [{name: inner, attachments: ['{{ input }}']}]", "sends")
    plan = f"{{name: plan, command: [echo, 'agents: {agents}']}}"
    name = ensemble(here, f"agents: [{plan}, {{name: run, ensemble: '{{{{ agents.plan }}}}'}}]")
    outcome = here.run("invoke", name, "notes.md")
    assert outcome.code == 1
    assert "the reply of 'plan' is no ensemble that can be run" in outcome.err
    assert "file" in outcome.err
    assert server.chats == []
