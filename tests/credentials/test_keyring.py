"""The true keyring of a Linux desktop, in a session of its own."""

import shutil
import sys
from collections.abc import Callable

import pytest

from tests.cli.test_auth import KEY, found_in
from tests.project import NewProject, Outcome, Project, run
from tests.servers.openai import OpenAIServer

pytestmark = [
    pytest.mark.keyring,
    pytest.mark.skipif(
        not (shutil.which("gnome-keyring-daemon") and shutil.which("dbus-run-session")),
        reason="needs: apt-get install --no-install-recommends gnome-keyring dbus",
    ),
]
UNLOCKED = "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null\n"
LOCK = f"""{sys.executable} -c '
import secretstorage
secretstorage.get_default_collection(secretstorage.dbus_init()).lock()'
"""
Desktop = Callable[..., Outcome]


@pytest.fixture
def here(project: NewProject) -> Project:
    return project()


@pytest.fixture
def desktop(here: Project) -> Desktop:
    """Run lines of a shell in a desktop's session, `auth` being the command."""
    program = f'auth() {{ {sys.executable} -P -m llm_orc auth "$@"; }}\n'

    def session(lines: str, **env: str) -> Outcome:
        done = run("dbus-run-session", "--", "sh", "-c", program + UNLOCKED + lines, cwd=here.path, env=here.env({"KEY": KEY, **env}))
        return done._replace(err="".join(line for line in done.err.splitlines(keepends=True) if is_ours(line)))

    return session


def is_ours(line: str) -> bool:
    return line.startswith(("error: ", "hint: ", "kept ", "removed ", "note: "))


ADD = 'printf %s "$KEY" | auth add openai --no-check '


def test_a_key_is_kept_from_one_session_to_the_next(desktop: Desktop, here: Project) -> None:
    assert desktop(ADD) == ("", "kept openai: keyring\n", 0)
    with OpenAIServer(keys=[KEY]) as server:
        done = desktop("auth list && auth test", OPENAI_BASE_URL=server.base_url)
    assert done == ("openai  default  keyring  ...wxyz\nopenai  default  keyring  works\n", "", 0)
    assert not [path for path in here.home.rglob("*") if path.is_file() and found_in(path.read_bytes(), KEY)]
    assert not (here.home / ".config/llm-orc/credentials/vault.json").exists()
    assert desktop("auth remove openai && auth list --json").out == '{\n  "credentials": []\n}\n'


def test_a_locked_keyring_says_so(desktop: Desktop) -> None:
    done = desktop(f"{ADD}; {LOCK} auth test; echo $?; {ADD}--name work; echo $?; auth list")
    cause = "the keyring is locked; unlock it, as by logging in to the desktop; then: llm-orc auth test openai"
    assert done.out == f"openai  default  keyring  {cause}\n1\n2\nopenai  default  keyring  ...wxyz\n"
    assert done.err.splitlines() == [
        "kept openai: keyring",
        "error: the keyring is locked",
        "hint: unlock it, as by logging in to the desktop, or use the vault: --store vault",
    ]


def test_an_entry_that_somebody_else_removed_is_missed(desktop: Desktop) -> None:
    forget = f"{sys.executable} -m keyring del llm-orc openai/default; "
    done = desktop(f"{ADD}; {forget} auth test")
    hint = "llm-orc auth add openai; then: llm-orc auth test openai"
    assert (done.out, done.code) == (f"openai  default  keyring  the keyring has no entry openai/default any more; {hint}\n", 1)


def test_the_vault_asks_for_no_passphrase_where_the_keyring_has_its_key(desktop: Desktop) -> None:
    with OpenAIServer(keys=[KEY]) as server:
        done = desktop(f"{ADD}--store vault && auth test", OPENAI_BASE_URL=server.base_url)
    assert done == ("openai  default  vault  works\n", "kept openai: vault\n", 0)


def test_without_the_session_the_key_cannot_be_reached(desktop: Desktop, here: Project) -> None:
    desktop(ADD)
    done = here.run("auth", "test")
    assert ("there is no keyring here; log in to the desktop that has it" in done.out, done.code) == (True, 1)
