"""What every test has: a project to run the command line in, and no way out to the internet."""

import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.project import NewProject, Project

pytest_plugins = ["tests.servers.fixtures"]


def only_loopback(event: str, args: tuple[object, ...]) -> None:
    """Refuse, in this process, each connection, datagram and name lookup that would leave the loopback interface."""
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event in {"socket.connect", "socket.sendto"}:
        address = args[1]
        host = address[0] if isinstance(address, tuple) else None  # a path is a Unix socket
    else:
        return
    name = host.decode() if isinstance(host, bytes) else host
    if isinstance(name, str) and name not in {"", "localhost", "::1"} and not name.startswith("127."):
        raise PermissionError(f"a test tried to reach {name}: only loopback is open")


sys.addaudithook(only_loopback)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a shell starts what it runs in the background; the programs that are started here would inherit it, and be deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[NewProject]:
    """Make projects: `project({".llm-orc/ensembles/x.yaml": "..."}, trusted=True).run("invoke", "x")`."""
    made: list[Project] = []

    def new(files: Mapping[str, str | bytes] | None = None, *, trusted: bool = False) -> Project:
        made.append(Project(tmp_path / "home", f"project{len(made) or ''}", files or {}, trusted=trusted))
        return made[-1]

    yield new
    for each in made:
        each.close()
