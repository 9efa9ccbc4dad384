"""`llm-orc auth login`: what was asked for, what is remembered, and the person in front of it."""

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.secret import names_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_orc.cli.terminal import Terminal
    from llm_orc.credentials.index import Kept, Login, Store
    from llm_orc.credentials.keychain import Keychain

_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says; empty where it leaves that to the last login, or to what is shipped."""

    provider: str
    name: str
    issuer: str = ""
    client_id: str = ""
    scopes: tuple[str, ...] = ()
    device: bool | None = None
    has_secret: bool = False
    """Whether the client has one, which is given apart."""
    opens: bool = True
    """Whether a browser may be opened."""


def logged_in(terminal: "Terminal", keychain: "Keychain", wanted: Wanted, store: "Store") -> "Kept":
    """Log a person in and keep the tokens; raises ProblemError and FailedError."""
    from llm_orc.cli.typed import secret, unlock
    from llm_orc.credentials.issuer import SHIPPED, discovered
    from llm_orc.credentials.login import Way, in_browser, with_code
    from llm_orc.credentials.tokens import Client

    before = keychain.named(wanted.provider, wanted.name)
    login = _login(wanted, before.login if before else None)
    given = (
        secret(terminal, "secret of the client", f"llm-orc auth login {wanted.provider} --client-secret").get_secret_value()
        if wanted.has_secret
        else ""
    )
    unlock(terminal, keychain, [store, *([before.store] if before else [])])
    if before and before.login and not given and (before.login.issuer, before.login.client_id) == (login.issuer, login.client_id):
        given = keychain.client_secret(before)
    issuer = discovered(login.issuer)
    shipped = SHIPPED.get(wanted.provider)
    way = Way(
        Client(login.client_id, given, issuer.token, issuer.basic),
        login.scopes,
        terminal.say,
        (lambda url: _open(url, terminal.where.env)) if wanted.opens else None,
        shipped.extra if shipped and shipped.issuer == login.issuer else {},
    )
    tokens = with_code(issuer, way) if login.device else in_browser(issuer, way)
    return keychain.add_login(wanted.provider, wanted.name, login, tokens, store)


def _login(wanted: Wanted, before: "Login | None") -> "Login":
    """What to log in with; raises ProblemError where nobody said it."""
    from llm_orc.credentials.index import Login
    from llm_orc.credentials.issuer import SCOPES, SHIPPED

    shipped = SHIPPED.get(wanted.provider)
    issuer = wanted.issuer or (before.issuer if before else "") or (shipped.issuer if shipped else "")
    if not issuer:
        what = f"no issuer is known that gives out tokens for {wanted.provider}"
        raise ProblemError(Problem(what, hint=f"name it: --issuer URL; or keep a key: llm-orc auth add {wanted.provider}"))
    same = before if before and before.issuer == issuer else None
    client_id = wanted.client_id or (same.client_id if same else "")
    if not client_id:
        make = shipped.client if shipped else f"register one with {issuer}"
        raise ProblemError(Problem("llm-orc has no client of its own, so that you need one", hint=f"{make}, then: --client-id ID"))
    scopes = wanted.scopes or (same.scopes if same else ()) or (shipped.scopes if shipped else SCOPES)
    device = wanted.device if wanted.device is not None else same is not None and same.device
    return Login(issuer=issuer, client_id=client_id, scopes=scopes, device=device)


def _open(url: str, env: "Mapping[str, str]") -> None:
    """Open a browser, if there is a screen for it; it is not shown our keys, and nobody waits for it."""
    if sys.platform != "darwin" and not any(env.get(name) for name in _SCREENS):
        return
    shown = {name: value for name, value in env.items() if not names_secret(name)}
    nowhere = subprocess.DEVNULL
    call = [sys.executable, "-P", "-m", "webbrowser", url]
    subprocess.Popen(call, env=shown, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)
