"""Keychains in a folder of their own, without a keyring, and ways to read what they wrote."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring

from llm_orc.credentials.keychain import Keychain
from llm_orc.credentials.vault import VARIABLE

PASSPHRASE = "correct horse"
NewKeychain = Callable[..., Keychain]


class Desktop(KeyringBackend):
    """A keyring in memory, which the tests may break. Its true counterpart is in test_keyring.py."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}
        self.fault: Exception | None = None
        self.forgets = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.fault:
            raise self.fault
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.fault:
            raise self.fault
        if not self.forgets:
            self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


def no_keyring() -> KeyringBackend:
    """What the library uses where there is nothing."""
    return NoKeyring()  # type: ignore[no-untyped-call]


@pytest.fixture(autouse=True, scope="session")
def without_keyring() -> Iterator[None]:
    """Whatever this machine has, a test has none unless it says so."""
    before = keyring.get_keyring()
    keyring.set_keyring(no_keyring())
    yield
    keyring.set_keyring(before)


@pytest.fixture
def desktop(without_keyring: None) -> Iterator[Desktop]:
    """A keyring that is there."""
    made = Desktop()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(no_keyring())


@pytest.fixture
def keychain(tmp_path: Path) -> NewKeychain:
    """Open the keychain of one folder, as each process does."""

    def new(env: Mapping[str, str] | None = None, **more: object) -> Keychain:
        return Keychain({VARIABLE: PASSPHRASE} if env is None else env, tmp_path, **more)  # type: ignore[arg-type]

    return new
