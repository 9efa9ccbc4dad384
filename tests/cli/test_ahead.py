"""What a run needs is imported while its input is waited for."""

import subprocess
from threading import Timer

import pytest

from tests.project import NewProject
from tests.servers.anthropic import AnthropicServer
from tests.servers.openai import OpenAIServer

KEY = "OPENAI_COMPATIBLE_API_KEY"
LONGEST = 120
"""Seconds after which a process that does not import what it should is ended."""


def test_an_sdk_is_imported_before_the_pipe_has_said_anything(project: NewProject) -> None:
    with AnthropicServer("from the server") as server:
        here = project(
            {
                ".llm-orc/profiles/p.yaml": f"provider: anthropic\nmodel: m\nbase_url: {server.base_url}\n",
                "a.yaml": "name: a\nagents: [{name: only, model_profile: p}]\n",
            }
        )
        process = here.start("invoke", "a.yaml", stdin=subprocess.PIPE, env={"PYTHONPROFILEIMPORTTIME": "1"})
        assert process.stderr
        end = Timer(LONGEST, process.kill)
        end.start()
        imported = any(b"llm_orc.models.anthropic_client" in line for line in process.stderr)
        end.cancel()
        assert imported
        assert server.requests == []
        out, _ = process.communicate(b"read this")
        assert (out, process.returncode) == (b"from the server\n", 0)
        assert "read this" in server.requests[0].json["messages"][0]["content"]


def test_what_cannot_be_imported_is_told_once_the_input_is_there(project: NewProject) -> None:
    files = {".llm-orc/profiles/p.yaml": "provider: nobody\nmodel: m\n", "a.yaml": "name: a\nagents: [{name: only, model_profile: p}]\n"}
    process = project(files).start("invoke", "a.yaml", stdin=subprocess.PIPE)
    out, err = process.communicate(b"read this")
    assert (out, process.returncode) == (b"", 2)
    assert b"no provider 'nobody'" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize(("kept", "env"), [(False, {}), (False, {KEY: "from-the-env"}), (True, {KEY: "from-the-env"}), (True, {})])
def test_the_keychain_is_imported_only_where_it_may_hold_the_key(project: NewProject, env: dict[str, str], *, kept: bool) -> None:
    with OpenAIServer() as server:
        here = project(
            {
                ".llm-orc/profiles/p.yaml": f"provider: openai-compatible\nmodel: m\nbase_url: {server.base_url}\n",
                "a.yaml": "name: a\nagents: [{name: only, model_profile: p}]\n",
            }
        )
        if kept:
            here.write("~/.config/llm-orc/credentials/keys.json", '{"version": 1, "keys": []}').chmod(0o600)
        out, err, code = here.run("invoke", "a.yaml", "x", env={**env, "PYTHONPROFILEIMPORTTIME": "1"})
    assert (out, code) == ("ok\n", 0)
    assert ("llm_orc.credentials.keychain" in err) == (kept and not env)
