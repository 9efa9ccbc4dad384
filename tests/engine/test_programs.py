"""Scripts and commands, as true processes of the true command line."""

import json
import os
import select
import signal
import sys
from pathlib import Path

import pytest

from tests.project import NewProject, run

ONE_SCRIPT = ".llm-orc/ensembles/one.yaml"
YAML = """
    agents:
      - name: it
        script: it{suffix}
        {more}
"""
FORKS = """
    import os, signal, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        time.sleep(600)
    with open("pids", "w") as pids:
        pids.write(f"{os.getpid()} {child}")
    time.sleep(600)
"""


def one_script(code: str, *, suffix: str = ".py", more: str = "") -> dict[str, str]:
    return {ONE_SCRIPT: YAML.format(suffix=suffix, more=more), f".llm-orc/scripts/it{suffix}": code}


def alive(pid: int) -> bool:
    """Whether a process still runs; one that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_script_is_handed_one_json_object(project: NewProject) -> None:
    made = project(
        {
            ".llm-orc/ensembles/two.yaml": """
                variables: {depth: {default: 2}}
                agents:
                  - {name: plain, script: echo.py}
                  - {name: broken, command: ["false"]}
                  - name: each
                    script: echo.py
                    parameters: {n: 1}
                    depends_on: [plain, broken]
                    fan_out: {items: [{k: é}]}
                synthesis: {agent: each}
            """,
            ".llm-orc/scripts/echo.py": "import sys; print(sys.stdin.read(), end='')",
        },
        trusted=True,
    )
    run = json.loads(made.run("invoke", "two", "hello", "--output-format", "json").out)
    plain = next(agent["json"] for agent in run["agents"] if agent["name"] == "plain")
    said = {"input": "hello", "parameters": None, "dependencies": None, "item": None, "variables": {"depth": 2}, "attachments": None}
    assert plain == said
    [handed] = json.loads(run["result"])
    assert (handed["input"], handed["parameters"], handed["item"]) == ("hello", {"n": 1}, {"k": "é"})
    assert handed["dependencies"] == {
        "plain": {"status": "succeeded", "ok": True, "cause": None, "text": json.dumps(plain), "json": plain, "spent": None},
        "broken": {"status": "failed", "ok": False, "cause": "script: 'false': exit code 1", "text": None, "json": None, "spent": None},
    }


def test_input_key_of_a_reply_that_has_no_keys(project: NewProject) -> None:
    made = project(
        {
            "k.yaml": """
                agents:
                  - {name: listed, command: [echo, '["x"]']}
                  - {name: bare, command: [cat], depends_on: [listed], input_key: nope}
            """
        },
        trusted=True,
    )
    outcome = made.run("invoke", "k.yaml", "hello")
    assert "malformed: no key 'nope' in the reply of 'listed'; it is no JSON object" in outcome.err


def test_an_empty_reply_of_a_script_is_an_empty_result(project: NewProject) -> None:
    outcome = project(one_script("pass"), trusted=True).run("invoke", "one", "x")
    assert (outcome.out, outcome.code) == ("", 0)


def test_a_command_reads_the_input_or_its_prompt(project: NewProject) -> None:
    made = project(
        {
            "c.yaml": """
                agents:
                  - {name: raw, command: [cat]}
                  - {name: asked, command: [tr, a-z, A-Z], prompt: "<{{ agents.raw }}>"}
                  - {name: found, command: [grep, -c, nothing], success_codes: [1]}
                synthesis: {concat: true}
            """
        },
        trusted=True,
    )
    outcome = made.run("invoke", "c.yaml", stdin="héllo\n")
    assert outcome.out == "## asked\n\n<HéLLO\n>\n\n## found\n\n0\n"
    assert outcome.code == 0


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_process_behind_however_often_it_comes(
    project: NewProject, number: signal.Signals, code: int, times: int
) -> None:
    made = project(one_script(FORKS), trusted=True)
    os.mkfifo(made.path / "pids")
    process = made.start("invoke", "one", "x")
    pids = [int(pid) for pid in (made.path / "pids").read_text().split()]
    assert all(map(alive, pids))
    for _ in range(times):
        process.send_signal(number)
        select.select([], [], [], 0.1)  # two at once are one; the second comes while the script is asked to go
    assert process.wait(20) == code
    assert not any(map(alive, pids))


def test_programs_may_tidy_up_when_the_run_is_cut_off(project: NewProject) -> None:
    tidy = """
        import signal, sys, time
        def tidied(*_):
            time.sleep(0.05)
            open("tidied", "w").close()
            sys.exit()
        signal.signal(signal.SIGTERM, tidied)
        open("pids", "w").close()
        signal.pause()
    """
    made = project(one_script(tidy, more="\n      - {name: after, command: [cat], depends_on: [it]}"), trusted=True)
    os.mkfifo(made.path / "pids")
    process = made.start("invoke", "one", "x")
    (made.path / "pids").read_text()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (made.path / "tidied").exists()
    assert b"Traceback" not in err


def test_a_timeout_leaves_no_process_behind(project: NewProject) -> None:
    made = project(one_script(FORKS, more="timeout_seconds: 0.5"), trusted=True)
    os.mkfifo(made.path / "pids")
    process = made.start("invoke", "one", "x")
    pids = [int(pid) for pid in (made.path / "pids").read_text().split()]
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert b"timeout: no reply within 0.5 s" in err
    assert not any(map(alive, pids))


def test_a_grandchild_that_keeps_the_pipe_open_holds_nobody_up(project: NewProject) -> None:
    lingering = "#!/bin/sh\nsleep 600 &\necho $! > pid\necho done\n"
    made = project(one_script(lingering, suffix=".sh"), trusted=True)
    outcome = made.run("invoke", "one", "x", timeout=20)
    assert (outcome.out, outcome.code) == ("done\n", 0)
    assert not alive(int((made.path / "pid").read_text()))


@pytest.mark.parametrize(
    ("code", "suffix", "said"),
    [
        ("import sys; sys.exit('it went\\nwrong here')", ".py", "script: 'it.py': exit code 1"),
        ("import os; os.kill(os.getpid(), 9)", ".py", "script: 'it.py': ended by SIGKILL"),
        ("while True: print('x' * 100000)", ".py", "script: 'it.py' wrote more than 16 MiB"),
        ("import sys; sys.stdout.buffer.write(bytes([255]))", ".py", "script: 'it.py' wrote bytes that are no UTF-8 text"),
        ("#!/no/such/interpreter\n", ".sh", "script: 'it.sh' names an interpreter that is not there"),
    ],
)
def test_a_script_that_fails_says_why(project: NewProject, code: str, suffix: str, said: str) -> None:
    outcome = project(one_script(code, suffix=suffix), trusted=True).run("invoke", "one", "x")
    assert outcome.code == 1
    assert said in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


def test_the_tail_of_its_standard_error_is_told(project: NewProject) -> None:
    outcome = project(one_script("import sys; sys.exit('it went\\nwrong here')"), trusted=True).run("invoke", "one", "x")
    assert "wrong here" in outcome.err


def test_it_sees_a_few_variables_and_those_it_asks_for(project: NewProject) -> None:
    code = "import os; print(sorted(os.environ))"
    made = project(one_script(code, more="env: [WANTED]"), trusted=True)
    env = {"WANTED": "1", "OTHER": "2", "OPENAI_API_KEY": "canary", "LLM_ORC_OFFLINE": "1"}
    outcome = made.run("invoke", "one", "x", env=env)
    assert "'WANTED'" in outcome.out
    assert "OTHER" not in outcome.out
    assert "KEY" not in outcome.out
    assert [name for name in outcome.out.split("'") if name.startswith("LLM_ORC")] == ["LLM_ORC_ARTIFACTS"]


def test_a_key_is_never_passed_on(project: NewProject) -> None:
    made = project(one_script("print(1)", more="env: [OPENAI_API_KEY]"), trusted=True)
    outcome = made.run("invoke", "one", "x", env={"OPENAI_API_KEY": "canary"})
    assert outcome.code == 2
    assert f"{ONE_SCRIPT}:4:11: " in outcome.err
    assert "canary" not in outcome.err


def test_twenty_megabytes_go_through(project: NewProject) -> None:
    made = project(
        one_script("import sys, json; print(len(json.load(sys.stdin)['input']))") | {"cat.yaml": "agents: [{name: a, command: [wc, -c]}]"},
        trusted=True,
    )
    big = "x" * 20_000_000
    assert made.run("invoke", "one", stdin=big).out == "20000000\n"
    assert made.run("invoke", "cat.yaml", stdin=big).out.strip() == "20000000"


def test_exit_codes_are_known_even_where_the_parent_ignores_its_children(project: NewProject) -> None:
    made = project({"k.yaml": "agents: [{name: it, command: [cat]}]"}, trusted=True)
    words = f"trap '' CHLD; exec {sys.executable} -P -m llm_orc invoke k.yaml hello"
    outcome = run("bash", "-c", words, cwd=made.path, env=made.env())
    assert (outcome.out, outcome.code) == ("hello\n", 0)


def test_one_that_does_not_read_its_input_is_no_failure(project: NewProject) -> None:
    made = project(one_script("print('did not look')"), trusted=True)
    outcome = made.run("invoke", "one", stdin="x" * 3_000_000)
    assert (outcome.out, outcome.code) == ("did not look\n", 0)
