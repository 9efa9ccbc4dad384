"""A kept key as a credential: opened off the event loop, once for all who ask, and remembered for the process."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock, Thread

from pydantic import SecretStr

from llm_orc.credentials.index import DEFAULT, Kept
from llm_orc.domain.message import NO_USAGE, FailedError, Failure, Kind
from llm_orc.domain.problem import ProblemError
from llm_orc.domain.secret import remember


@dataclass(frozen=True, slots=True)
class Secret:
    """A key, or a token until the second in which it has to be renewed."""

    value: SecretStr
    until: float | None = None


class Held:
    """One kept key or login."""

    def __init__(self, kept: Kept, fetch: Callable[[], Secret], now: Callable[[], float] = time.time) -> None:
        """`fetch` may take long, and raises ProblemError or FailedError."""
        self.kept = kept
        self._fetch = fetch
        self._now = now
        self._lock = Lock()
        self._secret: Secret | None = None
        self._fetching: Future[Secret] | None = None

    @property
    def origin(self) -> str:
        """Where it is kept, for people."""
        return self.kept.origin

    @property
    def identity(self) -> str:
        """Which one it is."""
        return f"{self.kept.store}:{self.kept.provider}/{self.kept.name}"

    @property
    def oauth(self) -> bool:
        """Whether it is a token."""
        return self.kept.login is not None

    async def secret(self) -> SecretStr:
        """The key, or a token that is valid now; whoever asks meanwhile waits for the same answer, in whatever thread."""
        with self._lock:
            if (known := self._valid()) is not None:
                return known.value
            if self._fetching is None:
                self._fetching = Future()
                self._fetching.set_running_or_notify_cancel()  # an asker that is cancelled takes it from nobody else
                # A keyring may wait for a person for ever, which must not keep the process; a token that is being renewed must be kept.
                Thread(target=self._answer, args=(self._fetching,), daemon=not self.oauth).start()
            fetching = self._fetching
        try:
            return (await asyncio.wrap_future(fetching)).value
        except FailedError as error:
            raise FailedError(error.failure, usage=NO_USAGE) from None

    def _valid(self) -> Secret | None:
        secret = self._secret
        return secret if secret and (secret.until is None or self._now() < secret.until) else None

    def _answer(self, fetching: "Future[Secret]") -> None:
        secret: Secret | None = None
        fault: BaseException | None = None
        try:
            secret = self._fetch()
        except ProblemError as error:
            fault = FailedError(self._failure(error), usage=NO_USAGE)
        except BaseException as error:  # noqa: BLE001 - told to those who wait
            fault = error
        with self._lock:
            self._secret, self._fetching = secret, None
        if secret is not None:
            remember(secret.value.get_secret_value())
            fetching.set_result(secret)
        else:
            fetching.set_exception(fault)

    def _failure(self, error: ProblemError) -> Failure:
        problem = error.problems[0]
        what = f"{problem.place}: {problem.what}" if problem.place else problem.what
        return Failure(Kind.AUTHENTICATION, what, "; then: ".join(filter(None, (problem.hint, called("test", self.kept)))))


def called(command: str, kept: Kept) -> str:
    """The command line of an `auth` command for one kept key."""
    return f"llm-orc auth {command} {kept.provider}" + ("" if kept.name == DEFAULT else f" --name {kept.name}")
