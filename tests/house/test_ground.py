"""What the other tests stand on: no way out to the internet, and a project that inherits nothing."""

import asyncio
import signal
import socket
import subprocess

import httpx
import pytest

from tests.project import NewProject


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "example.com"])
async def test_nothing_leaves_this_machine(host: str) -> None:
    with pytest.raises(PermissionError, match="only loopback is open"):
        socket.create_connection((host, 9))
    with pytest.raises(PermissionError, match="only loopback is open"):
        await asyncio.open_connection(host, 9)


def test_no_client_library_has_a_way_round() -> None:
    with httpx.Client() as client, pytest.raises((PermissionError, httpx.ConnectError), match="only loopback is open"):
        client.get("http://192.0.2.1/")


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


def test_a_project_has_its_own_home_and_no_settings_of_the_machine(project: NewProject) -> None:
    here = project({"a.yaml": "\n  x:\n    y: 1\n", "~/.config/b": b"\xff", "run.sh": "#!/bin/sh\n"}, trusted=True)
    assert (here.path / "a.yaml").read_text() == "x:\n  y: 1\n"
    assert (here.home / ".config/b").read_bytes() == b"\xff"
    assert (here.path / "run.sh").stat().st_mode & 0o111
    assert {"HOME": str(here.home), "LLM_ORC_TRUST": "1", "X": "1"}.items() <= here.env({"X": "1"}).items()
    assert not [name for name in here.env() if "KEY" in name or "proxy" in name.lower()]


def test_the_command_line_runs_in_a_pipe_and_on_a_terminal(project: NewProject) -> None:
    here = project()
    out, err, code = here.run("--version")
    assert (out.count("\n"), err, code) == (1, "", 0)
    assert here.run_pty("--version") == (out.replace("\n", "\r\n"), "", 0)
    assert here.run_pty("--version", tty=["stderr"]) == (out, "", 0)


def test_what_a_test_leaves_running_is_ended(project: NewProject) -> None:
    here = project()
    waiting = here.start("invoke", "hello", stdin=subprocess.PIPE)
    here.close()
    assert waiting.returncode == -signal.SIGKILL
