"""Logins against an issuer of our own, over true HTTP: PKCE, device code, renewal."""

import asyncio
import json
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from llm_orc.credentials import tokens
from llm_orc.credentials.index import Login
from llm_orc.credentials.issuer import discovered
from llm_orc.credentials.keychain import Keychain
from llm_orc.credentials.login import Way, in_browser, with_code
from llm_orc.domain.credential import Credential
from llm_orc.domain.message import NO_USAGE, FailedError, Kind
from llm_orc.domain.problem import ProblemError
from tests.credentials.conftest import Desktop, NewKeychain
from tests.servers.oauth import SECRET, OAuthServer
from tests.servers.wire import LONGEST_WAIT, Gate, ThreadServer

LIVES = 3600


@dataclass(slots=True)
class Clock:
    """Time that passes when a test says so."""

    time: float = 1_000_000.0
    waited: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.time += seconds


@dataclass(slots=True)
class Person:
    """Somebody with a browser."""

    shown: list[str] = field(default_factory=list)
    visits: list[Thread] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    detour: Callable[[str], None] | None = None
    """What comes to the redirect before the browser does."""

    def open(self, url: str) -> None:
        self.visits.append(Thread(target=self._visit, args=(url,)))
        self.visits[-1].start()

    def _visit(self, url: str) -> None:
        if self.detour is not None:
            self.detour(parse_qs(urlsplit(url).query)["redirect_uri"][0])
        with urllib.request.urlopen(url, timeout=LONGEST_WAIT) as page:
            self.pages.append(page.read().decode())


def client(server: OAuthServer, *, basic: bool = False) -> tokens.Client:
    return tokens.Client("us", server.secret, f"{server.origin}/token", basic)


def way(server: OAuthServer, person: Person, clock: Clock | None = None, **more: Any) -> Way:
    clock, scopes = clock or Clock(), ("models", "offline_access")
    return Way(client(server), scopes, person.shown.append, person.open, seconds=LONGEST_WAIT, now=clock.now, wait=clock.wait, **more)


@contextmanager
def failing(kind: Kind, words: str) -> Iterator[None]:
    with pytest.raises(FailedError, match=words) as failed:
        yield
    assert (failed.value.failure.kind, failed.value.usage) == (kind, NO_USAGE)
    assert "canary" not in f"{failed.value} {failed.value.failure!r}"


# In a browser


@pytest.mark.parametrize("secret", ["", SECRET])
def test_a_login_in_a_browser(secret: str) -> None:
    with OAuthServer(secret=secret) as server:
        person, clock = Person(), Clock()
        given = in_browser(discovered(server.origin), way(server, person, clock, extra={"access_type": "offline"}))
        person.visits[0].join()
        assert (given.access, given.ends_at - clock.time, given.renew_at - clock.time) == (server.access, LIVES, LIVES - 60)
        query = parse_qs(urlsplit(person.shown[0].split()[-1]).query)
        assert query["redirect_uri"][0].startswith("http://127.0.0.1:")
        assert query["scope"] == ["models offline_access"]
        assert query["access_type"] == ["offline"]
        assert "may be closed" in person.pages[0]
        assert "canary" not in person.shown[0] + person.pages[0] + repr(given)


def test_an_issuer_that_wants_the_secret_in_the_header_gets_it_there() -> None:
    says = {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}
    with OAuthServer(secret=SECRET, says=says) as server:
        issuer = discovered(server.origin)
        assert issuer.basic
        person = Person()
        chosen = replace(way(server, person), client=client(server, basic=True))
        assert in_browser(issuer, chosen).access == server.access
        asked = server.requests[-1]
        assert asked.headers["authorization"].startswith("Basic ")
        assert b"canary-of-the-client" not in asked.body


def test_a_stranger_at_the_redirect_changes_nothing() -> None:
    answers: list[int] = []

    def strangers(redirect: str) -> None:
        parts = urlsplit(redirect)
        visits = {
            "/favicon.ico": {},
            f"{parts.path}?code=evil&state=guessed": {},
            f"{parts.path}?code=evil": {},
            f"{parts.path}?code=evil&state=a&state=b": {},
            parts.path: {"Host": "evil.example"},
        }
        for target, headers in visits.items():
            visit = HTTPConnection(str(parts.hostname), parts.port, timeout=LONGEST_WAIT)
            visit.request("GET", target, headers=headers)
            answers.append(visit.getresponse().status)
            visit.close()

    with OAuthServer() as server:
        person = Person(detour=strangers)
        assert in_browser(discovered(server.origin), way(server, person)).access == server.access
        assert answers == [404] * 5


def test_a_visitor_who_says_nothing_keeps_nobody_waiting() -> None:
    silent: list[socket.socket] = []

    def stranger(redirect: str) -> None:
        parts = urlsplit(redirect)
        silent.append(socket.create_connection((str(parts.hostname), parts.port)))

    with OAuthServer() as server:
        person = Person(detour=stranger)
        assert in_browser(discovered(server.origin), way(server, person)).access == server.access
        with silent[0] as visitor:
            visitor.settimeout(0)
            with pytest.raises(BlockingIOError):  # it was let in first, and is still waited for
                visitor.recv(1)


def test_a_code_that_is_not_for_this_host_is_refused_even_with_the_right_state() -> None:
    with OAuthServer() as server:
        answers: list[int] = []

        def rebound(url: str) -> None:
            query = parse_qs(urlsplit(url).query)
            parts = urlsplit(query["redirect_uri"][0])
            visit = HTTPConnection(str(parts.hostname), parts.port, timeout=LONGEST_WAIT)
            visit.request("GET", f"{parts.path}?code=evil&state={query['state'][0]}", headers={"Host": "evil.example"})
            answers.append(visit.getresponse().status)
            visit.close()

        person = Person()

        def both(url: str) -> None:
            rebound(url)
            person.open(url)

        chosen = replace(way(server, person), open=lambda url: Thread(target=both, args=(url,)).start())
        assert in_browser(discovered(server.origin), chosen).access == server.access
        assert answers == [404]


def test_nobody_who_logs_in_is_a_timeout() -> None:
    with OAuthServer() as server, failing(Kind.TIMEOUT, "nobody logged in"):
        in_browser(discovered(server.origin), replace(way(server, Person()), open=None, seconds=0.0))


def test_who_does_not_agree_is_not_logged_in() -> None:
    with OAuthServer(denies=True) as server, failing(Kind.AUTHENTICATION, "refused the login: access_denied"):
        in_browser(discovered(server.origin), way(server, Person()))


def test_a_redirect_of_another_issuer_is_refused() -> None:
    with OAuthServer() as server:
        issuer = discovered(server.origin)
        person = Person()

        def mixed_up(url: str) -> None:
            query = parse_qs(urlsplit(url).query)
            back = f"{query['redirect_uri'][0]}?code=x&state={query['state'][0]}&iss=https%3A%2F%2Fother.example"
            Thread(target=lambda: urllib.request.urlopen(back, timeout=LONGEST_WAIT).close()).start()

        with failing(Kind.PERMISSION, "somebody else than the issuer"):
            in_browser(issuer, replace(way(server, person), open=mixed_up))
        assert server.grants == []


def test_a_client_that_is_refused_is_told_without_what_was_sent() -> None:
    with OAuthServer(secret="another") as server:
        chosen = replace(way(server, Person()), client=tokens.Client("us", SECRET, f"{server.origin}/token"))
        with failing(Kind.AUTHENTICATION, "refused the login: invalid_client"):
            in_browser(discovered(server.origin), chosen)


# With a code


def test_a_login_with_a_code() -> None:
    with OAuthServer(device=["authorization_pending", "slow_down", "authorization_pending"], interval=2) as server:
        person, clock = Person(), Clock()
        given = with_code(discovered(server.origin), way(server, person, clock))
        assert given.access == server.access
        assert person.shown == [f"on any device, open {server.origin}/type and type: ABCD-EFGH\n"]
        assert clock.waited == [2, 2, 7, 7]
        assert b"scope=models+offline_access" in next(request.body for request in server.requests if request.path == "/device")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        ("expired_token", Kind.TIMEOUT, "nobody typed the code in time"),
        ("access_denied", Kind.AUTHENTICATION, "refused the login: access_denied"),
        ("x" * 100, Kind.AUTHENTICATION, "refused the login: status 400"),
    ],
)
def test_a_code_that_is_refused(error: str, kind: Kind, words: str) -> None:
    with OAuthServer(device=["authorization_pending", error]) as server, failing(kind, words):
        with_code(discovered(server.origin), way(server, Person()))


@pytest.mark.parametrize("key", ["user_code", "verification_uri"])
@pytest.mark.parametrize("shown", ["\x1b]0;owned\x07", "A\nhint: send it to me", "\u202eBA", "\ud800"])
def test_a_code_that_would_drive_the_terminal_is_not_shown(key: str, shown: str) -> None:
    code = {"device_code": "device-1", "user_code": "AB", "verification_uri": "https://x.test", key: shown}
    person = Person()
    with OAuthServer(refusals={"/device": (200, code)}) as server, failing(Kind.MALFORMED, f"answered without {key}"):
        with_code(discovered(server.origin), way(server, person))
    assert not person.shown


def test_a_code_that_nobody_types_ends() -> None:
    with OAuthServer(device=["authorization_pending"] * 1000, interval=100) as server:
        clock = Clock()
        with failing(Kind.TIMEOUT, "nobody typed the code in time"):
            with_code(discovered(server.origin), way(server, Person(), clock))
        assert clock.waited == [100] * 6


def test_an_issuer_in_trouble_is_asked_again_later() -> None:
    with OAuthServer(device=["authorization_pending"], interval=1) as server:
        clock = Clock()
        server.refusals["urn:ietf:params:oauth:grant-type:device_code"] = (503, {})

        def wait(seconds: float) -> None:
            clock.wait(seconds)
            if len(clock.waited) == 3:
                server.refusals.clear()

        with_code(discovered(server.origin), replace(way(server, Person(), clock), wait=wait))
        assert clock.waited == [1, 6, 11, 11]


def test_an_issuer_without_the_way_that_is_wanted_says_so() -> None:
    with OAuthServer() as server:
        description = dict(server.description)
        for way_of, key in ((with_code, "device_authorization_endpoint"), (in_browser, "authorization_endpoint")):
            server.refusals = {"/.well-known/openid-configuration": (200, {k: v for k, v in description.items() if k != key})}
            with failing(Kind.INVALID_REQUEST, "has no login"):
                way_of(discovered(server.origin), way(server, Person()))


# What an issuer says of itself


@pytest.mark.parametrize(
    ("says", "kind", "words"),
    [
        ({"issuer": "https://evil.example"}, Kind.PERMISSION, "says that it is another issuer"),
        ({"token_endpoint": 5}, Kind.MALFORMED, "answered without token_endpoint"),
        ({"authorization_endpoint": "https://x.test/\x1b[2J"}, Kind.MALFORMED, "answered without authorization_endpoint"),
        ({"code_challenge_methods_supported": ["plain"]}, Kind.INVALID_REQUEST, "knows no PKCE"),
    ],
)
def test_a_description_that_cannot_be_trusted(says: dict[str, Any], kind: Kind, words: str) -> None:
    with OAuthServer(says=says) as server, failing(kind, words):
        discovered(server.origin)


@pytest.mark.parametrize("key", ["token_endpoint", "authorization_endpoint", "device_authorization_endpoint"])
@pytest.mark.parametrize("url", ["http://example.test/token", "ftp://127.0.0.1/", "javascript:alert(1)"])
def test_an_endpoint_that_others_can_listen_to_is_refused(key: str, url: str) -> None:
    with OAuthServer(says={key: url}) as server, pytest.raises(ProblemError, match="is not safe for a login"):
        discovered(server.origin)


@pytest.mark.parametrize("url", ["http://accounts.example.com", "accounts.example.com", "https://me:pw@x.test", "http://[::1", ""])
def test_an_issuer_that_is_not_safe_is_not_asked(url: str) -> None:
    with pytest.raises(ProblemError, match=r"not safe|no address"):
        discovered(url)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((200, "<html>"), Kind.MALFORMED),
        ((200, []), Kind.MALFORMED),
        ((200, "[" * 200_000), Kind.MALFORMED),
        ((404, {"error": "not_found"}), Kind.NOT_FOUND),
        ((302, ""), Kind.MALFORMED),
        ((500, ""), Kind.SERVER),
        ((429, ""), Kind.RATE_LIMIT),
    ],
)
def test_what_is_no_issuer(answer: tuple[int, Any], kind: Kind) -> None:
    with OAuthServer(refusals={"/.well-known/openid-configuration": answer}) as server, failing(kind, "127.0.0.1"):
        discovered(server.origin)


def test_an_issuer_that_is_not_there() -> None:
    with failing(Kind.NETWORK, "cannot be reached"):
        discovered("http://127.0.0.1:9")


# Renewal


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A keychain with a login in it, a clock, and a way to open it anew."""

    server: OAuthServer
    clock: Clock
    new: NewKeychain

    def open(self) -> Credential:
        return opened(self.new(now=self.clock.now))


def opened(keychain: Keychain) -> Credential:
    found = keychain.find("google", "GEMINI_API_KEY")
    assert found is not None
    return found


def secret(credential: Credential) -> str:
    async def ask() -> str:
        return (await credential.secret()).get_secret_value()

    return asyncio.run(ask())


@contextmanager
def login(keychain: NewKeychain, **more: Any) -> Iterator[LoggedIn]:
    with OAuthServer(**more) as server:
        clock, person = Clock(), Person()
        given = in_browser(discovered(server.origin), way(server, person, clock))
        keychain().add_login("google", None, Login(issuer=server.origin, client_id="us"), given)
        yield LoggedIn(server, clock, keychain)


@pytest.mark.parametrize("seconds", [0, LIVES - 61])
def test_a_token_that_lives_is_not_renewed(keychain: NewKeychain, desktop: Desktop, seconds: int) -> None:
    with login(keychain) as known:
        known.clock.time += seconds
        credential = known.open()
        assert (secret(credential), credential.oauth, credential.origin) == (known.server.access, True, "login, keyring")
        assert known.server.grants == ["authorization_code"]


def test_a_token_is_renewed_a_minute_before_it_ends_and_the_new_one_is_kept(keychain: NewKeychain, desktop: Desktop) -> None:
    with login(keychain, secret=SECRET) as known:
        credential = known.open()
        first = secret(credential)
        for _ in range(3):
            known.clock.time += LIVES - 60
            assert secret(credential) == known.server.access != first
            assert secret(known.open()) == known.server.access
        assert known.server.grants == ["authorization_code", *["refresh_token"] * 3]


def test_a_refresh_token_that_stays_is_used_again(keychain: NewKeychain, desktop: Desktop) -> None:
    with login(keychain) as known:
        known.server.refusals["refresh_token"] = (200, {"access_token": "another", "expires_in": 100})
        known.clock.time += LIVES
        assert secret(known.open()) == "another"
        del known.server.refusals["refresh_token"]
        known.clock.time += 100
        assert secret(known.open()) == known.server.access


def test_a_short_life_is_not_renewed_at_every_call(keychain: NewKeychain, desktop: Desktop) -> None:
    with login(keychain, lives=60) as known:
        credential = known.open()
        known.clock.time += 29
        secret(credential)
        assert known.server.grants == ["authorization_code"]
        known.clock.time += 1
        secret(credential)
        assert known.server.grants[1:] == ["refresh_token"]


@pytest.mark.parametrize("lives", ["NaN", "Infinity", "1e999", f"1{'0' * 400}", '"nan"', '"soon"', "null", "[]"])
def test_a_life_that_is_no_number_of_seconds_is_taken_for_the_usual_one(keychain: NewKeychain, desktop: Desktop, lives: str) -> None:
    with login(keychain) as known:
        known.server.refusals["refresh_token"] = (200, f'{{"access_token": "another", "expires_in": {lives}}}')
        known.clock.time += LIVES
        assert secret(known.open()) == "another"
        known.clock.time += LIVES - 61
        assert secret(known.open()) == "another"
        del known.server.refusals["refresh_token"]
        known.clock.time += 1
        assert secret(known.open()) == known.server.access


def test_agents_in_parallel_renew_it_once(keychain: NewKeychain, desktop: Desktop) -> None:
    gate = Gate()
    with login(keychain) as known:
        known.server.gate = gate
        known.clock.time += LIVES
        credentials = [known.open(), known.open()]  # as two runs in one process, or two processes, have them

        async def agents(credential: Credential) -> set[str]:
            return {each.get_secret_value() for each in await asyncio.gather(*(credential.secret() for _ in range(50)))}

        answers: list[set[str]] = []
        threads = [Thread(target=lambda each=each: answers.append(asyncio.run(agents(each)))) for each in credentials for _ in range(2)]
        for thread in threads:
            thread.start()
        gate.wait_for(1)
        gate.release()
        for thread in threads:
            thread.join()
        assert answers == [{known.server.access}] * 4
        assert known.server.grants == ["authorization_code", "refresh_token"]


def test_a_login_that_is_not_renewed_any_more_says_how_to_log_in(keychain: NewKeychain, desktop: Desktop) -> None:
    with login(keychain) as known:
        known.server.refreshable.clear()
        known.clock.time += LIVES
        with pytest.raises(FailedError) as failed:
            secret(known.open())
        assert (failed.value.failure.kind, failed.value.failure.hint) == (Kind.AUTHENTICATION, "llm-orc auth login google")
        assert failed.value.failure.what.endswith("does not renew the login: invalid_grant")
        assert "canary" not in str(failed.value)


@pytest.mark.parametrize(("answer", "kind"), [((503, ""), Kind.SERVER), ((200, "<html>"), Kind.MALFORMED), ((429, ""), Kind.RATE_LIMIT)])
def test_trouble_with_a_renewal_ends_no_token_that_still_lives(
    keychain: NewKeychain, desktop: Desktop, answer: tuple[int, Any], kind: Kind
) -> None:
    with login(keychain) as known:
        token = known.server.access
        known.server.refusals["refresh_token"] = answer
        known.clock.time += LIVES - 30
        assert secret(known.open()) == token
        known.clock.time += 30
        with pytest.raises(FailedError) as failed:
            secret(known.open())
        assert failed.value.failure.kind is kind


def test_a_login_that_cannot_be_renewed_ends(keychain: NewKeychain, desktop: Desktop) -> None:
    with login(keychain) as known:
        place = ("llm-orc", "google/default")
        desktop.entries[place] = json.dumps({**json.loads(desktop.entries[place]), "refresh": ""})
        known.clock.time += LIVES
        with pytest.raises(FailedError, match="gave no way to renew it"):
            secret(known.open())


@pytest.mark.parametrize("kept", ["", "{}", "[]", '{"client": {}}'])
def test_a_broken_login_says_so(keychain: NewKeychain, desktop: Desktop, kept: str) -> None:
    with login(keychain) as known:
        desktop.entries["llm-orc", "google/default"] = kept
        with pytest.raises(FailedError, match="the kept login is broken"):
            secret(known.open())


def test_the_tokens_go_where_they_came_from_and_nowhere_else(keychain: NewKeychain, tmp_path: Path) -> None:
    """The index is no secret, so that it decides nothing about where secrets go."""
    with login(keychain) as known, ThreadServer() as other:
        index = tmp_path / "credentials/keys.json"
        index.write_text(index.read_text().replace(known.server.origin, other.origin))
        known.clock.time += LIVES
        assert secret(known.open()) == known.server.access
        assert other.requests == []
