"""The keyring of the desktop or the system, through the library `keyring`; only those that really keep a secret."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from llm_orc.domain.problem import Problem, ProblemError

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

OPEN = ("keyrings.alt", "keyring.backends.null")
"""Back ends that write plain text or base64, or nothing at all; once installed they are chosen without a word."""
NONE = "keyring.backends.fail"
"""What the library uses where there is nothing."""
LONGEST = 120.0
"""Seconds that a person has to unlock it; some ask on a screen that is not there."""
UNLOCK = "unlock it, as by logging in to the desktop"
VAULT = "use the vault: --store vault"
Result = TypeVar("Result")


class Ring:
    """Every back end that is fit, best first; looked for on first need."""

    def __init__(self) -> None:
        self._found: list[KeyringBackend] | None = None
        self._why_none = "there is no keyring here"

    @property
    def here(self) -> bool:
        """Whether there is one."""
        return bool(self._fit())

    def get(self, service: str, entry: str) -> str | None:
        """The secret of an entry, None where there is none; raises ProblemError."""
        if not self.here:
            raise ProblemError(replace(self.missing(), hint="log in to the desktop that has it, or set the provider's variable"))
        for backend in self._fit():
            if (secret := _asked(partial(backend.get_password, service, entry))) is not None:
                return str(secret)
        return None

    def set(self, service: str, entry: str, secret: str) -> None:
        """Keep a secret; raises ProblemError where there is no keyring or it does not give back what it got."""
        fit = self._fit()
        if not fit:
            raise ProblemError(self.missing())
        _asked(lambda: fit[0].set_password(service, entry, secret), f"{UNLOCK}, or {VAULT}")
        if _asked(lambda: fit[0].get_password(service, entry)) != secret:
            self.delete(service, entry)
            raise ProblemError(Problem("the keyring does not give back what it was given", hint=VAULT))

    def delete(self, service: str, entry: str) -> None:
        """Forget a secret, if it is there; raises ProblemError."""
        for backend in self._fit():
            if _asked(partial(backend.get_password, service, entry)) is not None:
                _asked(partial(backend.delete_password, service, entry))

    def missing(self) -> Problem:
        """Why there is none, in words."""
        return Problem(self._why_none, hint=VAULT)

    def _fit(self) -> "list[KeyringBackend]":
        if self._found is None:
            self._found = [backend for backend in self._chosen() if self._keeps(backend)]
        return self._found

    def _chosen(self) -> "list[KeyringBackend]":
        """What the library would use, a chain as its links."""
        import keyring
        from keyring.backends.chainer import ChainerBackend

        try:
            backend = keyring.get_keyring()
            return list(backend.backends) if isinstance(backend, ChainerBackend) else [backend]
        except Exception:  # noqa: BLE001 - a stranger's code, named by the user's settings of that library
            self._why_none = "the keyring that PYTHON_KEYRING_BACKEND or keyringrc.cfg names cannot be loaded"
            return []

    def _keeps(self, backend: "KeyringBackend") -> bool:
        modules = [kind.__module__ for kind in type(backend).__mro__]
        if any(module.startswith(OPEN) for module in modules):
            self._why_none = f"the keyring {type(backend).__module__}.{type(backend).__name__} does not protect what it keeps"
            return False
        return NONE not in modules


def _asked(call: Callable[[], Result], hint: str = UNLOCK) -> Result:
    """What a back end says, in time; raises ProblemError in our words."""
    answers: list[Result] = []
    faults: list[Exception] = []

    def ask() -> None:
        try:
            answers.append(call())
        except Exception as error:  # noqa: BLE001 - a stranger's code, and D-Bus has exceptions of its own
            faults.append(error)

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(LONGEST)
    if answers:
        return answers[0]
    raise ProblemError(Problem(_what(faults[0] if faults else TimeoutError()), hint=hint))


def _what(error: Exception) -> str:
    from keyring.errors import InitError, KeyringLocked, NoKeyringError

    match error:
        case InitError() | KeyringLocked():
            return "the keyring is locked"
        case NoKeyringError():
            return "there is no keyring here"
        case TimeoutError():
            return f"the keyring did not answer within {LONGEST:.0f} s"
    return "the keyring refused"
