"""`llm_orc.get_config()`: the configuration from Python, in the seeds' words."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pydantic import SecretStr

import llm_orc
from llm_orc.domain.credential import Credential, Given
from llm_orc.domain.problem import ProblemError
from llm_orc.library.config import Configuration
from tests.project import NewProject

KEY = "sk-ant-0123456789abcdef-canary"
Read = Callable[..., Configuration]


@pytest.fixture
def read(project: NewProject) -> Read:
    """The configuration of a project with these files, in an environment of only these variables."""

    def made(files: Mapping[str, str | bytes] | None = None, env: Mapping[str, str] | None = None, **more: Any) -> Configuration:
        here = project(files or {})
        return llm_orc.get_config(cwd=here.path, home=here.home, env=env or {}, **more)

    return made


def unknown(look: Callable[[], object]) -> str:
    """What is said of a name that is nobody's: a ValueError, and a problem too."""
    with pytest.raises(ValueError, match=r"^no ") as caught:
        look()
    assert isinstance(caught.value, ProblemError)
    return str(caught.value)


class TestKeys:
    def test_they_come_as_secrets_and_are_shown_nowhere(self, read: Read) -> None:
        config = read(env={"ANTHROPIC_API_KEY": KEY})
        key = config.user_config.api_keys["anthropic"]
        assert isinstance(key, SecretStr)
        assert key.get_secret_value() == KEY
        assert config.user_config.api_keys["Anthropic"] == key
        assert list(config.user_config.api_keys) == ["anthropic"]
        for shown in (
            config,
            config.user_config,
            config.user_config.api_keys,
            key,
            config.get_model_config("anthropic", "claude-opus-5-5"),
        ):
            assert KEY not in repr(shown)
            assert KEY not in str(shown)

    def test_one_that_is_not_there_says_which_are(self, read: Read) -> None:
        keys = read(env={"OPENAI_API_KEY": "x"}).user_config.api_keys
        said = unknown(lambda: keys["anthropic"])
        assert said == "no key for 'anthropic'\nhint: there are: openai; add one: llm-orc auth add PROVIDER"
        assert keys.get("anthropic") is None
        assert "anthropic" not in keys

    def test_they_are_looked_up_where_the_caller_says_and_read_when_asked_for(self, read: Read) -> None:
        asked = []

        class Kept:
            origin, identity, oauth = "keyring", "kept", False

            async def secret(self) -> SecretStr:
                asked.append("secret")
                return SecretStr(KEY)

        def find(provider: str, variable: str | None, name: str | None) -> Credential | None:
            assert name is None
            if provider == "openai":
                return Given(str(variable), SecretStr("y"))
            return Kept() if provider == "anthropic" else None

        keys = read(find=find).user_config.api_keys
        assert list(keys) == ["anthropic", "openai"]
        assert asked == []

        async def inside_a_loop() -> SecretStr:
            return keys["anthropic"]

        assert asyncio.run(inside_a_loop()).get_secret_value() == KEY
        assert keys["openai"].get_secret_value() == "y"


class TestUser:
    def test_a_project_has_its_own_store(self, read: Read, project: NewProject) -> None:
        assert read({".llm-orc/config.yaml": ""}).user_config.storage["path"].endswith("/project/.llm-orc/store")
        away = project()
        config = llm_orc.get_config(cwd=away.path, home=away.home, env={})
        assert config.user_config.storage["path"] == str(away.home / ".local/state/llm-orc")
        config = llm_orc.get_config(cwd=away.path, home=away.home, env={"XDG_STATE_HOME": "/state"})
        assert config.user_config.storage["path"] == "/state/llm-orc"

    def test_the_default_model_is_that_of_the_default_profile(self, read: Read) -> None:
        profile = "model: gpt-6-luna\nprovider: openai\nmax_tokens: 5\noptions: {effort: low}\n"
        config = read({".llm-orc/profiles/mine.yaml": profile}, {"LLM_ORC_DEFAULT_PROFILE": "mine"})
        default = config.user_config.default_model
        assert (default.provider, default.name) == ("openai", "gpt-6-luna")
        assert default.settings == {"max_tokens": 5, "options": {"effort": "low"}}
        shipped = read().user_config.default_model
        assert (shipped.provider, shipped.name, shipped.settings) == ("auto", "default", {"max_tokens": 4096})

    def test_one_that_is_not_there_is_a_problem_with_the_nearest(self, read: Read) -> None:
        with pytest.raises(ProblemError) as caught:
            _ = read(env={"LLM_ORC_DEFAULT_PROFILE": "fsat"}).user_config.default_model
        assert str(caught.value) == "LLM_ORC_DEFAULT_PROFILE: no profile 'fsat'\nhint: did you mean 'fast'?"

    def test_the_agent_pool_is_the_profiles_and_the_bound(self, read: Read) -> None:
        agents = read({".llm-orc/config.yaml": "limits: {max_parallel: 3}\n"}).user_config.agents
        assert (agents.max_agents, agents.default_agent_type) == (3, "default")
        assert {"default", "fast", "careful"} <= set(agents.agent_types)
        assert agents.agent_types["fast"].model == "fast"


class TestSystem:
    def test_providers_have_addresses_tiers_and_models(self, read: Read) -> None:
        system = read().system_config
        assert {"anthropic", "openai", "google", "ollama", "vllm"} <= set(system.providers)
        anthropic = system.providers["Anthropic"]
        assert (anthropic.name, anthropic.base_url) == ("anthropic", "https://api.anthropic.com")
        assert anthropic.tiers["careful"] in anthropic.models
        assert anthropic.models["claude-opus-5-5"].context_window == 1_000_000
        assert anthropic.models["claude-3-sonnet-20240229"].instead == "claude-sonnet-5-5"

    @pytest.mark.parametrize(
        ("env", "url"),
        [({}, "https://mine.example"), ({"ANTHROPIC_BASE_URL": "https://gate.example"}, "https://gate.example")],
    )
    def test_the_user_moves_a_provider_and_the_environment_has_the_last_word(self, read: Read, env: Mapping[str, str], url: str) -> None:
        config = read({"~/.config/llm-orc/config.yaml": "catalog: {anthropic: {base_url: 'https://mine.example'}}\n"}, env)
        assert config.system_config.providers["anthropic"].base_url == url

    def test_what_is_not_there_is_told_with_what_is(self, read: Read) -> None:
        providers = read().system_config.providers
        assert unknown(lambda: providers["antropic"]) == "no provider 'antropic'\nhint: did you mean 'anthropic'?"
        assert unknown(lambda: providers["?"]).startswith("no provider '?'\nhint: there are: lmstudio, ollama, anthropic, openai")
        models = providers["anthropic"].models
        assert unknown(lambda: models["claude-opus-55"]) == "no model of anthropic 'claude-opus-55'\nhint: did you mean 'claude-opus-5-5'?"

    def test_the_users_catalogue_counts(self, read: Read) -> None:
        config = read({".llm-orc/config.yaml": "catalog: {groq: {models: {x: {context_window: 5}}}}\n"})
        assert config.system_config.providers["groq"].models["x"].context_window == 5


class TestModel:
    def test_all_that_is_known_in_one_place(self, read: Read) -> None:
        files = {
            ".llm-orc/config.yaml": "catalog: {anthropic: {models: {claude-opus-5-5: {requests_per_minute: 50}}}}\n",
            ".llm-orc/profiles/default.yaml": "model: claude-opus-5-5\nprovider: anthropic\nmax_tokens: 7\n",
        }
        model = read(files).get_model_config("anthropic", "claude-opus-5-5")
        assert (model.provider, model.name, model.base_url) == ("anthropic", "claude-opus-5-5", "https://api.anthropic.com")
        assert (model.context_window, model.requests_per_minute, model.settings) == (1_000_000, 50, {"max_tokens": 7})
        assert model.price
        assert (model.price.input, model.price.output, model.price.cached_input) == (4, 20, 0.2)

    def test_settings_are_those_of_the_default_model_alone(self, read: Read) -> None:
        assert read().get_model_config("anthropic", "claude-opus-5-5").settings == {}

    def test_a_model_on_this_machine_is_free_and_may_be_any(self, read: Read) -> None:
        model = read().get_model_config("ollama", "qwen3:8b")
        assert model.price
        assert (model.price.input, model.context_window) == (0, None)

    @pytest.mark.parametrize(
        ("provider", "model", "said"),
        [
            ("antropic", "x", "no provider 'antropic'\nhint: did you mean 'anthropic'?"),
            ("openai", "gpt-6-lunar", "no model of openai 'gpt-6-lunar'\nhint: did you mean 'gpt-6-luna'?"),
        ],
    )
    def test_what_is_not_there_is_told(self, read: Read, provider: str, model: str, said: str) -> None:
        assert unknown(lambda: read().get_model_config(provider, model)) == said


def test_each_call_reads_anew(project: NewProject) -> None:
    here = project({".llm-orc/config.yaml": "default_profile: fast\n"})

    def default() -> str:
        return llm_orc.get_config(cwd=here.path, home=here.home, env={}).user_config.agents.default_agent_type

    assert default() == "fast"
    here.write(".llm-orc/config.yaml", "default_profile: careful\n")
    assert default() == "careful"


def test_what_is_wrong_with_the_files_is_told(read: Read) -> None:
    with pytest.raises(ProblemError, match=r"config.yaml:1:1: no key 'defualt_profile'"):
        read({".llm-orc/config.yaml": "defualt_profile: x\n"})
