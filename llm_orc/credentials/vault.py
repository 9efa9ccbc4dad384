"""The encrypted file for machines without a keyring: AES-256-GCM, its key in the keyring or made of a passphrase."""

import json
import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, SecretStr

from llm_orc.credentials.files import read_as, write_private
from llm_orc.credentials.ring import Ring
from llm_orc.domain.problem import Place, Problem, ProblemError
from llm_orc.domain.read import Read
from llm_orc.domain.secret import remember

FORMAT: Literal["llm-orc vault"] = "llm-orc vault"
VARIABLE = "LLM_ORC_PASSPHRASE"
"""May hold the passphrase."""
SERVICE = "llm-orc vault"
"""What the vault's own key is called in the keyring."""
Lock = Literal["passphrase", "new passphrase"] | None
"""What has to be typed before it can be opened; nothing where the keyring has its key."""
_deriving = threading.Lock()
"""One key at a time in a process: two with several lanes each wait for ever for the other's threads in OpenSSL."""


class _Part(Read):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


class Argon2(_Part):
    """How a passphrase becomes a key, in about 0.3 s; bounded, so that a file from elsewhere can neither weaken it nor eat the memory."""

    salt: Annotated[bytes, Field(min_length=16, max_length=64)]
    iterations: Annotated[int, Field(ge=1, le=16)] = 5
    lanes: Annotated[int, Field(ge=1, le=16)] = 1
    memory_kib: Annotated[int, Field(ge=1 << 15, le=1 << 20)] = 1 << 16

    def key(self, passphrase: SecretStr) -> bytes:
        """32 bytes."""
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        remember(passphrase.get_secret_value())
        made = Argon2id(salt=self.salt, length=32, iterations=self.iterations, lanes=self.lanes, memory_cost=self.memory_kib)
        return made.derive(passphrase.get_secret_value().encode(errors="surrogateescape"))


class Sealed(_Part):
    """One secret, encrypted."""

    nonce: Annotated[bytes, Field(min_length=12, max_length=12)]
    data: Annotated[bytes, Field(min_length=16)]


class Content(_Part):
    """The file."""

    format: Literal["llm-orc vault"] = FORMAT
    version: Literal[1] = 1
    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    argon2: Argon2 | None
    """None: the key is in the keyring."""
    check: Sealed
    """Of nothing: tells a wrong key from a damaged secret."""
    secrets: dict[str, dict[str, Sealed]] = Field(default_factory=dict)
    """Provider -> name -> secret."""

    def bound(self, *to: str) -> bytes:
        """What a secret is bound to, so that none can be moved to another place or vault."""
        return json.dumps([FORMAT, self.version, self.id, *to]).encode()


class Vault:
    """Opened on first need; its key stays in memory until the process ends."""

    def __init__(self, file: Path, ring: Ring, passphrase: Callable[[], SecretStr | None]) -> None:
        self.file = file
        self._ring = ring
        self._passphrase = passphrase
        self._keys: dict[tuple[str, Argon2 | None], bytes] = {}

    def lock(self) -> Lock:
        """What has to be typed; raises ProblemError for a broken vault."""
        content = self._content()
        if content is None:
            return None if self._ring.here else "new passphrase"
        return "passphrase" if content.argon2 else None

    def get(self, provider: str, name: str) -> str | None:
        """A secret, None where there is none of that name; raises ProblemError."""
        content = self._content()
        sealed = content.secrets.get(provider, {}).get(name) if content else None
        if content is None or sealed is None:
            return None
        return self._unsealed(self._key(content), sealed, content.bound(provider, name)).decode()

    def set(self, provider: str, name: str, secret: str) -> None:
        """Keep a secret, in a new vault where there is none; the caller holds the lock. Raises ProblemError."""
        content = self._content() or self._new()
        sealed = _sealed(self._key(content), secret.encode(), content.bound(provider, name))
        own = {**content.secrets.get(provider, {}), name: sealed}
        self._write(content.model_copy(update={"secrets": {**content.secrets, provider: own}}))

    def delete(self, provider: str, name: str) -> None:
        """Forget a secret, if it is there; needs no key. The caller holds the lock."""
        content = self._content()
        if content is None or name not in content.secrets.get(provider, {}):
            return
        kept = {
            each: {key: sealed for key, sealed in own.items() if (each, key) != (provider, name)} for each, own in content.secrets.items()
        }
        self._write(content.model_copy(update={"secrets": {each: own for each, own in kept.items() if own}}))

    def _content(self) -> Content | None:
        return read_as(Content, self.file)

    def _write(self, content: Content) -> None:
        write_private(self.file, content.model_dump_json(indent=1).encode() + b"\n")

    def _new(self) -> Content:
        number = secrets.token_hex(16)
        if self._ring.here:
            key = secrets.token_bytes(32)
            self._ring.set(SERVICE, number, key.hex())
            argon2 = None
        else:
            argon2 = Argon2(salt=os.urandom(16))
            passphrase = self._asked()
            with _deriving:
                key = argon2.key(passphrase)
        self._keys[number, argon2] = key
        unchecked = Content(id=number, argon2=argon2, check=Sealed(nonce=bytes(12), data=bytes(16)))
        return unchecked.model_copy(update={"check": _sealed(key, b"", unchecked.bound())})

    def _key(self, content: Content) -> bytes:
        """The key that fits this vault; raises ProblemError."""
        known = content.id, content.argon2
        with _deriving:
            if known in self._keys:
                return self._keys[known]
            key = content.argon2.key(self._asked()) if content.argon2 else self._from_ring(content)
            wrong = f"set {VARIABLE} to the one that it was made with" if content.argon2 else "move it away, and add your keys again"
            what = "this is not the passphrase of the vault" if content.argon2 else "the key in the keyring does not open the vault"
            self._opened(key, content.check, content.bound(), Problem(what, Place(str(self.file)), wrong))
            self._keys[known] = key
            return key

    def _from_ring(self, content: Content) -> bytes:
        kept = self._ring.get(SERVICE, content.id)
        try:
            key = bytes.fromhex(kept or "")
        except ValueError:
            key = b""
        if len(key) != 32:
            hint = "log in where the keyring is, or move the vault away and add your keys again"
            raise ProblemError(Problem("the key of the vault is not in the keyring", Place(str(self.file)), hint))
        return key

    def _asked(self) -> SecretStr:
        passphrase = self._passphrase()
        if passphrase is None:
            what, hint = "the vault needs its passphrase", f"set {VARIABLE}, or start this in a terminal and type it"
            raise ProblemError(Problem(what, Place(str(self.file)), hint))
        return passphrase

    def _unsealed(self, key: bytes, sealed: Sealed, bound: bytes) -> bytes:
        hint = "take the file from a backup, or add the key again"
        return self._opened(key, sealed, bound, Problem("a secret in the vault is damaged", Place(str(self.file)), hint))

    @staticmethod
    def _opened(key: bytes, sealed: Sealed, bound: bytes, problem: Problem) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(key).decrypt(sealed.nonce, sealed.data, bound)
        except InvalidTag:
            raise ProblemError(problem) from None


def _sealed(key: bytes, secret: bytes, bound: bytes) -> Sealed:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(12)
    return Sealed(nonce=nonce, data=AESGCM(key).encrypt(nonce, secret, bound))
