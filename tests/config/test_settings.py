from collections.abc import Mapping

import pytest

from llm_orc.config.layers import normalised_host, read_layers
from llm_orc.config.trust import trust
from llm_orc.domain.problem import ProblemError
from tests.config.conftest import Machine


def said(machine: Machine, files: Mapping[str, str], **env: str) -> list[str]:
    with pytest.raises(ProblemError) as caught:
        read_layers(machine(files, **env))
    return [str(problem) for problem in caught.value.problems]


def test_without_any_file_the_program_decides(machine: Machine) -> None:
    settings = read_layers(machine()).settings
    assert settings.default_profile == "default"
    assert settings.origin("default_profile") == ("default", "built-in", None)


def test_layers_merge_and_each_value_knows_who_said_it(machine: Machine) -> None:
    settings = read_layers(
        machine(
            {
                "~/.config/llm-orc/config.yaml": "default_profile: mine\nlimits: {max_parallel: 3, timeout_seconds: 60}\n",
                ".llm-orc/config.yaml": "default_profile: theirs\nlimits:\n  max_parallel: 5\n",
            },
            LLM_ORC_OUTPUT_FORMAT="text",
            LLM_ORC_LIMITS_TIMEOUT_SECONDS="9",
            LLM_ORC_DEFAULT_PROFILE="",
        )
    ).settings
    assert {key: f"{value} {layer} {place}" for key, (value, layer, place) in settings.origins().items()} == {
        "default_profile": "theirs project .llm-orc/config.yaml:1:18",
        "limits.max_parallel": "5 project .llm-orc/config.yaml:3:17",
        "limits.max_cost": "None built-in None",
        "limits.timeout_seconds": "9.0 environment LLM_ORC_LIMITS_TIMEOUT_SECONDS",
        "output_format": "text environment LLM_ORC_OUTPUT_FORMAT",
        "store": "on built-in None",
        "cache": "False built-in None",
        "trusted_hosts": "() built-in None",
    }


def test_a_mapping_may_come_from_the_environment(machine: Machine) -> None:
    layers = read_layers(machine(LLM_ORC_LIMITS="{max_parallel: 2}", LLM_ORC_TRUSTED_HOSTS="a.org, http://b:81"))
    assert layers.settings.limits.max_parallel == 2
    assert layers.trusted_hosts == {"https://a.org:443", "http://b:81"}


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("- a", [".llm-orc/config.yaml:1:1: holds no keys and values\nhint: such as: default_profile: fast"]),
        ("default_profil: x", [".llm-orc/config.yaml:1:1: no key 'default_profil' in config.yaml\nhint: did you mean 'default_profile'?"]),
        ("store: maybe", [".llm-orc/config.yaml:1:8: 'store' must be on or off or keys and values, not 'maybe'"]),
        ("store: {path: [a]}", [".llm-orc/config.yaml:1:15: 'path' must be a text, not a list"]),
        ("store: {keep: 0}", [".llm-orc/config.yaml:1:15: 'keep' must be a number of runs or an age such as 90d, not 0"]),
        ("store: {keep: true}", [".llm-orc/config.yaml:1:15: 'keep' must not be true"]),
        ("store: {keep: 3y}", [".llm-orc/config.yaml:1:15: 'keep' must be a number of runs or an age such as 90d, not '3y'"]),
        ("store: {kep: 3}", [".llm-orc/config.yaml:1:9: no key 'kep' in store\nhint: did you mean 'keep'?"]),
        (
            "store: {path: ../elsewhere}",
            [
                (
                    ".llm-orc/config.yaml:1:15: '../elsewhere' lies outside of the project\n"
                    "hint: if you know what is in this project: llm-orc trust"
                )
            ],
        ),
        ("cache: maybe", [".llm-orc/config.yaml:1:8: 'cache' must be true or false, not 'maybe'"]),
        ("limits: {max_paralel: 1}", [".llm-orc/config.yaml:1:10: no key 'max_paralel' in limits\nhint: did you mean 'max_parallel'?"]),
        ("limits: {max_parallel: 0}", [".llm-orc/config.yaml:1:24: 'max_parallel' must be at least 1, not 0"]),
        ("limits: {max_parallel: true}", [".llm-orc/config.yaml:1:24: 'max_parallel' must be a number, not true"]),
        ("model_profiles: [a]", [".llm-orc/config.yaml:1:17: 'model_profiles' must be keys and values, not a list"]),
        ("model_profiles: {fast: qwen}", [".llm-orc/config.yaml:1:24: 'fast' must be keys and values, not 'qwen'"]),
        (
            "trusted_hosts: [evil.org]",
            [
                (
                    ".llm-orc/config.yaml:1:1: 'trusted_hosts' in a project's config.yaml\n"
                    "hint: a project cannot trust hosts for you; write it in HOME/.config/llm-orc/config.yaml"
                )
            ],
        ),
        (
            "output_format: sk-1234567890abcdef",
            [
                (
                    ".llm-orc/config.yaml:1:1: a key does not belong in a file\n"
                    "hint: leave it out, and keep it: llm-orc auth add PROVIDER; or export OPENAI_COMPATIBLE_API_KEY=..."
                )
            ],
        ),
    ],
)
def test_what_is_wrong_is_told(machine: Machine, text: str, problems: list[str]) -> None:
    home = str(machine().home)
    assert [line.replace(home, "HOME") for line in said(machine, {".llm-orc/config.yaml": text})] == problems


def test_profiles_of_config_yaml_are_shown_in_short(machine: Machine) -> None:
    settings = read_layers(machine({".llm-orc/config.yaml": "model_profiles:\n  fast: {model: qwen, provider: lmstudio}\n"})).settings
    assert settings.origin("model_profiles.fast")[:2] == ("lmstudio/qwen", "project")


def test_an_empty_file_is_fine(machine: Machine) -> None:
    assert read_layers(machine({".llm-orc/config.yaml": "# nothing yet\n"})).settings.default_profile == "default"


def test_foreign_keys_are_warnings(machine: Machine) -> None:
    layers = read_layers(machine({".llm-orc/config.yaml": "project: {name: x}\nperformance: {a: 1}\nartifacts: 3\n"}))
    assert [str(warning) for warning in layers.warnings] == [
        f".llm-orc/config.yaml:{line}:1: '{key}' means nothing here" for line, key in enumerate(("project", "performance", "artifacts"), 1)
    ]


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("LLM_ORC_LIMITS_MAX_PARALLEL", "many", "LLM_ORC_LIMITS_MAX_PARALLEL: 'max_parallel' must be a whole number, not 'many'"),
        ("LLM_ORC_LIMITS", "{", "LLM_ORC_LIMITS:1:2: a bracket that is never closed"),
        ("LLM_ORC_LIMITS", "3", "LLM_ORC_LIMITS: 'limits' must be keys and values, not 3"),
        ("LLM_ORC_LIMITS", "{max_cost: 0}", "LLM_ORC_LIMITS: 'max_cost' must be above 0, not 0"),
    ],
)
def test_a_wrong_variable_is_told_by_its_name(machine: Machine, variable: str, value: str, problem: str) -> None:
    assert said(machine, {}, **{variable: value})[0].startswith(problem)


def test_an_unknown_variable_is_a_warning_with_the_nearest(machine: Machine) -> None:
    layers = read_layers(machine(LLM_ORC_OFLINE="1", LLM_ORC_OFFLINE="1", LLM_ORC_STORE="", OTHER="x"))
    assert [str(warning) for warning in layers.warnings] == [
        "the environment variable LLM_ORC_OFLINE means nothing here\nhint: did you mean 'LLM_ORC_OFFLINE'?"
    ]


class TestVariables:
    FILES = {  # noqa: RUF012 - a constant
        "~/.config/llm-orc/profiles/mine.yaml": "model: ${MODEL}-x\nprovider: y\nmax_tokens: ${COUNT}\nsystem_prompt: costs $$5 and $3\n",
        ".llm-orc/profiles/theirs.yaml": "model: x\nprovider: y\nbase_url: http://${HOST}/\n",
        ".llm-orc/ensembles/a.yaml": "agents: [{name: a, prompt: 'say ${HOME} and $$'}]\n",
    }

    def test_they_are_filled_in_in_profiles_only(self, machine: Machine) -> None:
        layers = read_layers(machine(self.FILES, MODEL="m", COUNT="12"))
        read = layers.profiles["mine"]
        assert (read.model, read.max_tokens, read.system_prompt) == ("m-x", 12, "costs $5 and $3")
        assert layers.ensemble("a").agents[0].model_dump()["prompt"] == "say ${HOME} and $$"

    def test_a_secret_may_come_from_one_but_not_from_the_file(self, machine: Machine) -> None:
        secret = "sk-1234567890abcdef"
        for written, fine in (("Bearer ${GATEWAY}", True), (f"Bearer {secret}", False)):
            file = f"model: x\nprovider: y\noptions: {{headers: {{x-auth: '{written}'}}}}\n"
            layers = read_layers(machine({"~/.config/llm-orc/profiles/p.yaml": file}, GATEWAY=secret))
            if fine:
                assert layers.profiles["p"].options == {"headers": {"x-auth": f"Bearer {secret}"}}
            else:
                with pytest.raises(ProblemError, match="a key does not belong in a file"):
                    layers.profiles["p"]

    def test_an_unset_one_is_a_problem(self, machine: Machine) -> None:
        layers = read_layers(machine(self.FILES, MODEL="m"))
        with pytest.raises(ProblemError) as caught:
            layers.profiles["mine"]
        assert str(caught.value).endswith("mine.yaml:3:13: the environment variable COUNT is not set\nhint: export COUNT=...")

    def test_a_project_may_ask_only_when_trusted(self, machine: Machine) -> None:
        with pytest.raises(ProblemError) as caught:
            read_layers(machine(self.FILES, HOST="h")).profiles["theirs"]
        assert caught.value.untrusted
        assert str(caught.value) == (
            ".llm-orc/profiles/theirs.yaml:3:11: '${HOST}' asks for an environment variable\n"
            "hint: if you know what is in this project: llm-orc trust"
        )
        assert read_layers(machine(self.FILES, HOST="h", LLM_ORC_TRUST="1")).profiles["theirs"].base_url == "http://h/"

    def test_what_was_filled_in_is_never_shown(self, machine: Machine) -> None:
        layers = read_layers(machine(self.FILES, MODEL="m", COUNT="a-secret"))
        with pytest.raises(ProblemError) as caught:
            layers.profiles["mine"]
        assert "'max_tokens' must be a whole number, not '${COUNT}'" in str(caught.value)
        assert "a-secret" not in str(caught.value)

    @pytest.mark.parametrize("text", ["${", "${A", "${a.b}", "${}", "${1}"])
    def test_what_names_no_variable(self, machine: Machine, text: str) -> None:
        files = {"~/.config/llm-orc/profiles/p.yaml": f"model: '{text}'\nprovider: y\n"}
        with pytest.raises(ProblemError, match="names no environment variable"):
            read_layers(machine(files)).profiles["p"]

    def test_config_yaml_has_them_too(self, machine: Machine) -> None:
        files = {"~/.config/llm-orc/config.yaml": "default_profile: ${P}\nmodel_profiles: {a: {model: '${UNSET}', provider: x}}"}
        assert read_layers(machine(files, P="fast")).settings.default_profile == "fast"


def test_hosts_that_the_user_names_may_see_keys(machine: Machine) -> None:
    layers = read_layers(
        machine(
            {
                "~/.config/llm-orc/config.yaml": "trusted_hosts: [https://Gateway.example, 'http://10.0.0.1:8080/v1']\n"
                "model_profiles: {a: {model: x, provider: y, base_url: 'http://mine:1/v1'}}",
                "~/.config/llm-orc/profiles/b.yaml": "model: x\nprovider: y\nbase_url: https://[::1]:9/v1",
                "~/.config/llm-orc/profiles/broken.yaml": "modl: x",
                ".llm-orc/profiles/theirs.yaml": "model: x\nprovider: y\nbase_url: https://evil.org/v1",
            }
        )
    )
    assert layers.trusted_hosts == {"https://gateway.example:443", "http://10.0.0.1:8080", "http://mine:1", "https://::1:9"}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("HTTPS://A.org/x", "https://a.org:443"),
        ("http://a.org", "http://a.org:80"),
        ("http://a.org:80", "http://a.org:80"),
        ("a.org", "https://a.org:443"),
        ("http://user:secret@a.org:1", "http://a.org:1"),
        ("http://", ""),
        ("http://a:b", ""),
        ("http://[::1", ""),
        ("ftp://a", ""),
        ("", ""),
    ],
)
def test_hosts_are_compared_in_one_form(url: str, host: str) -> None:
    assert normalised_host(url) == host


def test_a_format_that_is_a_template_lies_where_its_layer_may_read(machine: Machine) -> None:
    where = machine({"~/secret.j2": "S", ".llm-orc/templates/page.j2": "T", ".llm-orc/config.yaml": "output_format: page.j2\n"})
    assert read_layers(where).settings.output_format == str(where.cwd / ".llm-orc/templates/page.j2")
    (where.cwd / "link.j2").symlink_to(where.home / "secret.j2")
    for name in ("link.j2", "../secret.j2"):
        config = where.cwd / ".llm-orc/config.yaml"
        config.write_text(f"output_format: {name}\n")
        with pytest.raises(ProblemError) as caught:
            read_layers(where)
        assert str(caught.value).startswith(f".llm-orc/config.yaml:1:16: '{name}' lies outside of the project")
        assert caught.value.untrusted
    trust(where.cwd, where)
    assert read_layers(where).settings.output_format == str(where.cwd / "../secret.j2")
