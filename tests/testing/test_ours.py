"""Our own providers pass what a stranger's has to."""

from collections.abc import Iterator

import pytest

from llm_orc.domain.message import Kind
from llm_orc.domain.model import Capability
from llm_orc.domain.profile import Profile
from llm_orc.models.anthropic import Anthropic
from llm_orc.models.base import Open, Reach
from llm_orc.models.embedded import Embedded
from llm_orc.models.google import Google
from llm_orc.models.ollama import Ollama
from llm_orc.models.openai_compatible import OpenAICompatible
from llm_orc.models.presets import PRESETS
from llm_orc.testing import Subject, provider_conformance
from tests.servers.matrix import MODEL, MatrixServer

KEY = "sk-conformance-4711"
FAILING = {
    Kind.AUTHENTICATION: "401",
    Kind.PERMISSION: "403",
    Kind.NOT_FOUND: "404",
    Kind.RATE_LIMIT: "429",
    Kind.SERVER: "529",
    Kind.NETWORK: "reset-before",
    Kind.MALFORMED: "html",
    Kind.EMPTY: "empty",
    Kind.CONTEXT_LENGTH: "context",
    Kind.CONTENT_FILTER: "filter",
}


def served(provider: Open, name: str, takes: set[Capability], wrong: dict[str, object]) -> Iterator[Subject]:
    """A subject whose server meets every fault, each at an address of its own."""
    with MatrixServer() as server:

        def profile(fault: str, **keys: object) -> Profile:
            return Profile.model_validate(
                {"provider": name, "model": f"{MODEL}:latest", "base_url": server.url(name, fault, fault), **keys}
            )

        key = PRESETS[name].key
        yield Subject(
            provider,
            profile("ok"),
            Reach({key: KEY} if key else {}, frozenset({server.origin})),
            secrets=[KEY],
            sent=lambda: server.bodies,
            endless=profile("slow"),
            failing={kind: profile(fault) for kind, fault in FAILING.items()},
            wrong=[profile("ok", options=wrong), profile("ok", base_url="gopher://localhost")],
            takes=frozenset(takes),
            lists=True,
        )


ALL: set[Capability] = {"vision", "files", "structured_output"}

EMBEDDED = Profile(provider="embedded", model="embedded")

TestEmbedded = provider_conformance(Subject(Embedded, EMBEDDED, wrong=[EMBEDDED.model_copy(update={"options": {"lines": "many"}})]))
TestOpenAICompatible = provider_conformance(lambda: served(OpenAICompatible, "openai-compatible", ALL, {"reasoning_effort": 3}))
TestAnthropic = provider_conformance(lambda: served(Anthropic, "anthropic", ALL, {"thinking": "much"}))
TestGoogle = provider_conformance(lambda: served(Google, "google", ALL, {"api_version": 1}))
TestOllama = provider_conformance(lambda: served(Ollama, "ollama", ALL - {"files"}, {"num_ctx": "big"}))


@pytest.mark.parametrize("suite", [TestOpenAICompatible, TestAnthropic, TestGoogle, TestOllama])
def test_everything_is_checked_of_those_with_a_server(suite: type) -> None:
    with suite().making() as subject:
        assert all((subject.sent, subject.endless, subject.failing, subject.secrets, subject.wrong, subject.takes, subject.lists))
