"""`fix-findings` and its worker `fix-file`: patches that apply, and nothing written by itself."""

import json
import subprocess
from shutil import which

import pytest

from tests.project import NewProject, Outcome, Project
from tests.servers.fixtures import NewServer
from tests.servers.openai import Line
from tests.servers.wire import Received
from tests.shipped.serving import asked, project_at, prompts

SHOP = "def total(rows):\n    sum = 0\n    for row in rows:\n        sum += row\n    return sum\n"
FILES: dict[str, str | bytes] = {
    "shop.py": SHOP,
    "src/two words.py": "x = 1\ny = x\n",
    "dos.py": b"a = 1\r\nb = 2\r\n",
    "bare.txt": "first\nlast",
    "broken.py": "def (:\n",
    "marked.txt": "\ufeffone\n",
}
NEEDS_PATCH = pytest.mark.skipif(which("patch") is None, reason="needs patch: apt-get install patch")
RUFF = [
    {"code": "A001", "filename": "{root}/shop.py", "location": {"row": 2}, "message": "`sum` is shadowed"},
    {"code": "B", "filename": "./src/../shop.py", "location": {"row": 5}, "message": "again"},
    {"code": "C", "filename": "src/two words.py", "location": {"row": 2}, "message": "useless"},
]


def edit(old: str, new: str) -> str:
    return f"<<<<<<<\n{old}=======\n{new}>>>>>>>\n"


def applied(here: Project, outcome: Outcome, *how: str) -> dict[str, bytes]:
    """The files after their owner applied what came out."""
    subprocess.run(how or ("git", "apply"), cwd=here.path, input=outcome.out.encode(), check=True, capture_output=True)
    return {name: (here.path / name).read_bytes() for name in FILES}


def files_of(here: Project) -> dict[str, bytes]:
    return {name: (here.path / name).read_bytes() for name in FILES}


def fixed(project: NewProject, server: NewServer, reply: str, name: str = "shop.py", found: str = "") -> tuple[Project, Outcome]:
    here = project_at(project, server({"": reply}), FILES)
    before = files_of(here)
    outcome = here.run("invoke", "fix-file", f"{name}\n{found or f'{name}:2: wrong'}")
    assert files_of(here) == before, "nothing is written"
    return here, outcome


def worker(request: Received) -> Line:
    prompt = asked(request)[1]
    if '<file name="shop.py">' in prompt:
        return edit("    sum = 0\n", "    amount = 0\n") + edit(
            "        sum += row\n    return sum\n", "        amount += row\n    return amount\n"
        )
    return "Here:\n```\n" + edit("y = x\n", "print(x)\n") + "```\nLeft: the name of x, which only its author knows."


@pytest.mark.parametrize("how", [("git", "apply"), pytest.param(("patch", "-p1"), marks=NEEDS_PATCH)])
def test_each_file_has_one_worker_and_the_patches_apply(project: NewProject, openai_server: NewServer, how: tuple[str, ...]) -> None:
    server = openai_server(worker)
    here = project_at(project, server, FILES)
    before = files_of(here)
    findings = json.dumps(RUFF).replace("{root}", str(here.path))
    outcome = here.run("invoke", "fix-findings", "--var", "mind=Keep Python 3.9.", stdin=findings)
    assert outcome.code == 0, outcome.err
    assert files_of(here) == before, "nothing is written"
    assert len(server.chats) == 2
    (shop,) = prompts(server, '<file name="shop.py">')
    assert "shop.py\nshop.py:2: `sum` is shadowed\nshop.py:5: again\n\nMind this in every fix: Keep Python 3.9." in shop
    assert "# src/two words.py: left: the name of x, which only its author knows." in outcome.out
    after = applied(here, outcome, *how)
    assert after["shop.py"].decode() == SHOP.replace("sum", "amount")
    assert after["src/two words.py"] == b"x = 1\nprint(x)\n"


def test_the_fixed_files_are_artifacts(project: NewProject, openai_server: NewServer) -> None:
    here = project_at(project, openai_server(worker), FILES)
    assert here.run("invoke", "fix-findings", stdin="src/two words.py:2: useless\n").code == 0
    kept = here.run("runs", "show", "last", "--artifact", "src/two words.py")
    assert (kept.code, kept.out) == (0, "x = 1\nprint(x)\n"), kept.err


def test_a_worker_that_fails_takes_no_other_with_it(project: NewProject, openai_server: NewServer) -> None:
    here = project_at(project, openai_server(worker), FILES)
    (here.path / "outside.py").symlink_to("/etc/hosts")
    outcome = here.run("invoke", "fix-findings", stdin="gone.py:1: x\nshop.py:2: y\noutside.py:3: z\n")
    assert outcome.code == 3
    assert "[no reply from fixes[0]: " in outcome.out
    assert "lies outside of the project" in outcome.out
    assert applied(here, outcome)["shop.py"].decode() == SHOP.replace("sum", "amount")


@pytest.mark.parametrize(
    ("reply", "name", "after"),
    [
        (edit("a = 1\n", "a = 3\n"), "dos.py", b"a = 3\r\nb = 2\r\n"),
        (edit("last\n", "last\nof all\n"), "bare.txt", b"first\nlast\nof all"),
        (edit("one\n", "two\n"), "marked.txt", "\ufefftwo\n".encode()),
        (edit("", "zero\n"), "bare.txt", b"zero\nfirst\nlast"),
        (edit("first\nlast\n", ""), "bare.txt", b""),
        (edit("    sum = 0   \n", "    sum = 1\n"), "shop.py", SHOP.replace("0", "1").encode()),
        (
            edit("x = 1\n", "x = 2\n").replace("<<<<<<<", "<<<<<<< SEARCH").replace(">>>>>>>", ">>>>>>> REPLACE"),
            "src/two words.py",
            b"x = 2\ny = x\n",
        ),
    ],
)
def test_a_file_keeps_what_nobody_meant_to_change(
    project: NewProject, openai_server: NewServer, reply: str, name: str, after: bytes
) -> None:
    here, outcome = fixed(project, openai_server, reply, name)
    assert outcome.code == 0, outcome.err
    assert applied(here, outcome)[name] == after


@pytest.mark.parametrize(
    ("reply", "name", "why"),
    [
        ("I would not touch it.", "shop.py", "the reply holds no edit of shop.py: 'I would not touch it.'"),
        (
            edit("nowhere = 0\n", "x\n"),
            "shop.py",
            "no edit of shop.py can be used: not used, for its lines stand nowhere in the file: 'nowhere = 0'",
        ),
        (edit("    sum = 0\n", "    sum = (\n"), "shop.py", "for with it the file is broken (line 2: '(' was never closed)"),
        (edit("    sum = 0\n", "    sum = 0\n"), "shop.py", "for it changes nothing: 'sum = 0'"),
        (edit("x", "y"), "gone.py", "no file 'gone.py'"),
        (edit("x", "y"), "../secret.txt", "lies outside of the project"),
        (edit("x", "y"), "", "the name of a file is empty"),
    ],
)
def test_what_cannot_be_used_is_no_patch(project: NewProject, openai_server: NewServer, reply: str, name: str, why: str) -> None:
    here = project_at(project, openai_server({"": reply}), {**FILES, "~/secret.txt": "x"})
    outcome = here.run("invoke", "fix-file", stdin=f"{name}\nsomething is wrong")
    assert outcome.code == 1
    assert why in outcome.err


def test_of_several_edits_those_that_fit_are_used(project: NewProject, openai_server: NewServer) -> None:
    reply = (
        edit("    sum = 0\n", "    sum = 1\n") + edit("row\n", "rows\n") + edit("    return sum\n", "    return (\n") + "* Left: nothing."
    )
    here, outcome = fixed(project, openai_server, reply)
    assert outcome.code == 0, outcome.err
    notes = [line for line in outcome.out.split("\n") if line.startswith("#")]
    assert notes == [
        "# shop.py: not used, for its lines stand nowhere in the file: 'row'",
        "# shop.py: not used, for with it the file is broken (line 5: '(' was never closed): 'return ('",
        "# shop.py: left: nothing.",
    ]
    assert applied(here, outcome)["shop.py"].decode() == SHOP.replace("0", "1")


def test_a_file_that_is_broken_already_can_be_mended(project: NewProject, openai_server: NewServer) -> None:
    here, outcome = fixed(project, openai_server, edit("def (:\n", "def f(:\n"), "broken.py")
    assert applied(here, outcome)["broken.py"] == b"def f(:\n"


def test_what_only_its_author_can_mend_is_left(project: NewProject, openai_server: NewServer) -> None:
    _, outcome = fixed(project, openai_server, "Left: all of it, for the rule is mistaken here.")
    assert (outcome.code, outcome.out) == (0, "# shop.py: left: all of it, for the rule is mistaken here.\n")


def test_nothing_found_is_nothing_to_mend(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server()
    outcome = project_at(project, server).run("invoke", "fix-findings", stdin="[]")
    assert (outcome.code, outcome.out.strip(), server.chats) == (0, "", [])
    outcome = project_at(project, server).run("invoke", "fix-findings")
    assert (outcome.code, "'fix-findings' has nothing to work on" in outcome.err) == (2, True)


def test_what_pytest_says_goes_to_the_file_it_names(project: NewProject, openai_server: NewServer) -> None:
    server = openai_server({"": "Left: it."})
    said = "F\n    def test():\n>       assert f() == 2\nE       assert 1 == 2\n\nshop.py:5: AssertionError\n"
    assert project_at(project, server, FILES).run("invoke", "fix-findings", stdin=said).code == 0
    assert "shop.py\nE       assert 1 == 2\n\nshop.py:5: AssertionError\n" in prompts(server)[0]
