"""What is found where, and what happens when it is not."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from threading import Thread

import keyring
import pytest
from keyring.errors import InitError, KeyringLocked
from pydantic import SecretStr

from llm_orc.credentials.index import Store
from llm_orc.credentials.keychain import VARIABLES, Keychain
from llm_orc.credentials.vault import VARIABLE
from llm_orc.domain.credential import Credential
from llm_orc.domain.message import NO_USAGE, FailedError, Kind
from llm_orc.domain.problem import ProblemError
from llm_orc.models.presets import PRESETS
from tests.credentials.conftest import PASSPHRASE, Desktop, NewKeychain, no_keyring

KEY, OTHER = SecretStr("sk-canary-0123456789-abcd"), SecretStr("sk-canary-9876543210-wxyz")


async def opened(credential: Credential | None) -> str:
    assert credential is not None
    return (await credential.secret()).get_secret_value()


def found(keychain: Keychain, name: str | None = None) -> Credential:
    credential = keychain.find("openai", "OPENAI_API_KEY", name)
    assert credential is not None
    return credential


# Where


@pytest.mark.parametrize("store", ["keyring", "vault"])
async def test_a_key_that_was_added_is_found_by_the_next_process(keychain: NewKeychain, desktop: Desktop, store: Store) -> None:
    kept = keychain().add("openai", None, KEY, store)
    assert (kept.origin, kept.last_four) == (store, "abcd")
    credential = found(keychain())
    assert (credential.origin, credential.identity, credential.oauth) == (store, f"{store}:openai/default", False)
    assert await opened(credential) == KEY.get_secret_value()


async def test_the_environment_goes_before_what_is_kept_unless_a_name_is_asked_for(keychain: NewKeychain) -> None:
    keychain().add("openai", "work", KEY)
    env = {"OPENAI_API_KEY": f" {OTHER.get_secret_value()}\n", VARIABLE: PASSPHRASE}
    assert found(keychain(env)).origin == "OPENAI_API_KEY"
    assert await opened(found(keychain(env))) == OTHER.get_secret_value()
    assert found(keychain(env), "work").origin == "vault (work)"
    assert keychain({"OPENAI_API_KEY": " "}).find("openai", "OPENAI_API_KEY").origin == "vault (work)"  # type: ignore[union-attr]


def test_without_a_name_the_key_that_was_given_none_is_found_else_the_first(keychain: NewKeychain) -> None:
    for name in ("work", "home"):
        keychain().add("openai", name, KEY)
    assert found(keychain()).origin == "vault (work)"
    keychain().add("openai", None, KEY)
    assert found(keychain()).origin == "vault"
    assert keychain().find("openai", None, "none") is None
    assert keychain().find("anthropic", "ANTHROPIC_API_KEY") is None


def test_a_new_key_goes_into_the_keyring_and_without_one_into_the_vault(keychain: NewKeychain, desktop: Desktop) -> None:
    assert keychain().add("openai", None, KEY).store == "keyring"
    assert desktop.entries == {("llm-orc", "openai/default"): KEY.get_secret_value()}


async def test_a_new_key_replaces_the_one_of_its_name_wherever_that_was(keychain: NewKeychain, desktop: Desktop) -> None:
    keychain().add("openai", None, KEY, "vault")
    keychain().add("openai", None, OTHER, "keyring")
    assert [kept.origin for kept in keychain().kept()] == ["keyring"]
    assert await opened(found(keychain())) == OTHER.get_secret_value()
    assert "openai" not in json.loads(vault_of(keychain).read_bytes())["secrets"]


@pytest.mark.parametrize("store", ["keyring", "vault"])
async def test_a_removed_key_is_gone(keychain: NewKeychain, desktop: Desktop, store: Store, tmp_path: Path) -> None:
    keychain().add("openai", "work", OTHER, store)
    first = keychain()
    first.add("openai", None, KEY, store)
    credential = found(first)
    kept = first.named("openai", "default")
    assert kept is not None
    keychain().remove(kept)
    assert [each.name for each in keychain().kept()] == ["work"]
    assert await opened(found(keychain())) == OTHER.get_secret_value()
    with pytest.raises(FailedError, match="has no entry openai/default any more") as failed:
        await credential.secret()
    assert failed.value.failure.hint == "llm-orc auth add openai; then: llm-orc auth test openai"


def vault_of(keychain: NewKeychain) -> Path:
    return keychain()._vault.file


def test_the_variables_are_those_that_the_providers_know() -> None:
    assert {name: preset.key for name, preset in PRESETS.items() if preset.key} == VARIABLES


# Once


async def test_a_secret_is_opened_once_for_all_who_ask_in_whatever_loop(keychain: NewKeychain, desktop: Desktop) -> None:
    keychain().add("openai", None, KEY)
    credential = found(keychain())
    answers: list[str] = []
    threads = [Thread(target=lambda: answers.append(asyncio.run(opened(credential)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    answers += await asyncio.gather(*(opened(credential) for _ in range(10)))
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert set(answers) == {KEY.get_secret_value()}
    desktop.entries.clear()
    assert await opened(credential) == KEY.get_secret_value()


async def test_one_who_leaves_takes_it_from_nobody_else(keychain: NewKeychain) -> None:
    keychain().add("openai", None, KEY)
    credential = found(keychain())
    leaving, staying = asyncio.ensure_future(credential.secret()), asyncio.ensure_future(credential.secret())
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).get_secret_value() == KEY.get_secret_value()


def test_looking_for_a_key_opens_nothing(keychain: NewKeychain, tmp_path: Path) -> None:
    keychain().add("openai", None, KEY)
    look = (
        "import sys; from pathlib import Path; from llm_orc.credentials.keychain import Keychain;"
        f"found = Keychain({{}}, Path({str(tmp_path)!r})).find('openai', None);"
        "print(found.origin, *sorted({'keyring', 'cryptography', 'httpx'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout == "vault\n"


# What goes wrong with a keyring


@pytest.mark.parametrize("fault", [InitError("locked"), KeyringLocked("dismissed")])
async def test_a_locked_keyring_says_what_to_do(keychain: NewKeychain, desktop: Desktop, fault: Exception) -> None:
    keychain().add("openai", "work", KEY)
    desktop.fault = fault
    with pytest.raises(FailedError) as failed:
        await found(keychain()).secret()
    failure = failed.value.failure
    assert (failure.kind, failure.what, failed.value.usage) == (Kind.AUTHENTICATION, "the keyring is locked", NO_USAGE)
    assert failure.hint == "unlock it, as by logging in to the desktop; then: llm-orc auth test openai --name work"
    with pytest.raises(ProblemError, match=r"keyring is locked\nhint: .*--store vault"):
        keychain().add("openai", None, KEY)
    desktop.fault = None
    assert await opened(found(keychain())) == KEY.get_secret_value()


async def test_a_failure_is_not_remembered(keychain: NewKeychain, desktop: Desktop) -> None:
    keychain().add("openai", None, KEY)
    credential = found(keychain())
    desktop.fault = InitError("locked")
    with pytest.raises(FailedError):
        await credential.secret()
    desktop.fault = None
    assert await opened(credential) == KEY.get_secret_value()


async def test_no_words_of_a_back_end_reach_a_person(keychain: NewKeychain, desktop: Desktop) -> None:
    keychain().add("openai", None, KEY)
    desktop.fault = RuntimeError(f"dbus said {KEY.get_secret_value()}")
    with pytest.raises(FailedError) as failed:
        await found(keychain()).secret()
    assert failed.value.failure.what == "the keyring refused"


def test_a_keyring_that_forgets_is_not_believed(keychain: NewKeychain, desktop: Desktop) -> None:
    desktop.forgets = True
    with pytest.raises(ProblemError, match=r"does not give back what it was given\nhint: .*--store vault"):
        keychain().add("openai", None, KEY)
    assert keychain().kept() == []


async def test_a_key_in_a_keyring_that_is_not_here_now(keychain: NewKeychain, desktop: Desktop) -> None:
    keychain().add("openai", None, KEY)
    keyring.set_keyring(no_keyring())
    with pytest.raises(FailedError, match="there is no keyring here"):
        await found(keychain()).secret()


OPEN = """
from keyring.backend import KeyringBackend
class PlaintextKeyring(KeyringBackend):
    priority = 9
    def get_password(self, service, username): return None
    def set_password(self, service, username, password): ...
"""


@pytest.mark.parametrize(
    ("back_end", "why"),
    [
        ("keyrings.alt.file.PlaintextKeyring", "the keyring keyrings.alt.file.PlaintextKeyring does not protect what it keeps"),
        ("mine.Child", "the keyring mine.Child does not protect what it keeps"),
        ("keyring.backends.null.Keyring", "the keyring keyring.backends.null.Keyring does not protect what it keeps"),
        ("keyring.backends.fail.Keyring", "there is no keyring here"),
        ("no.such.Keyring", "the keyring that PYTHON_KEYRING_BACKEND or keyringrc.cfg names cannot be loaded"),
    ],
)
def test_a_keyring_that_protects_nothing_is_refused(tmp_path: Path, back_end: str, why: str) -> None:
    (tmp_path / "keyrings/alt").mkdir(parents=True)
    (tmp_path / "keyrings/alt/file.py").write_text(OPEN)
    (tmp_path / "mine.py").write_text("from keyrings.alt.file import PlaintextKeyring\nclass Child(PlaintextKeyring): pass\n")
    ask = (
        "from pathlib import Path; from llm_orc.credentials.keychain import Keychain;"
        f"k = Keychain({{}}, Path({str(tmp_path)!r})); print(k.store(), k.why_no_keyring, sep=': ')"
    )
    env = {"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}", "PYTHON_KEYRING_BACKEND": back_end, "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False, env=env)
    assert (done.stdout, done.stderr) == (f"vault: {why}\n", "")


# Many at once


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    add = (
        "import sys; from pathlib import Path; from pydantic import SecretStr; from llm_orc.credentials.keychain import Keychain;"
        f"k = Keychain({{'{VARIABLE}': 'x'}}, Path({str(tmp_path)!r}));"
        "[k.add('openai', f'{sys.argv[1]}{i}', SecretStr('sk-' + sys.argv[1] * 20), 'vault') for i in range(5)]"
    )
    env = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", "PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)}
    running = [subprocess.Popen([sys.executable, "-c", add, letter], env=env) for letter in "abc"]
    assert [each.wait(60) for each in running] == [0, 0, 0]
    wanted = {f"{letter}{number}" for letter in "abc" for number in range(5)}
    assert {kept.name for kept in Keychain({}, tmp_path).kept()} == wanted
    assert set(json.loads((tmp_path / "credentials/vault.json").read_bytes())["secrets"]["openai"]) == wanted
    assert not [file for file in (tmp_path / "credentials").iterdir() if file.name.startswith((".vault", ".keys"))]
