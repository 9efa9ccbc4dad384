"""`llm-orc auth`: keys are typed unseen or piped in, and never seen again."""

import json
import os
import pty
import re
import signal
import socket
import sys
import termios
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.project import NewProject, Outcome, Project
from tests.servers.oauth import SECRET, OAuthServer
from tests.servers.openai import OpenAIServer

KEY = "sk-canary/7Hq+=\"'\\Zw9-and-more-wxyz"
PASSPHRASE = "canary Tr0ub4dor 8Kd"
NO_KEYRING = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", "LLM_ORC_PASSPHRASE": PASSPHRASE}
VISITOR = """
#!{python}
import os, sys, urllib.request
from pathlib import Path
Path(__file__).with_name("seen").write_text(repr(dict(os.environ)))
urllib.request.urlopen(sys.argv[1], timeout=30).read()
"""


class Auth:
    """`llm-orc auth` of somebody without a keyring."""

    def __init__(self, here: Project) -> None:
        self.here = here
        self.folder = here.home / ".config/llm-orc/credentials"
        self.said: list[Outcome] = []

    def __call__(self, *args: str, stdin: str | None = None, **env: str) -> Outcome:
        self.said.append(self.here.run("auth", *args, stdin=stdin, env=NO_KEYRING | env))
        return self.said[-1]

    def typed(self, *args: str, keys: list[tuple[str, str]], **env: str) -> Outcome:
        self.said.append(self.here.run_pty("auth", *args, keys=keys, env=NO_KEYRING | {"NO_COLOR": "1"} | env))
        return self.said[-1]

    def rows(self, **env: str) -> list[dict[str, str]]:
        listed: list[dict[str, str]] = json.loads(self("list", "--json", **env).out)["credentials"]
        return listed


@pytest.fixture
def auth(project: NewProject) -> Auth:
    return Auth(project())


# test


def test_a_provider_that_says_nothing_is_given_up(auth: Auth) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = auth("test", OPENAI_API_KEY=KEY, OPENAI_BASE_URL=f"http://127.0.0.1:{silent.getsockname()[1]}/v1")
    assert done.code == 1
    assert "did not list its models within 10 s" in done.out


# add


def test_a_key_comes_from_stdin(auth: Auth) -> None:
    done = auth("add", "openai", "--no-check", stdin=f"{KEY}\n")
    assert done == ("", "kept openai: vault (there is no keyring here)\n", 0)
    assert auth("list").out == "openai  default  vault  ...wxyz\n"


def test_a_key_is_typed_unseen(auth: Auth) -> None:
    done = auth.typed("add", "openai", "--name", "work", "--store", "vault", "--no-check", keys=[("key of openai: ", f"{KEY}\n")])
    assert (done.err, done.code) == ("key of openai: \r\nkept openai: vault (work)\r\n", 0)
    assert auth.rows()[0]["origin"] == "vault (work)"


def test_a_passphrase_is_typed_twice_for_a_new_vault_and_once_for_an_old_one(auth: Auth) -> None:
    key = ("key of openai: ", f"{KEY}\n")
    new, again, old = ("new passphrase for the vault: ", "abc\n"), ("once more: ", "abc\n"), ("passphrase of the vault: ", "abc\n")
    wrong = auth.typed("add", "openai", "--no-check", keys=[key, new, ("once more: ", "abd\n")], LLM_ORC_PASSPHRASE="")
    assert (wrong.err.splitlines()[-2:], wrong.code) == (["error: the two are not the same", "hint: start again"], 2)
    assert auth.typed("add", "openai", "--no-check", keys=[key, new, again], LLM_ORC_PASSPHRASE="").code == 0
    assert auth.typed("add", "openai", "--no-check", keys=[key, old], LLM_ORC_PASSPHRASE="").code == 0
    bad = auth.typed("add", "openai", "--no-check", keys=[key, (old[0], "no\n")], LLM_ORC_PASSPHRASE="")
    assert ("this is not the passphrase of the vault" in bad.err, bad.code) == (True, 2)
    empty = auth.typed("add", "openai", "--no-check", keys=[key, (old[0], "\n")], LLM_ORC_PASSPHRASE="")
    assert ("the passphrase is empty" in empty.err, empty.code) == (True, 2)
    assert "abc" not in "".join(outcome.err for outcome in auth.said)


def test_ctrl_d_at_the_question_gives_no_key(auth: Auth) -> None:
    done = auth.typed("add", "openai", "--no-check", keys=[("key of openai: ", "\x04")])
    assert ("no key of openai was given" in done.err, done.code) == (True, 2)


def test_ctrl_c_at_the_question_ends_it_and_shows_again_what_is_typed(auth: Auth) -> None:
    ours, theirs = pty.openpty()
    asking = auth.here.start("auth", "add", "openai", "--no-check", stdin=theirs, stdout=theirs, stderr=theirs, env=NO_KEYRING)
    try:
        assert os.read(ours, 100) == b"key of openai: "
        assert not termios.tcgetattr(theirs)[3] & termios.ECHO
        asking.send_signal(signal.SIGINT)
        assert asking.wait(30) == 130
        assert termios.tcgetattr(theirs)[3] & termios.ECHO
        os.set_blocking(ours, False)
        assert os.read(ours, 100) == b"\r\n", "the shell's prompt has a line of its own"
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("flag", [[], ["--name", "work"]])
def test_a_key_is_tried_before_it_is_kept(auth: Auth, flag: list[str]) -> None:
    with OpenAIServer(keys=[KEY]) as server:
        env = {"OPENAI_BASE_URL": server.base_url}
        wrong = auth("add", "openai", *flag, stdin="sk-canary-of-nobody-1234", **env)
        assert wrong.code == 1
        assert wrong.err.startswith("error: authentication: ")
        assert "\nhint: check that it is whole, and a key of openai; nothing was kept; " in wrong.err
        assert wrong.err.endswith("nothing was kept; --no-check keeps it all the same\n")
        assert auth.rows() == []
        assert auth("add", "openai", *flag, stdin=KEY, **env).code == 0
        assert len(auth.rows()) == 1


def test_keys_are_tested(auth: Auth) -> None:
    assert auth("add", "openai", "--name", "work", "--no-check", stdin=KEY).code == 0
    assert auth("add", "openai", "--name", "old", "--no-check", stdin="sk-canary-of-nobody-1234").code == 0
    with OpenAIServer(keys=[KEY]) as server:
        env = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY}
        done = auth("test", **env)
        assert (done.err, done.code) == ("", 1)
        ways = [re.split("  +", line)[-1] for line in done.out.splitlines()]
        assert (ways[0], ways[1], ways[2] != "works") == ("works", "works", True)
        assert auth("test", "openai", "--name", "work", **env).code == 0
        rows = json.loads(auth("test", "--json", **env).out)["credentials"]
        assert [(row["name"], row["works"], bool(row["cause"]), bool(row["hint"])) for row in rows] == [
            (None, True, False, False),
            ("work", True, False, False),
            ("old", False, True, True),
        ]
        assert not found_in("".join(each.out + each.err for each in auth.said).encode(), KEY)


def test_a_passphrase_is_asked_for_before_keys_are_tested(auth: Auth) -> None:
    auth("add", "openai", "--no-check", stdin=KEY)
    with OpenAIServer(keys=[KEY]) as server:
        env = {"OPENAI_BASE_URL": server.base_url, "LLM_ORC_PASSPHRASE": ""}
        done = auth.typed("test", keys=[("passphrase of the vault: ", f"{PASSPHRASE}\n")], **env)
        assert (done.out.split()[-1], done.code) == ("works", 0)
        alone = auth("test", **env)
        assert ("the vault needs its passphrase; set LLM_ORC_PASSPHRASE" in alone.out, alone.code) == (True, 1)


def test_a_run_asks_for_the_passphrase_of_a_key_that_it_needs(auth: Auth) -> None:
    auth("add", "openai", "--no-check", stdin=KEY)
    auth.here.write(".llm-orc/ensembles/one.yaml", "agents: [{name: a, provider: openai, model: m}]")
    with OpenAIServer({"": "in it came"}, keys=[KEY]) as server:
        env = NO_KEYRING | {"OPENAI_BASE_URL": server.base_url, "LLM_ORC_PASSPHRASE": ""}
        typed = auth.here.run_pty("invoke", "one", "hi", "--no-stdin", keys=[("passphrase of the vault: ", f"{PASSPHRASE}\n")], env=env)
        assert ("in it came" in typed.out, typed.code) == (True, 0), typed
        alone = auth.here.run("invoke", "one", "hi", env=env)
        assert ("the vault needs its passphrase" in alone.err, alone.code) == (True, 1), alone.err
        assert len(server.chats) == 1


def test_a_key_that_no_server_is_known_for_is_kept_untried(auth: Auth) -> None:
    done = auth("add", "openai-compatible", stdin=KEY)
    assert (done.code, "note: not checked, as no profile says where openai-compatible listens\n" in done.err) == (0, True)
    tested = auth("test")
    assert (tested.code, "not checked: no profile says where" in tested.out) == (0, True)
    assert auth.here.run("doctor", env=NO_KEYRING).err.count("openai-compatible") == 0


def test_a_key_is_tried_where_a_profile_of_the_users_own_says(auth: Auth) -> None:
    with OpenAIServer(keys=[KEY]) as server, OpenAIServer() as stranger:
        auth.here.write(".llm-orc/profiles/a-projects.yaml", f"provider: openai-compatible\nmodel: m\nbase_url: {stranger.base_url}\n")
        auth.here.write("~/.config/llm-orc/profiles/gateway.yaml", f"provider: openai-compatible\nmodel: m\nbase_url: {server.base_url}\n")
        wrong = auth("add", "openai-compatible", stdin="sk-some-other-key-0123")
        right = auth("add", "openai-compatible", stdin=KEY)
        tested = auth("test")

        assert (wrong.code, right.code, tested.code) == (1, 0, 0), wrong.err + right.err + tested.out
        assert "not checked" not in right.err
        assert tested.out.split()[-1] == "works"
        assert stranger.requests == []


def test_a_key_that_is_refused_is_not_sent_to_the_same_test_again(auth: Auth) -> None:
    with OpenAIServer(keys=["sk-another-key-01234567"]) as server:
        done = auth("test", OPENAI_API_KEY=KEY, OPENAI_BASE_URL=server.base_url)

    assert "llm-orc auth test" not in done.out + done.err
    assert "keep it: llm-orc auth add openai" in done.out


def test_who_has_another_key_of_a_provider_is_told_its_name(auth: Auth) -> None:
    auth("add", "openai", "--name", "work", "--no-check", stdin=KEY)
    assert auth("remove", "openai").err == "error: no key of openai is kept under the name 'default'\nhint: there are: --name work\n"


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("", "no key of openai was given"),
        (" \n", "no key of openai was given"),
        ("one two", "holds characters that none has"),
        ("sk-canary-1\nsk-canary-2", "holds characters that none has"),
        ("sk-canary-ü", "holds characters that none has"),
        ("x" * (1 << 17), "holds characters that none has"),
    ],
)
def test_what_is_no_key_is_refused(auth: Auth, given: str, what: str) -> None:
    done = auth("add", "openai", "--no-check", stdin=given)
    assert (what in done.err, done.out, done.code) == (True, "", 2)
    assert "canary" not in done.err
    assert not auth.folder.exists()


@pytest.mark.parametrize(
    "args",
    [
        ["add", "openai", KEY],
        ["add", KEY],
        ["add", "openai", "--name", KEY],
        ["add", "openai", f"--name={KEY}"],
        ["add", "openai", "--key", KEY],
        ["add", "openai", f"--key={KEY}"],
        ["add", "openai", "8a1canary" * 4],
        ["login", "google", "--client-secret", SECRET],
        ["list", KEY],
        ["remove", "openai", KEY],
        ["test", "openai", KEY],
        [KEY],
    ],
)
def test_a_key_on_the_command_line_is_refused_and_not_repeated(auth: Auth, args: list[str]) -> None:
    done = auth(*args, stdin="")
    assert (done.out, done.code) == ("", 2)
    assert "canary" not in done.err
    assert re.search(r"does not belong on the command line|no option '--key'", done.err)
    assert not auth.folder.exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["add", "opnai"], "no provider 'opnai'\nhint: did you mean 'openai'?"),
        (["add", "embedded"], "embedded takes no key"),
        (["add", "openai", "--store", "drawer"], "no store 'drawer'"),
        (["add", "openai", "--store", "keyring"], "there is no keyring here\nhint: use the vault: --store vault"),
        (["add", "openai", "--name", "a b"], "'a b' is no name"),
        (["add", "openai", "--name", ""], "--name is empty"),
        (["add"], "missing: 'PROVIDER'"),
        (["add", "openai"], "no key of openai was given\nhint: type it when asked, or pipe it in: ... | llm-orc auth add openai\n"),
        (["remove", "openai"], "no key of openai is kept\nhint: see: llm-orc auth list"),
        (["remove", "opnai"], "no provider 'opnai'\nhint: did you mean 'openai'?"),
        (["test", "opnai"], "no provider 'opnai'\nhint: did you mean 'openai'?"),
        (["test", "openai"], "no key of openai is kept\nhint: add one: llm-orc auth add openai"),
        (["test"], "no key is kept"),
        (["test", "openai", "--name", "work"], "no key of openai is kept under the name 'work'"),
        (["login", "openai"], "no issuer is known that gives out tokens for openai"),
        (["login", "google"], "llm-orc has no client of its own"),
        (["login", "openai", "--issuer", "http://example.com", "--client-id", "x"], "not safe for a login"),
    ],
)
def test_what_cannot_be_done_is_said(auth: Auth, args: list[str], words: str) -> None:
    done = auth(*args, stdin="")
    assert words in done.err
    assert (done.out, done.code) == ("", 2)


@pytest.mark.parametrize("command", ["", "add", "list", "remove", "test", "login"])
def test_the_help_ends_with_two_examples(auth: Auth, command: str) -> None:
    lines = auth(*filter(None, [command]), "--help").out.splitlines()
    assert [line.split()[:2] for line in lines[-3:]] == [["Examples:"], ["llm-orc", "auth"], lines[-1].split()[:2]]
    assert lines[-1].strip()
    assert "key here" not in lines


# list, remove


def test_the_list_says_where_each_is_and_how_it_ends(auth: Auth) -> None:
    auth("add", "openai", "--name", "work", "--no-check", stdin=KEY)
    auth("add", "anthropic", "--no-check", stdin="short")
    env = {"GEMINI_API_KEY": "AIza-canary-0123456789-qrst"}
    assert auth("list", **env).out.splitlines() == [
        "google              GEMINI_API_KEY  ...qrst",
        "openai     work     vault (work)    ...wxyz",
        "anthropic  default  vault",
    ]
    assert auth.rows(**env)[0] == {
        "provider": "google",
        "name": None,
        "store": "environment",
        "origin": "GEMINI_API_KEY",
        "last_four": "qrst",
        "issuer": None,
    }
    assert auth("remove", "openai", "--name", "work", OPENAI_API_KEY="sk-1").err.splitlines() == [
        "removed openai from the vault (work); it stays valid until you revoke it with the provider",
        "note: OPENAI_API_KEY is still set, and used",
    ]
    assert [row["provider"] for row in auth.rows()] == ["anthropic"]


def test_a_list_of_nothing_says_how_to_add_one(auth: Auth) -> None:
    assert auth("list") == ("", "there are no keys yet; add one: llm-orc auth add PROVIDER\n", 0)
    assert auth.rows() == []


def test_a_key_in_the_environment_goes_before(auth: Auth) -> None:
    assert "note: OPENAI_API_KEY is set, and goes before it" in auth("add", "openai", "--no-check", stdin=KEY, OPENAI_API_KEY="sk-1").err


def test_a_broken_vault_is_a_problem(auth: Auth) -> None:
    auth("add", "openai", "--no-check", stdin=KEY)
    (auth.folder / "vault.json").write_text("{")
    done = auth("add", "openai", "--no-check", stdin=KEY)
    assert (f"{auth.folder}/vault.json: is broken or cut short" in done.err, done.code) == (True, 2)


# login


@pytest.fixture
def browser(auth: Auth) -> dict[str, str]:
    visitor = auth.here.write("~/visitor/visit", VISITOR[1:].format(python=sys.executable))
    return {"BROWSER": str(visitor)}


def test_a_login_in_a_browser_is_kept_and_remembered(auth: Auth, browser: dict[str, str]) -> None:
    with OAuthServer(secret=SECRET) as server:
        flags = ["--issuer", server.origin, "--client-id", "us", "--client-secret"]
        done = auth("login", "google", *flags, stdin=SECRET, ANTHROPIC_API_KEY=KEY, **browser)
        assert (done.out, done.code) == ("", 0)
        assert done.err.startswith(f"log in here, in a browser on this machine:\n  {server.origin}/authorize?")
        assert done.err.endswith("\nkept google: login, vault (there is no keyring here)\n")
        assert "generative-language" in done.err
        assert auth.rows()[0]["issuer"] == server.origin
        assert auth("login", "google", **browser).code == 0
        assert server.grants == ["authorization_code"] * 2
        seen = (auth.here.home / "visitor/seen").read_text()
        assert "BROWSER" in seen
        assert not found_in(seen.encode(), KEY, PASSPHRASE)


def test_a_login_with_a_code(auth: Auth) -> None:
    with OAuthServer(device=["authorization_pending"]) as server:
        done = auth("login", "openai", "--name", "work", "--issuer", server.origin, "--client-id", "us", "--device", "--scope", "models")
        assert done.err == (
            f"on any device, open {server.origin}/type and type: ABCD-EFGH\nkept openai: login, vault (work) (there is no keyring here)\n"
        )
        assert auth("login", "openai", "--name", "work").code == 0
        assert [request.body.decode() for request in server.requests if request.path == "/device"] == ["client_id=us&scope=models"] * 2


def test_a_login_that_is_refused_keeps_nothing(auth: Auth) -> None:
    with OAuthServer(device=["access_denied"]) as server:
        done = auth("login", "openai", "--issuer", server.origin, "--client-id", "us", "--device")
        assert done.err.splitlines()[1:] == [
            f"error: authentication: {server.origin[7:]} refused the login: access_denied",
            "hint: log in again and agree",
        ]
        assert done.code == 1
        assert auth.rows() == []


# No key ever


def forms(secret: str) -> Iterator[bytes]:
    """How a secret may be written: in pieces, in JSON, in an address, in base64 wherever it may begin."""
    for written in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret), quote(secret, safe="")):
        yield from (written[start : start + 8].encode() for start in range(len(written) - 7))
    for skipped in range(3):
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(secret.encode()[skipped : skipped + (len(secret) - skipped) // 3 * 3])[:-4]


def found_in(content: bytes, *secrets: str) -> list[bytes]:
    return [form for secret in secrets for form in forms(secret) if form in content]


def everything(auth: Auth) -> dict[str, bytes]:
    """All that was said, and all that was written."""
    said = {
        f"{number} {name}": text.encode() for number, each in enumerate(auth.said) for name, text in (("out", each.out), ("err", each.err))
    }
    return said | {str(path): path.read_bytes() for path in auth.here.home.rglob("*") if path.is_file()}


@pytest.fixture
def used(auth: Auth) -> Auth:
    """Somebody who did everything, and much of it wrong."""
    debug = {"LLM_ORC_DEBUG": "1", "ANTHROPIC_API_KEY": KEY}
    auth("add", "openai", "--no-check", stdin=KEY, **debug)
    auth.typed("add", "openrouter", "--no-check", keys=[("key of openrouter: ", f"{KEY}\n")])
    auth("add", "google", "--no-check", stdin=f"{KEY}\n{KEY}", **debug)
    auth("add", "openai", KEY, stdin=KEY, **debug)
    auth("add", "openai", "--name", "work", "--no-check", stdin=KEY, LLM_ORC_PASSPHRASE=f"not {PASSPHRASE}")
    with OAuthServer(secret=SECRET, device=["authorization_pending"]) as server:
        flags = ["--issuer", server.origin, "--client-id", "us", "--device"]
        auth("login", "google", *flags, "--client-secret", stdin=SECRET, **debug)
        auth("login", "google", "--name", "bad", *flags, "--client-secret", stdin=KEY, **debug)
        given = [server.access, *server.refreshable]
    assert "".join(given).count("canary") == 2
    auth("list", **debug)
    auth("list", "--json", **debug)
    auth("remove", "openrouter", **debug)
    return auth


TOKENS = ("access-1-canary/+=", "refresh-1-canary/+=")


def test_no_key_is_in_anything_that_is_said_or_written(used: Auth) -> None:
    assert [outcome.code for outcome in used.said] == [0, 0, 2, 2, 2, 0, 1, 0, 0, 0]
    content = everything(used)
    assert any(name.endswith("vault.json") for name in content)
    assert {name: found for name, text in content.items() if (found := found_in(text, KEY, PASSPHRASE, SECRET, *TOKENS))} == {}


@pytest.mark.parametrize("encode", [str, repr, json.dumps, quote, lambda key: b64encode(f"ab{key}c".encode()).decode()])
@pytest.mark.parametrize("channel", ["out", "err", "keys.json", "vault.json", "new"])
def test_a_leak_would_be_found(auth: Auth, channel: str, encode: type[str]) -> None:
    leak = f"see {encode(KEY)}"
    auth.folder.mkdir(parents=True)
    match channel:
        case "out" | "err":
            auth.said.append(Outcome(leak if channel == "out" else "", leak if channel == "err" else "", 0))
        case _:
            Path(auth.folder / channel).write_text(leak)
    assert [name.rpartition("/")[2].split()[-1] for name, text in everything(auth).items() if found_in(text, KEY)] == [channel]
