"""`llm-orc invoke`: what it prints where, and its exit codes."""

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.project import NewProject, Project, run
from tests.servers.fixtures import NewServer
from tests.servers.openai import NativeModel

SLOW = """
agents:
  - name: quick
    command: [cat]
  - name: slow
    command: [sh, -c, "cat > started; sleep 600"]
"""


def test_stdout_is_the_answer_and_stderr_the_talk(here: Project) -> None:
    outcome = here.run("invoke", "echo", "hello")
    assert outcome[::2] == ("hello\n", 0)
    assert re.fullmatch(r"echo succeeded  1 succeeded  \d+\.\d s\n", outcome.err)


def test_some_failed(here: Project) -> None:
    outcome = here.run("invoke", "two", "hello")
    assert outcome[::2] == ("## good\n\nhello\n\n## bad\n\n(missing: script: 'sh': exit code 7)\n", 3)
    assert re.search(r"^failed  bad: script: .*7", outcome.err, re.MULTILINE)


def test_no_leaf_succeeded(here: Project) -> None:
    outcome = here.run("invoke", "two", "hello", "--only", "bad")
    assert outcome[::2] == ("", 1)


def test_the_time_of_the_run_is_spent(here: Project) -> None:
    here.write(".llm-orc/ensembles/slow.yaml", SLOW + "limits: {timeout_seconds: 0.5}\n")
    outcome = here.run("invoke", "slow", "hello")
    assert outcome.code == 4
    assert "hello" in outcome.out
    assert "the run's time is up" in outcome.err


@pytest.mark.parametrize(("number", "code", "cause"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")])
def test_a_signal_prints_what_was_finished(here: Project, number: signal.Signals, code: int, cause: str) -> None:
    here.write(".llm-orc/ensembles/slow.yaml", SLOW)
    process = here.start("invoke", "slow", "hello", "--output-format", "jsonl")
    assert process.stdout is not None
    answered = next(line for line in process.stdout if b'"answered"' in line)
    assert b'"quick"' in answered
    process.send_signal(number)
    rest, err = process.communicate(timeout=60)
    assert process.returncode == code
    last = json.loads(rest.splitlines()[-1])
    assert (last["event"], last["cause"]) == ("run_ended", cause.removesuffix("ed").replace("terminat", "terminate"))
    assert cause in err.decode()


def test_a_run_whose_reader_hangs_up_goes_on_no_longer(here: Project) -> None:
    here.write(".llm-orc/ensembles/slow.yaml", SLOW.replace("cat]", "sh, -c, 'cat; sleep 1']"))
    process = here.start("invoke", "slow", "hello", "--output-format", "jsonl")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0


def test_an_interruption_is_said_by_the_exit_code_whatever_else_is_wrong(here: Project) -> None:
    here.write(".llm-orc/ensembles/slow.yaml", SLOW)
    process = here.start("invoke", "slow", "hello", "-v", "--fail-on", "agents.quick.ok")
    assert process.stderr is not None
    assert process.stdout is not None
    assert b"quick" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert b"hello" in process.stdout.read()
    assert b"failed on: agents.quick.ok" in process.stderr.read()
    assert process.wait(60) == 130


def test_the_last_words_of_a_program_are_said_once(here: Project) -> None:
    here.write(".llm-orc/scripts/bad.py", "import nothing_of_that_name\n")
    here.write(".llm-orc/ensembles/bad.yaml", "agents: [{name: bad, script: bad.py}, {name: worse, script: bad.py}]")
    said = (
        "failed 2 agents  bad, worse: script: 'bad.py': exit code 1\n"
        "  Traceback (most recent call last):\n"
        f'    File "{here.path}/.llm-orc/scripts/bad.py", line 1, in <module>\n'
        "      import nothing_of_that_name\n"
        "  ModuleNotFoundError: No module named 'nothing_of_that_name'\n"
    )
    for flags in ([], ["-v"]):
        err = here.run("invoke", "bad", "x", *flags).err
        assert said in err
        assert err.count("Traceback") == 1


def test_verbose_says_when_each_agent_ends(here: Project) -> None:
    lines = here.run("invoke", "two", "hello", "-v").err.splitlines()
    assert sorted(line.split()[:2] for line in lines[:2]) == [["bad", "failed"], ["good", "succeeded"]]


# Formats and files


def test_json(here: Project) -> None:
    outcome = here.run("invoke", "two", "hello", "--output-format", "json")
    assert [(agent["name"], agent["status"]) for agent in json.loads(outcome.out)["agents"]] == [("good", "succeeded"), ("bad", "failed")]
    assert outcome.code == 3


def test_the_format_is_that_of_flag_then_ensemble_then_environment(here: Project) -> None:
    here.write(".llm-orc/ensembles/md.yaml", "output_format: jsonl\nagents: [{name: echo, command: [cat]}]")
    env = {"LLM_ORC_OUTPUT_FORMAT": "json"}
    assert here.run("invoke", "md", "x", "--output-format", "text", env=env).out == "x\n"
    assert here.run("invoke", "md", "x", env=env).out.startswith('{"event": "run_started"')
    assert here.run("invoke", "echo", "x", env=env).out.startswith('{\n  "version": 1')


def test_a_format_that_is_not_there_is_said_where_it_is_written(here: Project) -> None:
    here.write(".llm-orc/ensembles/odd.yaml", "output_format: jsno\nagents: [{name: echo, command: [cat]}]")
    said = ".llm-orc/ensembles/odd.yaml:1:16: no output format 'jsno'\nhint: did you mean 'json'?\n"
    assert here.run("invoke", "odd", "x") == ("", said, 2)
    assert here.run("validate", "odd") == ("", said, 2)
    here.write(".llm-orc/config.yaml", "output_format: txt")
    assert here.run("invoke", "echo", "x").err.startswith(".llm-orc/config.yaml:1:16: no output format 'txt'\n")
    assert here.run("invoke", "odd", "x", "--output-format", "jsno").err.startswith("error: no output format 'jsno'\n")


@pytest.mark.parametrize(("name", "begins"), [("r.md", "x\n"), ("r.txt", "x\n"), ("r.JSON", "{\n"), ("r.jsonl", '{"event"'), ("r", "x\n")])
def test_a_file_takes_the_format_of_its_ending(here: Project, name: str, begins: str) -> None:
    outcome = here.run("invoke", "echo", "x", "-o", name)
    assert outcome[::2] == ("", 0)
    assert outcome.err.startswith(f"wrote {name}\n")
    assert (here.path / name).read_text().startswith(begins)
    assert sorted(path.name for path in here.path.iterdir()) == [".llm-orc", name]


def test_a_flag_wins_over_the_ending(here: Project) -> None:
    here.run("invoke", "echo", "x", "-o", "r.md", "--output-format", "json")
    assert json.loads((here.path / "r.md").read_text())["result"] == "x"


def test_a_file_is_not_replaced_unless_forced(here: Project) -> None:
    file = here.write("r.md", "precious")
    file.chmod(0o640)
    assert here.run("invoke", "echo", "x", "-o", "r.md") == ("", "r.md: exists already\nhint: --force replaces it\n", 2)
    assert file.read_text() == "precious"
    assert here.run("invoke", "echo", "x", "-o", "r.md", "--force").code == 0
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("x\n", 0o640)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no/such/r.md", "no/such/r.md: its folder does not exist\nhint: make it: mkdir -p no/such\n"),
        (".llm-orc", ".llm-orc: is a folder\nhint: name a file in it: -o .llm-orc/result.md\n"),
        ("x" * 300, f"{'x' * 300}: cannot be a file: file name too long\n"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_runs(here: Project, name: str, said: str) -> None:
    here.write(".llm-orc/ensembles/mark.yaml", "agents: [{name: mark, command: [touch, ran]}]")
    assert here.run("invoke", "mark", "x", "-o", name) == ("", said, 2)
    assert not (here.path / "ran").exists()


def test_a_result_that_cannot_be_written_goes_to_stdout(here: Project) -> None:
    here.write(".llm-orc/ensembles/evil.yaml", "agents: [{name: evil, command: [sh, -c, 'rmdir out; cat']}]")
    (here.path / "out").mkdir()
    outcome = here.run("invoke", "evil", "x", "-o", "out/r.md")
    assert outcome[::2] == ("x\n", 2)
    assert outcome.err.endswith("out/r.md: cannot be written: no such file or directory\nhint: the result is on stdout\n")


def test_a_link_that_leads_in_a_circle_is_replaced(here: Project) -> None:
    (here.path / "circle.md").symlink_to("circle.md")
    assert here.run("invoke", "echo", "x", "-o", "circle.md").code == 0
    assert (here.path / "circle.md").read_text() == "x\n"
    (here.path / "circle").symlink_to("circle")
    assert here.run("trust", "circle") == ("", "circle: is no folder\n", 2)


def test_a_device_is_written_to_as_it_is(here: Project) -> None:
    assert here.run("invoke", "echo", "x", "-o", "/dev/null").code == 0
    assert not Path("/dev/null").is_file()
    assert here.run("invoke", "echo", "x", "-o", "-").out == "x\n"


def test_a_template_as_format(here: Project) -> None:
    here.write("page.j2", "{{ run.status }}: {{ agents.good }}, {{ agents.bad.ok }}")
    assert here.run("invoke", "two", "hello", "--output-format", "page.j2").out == "partial: hello, false\n"


# --fail-on


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("run.totals.seconds > 100", 0),
        ("'hello' in result", 1),
        ("{{ agents.good == 'hello' }}", 1),
        ("not agents.bad.ok", 1),
        ("agents.bad.ok", 3),
        ("input == 'bye'", 3),
    ],
)
def test_fail_on(here: Project, expression: str, code: int) -> None:
    outcome = here.run("invoke", "two" if "agents" in expression or "input" in expression else "echo", "hello", "--fail-on", expression)
    assert outcome.code == code
    assert "hello" in outcome.out
    assert (f"failed on: {expression}\n" in outcome.err) == (code == 1)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("agents.god.ok", "error: --fail-on: no agent 'god'\nhint: did you mean 'good'?\n"),
        ("rnu.status", "error: --fail-on: no name 'rnu'\nhint: did you mean 'run'?\n"),
        ("a b", "error: --fail-on: the template in '--fail-on' is broken: line 1: "),
    ],
)
def test_a_broken_fail_on_is_found_before_anything_runs(here: Project, expression: str, said: str) -> None:
    outcome = here.run("invoke", "two", "hello", "--fail-on", expression)
    assert outcome.err.startswith(said)
    assert outcome[::2] == ("", 2)


def test_a_fail_on_that_cannot_be_evaluated_is_no_success(here: Project) -> None:
    outcome = here.run("invoke", "two", "hello", "--fail-on", "agents.good.json.score < 3")
    assert outcome.code == 2
    assert "hello" in outcome.out
    assert "error: --fail-on: " in outcome.err


# Models


def test_the_first_line_names_the_choice_and_the_destination(here: Project, openai_server: NewServer) -> None:
    server = openai_server({"Asked": "An answer."}, native=[NativeModel("tiny")], models=["tiny"])
    env = {"LMSTUDIO_BASE_URL": server.base_url}
    outcome = here.run("invoke", "model", "hello", env=env)
    assert outcome[::2] == ("An answer.\n", 0)
    host = server.base_url.removeprefix("http://").removesuffix("/v1")
    assert outcome.err.startswith(f"careful -> lmstudio/tiny (running); stays on this machine ({host})\n")


def test_no_model_is_never_a_success(here: Project) -> None:
    outcome = here.run("invoke", "model", "hello", env={"LMSTUDIO_BASE_URL": "http://127.0.0.1:9/v1"})
    assert outcome[::2] == ("", 2)
    assert outcome.err.startswith("error: no model can be reached for careful\nhint: start LM Studio's server")


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_offline_skips_and_says_so(here: Project, how: str) -> None:
    here.write(".llm-orc/ensembles/mixed.yaml", "agents: [{name: told, command: [cat]}, {name: asked, model_profile: fast}]")
    env = {"LMSTUDIO_BASE_URL": "http://127.0.0.1:9/v1"} | ({"LLM_ORC_OFFLINE": "1"} if how == "environment" else {})
    outcome = here.run("invoke", "mixed", "hello", *(["--offline"] if how == "flag" else []), env=env)
    assert outcome[::2] == ("## told\n\nhello\n\n## asked\n\n(missing: offline)\n", 0)
    assert "skipped  asked: offline\n" in outcome.err
    assert "try next" not in outcome.err


CODE = "try:\n    import os\nexcept Exception:\n    pass\n"


def offline(here: Project, *more: str, stdin: str | None = None) -> str:
    """What is said after a run of a shipped ensemble without models."""
    return here.run("invoke", "code-review", *more, "--offline", stdin=stdin).err.partition("try next:\n")[2]


def test_the_first_thing_to_try_is_the_same_call(project: NewProject) -> None:
    here = project({"shop.py": CODE})
    assert offline(here, stdin=CODE) == (
        "  ... | llm-orc invoke code-review  with models, too\n"
        "  llm-orc plan code-review          what each agent is sent, and who answers\n"
        "  llm-orc init                      an ensemble of your own, here\n"
    )
    assert offline(here, "mind the 'SQL'", "-f", "shop.py").startswith(
        """  llm-orc invoke code-review 'mind the '"'"'SQL'"'"'' -f shop.py  with"""
    )
    assert offline(here, "import os\n" * 20).startswith("  llm-orc invoke code-review ...  with")


def test_an_empty_diff_passes_the_gate_of_a_review_without_models(project: NewProject) -> None:
    grave = "agents.facts.json.findings | selectattr('severity', 'eq', 'high') | list"
    outcome = project().run("invoke", "code-review", "--offline", "-o", "review.md", "--fail-on", grave, stdin="")
    assert outcome[::2] == ("", 0)


def test_nothing_is_to_be_tried_after_a_gate_has_closed(project: NewProject) -> None:
    outcome = project().run("invoke", "code-review", CODE, "--offline", "--fail-on", "true")
    assert (outcome.code, outcome.err.splitlines()[-1]) == (1, "failed on: true")


@pytest.mark.parametrize("where", ["", "below"])
def test_the_program_is_named_as_it_can_be_called_again(project: NewProject, where: str) -> None:
    here = project({"bin/llm-orc": f"#!{sys.executable} -P\nfrom llm_orc.cli.main import main\nmain()\n", "below/x": ""})
    program = here.path / "bin/llm-orc"
    call = ["invoke", "examples/concat", "x", "--offline"]
    shown = "bin/llm-orc" if not where else "../bin/llm-orc"
    assert f"  {shown} init " in run(program, *call, cwd=here.path / where, env=here.env()).err
    on_path = here.env({"PATH": f"{program.parent}:{os.environ['PATH']}"})
    assert "  llm-orc init " in run(program, *call, cwd=here.path / where, env=on_path).err


def test_streaming_prints_the_final_reply_as_it_comes(here: Project, openai_server: NewServer) -> None:
    server = openai_server({"Asked": "One two three."}, models=["tiny"])
    here.write(".llm-orc/profiles/careful.yaml", f"provider: lmstudio\nmodel: tiny\nbase_url: {server.base_url}")
    assert here.run("invoke", "model", "hello", "--stream")[::2] == ("One two three.\n", 0)
    assert server.chats[0].json["stream"] is True
    assert here.run("invoke", "model", "hello", "--no-stream").out == "One two three.\n"
    assert not server.chats[1].json.get("stream")


def test_profiles_by_flag(here: Project) -> None:
    outcome = here.run("invoke", "model", "hello there", "--profile", "model=embedded", "--output-format", "json")
    assert json.loads(outcome.out)["agents"][0]["provider"] == "embedded"
    assert here.run("invoke", "model", "hello there", "--profile", "embedded").code == 0


def test_a_warning_of_the_layers_is_said(here: Project) -> None:
    here.write(".llm-orc/ensembles/hello.yaml", "agents: [{name: hello, command: [cat]}]")
    assert "warning: ensemble 'hello' is the project's, not the one that comes with llm-orc" in here.run("invoke", "hello", "x").err
