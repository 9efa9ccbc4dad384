"""Every key that there is: environment before keyring before vault."""

import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr

from llm_orc.credentials import KEYS, tokens
from llm_orc.credentials.files import locked
from llm_orc.credentials.held import Held, Secret, called
from llm_orc.credentials.index import DEFAULT, IndexFile, Kept, Login, Store, last_four
from llm_orc.credentials.ring import Ring
from llm_orc.credentials.vault import VARIABLE, Lock, Vault
from llm_orc.domain.credential import Credential, Given
from llm_orc.domain.message import NO_USAGE, FailedError, Kind
from llm_orc.domain.problem import Problem, ProblemError

SERVICE = "llm-orc"
"""What our entries are called in a keyring."""
VARIABLES: Mapping[str, str] = {
    "anthropic": "ANTHROPIC_API_KEY",
    "google": "GEMINI_API_KEY",
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "lmstudio": "LM_API_TOKEN",
    "openai-compatible": "OPENAI_COMPATIBLE_API_KEY",
}
"""Provider -> the variable that may hold its key."""


class Keychain:
    """The keys of one user; nothing is opened before a secret is asked for."""

    def __init__(self, env: Mapping[str, str], folder: Path, now: Callable[[], float] = time.time) -> None:
        """`folder` is the user's own layer; what is kept lies below it in `credentials/`."""
        self._env = env
        self._now = now
        self._folder = folder / KEYS.parent
        self._index = IndexFile(folder / KEYS)
        self._ring = Ring()
        self._typed: SecretStr | None = None
        self._vault = Vault(self._folder / "vault.json", self._ring, self._passphrase)
        self._held: dict[tuple[str, str], Held] = {}

    def find(self, provider: str, variable: str | None, name: str | None = None) -> Credential | None:
        """The environment's key, else a kept one; with a name only the kept one of that name. Raises ProblemError for a broken index."""
        key = self._env.get(variable, "").strip() if variable and name is None else ""
        if variable and key:
            return Given(variable, SecretStr(key))
        kept = self._index.read().of(provider, name)
        return self.credential(kept) if kept else None

    def credential(self, kept: Kept) -> Credential:
        """A kept key; always the same object, so that it is opened once."""
        place = kept.provider, kept.name
        held = self._held.get(place)
        if held is None or held.kept != kept:
            fetch = self._token if kept.login else self._key
            held = self._held[place] = Held(kept, lambda: fetch(kept), self._now)
        return held

    def kept(self) -> list[Kept]:
        """What is kept, in the order in which it was added; raises ProblemError."""
        return list(self._index.read().keys)

    def store(self, wanted: Store | None = None) -> Store:
        """Where a new key goes; raises ProblemError where it cannot go there."""
        if wanted == "keyring" and not self._ring.here:
            raise ProblemError(self._ring.missing())
        return wanted or ("keyring" if self._ring.here else "vault")

    @property
    def why_no_keyring(self) -> str:
        """Why a new key goes into the vault, in words."""
        return self._ring.missing().what

    def lock(self, stores: Iterable[Store]) -> Lock:
        """What has to be typed before anything there can be read or written; raises ProblemError for a broken vault."""
        return self._vault.lock() if "vault" in stores and self._passphrase() is None else None

    def unlock(self, passphrase: SecretStr) -> None:
        """What was typed."""
        self._typed = passphrase

    def add(self, provider: str, name: str | None, secret: SecretStr, store: Store | None = None) -> Kept:
        """Keep a key, in place of one of the same name; raises ProblemError."""
        value = secret.get_secret_value()
        return self._add(Kept(provider=provider, name=name or DEFAULT, store=self.store(store), last_four=last_four(value)), value)

    def add_login(self, provider: str, name: str | None, login: Login, given: tokens.Tokens, store: Store | None = None) -> Kept:
        """Keep a login likewise."""
        return self._add(Kept(provider=provider, name=name or DEFAULT, store=self.store(store), login=login), tokens.written(given))

    def remove(self, kept: Kept) -> None:
        """Forget a key; raises ProblemError, and keeps it then."""
        with locked(self._folder):
            self._forget(kept)
            self._index.write(self._index.read().without(kept))

    def named(self, provider: str, name: str) -> Kept | None:
        """The kept key or login of just that name."""
        return self._index.read().named(provider, name)

    def client_secret(self, kept: Kept) -> str:
        """The secret of a kept login's client; raises ProblemError."""
        return tokens.read(self._read(kept)).client.secret

    def _add(self, kept: Kept, value: str) -> Kept:
        with locked(self._folder):
            index = self._index.read()
            before = index.named(kept.provider, kept.name)
            self._write(kept, value)
            if not hmac.compare_digest((self._found(kept) or "").encode(), value.encode()):
                self._forget(kept)
                raise ProblemError(Problem(f"the {kept.store} does not give back what it was given", hint="try the other one: --store"))
            self._index.write(index.plus(kept))
            if before is not None and before.store != kept.store:
                self._forget(before)
        self._held.pop((kept.provider, kept.name), None)
        return kept

    def _write(self, kept: Kept, value: str) -> None:
        if kept.store == "keyring":
            self._ring.set(SERVICE, f"{kept.provider}/{kept.name}", value)
        else:
            self._vault.set(kept.provider, kept.name, value)

    def _found(self, kept: Kept) -> str | None:
        if kept.store == "keyring":
            return self._ring.get(SERVICE, f"{kept.provider}/{kept.name}")
        return self._vault.get(kept.provider, kept.name)

    def _read(self, kept: Kept) -> str:
        found = self._found(kept)
        if found is None:
            what = f"the {kept.store} has no entry {kept.provider}/{kept.name} any more"
            raise ProblemError(Problem(what, hint=called("login" if kept.login else "add", kept)))
        return found

    def _forget(self, kept: Kept) -> None:
        if kept.store == "keyring":
            self._ring.delete(SERVICE, f"{kept.provider}/{kept.name}")
        else:
            self._vault.delete(kept.provider, kept.name)

    def _passphrase(self) -> SecretStr | None:
        given = self._env.get(VARIABLE, "")
        return SecretStr(given) if given else self._typed

    def _key(self, kept: Kept) -> Secret:
        return Secret(SecretStr(self._read(kept)))

    def _token(self, kept: Kept) -> Secret:
        """A token that is valid now; renewed by one process at a time, since a refresh token may be good for one use only."""
        known = tokens.read(self._read(kept))
        if self._now() >= known.renew_at:
            with locked(self._folder, f"-{kept.provider}-{kept.name}"):
                known = tokens.read(self._read(kept))
                if self._now() >= known.renew_at:
                    known = self._renewed(kept, known)
        return Secret(SecretStr(known.access), known.renew_at)

    def _renewed(self, kept: Kept, known: tokens.Tokens) -> tokens.Tokens:
        try:
            new = known.renewed(self._now())
        except FailedError as error:
            if error.failure.kind is not Kind.AUTHENTICATION:
                raise
            raise FailedError(replace(error.failure, hint=called("login", kept)), usage=NO_USAGE) from None
        if new.access != known.access or new.refresh != known.refresh:
            with locked(self._folder):
                self._write(kept, tokens.written(new))
        return new
