"""What a person sees: on a terminal of its own behind stdin, stdout and stderr."""

import re

import pytest

from tests.cli.conftest import ECHO
from tests.project import NewProject, Project

ESCAPE = "\x1b"


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


def test_on_a_terminal_the_result_is_laid_out(here: Project) -> None:
    outcome = here.run_pty("invoke", "echo", "# Title\n\n**strong**")
    assert ESCAPE in outcome.out
    assert plain(outcome.out).split() == ["Title", "strong"]
    assert outcome.code == 0


def test_in_a_pipe_it_is_not_even_with_a_terminal_on_stderr(here: Project) -> None:
    outcome = here.run_pty("invoke", "echo", "# Title", tty=["stderr"])
    assert outcome.out == "# Title\n"


def test_the_last_lines_say_what_to_try_next(here: Project) -> None:
    err = plain(here.run_pty("invoke", "examples/concat", "x").err)
    assert err.endswith(
        "try next:\n"
        "  llm-orc show examples/concat --graph ascii  its graph\n"
        "  llm-orc plan examples/concat                what each agent is sent, and who answers\n"
        "  llm-orc list                                what else can be called\n"
    )
    assert "concat succeeded  2 succeeded" in err


def test_of_an_ensemble_of_your_own_they_do_not(here: Project) -> None:
    err = plain(here.run_pty("invoke", "echo", "x").err)
    assert "echo succeeded" in err
    assert "try next" not in err


def test_errors_break_between_words(here: Project) -> None:
    lines = plain(here.run_pty("invoke", "ehco", "x", cols=24).err).splitlines()
    assert lines == ["error: no ensemble", "  'ehco'", "hint: did you mean", "  'echo'? see: llm-orc", "  list ensembles"]


@pytest.mark.parametrize(
    ("env", "on_terminal", "in_pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_colours(here: Project, env: dict[str, str], *, on_terminal: bool, in_pipe: bool) -> None:
    colored = re.compile(r"\x1b\[[0-9;]*m")
    problem = here.run_pty("invoke", "ehco", "x", env=env)
    assert bool(colored.search(problem.err)) == on_terminal
    assert bool(colored.search(here.run("invoke", "ehco", "x", env=env).err)) == in_pipe
    assert bool(colored.search(here.run_pty("invoke", "echo", "# x", env=env).out)) == on_terminal


def test_a_dumb_terminal_gets_lines_and_no_picture(here: Project) -> None:
    outcome = here.run_pty("invoke", "echo", "x", env={"TERM": "dumb"})
    assert ESCAPE not in outcome.err + outcome.out
    assert re.search(r"^echo +succeeded", outcome.err.replace("\r", ""), re.MULTILINE)


def test_the_live_view_leaves_nothing_behind(here: Project) -> None:
    here.write(".llm-orc/ensembles/slow.yaml", "agents: [{name: napping, command: [sh, -c, 'cat; sleep 0.5']}]")
    err = here.run_pty("invoke", "slow", "x").err
    assert "napping" in err
    assert "\x1b[?25h" in err.rpartition("napping")[2]
    assert "napping" not in plain(err.rpartition("\x1b[?25h")[2])


def test_a_listing_is_cut_to_the_terminal(here: Project) -> None:
    lines = here.run_pty("list", "ensembles", cols=40).out.replace("\r", "").splitlines()
    assert max(map(len, lines)) == 40
    assert any(line.endswith("…") for line in lines)
    assert not any(line.endswith("…") for line in here.run("list", "ensembles").out.splitlines())


def untrusted(project: NewProject) -> Project:
    return project({".llm-orc/ensembles/echo.yaml": ECHO})


def test_a_person_is_asked_once_for_trust(project: NewProject) -> None:
    here = untrusted(project)
    asked = here.run_pty("invoke", "echo", "hello", keys=[("[y/N]", "y\n")])
    assert asked.code == 0
    assert "hello" in asked.out
    assert f"Trust everything in {here.path}, now and later? [y/N]" in asked.err
    assert "warning: the command of 'echo' comes from a project that is not\n  trusted: cat\n" in plain(asked.err)
    assert here.run("invoke", "echo", "hello")[::2] == ("hello\n", 0)


@pytest.mark.parametrize("answer", ["n\n", "\n", "what?\n", "\x04"])
def test_anything_but_yes_is_no(project: NewProject, answer: str) -> None:
    here = untrusted(project)
    outcome = here.run_pty("invoke", "echo", "hello", keys=[("[y/N]", answer)], tty=["stderr"])
    assert outcome[::2] == ("", 2)
    assert "the command of 'echo' comes from a project that is not trusted" in plain(outcome.err.partition("[y/N]")[2])
    assert here.run("invoke", "echo", "hello").code == 2


def test_trust_asks_on_a_terminal(project: NewProject) -> None:
    here = untrusted(project)
    assert here.run_pty("trust", keys=[("[y/N]", "n\n")]).code == 1
    assert here.run("invoke", "echo", "hello").code == 2
    assert here.run_pty("trust", keys=[("[y/N]", "yes\n")]).code == 0
    assert here.run("invoke", "echo", "hello").code == 0


def test_a_variable_of_the_environment_needs_trust_too(project: NewProject) -> None:
    here = project({".llm-orc/config.yaml": "output_format: ${FORM}\n"})
    env = {"FORM": "json"}
    outcome = here.run_pty("invoke", "hello", "x y z", "--profile", "embedded", keys=[("[y/N]", "y\n")], env=env)
    assert outcome.code == 0
    assert here.run("invoke", "hello", "x y z", "--profile", "embedded", env=env).out.startswith("{")
