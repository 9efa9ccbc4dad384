"""Providers are found by name: our own, strangers' by entry point, and callables from Python."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm_orc.domain.event import Delta, Happening
from llm_orc.domain.message import FailedError, Failure, Kind, Message, Reply, Request, Tell
from llm_orc.domain.problem import ProblemError
from llm_orc.models.base import Reach
from llm_orc.models.registry import BUILT_IN, Models
from llm_orc.models.target import aim
from tests.models.asking import KEY, ask, models, profile, texts
from tests.project import NewProject

ROOT = Path(__file__).parents[2]


def python(program: str, *paths: Path) -> dict[str, object]:
    """Run a program that prints JSON, in a process of its own."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, *paths)))}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    said: dict[str, object] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("name", BUILT_IN)
async def test_each_of_our_own_opens(name: str) -> None:
    asked = profile("http://localhost:9/v1", name)
    async with models() as opened:
        assert opened.endpoint(asked).key
        assert callable(opened.ask(asked))


async def test_an_unknown_provider_is_a_problem_with_the_nearest_name() -> None:
    async with models() as opened:
        with pytest.raises(ProblemError) as near:
            opened.ask(profile(None, "opnai"))
        with pytest.raises(ProblemError) as far:
            opened.endpoint(profile(None, "zzz"))

    assert str(near.value) == "no provider 'opnai'\nhint: did you mean 'openai'?"
    assert far.value.problems[0].hint.startswith("there are: anthropic, auto, embedded, google, llamacpp, lmstudio, ollama, openai,")


@pytest.mark.parametrize(
    ("provider", "label", "max_parallel", "one_model", "local"),
    [
        ("openai", "api.openai.com", 64, False, False),
        ("openrouter", "openrouter.ai", 64, False, False),
        ("lmstudio", "localhost:1234", 1, True, True),
        ("vllm", "localhost:8000", 64, False, True),
        ("llamacpp", "localhost:8080", 64, False, True),
        ("embedded", "embedded", None, False, True),
    ],
)
async def test_endpoints(provider: str, label: str, max_parallel: int | None, *, one_model: bool, local: bool) -> None:
    async with models() as opened:
        endpoint = opened.endpoint(profile(None, provider))

    assert (endpoint.label, endpoint.max_parallel, endpoint.one_model, endpoint.local) == (label, max_parallel, one_model, local)


async def test_an_endpoint_is_a_server_and_a_key_whatever_its_profiles_wish_for() -> None:
    async with models({"OPENAI_API_KEY": KEY}) as opened:
        plain, bounded = opened.endpoint(profile(None, "openai")), opened.endpoint(profile(None, "openai", model="other", max_parallel=3))
        elsewhere = opened.endpoint(profile("https://api.openai.com/v1"))

    assert plain == bounded
    assert elsewhere.key != plain.key
    assert KEY not in plain.key


def test_openai_compatible_needs_a_base_url() -> None:
    with pytest.raises(ProblemError) as caught:
        aim(profile(None), Reach())

    assert caught.value.problems[0].hint == "add base_url: http://HOST:PORT/v1"


async def test_the_short_form_is_given_the_whole_prompt_and_replies_with_text() -> None:
    async def shout(prompt: str) -> str:
        return prompt.upper()

    opened = Models(Reach(), extra={"shout": shout})
    reply = await ask(opened, profile(None, "shout", system_prompt="be loud"), Message("user", "hi"))

    assert reply.text == "BE LOUD\n\nHI"
    assert reply.usage.estimated
    assert opened.endpoint(profile(None, "shout")).label == "shout"


async def test_the_full_form_is_an_ask() -> None:
    class Whole:
        async def __call__(self, request: Request, tell: Tell) -> Reply:
            tell(Delta(node=request.node, text="so"))
            return Reply(request.profile.model)

    told: list[Happening] = []
    reply = await ask(Models(Reach(), extra={"whole": Whole()}), profile(None, "whole", model="m1"), told=told)

    assert (reply, texts(told)) == (Reply("m1"), ["so"])


async def test_the_short_form_may_reply_with_a_reply_and_have_options_of_its_own() -> None:
    async def typed(prompt: str, *, times: int = 2) -> Reply:
        return Reply(prompt * times, cost=0.5)

    assert await ask(Models(Reach(), extra={"typed": typed}), profile(None, "typed"), Message("user", "a")) == Reply("aa", cost=0.5)


async def test_what_a_callable_raises_is_a_failure_in_its_authors_words() -> None:
    async def broken(prompt: str) -> str:
        raise ValueError(f"no city in {prompt}\nsecond line")

    async def typed(_: str) -> str:
        raise FailedError(Failure(Kind.RATE_LIMIT, "slow down"))

    async def wrong(_: str) -> str:
        return 7  # type: ignore[return-value]

    opened = Models(Reach(), extra={"broken": broken, "typed": typed, "wrong": wrong})
    failures = []
    for name in ("broken", "typed", "wrong"):
        with pytest.raises(FailedError) as caught:
            await ask(opened, profile(None, name), Message("user", "x"))
        failures.append(str(caught.value))

    assert failures == [
        "script: the callable 'broken' raised ValueError: no city in x",
        "rate_limit: slow down",
        "malformed: the callable 'wrong' returned int, not text",
    ]


async def test_a_callables_cancellation_is_no_failure() -> None:
    async def slow(_: str) -> str:
        await asyncio.Event().wait()
        return ""

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await ask(Models(Reach(), extra={"slow": slow}), profile(None, "slow"))


def test_a_stranger_comes_in_by_entry_point(tmp_path: Path) -> None:
    (tmp_path / "stranger.py").write_text(
        "from llm_orc.domain.message import Reply\n"
        "from llm_orc.domain.profile import Endpoint\n"
        "class Parrot:\n"
        "    def __init__(self, name, reach): self.name = name\n"
        "    def endpoint(self, profile): return Endpoint(self.name, self.name)\n"
        "    def ask(self, profile):\n"
        "        async def ask(request, tell): return Reply(f'{self.name}: {request.messages[-1].text}')\n"
        "        return ask\n"
        "    async def close(self): pass\n"
    )
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[llm_orc.providers]\nparrot = stranger:Parrot\n")

    said = python(
        "import asyncio, json\n"
        "from llm_orc.domain.problem import ProblemError\n"
        "from tests.models.asking import *\n"
        "opened = Models(Reach())\n"
        "reply = asyncio.run(ask(opened, profile(None, 'parrot')))\n"
        "try: opened.ask(profile(None, 'parott'))\n"
        "except ProblemError as error: hint = error.problems[0].hint\n"
        "print(json.dumps({'text': reply.text, 'hint': hint}))",
        tmp_path,
    )

    assert said == {"text": "parrot: hello there", "hint": "did you mean 'parrot'?"}


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("raise RuntimeError('boom')", "it broke off with RuntimeError"),
        ("import sys; sys.exit(3)", "it broke off with SystemExit"),
        ("def (", "it broke off with SyntaxError"),
        ("", "it broke off with AttributeError"),
        ("Parrot = 5", "it broke off with TypeError"),
        ("from llm_orc.models.base import BaseModel\nclass Parrot(BaseModel): pass", "it broke off with TypeError"),
        ("class Parrot:\n    def __init__(self, *_): self.ask = None", "it has no endpoint and no ask and no close"),
    ],
)
def test_a_stranger_who_cannot_be_had_is_its_authors_fault_and_prints_no_answer(tmp_path: Path, source: str, why: str) -> None:
    (tmp_path / "stranger.py").write_text(f"print('here I am')\n{source}\n" if source != "def (" else source)
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[llm_orc.providers]\nparrot = stranger:Parrot\n")

    said = python(
        "import json\n"
        "from llm_orc.domain.problem import ProblemError\n"
        "from tests.models.asking import *\n"
        "try: Models(Reach()).ask(profile(None, 'parrot'))\n"
        "except ProblemError as error: problem = error.problems[0]\n"
        "print(json.dumps({'what': problem.what, 'hint': problem.hint}))",
        tmp_path,
    )

    assert said["what"] == f"the provider 'parrot' of stranger cannot be loaded: {why}"
    assert str(said["hint"]).endswith("to see more: python -c 'import stranger'")


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        ("raise KeyError('canary')", "server: the provider 'parrot' broke off with KeyError"),
        ("return None", "malformed: the provider 'parrot' returned NoneType, not a Reply"),
    ],
)
def test_what_a_stranger_did_not_think_of_fails_its_agent_and_no_other(project: NewProject, body: str, failure: str) -> None:
    here = project(
        {"two.yaml": "agents: [{name: a, provider: parrot, model: m, retry: {attempts: 1}}, {name: b, command: [echo, hello]}]"},
        trusted=True,
    )
    here.write(
        "~/plugin/stranger.py",
        f"""
        from llm_orc.domain.profile import Endpoint
        class Parrot:
            def __init__(self, name, reach): self.name = name
            def endpoint(self, profile): return Endpoint(self.name, self.name)
            def ask(self, profile):
                async def ask(request, tell): {body}
                return ask
            async def close(self): pass
        """,
    )
    here.write("~/plugin/stranger-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    here.write("~/plugin/stranger-1.0.dist-info/entry_points.txt", "[llm_orc.providers]\nparrot = stranger:Parrot\n")
    done = here.run("invoke", "two.yaml", "hi", env={"PYTHONPATH": str(here.home / "plugin")})

    assert "hello" in done.out
    assert f"failed  a: {failure}" in done.err
    assert done.code == 3


def test_nothing_heavy_is_imported_before_something_is_sent() -> None:
    heavy = ("httpx", "aiohttp", "httpx_aiohttp", "certifi", "http.client")
    said = python(
        "import json, sys\n"
        "before = set(sys.modules)\n"
        "from llm_orc.domain.profile import Profile\n"
        "from llm_orc.models.base import Reach\n"
        "from llm_orc.models.registry import Models\n"
        "opened = Models(Reach({'OPENAI_API_KEY': 'k'}))\n"
        "def new(): return sorted({name for name in sys.modules if name.startswith('llm_orc.models.')})\n"
        "only = new()\n"
        "for provider in ('embedded', 'openai'):\n"
        "    profile = Profile(provider=provider, model='m')\n"
        "    opened.endpoint(profile), opened.ask(profile)\n"
        f"print(json.dumps({{'heavy': sorted(set({heavy!r}) & set(sys.modules) - before), 'only': only}}))"
    )

    assert said == {
        "heavy": [],
        "only": ["llm_orc.models.base", "llm_orc.models.from_python", "llm_orc.models.hushed", "llm_orc.models.registry"],
    }
