"""The encrypted file: what it holds, what it refuses, and that it is never overwritten when it is not understood."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from llm_orc.credentials.keychain import Keychain
from llm_orc.credentials.vault import VARIABLE
from llm_orc.domain.credential import Credential
from llm_orc.domain.message import FailedError, Kind
from llm_orc.domain.problem import ProblemError
from tests.credentials.conftest import PASSPHRASE, Desktop, NewKeychain

KEY = SecretStr("sk-canary-0123456789-abcd")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault with two keys in it; made once, since a passphrase takes its time."""
    folder = tmp_path_factory.mktemp("made")
    keychain = Keychain({VARIABLE: PASSPHRASE}, folder)
    for name in ("one", "two"):
        keychain.add("openai", name, SecretStr(f"sk-canary-{name}"), "vault")
    return folder / "credentials"


@pytest.fixture
def vault(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(made, tmp_path / "credentials")
    return tmp_path / "credentials/vault.json"


async def run(credential: Credential) -> SecretStr:
    return await credential.secret()


def secret(keychain: Keychain, name: str = "one") -> str:
    credential = keychain.find("openai", None, name)
    assert credential is not None
    return asyncio.run(run(credential)).get_secret_value()


def test_a_vault_gives_back_what_it_got(keychain: NewKeychain, vault: Path) -> None:
    opened = keychain()
    assert [secret(opened, name) for name in ("one", "two")] == ["sk-canary-one", "sk-canary-two"]


def test_keys_that_are_opened_at_once_do_not_wait_for_each_other(keychain: NewKeychain, vault: Path) -> None:
    """Two keys of several lanes each, made at once, wait in OpenSSL for each other for ever; the file may ask for that."""
    content = json.loads(vault.read_bytes())
    content["argon2"]["lanes"] = 4
    vault.write_text(json.dumps(content))
    credentials = [keychain().find("openai", None, name) for name in ("one", "two")]

    async def both() -> list[BaseException | SecretStr]:
        return await asyncio.gather(*(each.secret() for each in credentials if each), return_exceptions=True)

    assert ["not the passphrase" in str(each) for each in asyncio.run(both())] == [True, True]


def test_a_passphrase_may_be_any_bytes_of_the_environment(keychain: NewKeychain) -> None:
    env = {VARIABLE: b"pa\xffss".decode(errors="surrogateescape")}  # as os.environ has what is no UTF-8
    keychain(env).add("openai", "one", SecretStr("sk-canary-0123456789"))
    assert secret(keychain(env)) == "sk-canary-0123456789"


def test_providers_stand_beside_each_other(keychain: NewKeychain, vault: Path) -> None:
    keychain().add("anthropic", "one", KEY)
    assert secret(keychain()) == "sk-canary-one"
    kept = keychain().named("anthropic", "one")
    assert kept is not None
    keychain().remove(kept)
    assert secret(keychain()) == "sk-canary-one"
    assert set(json.loads(vault.read_bytes())["secrets"]) == {"openai"}


def test_only_its_owner_can_read_it(vault: Path) -> None:
    umask = os.umask(0)
    try:
        Keychain({VARIABLE: PASSPHRASE}, vault.parents[1]).add("openai", "three", KEY)
    finally:
        os.umask(umask)
    assert {oct(file.stat().st_mode & 0o777) for file in vault.parent.iterdir()} == {"0o600"}
    assert vault.parent.stat().st_mode & 0o777 == 0o700
    assert (vault.parent / ".gitignore").read_text() == "*\n"


def test_each_write_has_a_nonce_of_its_own(keychain: NewKeychain, vault: Path) -> None:
    def nonces() -> list[str]:
        content = json.loads(vault.read_bytes())
        return [content["check"]["nonce"], *(sealed["nonce"] for sealed in content["secrets"]["openai"].values())]

    before = nonces()
    keychain().add("openai", "one", SecretStr("sk-canary-one"))
    assert len({*before, *nonces()}) == 4


def test_the_key_of_a_vault_lies_in_the_keyring_where_there_is_one(keychain: NewKeychain, desktop: Desktop, tmp_path: Path) -> None:
    keychain({}).add("openai", "one", KEY, "vault")
    assert secret(keychain({})) == KEY.get_secret_value()
    ((service, number), key), *more = desktop.entries.items()
    assert (service, len(bytes.fromhex(key)), more) == ("llm-orc vault", 32, [])
    written = (tmp_path / "credentials/vault.json").read_text()
    assert number in written
    assert key not in written
    desktop.entries.clear()
    with pytest.raises(FailedError, match="the key of the vault is not in the keyring"):
        secret(keychain({}))
    with pytest.raises(ProblemError, match="the key of the vault is not in the keyring"):
        keychain({}).add("openai", "two", KEY, "vault")
    desktop.entries[service, number] = "00" * 32
    with pytest.raises(FailedError, match="the key in the keyring does not open the vault"):
        secret(keychain({}))
    assert (tmp_path / "credentials/vault.json").read_text() == written


def test_another_passphrase_opens_nothing_and_writes_nothing(keychain: NewKeychain, vault: Path) -> None:
    before = vault.read_bytes()
    with pytest.raises(FailedError) as failed:
        secret(keychain({VARIABLE: "wrong"}))
    assert failed.value.failure.kind is Kind.AUTHENTICATION
    assert failed.value.failure.what == f"{vault}: this is not the passphrase of the vault"
    assert failed.value.failure.hint == f"set {VARIABLE} to the one that it was made with; then: llm-orc auth test openai --name one"
    with pytest.raises(ProblemError, match="this is not the passphrase"):
        keychain({VARIABLE: "wrong"}).add("openai", "three", KEY)
    assert vault.read_bytes() == before


def test_without_a_passphrase_it_says_how_to_give_one(keychain: NewKeychain, vault: Path) -> None:
    with pytest.raises(FailedError, match="the vault needs its passphrase"):
        secret(keychain({}))
    assert keychain({}).lock(["vault"]) == "passphrase"
    assert keychain({}).lock(["keyring"]) is None
    assert keychain().lock(["vault"]) is None
    typed = keychain({})
    typed.unlock(SecretStr(PASSPHRASE))
    assert secret(typed) == "sk-canary-one"


def test_a_key_can_be_removed_without_the_passphrase(keychain: NewKeychain, vault: Path) -> None:
    kept = keychain().named("openai", "one")
    assert kept is not None
    keychain({}).remove(kept)
    assert set(json.loads(vault.read_bytes())["secrets"]["openai"]) == {"two"}


# What was changed by somebody


def swapped(content: dict[str, Any]) -> None:
    own = content["secrets"]["openai"]
    own["one"], own["two"] = own["two"], own["one"]


def moved(content: dict[str, Any]) -> None:
    content["secrets"]["openai"]["one"]["data"] = "AAAA" + content["secrets"]["openai"]["one"]["data"][4:]


@pytest.mark.parametrize("change", [swapped, moved])
def test_a_secret_that_was_changed_or_moved_is_damaged(
    keychain: NewKeychain, vault: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    content = json.loads(vault.read_bytes())
    change(content)
    vault.write_text(json.dumps(content))
    with pytest.raises(FailedError, match="a secret in the vault is damaged"):
        secret(keychain())


def another(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.update({key: value})


def argon2(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["argon2"].update({key: value})


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "newer": (another("version", 2), "was written by another version of llm-orc"),
    "more": (another("more", 1), "is broken or cut short"),
    "other": (another("format", "pkcs12"), "is broken or cut short"),
    "id": (another("id", "../x"), "is broken or cut short"),
    "memory": (argon2("memory_kib", 1 << 30), "is broken or cut short"),
    "weak": (argon2("memory_kib", 8), "is broken or cut short"),
    "endless": (argon2("iterations", 10**6), "is broken or cut short"),
    "lanes": (argon2("lanes", 1000), "is broken or cut short"),
    "salt": (argon2("salt", "AAAA"), "is broken or cut short"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_vault_that_is_not_understood_is_said_and_left_alone(keychain: NewKeychain, vault: Path, name: str) -> None:
    change, what = BROKEN[name]
    content = json.loads(vault.read_bytes())
    change(content)
    refused(keychain, vault, json.dumps(content).encode(), what)


@pytest.mark.parametrize("cut", [0, 1, 100, -3])
def test_a_vault_that_was_cut_short_is_said_and_left_alone(keychain: NewKeychain, vault: Path, cut: int) -> None:
    refused(keychain, vault, vault.read_bytes()[:cut], "is broken or cut short")


def test_what_is_no_text_is_no_vault(keychain: NewKeychain, vault: Path) -> None:
    refused(keychain, vault, b"\xff\xfe\x00", "is broken or cut short")


def refused(keychain: NewKeychain, vault: Path, content: bytes, what: str) -> None:
    vault.write_bytes(content)
    with pytest.raises(FailedError) as failed:
        secret(keychain())
    assert failed.value.failure.what == f"{vault}: {what}"
    assert "move" in failed.value.failure.hint
    kept = keychain().named("openai", "one")
    assert kept is not None
    with pytest.raises(ProblemError, match=what):
        keychain().add("openai", "three", KEY)
    with pytest.raises(ProblemError, match=what):
        keychain().remove(kept)
    assert vault.read_bytes() == content
    assert len(keychain().kept()) == 2


@pytest.mark.parametrize("file", ["vault.json", "keys.json"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_reach_is_refused(keychain: NewKeychain, vault: Path, file: str, mode: int) -> None:
    vault.with_name(file).chmod(mode)
    with pytest.raises(ProblemError, match=f"{file}: others may read or write this file\nhint: close it: chmod 600"):
        keychain().add("openai", "three", KEY)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, who alone can give a file away")
def test_a_file_of_another_user_is_refused(keychain: NewKeychain, vault: Path) -> None:
    os.chown(vault, 65534, 65534)
    with pytest.raises(ProblemError, match="belongs to another user"):
        keychain().add("openai", "three", KEY)


def test_a_broken_index_is_a_problem_and_left_alone(keychain: NewKeychain, vault: Path) -> None:
    index = vault.with_name("keys.json")
    index.write_text('{"version": 1, "keys": [')
    with pytest.raises(ProblemError, match=r"keys.json: is broken or cut short"):
        keychain().find("openai", None)
    with pytest.raises(ProblemError, match=r"keys.json: is broken or cut short"):
        keychain().add("openai", "three", KEY)
    assert index.read_text() == '{"version": 1, "keys": ['


def test_a_folder_that_cannot_be_made_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProblemError, match="cannot be written: not a directory"):
        Keychain({VARIABLE: "x"}, tmp_path / "file").add("openai", None, KEY)
    assert Keychain({}, tmp_path / "file").kept() == []
