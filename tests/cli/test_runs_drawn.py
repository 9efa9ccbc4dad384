"""The graph of a run that is kept, and the run itself, as files: of runs that are over, that go on, and that an earlier version wrote."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
from html.parser import HTMLParser

import pytest

from llm_orc.domain.record import event_of
from llm_orc.domain.run import Run, fold
from llm_orc.store.runs import Store
from llm_orc.store.schema import MIGRATIONS
from tests.project import NewProject, Project
from tests.store.test_processes import rows

NASTY = """# Said

</pre></article><script>alert(1)</script> <img src=http://evil.example/p.png onerror=alert(1)> &amp;
[words](javascript:alert(1)) ![p](http://evil.example/p.png) <http://evil.example/auto> [ref][1]
<svg onload=alert(1)> \x1b[31m \u202e

[1]: http://evil.example/ref "title"
"""
ENSEMBLES = {
    "some": """
        agents:
          - {name: facts, command: [sh, -c, 'echo left > "$LLM_ORC_ARTIFACTS/left.txt"; cat']}
          - {name: bad, command: [sh, -c, 'cat > /dev/null; exit 7'], depends_on: [facts]}
          - {name: each, fan_out: {items: "{{ range(20) | list }}"}, command: [cat], prompt: "item {{ item }}", depends_on: [facts]}
          - {name: inner, ensemble: inner, depends_on: [facts]}
          - {name: report, command: [cat], prompt: "{{ agents.facts }}", depends_on: [bad, each, inner]}
        """,
    "inner": "agents: [{name: a, command: [cat]}, {name: b, command: [cat], depends_on: [a]}]\n",
    "slow": """
        agents:
          - {name: first, command: [cat]}
          - {name: slow, command: [cat, gate], depends_on: [first]}
          - {name: last, command: [cat], depends_on: [slow]}
        """,
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One run is kept, which was said something nasty."""
    files = {f".llm-orc/ensembles/{name}.yaml": f"\n{text}" if text[0] == "\n" else text for name, text in ENSEMBLES.items()}
    here = Project(tmp_path_factory.mktemp("home"), "project", {name: text.lstrip("\n") for name, text in files.items()}, trusted=True)
    outcome = here.run("invoke", "some", stdin=NASTY)
    assert (outcome.out, outcome.code) == (NASTY, 3)
    return here


def test_the_graph_in_the_terminal(ran: Project) -> None:
    outcome = ran.run("runs", "graph", "last")
    assert outcome[1:] == ("", 0)
    head, drawn = outcome.out.split("\n\n", 1)
    assert "26 command nodes  25 succeeded, 1 failed\n1 ensemble node  1 succeeded\n3 phases  " in head
    assert re.search(r"\nlongest way  facts \d+\.\d s -> ", head)
    names = [line.lstrip("+-.:>| ").split()[0] for line in drawn.splitlines() if line]
    assert names == ["facts", "bad", "each", "inner", "a", "report", "b", "inside"]
    assert "20/20 done" in drawn


def test_the_graph_as_mermaid_and_dot(ran: Project) -> None:
    mermaid = ran.run("runs", "graph", "last", "--output-format", "mermaid").out
    assert re.match(r'flowchart TD\n  n0\["facts<br/>command<br/>\d+\.\d s"\]\n', mermaid)
    assert mermaid.count("[[") == 2, "the fan-out is folded"
    assert "  class n1 failed\n" in mermaid
    assert ran.run("runs", "graph", "last", "-o", "graph.dot") == ("", "wrote graph.dot\n", 0)
    dot = (ran.path / "graph.dot").read_text()
    assert '"facts" -> "bad";' in dot
    assert '"inner" -> "inner/a" [style=dashed];' in dot
    assert '"inner/a" -> "inner/b";' in dot
    if shutil.which("dot"):
        svg = subprocess.run(["dot", "-Tsvg"], input=dot, text=True, capture_output=True, check=True).stdout
        assert svg.count('class="node"') == 7
    whole = ran.run("runs", "graph", "last", "--output-format", "dot", "--whole").out
    assert whole.count("each[") == 2 * 20 + 20


@pytest.mark.parametrize(
    ("command", "ending", "known"),
    [
        (("runs", "graph", "last"), ".svg", ".mmd, .mermaid, .dot, .gv, .html, .htm, .json, .txt"),
        (("runs", "graph", "last"), ".PNG", ".mmd, .mermaid, .dot, .gv, .html, .htm, .json, .txt"),
        (("runs", "export", "last"), ".doc", ".docx, .htm, .html, .json, .jsonl, .markdown, .md, .pdf, .txt"),
        (("invoke", "examples/nested", "a", "--no-store"), ".odt", ".docx, .htm, .html, .json, .jsonl, .markdown, .md, .pdf, .txt"),
    ],
)
def test_a_file_of_a_format_of_others_is_not_made_of_text(ran: Project, command: tuple[str, ...], ending: str, known: str) -> None:
    what = f"x{ending}: nothing is written as {ending.lower()} here\nhint: endings are {known}; with another one: --output-format\n"
    assert ran.run(*command, "-o", f"x{ending}") == ("", what, 2)
    assert not (ran.path / f"x{ending}").exists()
    assert ran.run(*command, "-o", f"x{ending}", "--output-format", "text").code == 0


def test_a_part_of_the_graph(ran: Project) -> None:
    def nodes(agent: str) -> list[str]:
        outcome = ran.run("runs", "graph", "last", "--agent", agent, "--output-format", "json")
        return [node["id"] for node in json.loads(outcome.out)["nodes"]]

    assert nodes("bad") == ["facts", "bad", "report"]
    assert nodes("inner") == ["facts", "inner", "report", "inner/a", "inner/b"]
    assert nodes("each[3]") == ["facts", "each", "report", "each[3]"]
    outcome = ran.run("runs", "graph", "last", "--agent", "eech")
    assert outcome == ("", "error: the run has no node 'eech'\nhint: did you mean 'each'?\n", 2)


def test_the_graph_as_json(ran: Project) -> None:
    graph = json.loads(ran.run("runs", "graph", "last", "--output-format", "json").out)
    assert graph["summary"]["bodies"] == {"command": {"succeeded": 25, "failed": 1}, "ensemble": {"succeeded": 1}}
    assert (graph["summary"]["phases"], len(graph["nodes"]), graph["status"]) == (3, 27, "partial")
    each = next(node for node in graph["nodes"] if node["id"] == "each")
    assert each["depends_on"] == ["facts"]
    assert each["children"] == {"expected": 20, "done": 20, "failed": 0}


class Tags(HTMLParser):
    """What a page would do."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said += data


OWN = {"html", "meta", "title", "style", "h1", "h2", "p", "span", "b", "a", "i", "div", "svg", "path", "details", "summary", "pre"}
OURS = OWN | {"article", "table", "tr", "th", "td", "ul", "li", "code", "br"}


@pytest.mark.parametrize("command", [["graph"], ["export", "--output-format", "page"]])
def test_a_page_fetches_nothing_and_runs_nothing(ran: Project, command: list[str]) -> None:
    file = f"{command[0]}.html"
    assert ran.run("runs", *command, "last", "-o", file) == ("", f"wrote {file}\n", 0)
    raw = (ran.path / file).read_text()
    page = Tags(raw)
    assert {tag for tag, _ in page.tags} <= OURS
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "action", "data")]
        assert (attributes.get("href") or "#").startswith("#")
        assert "url(" not in (attributes.get("style") or "")
    policy = next(attributes for tag, attributes in page.tags if attributes.get("http-equiv"))
    assert (policy["content"] or "").startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "url(" not in raw.partition("</style>")[0]
    assert "@import" not in raw
    places = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    linked = {(attributes["href"] or "").removeprefix("#") for _, attributes in page.tags if "href" in attributes}
    assert linked <= set(places)
    assert len(places) == 27


def test_a_run_is_one_page(ran: Project) -> None:
    page = Tags(ran.run("runs", "export", "last", "--output-format", "page").out)
    assert "<script>alert(1)</script>" in page.said
    assert "[words](javascript:alert(1)) ![p](http://evil.example/p.png) <http://evil.example/auto>" in page.said
    assert page.said.count("item 7") == 3, "what it was told, its reply, and that of all"
    assert "\x1b" not in page.said
    assert "\u202e" not in page.said
    assert "script: 'sh': exit code 7" in page.said
    assert "artifact left.txt  text/plain  5 bytes" in page.said


def test_in_a_page_the_contents_of_a_document_are_words(project: NewProject) -> None:
    here = project()
    assert here.run("invoke", "examples/document", "late", "--output-format", "page", "-o", "page.html").code == 0
    said = Tags((here.path / "page.html").read_text()).said.partition("Input")[0]
    assert "\n1.1 The first\n" in said
    assert "](#" not in said


def test_everything_is_exported_and_can_be_read_again(ran: Project) -> None:
    invoked = json.loads(ran.run("runs", "show", "last", "--json").out)
    exported = json.loads(ran.run("runs", "export", "last").out)
    assert {key: exported[key] for key in invoked} == invoked
    assert set(exported) - set(invoked) == {"input", "variables", "warnings", "spec", "events", "cause", "started_at", "last_at"}
    run = Run()
    for record in exported["events"]:
        fold(run, event_of(record, record["seq"]))
    kept = Run()
    with Store.open(ran.path / ".llm-orc/store") as store:
        for event in store.events(store.find("last")):
            fold(kept, event)
    assert run == kept


def test_a_run_is_rendered_again_without_a_model(ran: Project) -> None:
    assert ran.run("runs", "export", "last", "--output-format", "text") == (NASTY, "", 0)
    assert ran.run("runs", "export", "last", "-o", "said.md") == ("", "wrote said.md\n", 0)
    assert (ran.path / "said.md").read_text() == NASTY
    events = ran.run("runs", "show", "last", "--events", "--json").out
    assert ran.run("runs", "export", "last", "--output-format", "jsonl").out == events
    again = ran.run("runs", "export", "last", "-o", "said.md")
    assert again == ("", "said.md: exists already\nhint: --force replaces it\n", 2)
    assert ran.run("runs", "export", "last", "-o", "said.md", "--force").code == 0
    assert "no output format 'htlm'\nhint: did you mean 'html'?" in ran.run("runs", "export", "last", "--output-format", "htlm").err
    assert "nothing is 'svg'\nhint: there are: text, mermaid" in ran.run("runs", "graph", "last", "--output-format", "svg").err


def test_a_template_sees_the_run_and_its_plan(ran: Project) -> None:
    ran.write("page.j2", "{{ run.status }}: {{ agents.bad.status }}, {{ agents.each.json | length }} items")
    assert ran.run("runs", "export", "last", "--output-format", "page.j2") == ("partial: failed, 20 items\n", "", 0)
    ran.write("wrong.j2", "{{ agents.nobody }}")
    outcome = ran.run("runs", "export", "last", "--output-format", "wrong.j2")
    assert outcome[::2] == ("", 2)
    assert outcome.err.startswith("wrong.j2: ")


def test_invoke_writes_a_page_too(ran: Project) -> None:
    assert ran.run("invoke", "inner", "<b>hello</b>", "--output-format", "page", "-o", "said.html", "--no-store").code == 0
    assert "<b>hello</b>" in Tags((ran.path / "said.html").read_text()).said


def test_a_run_that_goes_on_is_shown_as_far_as_it_is(project: NewProject) -> None:
    here = project({".llm-orc/ensembles/slow.yaml": ENSEMBLES["slow"]}, trusted=True)
    os.mkfifo(here.path / "gate")
    process = here.start("invoke", "slow", "hello")
    while not (here.path / ".llm-orc/store/store.db").exists() or not rows(here, "SELECT name FROM sqlite_schema WHERE name = 'nodes'"):
        assert process.poll() is None
    while rows(here, "SELECT count(*) FROM nodes WHERE id = 'slow' AND status = 'running'") == [(0,)]:
        assert process.poll() is None
    shown = here.run("runs", "show", "last").out
    assert " slow  running\n" in shown.splitlines()[0] + "\n"
    assert " so far  command" in shown
    assert " so far  3 agents" in shown.splitlines()[1]
    assert " so far  3 agents" in here.run("runs", "list").out
    assert " so far  3 agents" in here.run("runs", "graph", "last").out
    assert "last   pending" in shown
    assert here.run("runs", "show", "last", "--status", "running").out.startswith("slow  running")
    assert "slow  running  command  " in here.run("runs", "graph", "last").out
    page = Tags(here.run("runs", "graph", "last", "--output-format", "html").out)
    assert "slow running" in " ".join(page.said.split())
    assert json.loads(here.run("runs", "export", "last").out)["status"] == "running"
    assert "There is no result." in here.run("runs", "export", "last", "--output-format", "page").out
    (here.path / "gate").write_text("")
    process.communicate(timeout=60)
    assert "running" not in here.run("runs", "graph", "last").out


def test_a_run_that_an_earlier_version_wrote_is_shown(project: NewProject) -> None:
    here = project({".llm-orc/config.yaml": ""}, trusted=True)
    (here.path / ".llm-orc/store").mkdir(mode=0o700)
    connection = sqlite3.connect(here.path / ".llm-orc/store/store.db")
    connection.executescript(MIGRATIONS[0])
    connection.executescript(
        """
        INSERT INTO runs (id, ensemble, status, cause, started_at, last_at, tokens, agents, failed, input)
            VALUES ('r', 'test', 'succeeded', '', 1.0, 2.0, 0, 2, 0, 'hello');
        INSERT INTO nodes VALUES (1, '', 0, 'each', 'model', 'succeeded', '', 1.0, 2.0, NULL, 0, 'm');
        INSERT INTO nodes VALUES (1, 'each', 0, 'each[0]', 'model', 'succeeded', '', 1.0, 2.0, NULL, 0, 'm');
        INSERT INTO events VALUES (1, 1, '', '{"event": "run_started", "at": 1.0, "run": "r", "ensemble": "test", "phases": [["each"]],
            "leaves": ["each"], "input": "hello"}');
        INSERT INTO events VALUES (1, 2, 'each', '{"event": "submitted", "at": 1.0, "node": "each", "body": "model"}');
        INSERT INTO events VALUES (1, 3, 'each[0]', '{"event": "submitted", "at": 1.0, "node": "each[0]", "body": "model",
            "parent": "each"}');
        INSERT INTO events VALUES (1, 4, 'each[0]', '{"event": "answered", "at": 2.0, "node": "each[0]", "reply": {"text": "one"}}');
        INSERT INTO events VALUES (1, 5, 'each', '{"event": "answered", "at": 2.0, "node": "each", "reply": {"text": "all"}}');
        INSERT INTO events VALUES (1, 6, '', '{"event": "run_ended", "at": 2.0, "result": "done"}');
        PRAGMA user_version = 1;
        """
    )
    connection.close()
    assert "each       succeeded  1.0 s  m  1/1 done\n" in here.run("runs", "show", "last").out
    assert here.run("runs", "show", "last", "--agent", "each[0]", "--result") == ("one\n", "", 0)
    assert "1/1 done" in here.run("runs", "graph", "last").out
    assert here.run("runs", "export", "r", "--output-format", "text") == ("done\n", "", 0)
    assert json.loads(here.run("runs", "export", "r").out)["spec"] is None
    here.write("page.j2", "{{ result }}")
    said = "page.j2: the run is kept without its plan, which a template needs\nhint: take another format\n"
    assert here.run("runs", "export", "r", "--output-format", "page.j2") == ("", said, 2)
