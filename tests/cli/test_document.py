"""`synthesis: {document: ...}` from the file to the printed document, and what is wrong with one."""

import json

import pytest

from tests.project import NewProject, Outcome
from tests.servers.fixtures import NewServer
from tests.servers.openai import Scripted

AGENTS = """\
variables: {product: {default: shop}}
agents:
  - {name: problem, command: [cat], prompt: "# Own title\\n\\n{{ input }}"}
  - {name: people, command: [cat], prompt: "{{ agents.problem }}"}
  - {name: broken, command: ["false"], depends_on: [people]}
  - {name: unasked, command: [cat], when: false}
"""
WHOLE = "sections: [problem, {agent: people, title: 'For {{ variables.product }}'}, broken, unasked]"
REPLY = "# Own title\n\nLong queues."
DONE = "# It\n\n## Own title\n\nLong queues.\n\n## For shop\n\n### Own title\n\nLong queues."


def invoked(project: NewProject, document: str, *flags: str) -> Outcome:
    here = project({"it.yaml": f"{AGENTS}synthesis: {{document: {document}}}\n"}, trusted=True)
    return here.run("invoke", "it.yaml", "Long queues.", *flags)


@pytest.mark.parametrize(
    ("document", "flags", "out", "code"),
    [
        (
            f"{{{WHOLE}, toc: false, metadata: false}}",
            (),
            f"{DONE}\n\n## broken\n\n*(missing: script: 'false': exit code 1)*",
            3,
        ),
        (
            f"{{{WHOLE}, toc: false, metadata: false, on_missing: omit, title: 'The {{{{ variables.product }}}}'}}",
            ("--var", "product=zoo"),
            "# The zoo\n\n## Own title\n\nLong queues.\n\n## For zoo\n\n### Own title\n\nLong queues.",
            3,
        ),
        (f"{{{WHOLE}, toc: false, metadata: false}}", ("--only", "people"), "# It\n\n## For shop\n\n### Own title\n\nLong queues.", 0),
        (
            f"{{{WHOLE}, on_missing: fail}}",
            (),
            f"## problem\n\n{REPLY}\n\n## people\n\n{REPLY}\n\n## broken\n\n(missing: script: 'false': exit code 1)",
            3,
        ),
        ("true", ("--only", "problem", "--no-deps"), None, 0),
        ("{sections: [broken], metadata: false}", ("--only", "broken"), None, 1),
    ],
)
def test_a_document_is_made_of_the_sections_that_it_names(
    project: NewProject, document: str, flags: tuple[str, ...], out: str | None, code: int
) -> None:
    outcome = invoked(project, document, *flags)
    if out is not None:
        assert outcome.out.strip() == out
    assert outcome.code == code, outcome.err


def test_it_says_when_and_in_which_run_it_was_made(project: NewProject) -> None:
    here = project({"it.yaml": f"{AGENTS}synthesis: {{document: {{sections: [problem], toc: false}}}}\n"}, trusted=True)
    told = json.loads(here.run("invoke", "it.yaml", "x", "--output-format", "json").out)
    day = f"{told['run'][:4]}-{told['run'][4:6]}-{told['run'][6:8]}"
    assert told["result"].splitlines()[2] == f"*{day} · run {told['run']}*"


def test_a_section_that_its_model_did_not_finish_says_so(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server(script=lambda _: Scripted(text="# Half\n\n```py\nx =", finish_reason="length"))
    here = project({"it.yaml": "agents: [{name: cut, model_profile: small}]\nsynthesis: {document: true}\n"})
    here.write(".llm-orc/profiles/small.yaml", f"{{provider: openai-compatible, model: small-1, base_url: '{server.base_url}'}}")
    lines = here.run("invoke", "it.yaml", "Say it.").out.splitlines()
    assert lines[2].startswith("*20")
    assert "small-1" in lines[2]
    assert lines[-6:] == ["## Half", "", "```py", "x =", "```", "", "*(cut short: the reply reached the model's max_tokens)*"][-6:]


@pytest.mark.parametrize(
    ("document", "spot", "what"),
    [
        ("{sections: [people, peple]}", "peple", "no agent 'peple'\nhint: did you mean 'people'?"),
        ("{sections: [problem, people, problem]}", "problem]", "a second section 'problem'\nhint: leave one out"),
        ("{sections: []}", "[]", "'sections'"),
        ("{titel: x}", "titel", "no key 'titel' in a document\nhint: did you mean 'title'?"),
        ("{title: '{{ variables.produkt }}'}", "'", "no variable 'produkt'\nhint: did you mean 'product'?"),
        ("{title: '{{ agents.people }}'}", "'", "'agents'"),
        ("{toc: {deep: 2}}", "deep", "no key 'deep' in the table of contents\nhint: did you mean 'depth'?"),
        ("{sections: [{agent: people, tittle: x}]}", "tittle", "no key 'tittle' in a section\nhint: did you mean 'title'?"),
        ("{on_missing: panic}", "panic", "'on_missing' must be note, omit or fail, not 'panic'"),
        ("false", "false", "'document' must be"),
    ],
)
def test_what_is_wrong_with_a_document_is_told_before_anything_runs(project: NewProject, document: str, spot: str, what: str) -> None:
    outcome = invoked(project, document)
    place = f"it.yaml:7:{len('synthesis: {document: ') + document.index(spot) + 1}: "
    assert outcome.err.startswith(place), outcome.err
    assert what in outcome.err
    assert outcome.code == 2


SPLIT = "{sections: [problem, {agent: people, title: 'For {{ variables.product }}'}, broken]}"


def test_each_section_is_written_to_a_file_of_its_own(project: NewProject) -> None:
    here = project({"it.yaml": f"{AGENTS}synthesis: {{document: {SPLIT}}}\n"}, trusted=True)
    outcome = here.run("invoke", "it.yaml", "Long queues.", "--split", "out/docs")
    assert (outcome.out, outcome.code) == ("", 3)
    assert outcome.err.startswith("wrote out/docs/problem.md\nwrote out/docs/people.md\n")
    texts = {file.name: file.read_text() for file in (here.path / "out/docs").iterdir()}
    assert texts == {"problem.md": f"{REPLY}\n", "people.md": "# For shop\n\n## Own title\n\nLong queues.\n"}
    again = here.run("invoke", "it.yaml", "x", "--split", "out/docs")
    assert (again.out, again.code) == ("", 2)
    assert again.err.count(".md: exists already\nhint: --force replaces it\n") == 2
    assert here.run("runs", "export", "last", "--split", "out/docs", "--force", "--output-format", "html", "-o", "it.html").code == 0
    assert '<h2 id="own-title">Own title</h2>' in (here.path / "out/docs/people.html").read_text()
    assert '<h2 id="for-shop">For shop</h2>' in (here.path / "it.html").read_text()


@pytest.mark.parametrize(
    ("flags", "err"),
    [
        (("--split", "it.yaml"), "it.yaml: is a file, and --split names a folder\n"),
        (
            ("--split", "out", "--output-format", "json"),
            "error: --split does nothing with the format 'json'\nhint: take one of: markdown",
        ),
        (("--force",), "error: --force goes with -o FILE and --split DIR\n"),
    ],
)
def test_what_cannot_be_split_is_told_before_anything_runs(project: NewProject, flags: tuple[str, ...], err: str) -> None:
    outcome = invoked(project, SPLIT, *flags)
    assert outcome.err.startswith(err), outcome.err
    assert (outcome.out, outcome.code) == ("", 2)
