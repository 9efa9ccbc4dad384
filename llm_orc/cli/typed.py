"""Secrets that a person types or pipes in: never shown, never taken from the command line."""

import os
import re
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import SecretStr

from llm_orc.cli.terminal import reason
from llm_orc.domain.problem import Problem, ProblemError

if TYPE_CHECKING:
    from llm_orc.cli.terminal import Terminal
    from llm_orc.credentials.index import Store
    from llm_orc.credentials.keychain import Keychain

LONGEST = 1 << 16
"""Bytes; the longest keys are signed tokens of a few thousand."""
_STARTS_LIKE_KEY = re.compile(r"(?:Bearer\s|sk-|AIza|gsk_|hf_|gh[pousr]_|xai-|GOCSPX-|ya29\.|eyJ)")
_LONG = 32


def refuse_keys(words: Iterable[str], extra: Iterable[str] = ()) -> None:
    """Raise ProblemError, and do not repeat it, where a key stands on the command line; whatever is too much may be one."""
    if any(extra) or any(map(_looks_like_key, words)):
        what = "a key does not belong on the command line, where the shell's history and other users see it"
        raise ProblemError(Problem(what, hint="if it was one, revoke it; type the new one when asked, or pipe it in"))


def secret(terminal: "Terminal", what: str, command: str) -> SecretStr:
    """A key that `command` needs: typed without echo where stdin is a terminal, else all of stdin; raises ProblemError."""
    is_typed = terminal.stdin is not None and os.isatty(terminal.stdin)
    given = (_hidden(terminal, f"{what}: ") if is_typed else _piped(terminal)).strip()
    if not given:
        raise ProblemError(Problem(f"no {what} was given", hint=f"type it when asked, or pipe it in: ... | {command}"))
    if not (given.isascii() and given.isprintable() and " " not in given):
        raise ProblemError(Problem(f"the {what} holds characters that none has", hint="give it alone, on one line, without quotes"))
    return SecretStr(given)


def unlock(terminal: "Terminal", keychain: "Keychain", stores: "Iterable[Store]") -> None:
    """Ask for the passphrase of the vault, if it takes one and a person is there."""
    lock = keychain.lock(stores)
    if lock is None or not _can_type(terminal):
        return
    new = lock == "new passphrase"
    given = _hidden(terminal, "new passphrase for the vault: " if new else "passphrase of the vault: ")
    if not given:
        raise ProblemError(Problem("the passphrase is empty", hint="type one; without it nobody, you neither, can read the vault"))
    if new and _hidden(terminal, "once more: ") != given:
        raise ProblemError(Problem("the two are not the same", hint="start again"))
    keychain.unlock(SecretStr(given))


def _looks_like_key(word: str) -> bool:
    has_both = any(map(str.isdigit, word)) and any(map(str.isalpha, word))
    return bool(_STARTS_LIKE_KEY.match(word)) or (len(word) >= _LONG and has_both)


def _can_type(terminal: "Terminal") -> bool:
    """Whether there is a terminal, be it one that stdin and stderr do not lead to."""
    if terminal.stdin is not None and os.isatty(terminal.stdin):
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _hidden(terminal: "Terminal", question: str) -> str:
    """What a person types, unseen; raises ProblemError where it would be seen."""
    import getpass
    import warnings

    with warnings.catch_warnings(), _interruptible():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(question)
        except EOFError:
            terminal.say("\n")
            return ""
        except KeyboardInterrupt:
            terminal.say("\n")  # the shell's prompt gets a line of its own
            raise
        except (getpass.GetPassWarning, UnicodeDecodeError):
            raise ProblemError(Problem("it cannot be typed unseen in this terminal", hint="pipe it in")) from None


@contextmanager
def _interruptible() -> "Iterator[None]":
    """Ctrl-C is an exception meanwhile, so that the terminal shows again what is typed."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _piped(terminal: "Terminal") -> str:
    if terminal.stdin is None:
        return ""
    read = b""
    try:
        while len(read) <= LONGEST and (piece := os.read(terminal.stdin, LONGEST)):
            read += piece
    except OSError as error:
        raise ProblemError(Problem(f"stdin cannot be read: {reason(error)}")) from None
    return read.decode(errors="replace") if len(read) <= LONGEST else "too long\n"
