"""Fan-outs over chunks, files and findings, by the true command line."""

import json
from typing import Any

import pytest

from tests.project import NewProject, Project
from tests.servers.fixtures import NewServer

EACH = """
defaults: {{timeout_seconds: 60}}
agents:
  - name: each
    fan_out: {fan_out}
    gather: text
    command: [cat]
    prompt: "{prompt}"
"""


def ensemble(fan_out: str, prompt: str = "{{ item }}", **more: str | bytes) -> dict[str, str | bytes]:
    return {"e.yaml": EACH.format(fan_out=fan_out, prompt=prompt), **more}


def trusted(project: NewProject, files: dict[str, str | bytes]) -> Project:
    return project(files, trusted=True)


def test_chunks_of_the_input(project: NewProject) -> None:
    here = trusted(project, ensemble('{chunks: "{{ input }}", characters: 10, overlap: 4}', "<{{ item.text }}>"))
    assert here.run("invoke", "e.yaml", stdin="one two three four").out == "<one >\n\n<one two >\n\n<two three >\n\n<four>\n"


def test_chunks_of_a_list_are_lists(project: NewProject) -> None:
    here = trusted(project, ensemble("{chunks: [aaaa, bbbb, cccc, {d: 1}], characters: 24}", "{{ item.entries | length }}: {{ item }}"))
    assert here.run("invoke", "e.yaml", "x").out == '3: ["aaaa", "bbbb", "cccc"]\n\n1: [{"d": 1}]\n'


FAILED = """
agents:
  - {name: a, command: ['false']}
  - {name: b, require: 0, fan_out: {chunks: "{{ agents.a }}"}, command: [cat]}
"""
SCRIPTS = """
agents:
  - {name: a, script: s.py, fan_out: {files: [x.txt]}}
  - {name: b, script: s.py, fan_out: {errors: "x.c:3: no"}}
"""
NAMED = """
agents:
  - {name: list, command: [cat], prompt: "{{ input }}"}
  - {name: each, fan_out: {files: "{{ agents.list }}"}, command: [cat]}
"""


def test_chunks_of_an_agent_that_did_not_reply_fail(project: NewProject) -> None:
    outcome = trusted(project, {"e.yaml": FAILED}).run("invoke", "e.yaml", "x")
    assert (outcome.code, "malformed: 'chunks': no reply from 'a'" in outcome.err) == (1, True), outcome.err


def test_a_script_is_told_the_parts_of_its_item(project: NewProject) -> None:
    script = "import json, sys\nprint(json.dumps(json.load(sys.stdin)['item']))\n"
    here = trusted(project, {"e.yaml": SCRIPTS, "s.py": script, "x.txt": "hello"})
    outcome = here.run("invoke", "e.yaml", "x", "--output-format", "json")
    first, second = (agent["json"] for agent in json.loads(outcome.out)["agents"])
    assert first == [{"path": "x.txt", "text": "hello"}]
    assert second == [{"message": "no", "file": "x.c", "line": 3, "text": "x.c:3: no"}]


class TestFiles:
    def test_each_fails_by_itself_and_the_others_are_kept(self, project: NewProject) -> None:
        here = trusted(project, ensemble('{files: "{{ input }}"}', "{{ item.path }}={{ item.text }}", **{"a.txt": "A", "b.txt": "B"}))
        outcome = here.run("invoke", "e.yaml", stdin="a.txt\nnone.txt\n\nb.txt\n")
        assert outcome.out == "a.txt=A\n\n[no reply from each[1]: not_found: there is no file 'none.txt']\n\nb.txt=B\n"
        assert outcome.code == 3

    def test_what_is_passed_over_is_said(self, project: NewProject) -> None:
        each = ensemble("{files: ['data/**', '{{ variables.more }}']}")["e.yaml"]
        here = trusted(project, {"e.yaml": f"variables: {{more: {{default: '*.md'}}}}\n{each!s}", "data/a": "A", "data/b": b"\0"})
        outcome = here.run("invoke", "e.yaml", "x")
        assert (outcome.code, outcome.out) == (0, "A\n")
        assert "warning  each: no file matches '*.md'\n" in outcome.err
        assert "warning  each: passed over, binary: data/b\n" in outcome.err

    @pytest.mark.parametrize("said", ["a.txt\nb.txt", '["a.txt", "b.txt"]', '```json\n["a.txt", "b.txt"]\n```'])
    def test_a_reply_names_them_as_lines_or_as_json(self, project: NewProject, said: str) -> None:
        outcome = trusted(project, {"e.yaml": NAMED, "a.txt": "A", "b.txt": "B"}).run("invoke", "e.yaml", stdin=said)
        assert outcome.out == '["A", "B"]\n', outcome.err

    def test_what_an_agent_replied_leads_nowhere_else(self, project: NewProject) -> None:
        here = trusted(project, {"e.yaml": NAMED, "~/secret.txt": "SECRET"})
        outcome = here.run("invoke", "e.yaml", "../secret.txt")
        assert (outcome.code, "SECRET" in outcome.out + outcome.err) == (1, False)
        assert "secret.txt' lies outside of the project" in outcome.err
        here.write("e.yaml", NAMED.replace("agents.list", "input"))
        assert '["SECRET"]\n' in here.run("invoke", "e.yaml", "../secret.txt").out

    @pytest.mark.parametrize("name", ["../secret.txt", "../*.txt", "/etc/*.conf"])
    def test_a_project_that_is_not_trusted_reads_nothing_outside(self, project: NewProject, name: str) -> None:
        here = project(
            {
                ".llm-orc/ensembles/e.yaml": f"agents:\n  - name: a\n    model_profile: embedded\n    fan_out: {{files: '{name}'}}\n",
                "~/secret.txt": "SECRET",
            },
            trusted=False,
        )
        outcome = here.run("invoke", "e", "x")
        assert outcome.code == 2
        assert f".llm-orc/ensembles/e.yaml:4:22: '{name}' lies outside of the project\nhint: if you know" in outcome.err
        here.write(".llm-orc/ensembles/e.yaml", "agents:\n  - name: a\n    model_profile: embedded\n    fan_out: {files: '{{ input }}'}\n")
        outcome = here.run("invoke", "e", "../secret.txt")
        assert (outcome.code, "SECRET" in outcome.out + outcome.err) == (1, False)

    def test_a_thousand_of_them(self, project: NewProject) -> None:
        here = trusted(project, ensemble("{files: 'data/'}", "{{ item.path }}", **{f"data/{number:04}": "x" for number in range(1_000)}))
        here.write("e.yaml", "agents:\n  - {name: each, fan_out: {files: data/}, model_profile: embedded}\n")
        outcome = here.run("invoke", "e.yaml", "x", "--output-format", "json")
        assert len(json.loads(outcome.out)["agents"][0]["children"]) == 1_000


WIDE = """
agents:
  - {name: each, model_profile: p, fan_out: {items: "{{ range(24) | list }}", max_parallel: 3}}
  - {name: nested, ensemble: child, fan_out: {chunks: "{{ input }}", characters: 4, max_parallel: 2}}
"""
CHILD = """
limits: {max_parallel: 1}
agents:
  - {name: a, model_profile: p}
  - {name: b, model_profile: p}
"""


def test_max_parallel_is_what_the_server_sees_at_most(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(latency=0.02)
    profile = f"provider: openai-compatible\nmodel: m\nbase_url: {server.base_url}\n"
    files = {"e.yaml": WIDE, ".llm-orc/ensembles/child.yaml": CHILD, ".llm-orc/profiles/p.yaml": profile}
    for only, peak, calls in (("each", 3, 24), ("nested", 2, 12)):
        server.peak, before = 0, len(server.chats)
        outcome = project(files).run("invoke", "e.yaml", "--only", only, stdin="one two six ten nil end ")
        assert (outcome.code, server.peak, len(server.chats) - before) == (0, peak, calls), outcome.err


def test_no_two_workers_hold_the_same_file(project: NewProject) -> None:
    here = trusted(project, ensemble('{errors: "{{ input }}", group_by: file}', "{{ item.file }} {{ item.findings | length }}"))
    outcome = here.run("invoke", "e.yaml", stdin=f"a.c:1: x\nb.c:2: y\n./a.c:3: z\n{here.path}/a.c:4: w\n")
    assert outcome.out == "a.c 3\n\nb.c 1\n"


def test_a_pattern_that_matches_nothing_is_said(project: NewProject) -> None:
    here = trusted(project, ensemble('{errors: "{{ input }}", pattern: "^(?P<file>[a-z]+)!$"}'))
    outcome = here.run("invoke", "e.yaml", "All checks passed")
    assert (outcome.code, outcome.out.strip()) == (0, "")
    assert "warning  each: nothing found in what 'errors' says: 'All checks passed'" in outcome.err


@pytest.mark.parametrize(
    ("fan_out", "said"),
    [
        ("{}", "fan_out takes exactly one of 'items', 'chunks', 'files', 'errors' and 'profiles'"),
        ("{chunks: '{{ input }}', files: x}", "fan_out takes exactly one of 'items', 'chunks', 'files', 'errors' and 'profiles'"),
        ("{files: x, tokens: 3}", "'tokens' belongs to fan_out over 'chunks'"),
        ("{items: [1], group_by: file}", "'group_by' belongs to fan_out over 'errors'"),
        ("{chunks: '{{ input }}', tokens: 3, characters: 4}", "'tokens' and 'characters' exclude one another"),
        ("{chunks: '{{ input }}', tokens: 3, overlap: 3}", "'overlap' has to be below the 3 tokens of a piece"),
        ("{chunks: '{{ input }} and {{ input }}'}", "'chunks' has to be one expression"),
        ("{chunks: '{{ input }}', tokens: 0}", "'tokens' must be at least 1, not 0"),
        ("{errors: '{{ input }}', pattern: '('}", "'pattern' is no regular expression: missing ), unterminated subpattern"),
        ("{errors: '{{ input }}', pattern: '.*'}", "'pattern' names nothing in what it finds"),
        ("{errors: '{{ agents.nobody }}'}", "no agent 'nobody'"),
        ("{files: '{{ item }}'}", "no name 'item' in the template of 'files'"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_runs(project: NewProject, fan_out: str, said: str) -> None:
    outcome = project(ensemble(fan_out)).run("validate", "e.yaml")
    assert (outcome.code, said in outcome.err) == (2, True), outcome.err


@pytest.mark.parametrize(
    ("fan_out", "text", "each", "number"),
    [
        ('{chunks: "{{ input }}", tokens: 10, overlap: 2}', "word " * 100, "piece of {{ input }} with at most 10 tokens, 2 repeated", 17),
        ('{chunks: "{{ input }}", characters: 1000}', None, "piece of {{ input }} with at most 1,000 characters", None),
        ("{files: ['*.txt', b/]}", None, "file of *.txt, b/", 3),
        ('{errors: "{{ input }}", group_by: file}', "a:1: x\nb:1: x\na:2: y\n", "file in {{ input }}", 2),
        ("{errors: [{file: a}]}", None, "finding in 1 item", 1),
    ],
)
def test_a_plan_says_how_many_there_will_be(project: NewProject, fan_out: str, text: str | None, each: str, number: Any) -> None:
    here = trusted(project, {**ensemble(fan_out), "a.txt": "", "b.txt": "", "b/c": "", "b/d": b"\0"})
    said = [text] if text else []
    plan = here.run("plan", "e.yaml", *said).out
    most = "" if number is None else f"; {number} {'child' if number == 1 else 'children'} at most"
    assert f"fan out   one child per {each}, gathered as text{most}\n" in plan
    (agent,) = json.loads(here.run("plan", "e.yaml", "--json", *said).out)["agents"]
    assert agent["items"] == number
