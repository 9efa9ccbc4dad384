"""The command line as a whole: help, typos, streams that are closed or full, our own mistakes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import llm_orc
from llm_orc.cli.commands import COMMANDS
from tests.project import NewProject, Project, run

HEAVY = {"aiohttp", "asyncio", "httpx", "jinja2", "pydantic", "rich", "sqlite3", "ssl", "yaml"}
LISTING = (
    "import sys; sys.argv[:] = ['llm-orc', *{args}]; from llm_orc.cli.main import main; code = main(); print(*sys.modules, file=sys.stderr)"
)
COMMAND_LINES = [[name] for name in COMMANDS] + [
    ["config", "show"],
    ["config", "path"],
    ["runs", "graph"],
    ["runs", "export"],
    ["runs", "diff"],
]


def modules_loaded_by(here: Project, *args: str) -> set[str]:
    env = {name: value for name, value in here.env().items() if not name.startswith("COVERAGE")}  # which loads modules of its own
    done = run(sys.executable, "-P", "-c", LISTING.format(args=args), cwd=here.path, env=env)
    assert done.code == 0
    return set(done.err.split())


def test_version(project: NewProject) -> None:
    assert project().run("--version") == (f"llm-orc {llm_orc.__version__}\n", "", 0)


def test_the_version_is_printed_without_typer(project: NewProject) -> None:
    assert "typer" not in modules_loaded_by(project(), "--version")


@pytest.mark.parametrize("args", [["--help"], ["invoke", "--help"], ["list", "--help"]])
def test_help_loads_next_to_nothing(project: NewProject, args: list[str]) -> None:
    loaded = modules_loaded_by(project(), *args)
    assert loaded & HEAVY == set()
    assert {name for name in loaded if name.startswith("llm_orc.cli.")} >= {"llm_orc.cli.main", "llm_orc.cli.commands"}
    if args == ["--help"]:
        assert {f"llm_orc.cli.{name}" for name in COMMANDS} & loaded == set()


def test_help_lists_every_command(project: NewProject) -> None:
    outcome = project().run("--help")
    assert [line.split()[0] for line in outcome.out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()] == list(COMMANDS)
    assert outcome[1:] == ("", 0)
    assert project().run() == outcome


@pytest.mark.parametrize("words", [[], *COMMAND_LINES], ids=" ".join)
def test_every_help_ends_with_two_examples(project: NewProject, words: list[str]) -> None:
    outcome = project().run(*words, "--help")
    first, second = outcome.out.partition("Examples:\n")[2].splitlines()
    assert all("llm-orc" in line and line.startswith("    ") for line in (first, second))
    assert outcome.out == project().run(*words, "-h").out
    assert outcome.code == 0


TYPOS = {
    "invok ehco": ("no command 'invok'", "did you mean 'invoke'? see: llm-orc --help"),
    "invok echo": ("no command 'invok'", "did you mean 'invoke'? an ensemble is run with: llm-orc invoke echo"),
    "run echo": ("no command 'run'", "an ensemble is run with: llm-orc invoke echo"),
    "echo text": ("no command 'echo'", "an ensemble is run with: llm-orc invoke echo"),
    "--vresion": ("no option '--vresion'", "did you mean '--version'? see: llm-orc --help"),
    "invoke echo x --ofline": ("no option '--ofline'", "did you mean '--offline'? see: llm-orc invoke --help"),
    "invoke echo x -z": ("no option '-z'", "see: llm-orc invoke --help"),
    "invoke": ("missing: 'ENSEMBLE'", "see: llm-orc invoke --help"),
    "invoke echo several words": ("too many arguments: words", "a text of several words is one argument: quote it"),
    "invoke echo x --var": ("'--var' requires an argument", "see: llm-orc invoke --help"),
    "invoke ehco x": ("no ensemble 'ehco'", "did you mean 'echo'? see: llm-orc list ensembles"),
    "invoke model x --profile emebdded": ("no profile 'emebdded'", "did you mean 'embedded'? see: llm-orc list profiles"),
    "invoke two x --only god": ("--only: no agent 'god' in 'two'", "did you mean 'good'?"),
    "invoke two x --var cod=1": ("'two' has no variable 'cod'", "did you mean 'code'?"),
    "invoke two x --var code=x": ("variable 'code' of 'two': 'x' is no integer", None),
    "invoke two x --var code": ("--var: 'code' has no name and value", "--var NAME=VALUE"),
    "invoke echo x --max-parallel 0": ("--max-parallel: '0' is no number of calls", "a whole number, 1 or more"),
    "invoke echo x --no-deps": ("--no-deps goes with --only", "--only AGENT --no-deps runs that agent alone"),
    "invoke echo x --only ,": ("--only names no agent", "--only a,b"),
    "invoke model x --profile a --profile b": ("--profile: both 'a' and 'b'", "for single agents: --profile AGENT=NAME"),
    "invoke echo x --output-format jsno": ("no output format 'jsno'", "did you mean 'json'?"),
    "invoke echo x --stream --output-format json": (
        "--stream does nothing with the format 'json'",
        "take --output-format text or markdown",
    ),
    "invoke echo x --force": ("--force goes with -o FILE and --split DIR", None),
    "list ensmbles": ("nothing to list called 'ensmbles'", "did you mean 'ensembles'?"),
    "show echo --graph asci": ("no form of graph 'asci'", "did you mean 'ascii'?"),
    "schema ensembel": ("no schema called 'ensembel'", "did you mean 'ensemble'?"),
    "runs diff last": ("missing: 'B'", "see: llm-orc runs diff --help"),
    "runs lst": ("no command 'lst'", "did you mean 'list'? see: llm-orc runs --help"),
    "config shwo": ("no command 'shwo'", "did you mean 'show'? see: llm-orc config --help"),
    "plan ehco": ("no ensemble 'ehco'", "did you mean 'echo'? see: llm-orc list ensembles"),
    "validate ehco": ("no ensemble 'ehco'", "did you mean 'echo'? see: llm-orc list ensembles"),
}


@pytest.mark.parametrize("line", TYPOS)
def test_a_typo_is_one_problem_with_a_hint(here: Project, line: str) -> None:
    what, hint = TYPOS[line]
    assert here.run(*line.split()) == ("", f"error: {what}\n" + (f"hint: {hint}\n" if hint else ""), 2)


@pytest.mark.parametrize("args", [["list"], ["--help"], ["invoke", "echo", "x"], ["invoke", "echo", "x", "--output-format", "jsonl"]])
def test_a_reader_that_hangs_up_is_no_mistake(here: Project, args: list[str]) -> None:
    process = here.start(*args)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read().decode()
    assert (process.wait(60), "error" in err, "Traceback" in err, "Exception" in err) == (0, False, False, False)


@pytest.mark.parametrize("args", ["list", "--help", "plan --help", "config show --help", "--version", "invoke echo x"])
def test_a_full_disk_is_said(here: Project, args: str) -> None:
    with Path("/dev/full").open("wb") as full:
        process = here.start(*args.split(), stdout=full.fileno())
    assert process.stderr is not None
    assert process.stderr.read().decode().endswith("error: stdout cannot be written: no space left on device\n")
    assert process.wait(60) == 2


@pytest.mark.parametrize(("closing", "code", "out"), [("<&-", 0, "x"), (">&-", 2, ""), ("2>&-", 0, "x"), ("2>/dev/full", 0, "x")])
def test_streams_that_are_closed(here: Project, closing: str, code: int, out: str) -> None:
    done = run("sh", "-c", f'"$0" -P -m llm_orc invoke echo x {closing}', sys.executable, cwd=here.path, env=here.env())
    assert (done.out.strip(), done.code) == (out, code)
    assert "Traceback" not in done.err
    if closing == ">&-":
        assert done.err.startswith("error: stdout is closed\nhint: ") or "\nerror: stdout is closed\n" in done.err


@pytest.mark.parametrize("env", [{"LANG": "C", "LC_ALL": "C"}, {"LC_ALL": "en_US.ISO-8859-1"}, {"PYTHONIOENCODING": "ascii"}])
def test_output_is_utf8_in_any_locale(here: Project, env: dict[str, str]) -> None:
    assert here.run("invoke", "echo", stdin="grün ✓", env=env)[::2] == ("grün ✓\n", 0)


def test_it_works_without_a_home(here: Project) -> None:
    env = {name: value for name, value in here.env().items() if name != "HOME"}
    done = run(sys.executable, "-P", "-m", "llm_orc", "invoke", "echo", "x", cwd=here.path, env=env)
    assert done[::2] == ("x\n", 0)


def test_a_working_directory_that_is_gone(here: Project) -> None:
    gone = here.path / "gone"
    gone.mkdir()
    done = run("sh", "-c", 'cd gone; rmdir ../gone; exec "$0" -P -m llm_orc list', sys.executable, cwd=here.path, env=here.env())
    assert done == ("", "the working directory does not exist any more\nhint: cd to one that does\n", 2)


def test_our_own_mistake_is_an_apology_and_never_a_key(here: Project) -> None:
    key = "sk-0123456789abcdef"
    broken = here.write("broken/yaml.py", f"raise RuntimeError('no luck with {key}')\n").parent
    env = {"PYTHONPATH": str(broken), "OPENAI_API_KEY": key}
    outcome = here.run("list", env=env)
    assert outcome.code == 70
    assert outcome.out == ""
    assert outcome.err.startswith("This is a mistake in llm-orc, not yours: RuntimeError at ")
    assert "Traceback" not in outcome.err
    assert key not in outcome.err
    debugged = here.run("list", env={**env, "LLM_ORC_DEBUG": "1"})
    assert "Traceback" in debugged.err
    assert "no luck with [OPENAI_API_KEY]" in debugged.err
    assert key not in debugged.err


def test_ctrl_c_while_it_waits_for_input(here: Project) -> None:
    process = here.start("invoke", "echo", stdin=subprocess.PIPE)
    assert process.stderr is not None
    assert process.stderr.readline() == b"waiting for input on stdin; Ctrl-D ends it, --no-stdin does without\n"
    process.send_signal(signal.SIGINT)
    assert (process.wait(60), process.stderr.read()) == (130, b"")


@pytest.mark.parametrize("words", ["invoke ec", "show ec", "plan ec", "validate ec"])
def test_names_of_ensembles_are_completed(here: Project, words: str) -> None:
    assert completed(here, words) == ["echo"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("inv", ["invoke"]),
        ("invoke echo --prof", ["--profile"]),
        ("invoke model --profile emb", ["embedded"]),
        ("invoke model --profile model=emb", ["model=embedded"]),
        ("invoke echo --output-format js", ["json", "jsonl"]),
        ("invoke two --only ", ["good", "bad"]),
        ("plan two --only good,b", ["good,bad"]),
        ("invoke --offline two text --no-stdin --only g", ["good"]),
        ("invoke two --var c", ["code="]),
        ("invoke nowhere --only ", []),
        ("invoke --only ", []),
        ("list ", ["ensembles", "profiles", "providers", "models"]),
        ("schema out", ["output"]),
    ],
)
def test_completion(here: Project, words: str, found: list[str]) -> None:
    assert completed(here, words) == found


def completed(here: Project, words: str) -> list[str]:
    env = {"_LLM_ORC_COMPLETE": "complete_bash", "COMP_WORDS": f"llm-orc {words}", "COMP_CWORD": str(len(words.split(" ")))}
    outcome = here.run(env=env)
    assert outcome[1:] == ("", 0)
    return outcome.out.split()


def test_completion_survives_a_broken_config(here: Project) -> None:
    here.write(".llm-orc/config.yaml", "nonsense: [")
    assert completed(here, "invoke ec") == []


def test_python_m_is_the_same_program(here: Project) -> None:
    done = subprocess.run([sys.executable, "-P", "-m", "llm_orc", "invok"], cwd=here.path, env=here.env(), capture_output=True, check=False)
    assert b"see: llm-orc --help" in done.stderr


def test_an_option_without_a_value_is_no_option_left_out(project: NewProject) -> None:
    empty = project()
    for words in (["invoke", "hello", "--fail-on", ""], ["plan", "hello", "--only="], ["invoke", "hello", "-o", ""]):
        outcome = empty.run(*words)
        assert outcome[::2] == ("", 2)
        assert "is empty" in outcome.err


def test_version_beside_a_command_is_all_there_is(project: NewProject) -> None:
    assert project().run("--version", "invoke", "hello") == (f"llm-orc {llm_orc.__version__}\n", "", 0)
