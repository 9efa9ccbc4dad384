"""The commands beside `invoke`."""

import json
import re
import socket
import stat

import jsonschema
import pytest

from tests.cli.conftest import ECHO
from tests.project import NewProject, Project, run

BROKEN = "agents: [{name: a, comand: [cat]}]"

# list


def test_list_shows_what_can_be_called_and_from_where(here: Project) -> None:
    here.write(".llm-orc/profiles/mine.yaml", "provider: openai\nmodel: big\nbase_url: https://example.test/v1")
    outcome = here.run("list")
    assert outcome[1:] == ("", 0)
    ensembles, profiles = outcome.out.split("\n\n")
    assert ensembles.startswith("ensembles\n")
    assert re.search(r"^  echo +project +Says what it hears$", ensembles, re.MULTILINE)
    assert re.search(r"^  code-review +built-in +\w", ensembles, re.MULTILINE)
    assert re.search(r"^  mine +project +openai/big at https://example.test/v1$", profiles, re.MULTILINE)


def test_examples_are_listed_on_request(here: Project) -> None:
    assert "examples/" not in here.run("list", "ensembles").out
    assert "examples/" in here.run("list", "ensembles", "--all").out


def test_list_as_json(here: Project) -> None:
    here.write(".llm-orc/ensembles/broken.yaml", BROKEN)
    outcome = here.run("list", "ensembles", "--json")
    rows = {row["name"]: row for row in json.loads(outcome.out)["ensembles"]}
    assert rows["echo"] == {
        "name": "echo",
        "layer": "project",
        "file": ".llm-orc/ensembles/echo.yaml",
        "description": "Says what it hears",
        "problems": [],
    }
    (problem,) = rows["broken"]["problems"]
    assert problem.startswith(".llm-orc/ensembles/broken.yaml:1:20: no key 'comand' in a model agent\nhint: did you mean 'command'?")
    assert set(json.loads(here.run("list", "--json").out)) == {"ensembles", "profiles"}


def test_a_broken_neighbour_is_listed_as_such(here: Project) -> None:
    here.write(".llm-orc/ensembles/broken.yaml", BROKEN)
    outcome = here.run("list")
    assert re.search(r"^  broken +project +broken: ", outcome.out, re.MULTILINE)
    assert outcome.err.startswith(".llm-orc/ensembles/broken.yaml:1:")
    assert outcome.code == 0


# show


def test_show(here: Project) -> None:
    outcome = here.run("show", "two")
    assert outcome == (
        (
            "two  Two agents, of which one may fail\n.llm-orc/ensembles/two.yaml\n\n"
            "variables\n  code  = 0\n\n"
            "agents\n  good  command  cat\n  bad   command  sh -c cat >/dev/null; exit 7\n"
        ),
        "",
        0,
    )
    assert json.loads(here.run("show", "two", "--json").out)["agents"][0] == {"name": "good", "command": ["cat"]}


def test_show_marks_what_is_only_implied(here: Project) -> None:
    here.write(
        ".llm-orc/ensembles/chain.yaml",
        """
        variables: {who: {required: true}}
        agents:
          - {name: a, command: [cat]}
          - {name: b, command: [cat], depends_on: [a]}
          - {name: c, command: [cat], depends_on: [b], prompt: "{{ agents.a }} {{ agents.b }} {{ variables.who }}"}
        """,
    )
    assert here.run("show", "chain").out.endswith("  b  command  cat  after a\n  c  command  cat  after b, a (implied)\n")
    assert "..>" in here.run("show", "chain", "--graph", "ascii").out


@pytest.mark.parametrize(("form", "begins"), [("mermaid", "flowchart TD\n"), ("dot", 'digraph "two" {\n'), ("ascii", "good  cat\n")])
def test_show_draws_the_graph(here: Project, form: str, begins: str) -> None:
    outcome = here.run("show", "two", "--graph", form)
    assert outcome.out.startswith(begins)
    assert outcome[1:] == ("", 0)


def test_an_ensemble_by_its_path(here: Project) -> None:
    here.write("elsewhere/mine.yaml", ECHO)
    assert here.run("show", "elsewhere/mine.yaml").out.startswith("echo  Says what it hears\nelsewhere/mine.yaml\n")
    assert here.run("invoke", "elsewhere/mine.yaml", "x").out == "x\n"


# validate


def test_validate_finds_every_broken_file_of_every_layer(here: Project) -> None:
    assert here.run("validate").err == ""
    here.write(".llm-orc/ensembles/echo.yaml", ECHO.replace("command", "comand"))
    here.write("~/.config/llm-orc/ensembles/echo.yaml", ECHO + "nonsense: 1\n")  # hidden by that of the project
    here.write("~/.config/llm-orc/profiles/odd.yaml", "provider: openai\nmodel: m\ntemperature: 9\n")
    here.write("~/.config/llm-orc/config.yaml", "default_profile: 7\n")
    here.write(
        ".llm-orc/ensembles/lost.yaml", "agents: [{name: a, model_profile: nowhere}, {name: b, ensemble: gone, prompt: '{{ agents.c }}'}]"
    )
    outcome = here.run("validate")
    assert outcome[::2] == ("", 2)
    places = re.findall(r"^(\S+?):\d+:\d+: (.*)$", outcome.err, re.MULTILINE)
    home = str(here.home)
    assert sorted({(place.removeprefix(home), what) for place, what in places}) == sorted(
        {
            (".llm-orc/ensembles/echo.yaml", "no key 'comand' in a model agent"),
            (".llm-orc/ensembles/lost.yaml", "no profile 'nowhere'"),
            (".llm-orc/ensembles/lost.yaml", "no ensemble 'gone'"),
            (".llm-orc/ensembles/lost.yaml", "no agent 'c'"),
            ("/.config/llm-orc/config.yaml", "'default_profile' must be a text, not 7"),
            ("/.config/llm-orc/ensembles/echo.yaml", "no key 'nonsense' in an ensemble"),
            ("/.config/llm-orc/profiles/odd.yaml", "'temperature' must be at most 2, not 9"),
        }
    )


def test_validate_says_everything_of_a_file_at_once(here: Project) -> None:
    here.write(".llm-orc/ensembles/bad.yaml", "agents: [{name: a, promt: hi}, {name: b, depends_on: [c]}]")
    assert [line for line in here.run("validate").err.splitlines() if line.startswith(".llm-orc")] == [
        ".llm-orc/ensembles/bad.yaml:1:20: no key 'promt' in a model agent",
        ".llm-orc/ensembles/bad.yaml:1:55: no agent 'c'",
    ]


def test_validate_some(here: Project) -> None:
    here.write(".llm-orc/ensembles/broken.yaml", BROKEN)
    assert here.run("validate", "echo", "two") == ("2 ensembles: nothing wrong\n", "", 0)
    assert here.run("validate", "echo", "broken").code == 2


def test_validate_needs_neither_trust_nor_keys_nor_the_values_of_required_variables(project: NewProject) -> None:
    here = project(
        {
            ".llm-orc/ensembles/echo.yaml": ECHO,
            ".llm-orc/ensembles/ask.yaml": """
                variables: {who: {required: true}, how: {required: true, choices: [1, 2]}}
                agents: [{name: ask, model_profile: mine, prompt: "{{ variables.who }}"}]
                """,
            ".llm-orc/profiles/mine.yaml": "provider: openai\nmodel: big",
        }
    )
    outcome = here.run("validate", "echo", "ask")
    assert outcome[::2] == ("2 ensembles: nothing wrong\n", 0)
    assert outcome.err == (
        ".llm-orc/ensembles/echo.yaml:5:14: warning: the command of 'echo' comes from a project that is not trusted: cat\n"
        "hint: look at it, then: llm-orc trust\n"
    )


def test_validate_and_list_open_no_socket(here: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        env = {"LMSTUDIO_BASE_URL": f"http://127.0.0.1:{server.getsockname()[1]}/v1"}
        assert here.run("validate", env=env).code == 0
        assert here.run("list", env=env).code == 0
        with pytest.raises(BlockingIOError):
            server.accept()


# plan


def test_plan_shows_prompts_and_says_where_no_model_is(here: Project) -> None:
    outcome = here.run("plan", "model", "my words", env={"LMSTUDIO_BASE_URL": "http://127.0.0.1:9/v1"})
    assert outcome[1:] == ("", 0)
    assert "careful -> no model can be reached now" in outcome.out
    assert "Asked: my words" in outcome.out
    assert "Asked: <input>" in here.run("plan", "model").out


def test_plan_names_the_model_that_a_key_gives(here: Project) -> None:
    env = {"LMSTUDIO_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "sk-test"}
    outcome = here.run("plan", "model", "--json", env=env)
    profile = json.loads(outcome.out)["agents"][0]["profiles"][0]
    assert (profile["provider"], profile["destination"]) == ("openai", "api.openai.com")
    assert "sk-test" not in outcome.out + outcome.err


def test_plan_runs_nothing(here: Project) -> None:
    here.write(".llm-orc/ensembles/mark.yaml", "agents: [{name: mark, command: [touch, ran]}]")
    assert here.run("plan", "mark").code == 0
    assert not (here.path / "ran").exists()


def test_plan_of_a_profile_with_an_unknown_tier(here: Project) -> None:
    here.write(".llm-orc/profiles/odd.yaml", "provider: auto\nmodel: carefull")
    outcome = here.run("plan", "model", "--profile", "odd", env={"LMSTUDIO_BASE_URL": "http://127.0.0.1:9/v1"})
    assert outcome == ("", "error: provider auto has no tier 'carefull'\nhint: did you mean 'careful'?\n", 2)


# config and schema


def test_config_show(here: Project) -> None:
    here.write(".llm-orc/config.yaml", "limits:\n  max_parallel: 3\n")
    here.write("~/.config/llm-orc/config.yaml", "default_profile: mine\n")
    outcome = here.run("config", "show", "--origin", env={"LLM_ORC_OUTPUT_FORMAT": "json"})
    assert [line.split() for line in outcome.out.splitlines()][:5] == [
        ["default_profile", "mine", "user", f"{here.home}/.config/llm-orc/config.yaml:1:18"],
        ["limits.max_parallel", "3", "project", ".llm-orc/config.yaml:2:17"],
        ["limits.max_cost", "-", "built-in"],
        ["limits.timeout_seconds", "-", "built-in"],
        ["output_format", "json", "environment", "LLM_ORC_OUTPUT_FORMAT"],
    ]
    assert outcome[1:] == ("", 0)
    assert json.loads(here.run("config", "show", "--json").out)["limits.max_parallel"] == 3
    origin = json.loads(here.run("config", "show", "--json", "--origin").out)["limits.max_parallel"]
    assert origin == {"value": 3, "layer": "project", "place": ".llm-orc/config.yaml:2:17"}


def test_config_path(here: Project) -> None:
    files = [here.home / ".config/llm-orc/config.yaml", here.path / ".llm-orc/config.yaml"]
    assert here.run("config", "path") == ("".join(f"{file}\n" for file in files), "", 0)
    assert json.loads(here.run("config", "path", "--json").out)[0] == {"layer": "user", "file": str(files[0]), "exists": False}


@pytest.mark.parametrize("kind", ["ensemble", "profile", "config", "output"])
def test_schemas_are_schemas(here: Project, kind: str) -> None:
    outcome = here.run("schema", kind)
    jsonschema.Draft202012Validator.check_schema(json.loads(outcome.out))
    assert outcome[1:] == ("", 0)


def test_the_output_fits_its_schema(here: Project) -> None:
    document = json.loads(here.run("invoke", "two", "x", "--output-format", "json").out)
    jsonschema.validate(document, json.loads(here.run("schema", "output").out))


# init and trust


def test_init_makes_a_project_that_runs_at_once(project: NewProject) -> None:
    here = project()
    made = here.run("init")
    assert made[::2] == ("", 0)
    assert made.err.endswith("  edit .llm-orc/ensembles/my-first.yaml\n")
    assert stat.S_IMODE((here.path / ".llm-orc").stat().st_mode) & 0o022 == 0
    assert {"config.yaml", ".gitignore", "ensembles", "profiles", "scripts", "templates"} == {
        path.name for path in (here.path / ".llm-orc").iterdir()
    }
    outcome = here.run("invoke", "my-first", "--offline")
    assert outcome.code == 0
    assert outcome.out.startswith("# The winter, in 65 words\n")
    assert outcome.err.startswith("my-first succeeded  10 succeeded  ")
    assert here.run("validate").code == 0
    assert here.run("invoke", "second", "Bees dance.").out.endswith("1: Bees dance.\n")
    bodies = {agent["body"] for agent in json.loads(here.run("plan", "my-first", "--json").out)["agents"]}
    assert bodies == {"script", "command", "model", "ensemble"}


def test_what_init_made_is_kept_out_of_nothing_but_the_store(project: NewProject) -> None:
    here = project()
    run("git", "init", "-q", cwd=here.path)
    here.run("init")
    here.write(".llm-orc/store/store.db", "x")
    untracked = run("git", "status", "--short", "--untracked-files=all", cwd=here.path).out
    assert "my-first.yaml" in untracked
    assert ".gitignore" in untracked
    assert "store" not in untracked


def test_init_replaces_nothing(project: NewProject) -> None:
    here = project({".llm-orc/mine": "precious"})
    assert here.run("init") == ("", ".llm-orc: exists already\nhint: see what is in it: llm-orc list\n", 2)
    assert [path.name for path in (here.path / ".llm-orc").iterdir()] == ["mine"]


def test_validate_does_not_call_sound_what_it_may_not_read(project: NewProject) -> None:
    here = project({"~/elsewhere.yaml": "agents: [{name: a, command: [x]}]"})
    (here.path / "link.yaml").symlink_to(here.home / "elsewhere.yaml")
    outcome = here.run("validate", "./link.yaml")
    assert outcome[::2] == ("", 2)
    assert "hint: " in outcome.err


def test_init_in_a_folder_that_may_not_be_written(project: NewProject) -> None:
    outcome = project().run("init", cwd="/proc")
    assert outcome[::2] == ("", 2)
    assert outcome.err.startswith(".llm-orc: cannot be made: ")


def test_trust_shows_what_would_run_and_is_remembered(project: NewProject) -> None:
    here = project({".llm-orc/ensembles/echo.yaml": ECHO, ".llm-orc/ensembles/broken.yaml": BROKEN, "below/x": ""})
    refused = here.run("invoke", "echo", "x")
    assert refused == (
        "",
        (
            ".llm-orc/ensembles/echo.yaml:5:14: the command of 'echo' comes from a project that is not trusted: cat\n"
            "hint: look at it, then: llm-orc trust\n"
        ),
        2,
    )
    trusted = here.run("trust", cwd="below")
    assert trusted == (
        "",
        f"in {here.path} these would run:\n  .llm-orc/ensembles/echo.yaml:5:14: cat\ntrusted: {here.path}\n",
        0,
    )
    assert here.run("invoke", "echo", "x")[::2] == ("x\n", 0)
    assert here.run("trust").err == f"trusted already: {here.path}\n"
    assert here.run("trust", "--revoke").err == f"no longer trusted: {here.path}\n"
    assert here.run("invoke", "echo", "x").code == 2


def test_trust_shows_what_lies_in_the_folder_itself(project: NewProject) -> None:
    here = project({"loose/slow.yaml": ECHO, "loose/odd name.yml": ECHO, "loose/deploy.yaml": "steps: []", "loose/broken.yaml": BROKEN})
    assert here.run("invoke", "slow.yaml", "x", cwd="loose").code == 2
    found = "".join(f"  {name}:5:14: cat\n" for name in ("odd name.yml", "slow.yaml"))
    assert here.run("trust", "loose").err == f"in {here.path}/loose these would run:\n{found}trusted: {here.path}/loose\n"
    assert here.run("invoke", "slow.yaml", "x", cwd="loose").out == "x\n"


def test_trust_that_was_not_given_cannot_be_taken_back(project: NewProject) -> None:
    here = project({".llm-orc/ensembles/echo.yaml": ECHO})
    assert here.run("trust", "--revoke") == ("", f"it was not trusted: {here.path}\n", 0)


def test_what_would_run_cannot_hide_itself_from_who_is_asked(project: NewProject) -> None:
    text = 'agents: [{name: a, command: ["rm\\r\\e[2Kls", "\\u202e-rf"]}]\n'
    here = project({"cl\x1b[2Koned/.llm-orc/ensembles/x.yaml": text})
    cloned = f"{here.path}/cl\u241b[2Koned"
    assert here.run("trust", cwd="cl\x1b[2Koned").err == (
        f"in {cloned} these would run:\n  .llm-orc/ensembles/x.yaml:1:29: rm\u240d\u241b[2Kls \ufffd-rf\ntrusted: {cloned}\n"
    )
    here.run("trust", "--revoke", cwd="cl\x1b[2Koned")
    asked = here.run_pty("invoke", "x", "hi", cwd="cl\x1b[2Koned", keys=[("[y/N]", "n\n")]).err
    assert f"Trust everything in {cloned}, now and later?" in asked
    assert "\x1b[2K" not in asked


def test_trust_where_there_is_nothing(project: NewProject) -> None:
    here = project({"plain/x": ""})
    assert here.run("trust").err.startswith("error: there is no project here\n")
    assert here.run("trust", "nowhere") == ("", "nowhere: is no folder\n", 2)
    assert here.run("trust", "plain").err.endswith(f"trusted: {here.path}/plain\n")
