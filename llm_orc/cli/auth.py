"""`llm-orc auth`: keep keys, log in, and see which of them work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.cli.options import Json, refuse_empty
from llm_orc.domain.problem import Problem, ProblemError, nearest

if TYPE_CHECKING:
    from llm_orc.cli.terminal import Terminal
    from llm_orc.credentials.index import Kept, Store
    from llm_orc.credentials.keychain import Keychain
    from llm_orc.domain.credential import Credential
    from llm_orc.domain.message import Failure

LOCAL = ("ollama", "vllm", "llamacpp")
"""Providers that need a key only behind a proxy that asks for one."""
STRAY = {"allow_extra_args": True}
"""A word too many may be a key: the commands look themselves, and do not repeat it."""
KEYLESS = ("auto", "embedded", "cassette")


class Auth(TyperGroup):
    """The commands below `auth`; a key in the place of one is not repeated."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        from llm_orc.cli.typed import refuse_keys

        refuse_keys(args[:1])
        return super().resolve_command(ctx, args)


app = new_app(
    cls=Auth,
    help="Keep keys in the keyring or in an encrypted vault, log in, and see which of them work.",
    epilog=examples("llm-orc auth add anthropic", "llm-orc auth list"),
)
Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="As profiles say it: anthropic, google, openai, ...")]
AnyProvider = Annotated[str, typer.Argument(metavar="PROVIDER", help="All of them if left out.", show_default=False)]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="One of several; profiles say credential: NAME.", show_default=False)]
Where = Annotated[
    str, typer.Option("--store", metavar="STORE", help="keyring or vault; the keyring, where there is one.", show_default=False)
]
NoCheck = Annotated[bool, typer.Option("--no-check", help="Do not ask the provider whether it works.")]


@app.command(
    context_settings=STRAY, epilog=examples("llm-orc auth add anthropic", "pass show openai/work | llm-orc auth add openai --name work")
)
def add(ctx: typer.Context, provider: Provider, name: Name = "", store: Where = "", no_check: NoCheck = False) -> int:
    """Keep a provider's key, typed unseen or piped in.

    It never comes from an argument. The provider is asked whether it works, then it is kept, and read back. One of the same name
    is replaced.
    """
    from llm_orc.cli.typed import secret, unlock
    from llm_orc.domain.credential import Given
    from llm_orc.domain.message import Kind

    terminal, keychain = _opened(ctx, provider, name)
    _check_provider(provider)
    where = keychain.store(_store(store))
    key = secret(terminal, f"key of {provider}", f"llm-orc auth add {provider}")
    tried = Tried() if no_check else _tried(terminal, [(provider, Given("your input", key))])[0]
    if failure := tried.failure:
        if failure.kind is Kind.AUTHENTICATION:
            failure = replace(failure, hint=f"check that it is whole, and a key of {provider}")
        return _fail(terminal, failure, "nothing was kept; --no-check keeps it all the same")
    if not no_check and not tried.works:
        terminal.say(f"note: not checked, as {NOBODY_TO_ASK.format(provider=provider)}\n")
    unlock(terminal, keychain, [where])
    _say_kept(terminal, keychain, keychain.add(provider, name or None, key, where), chosen=bool(store))
    return 0


@app.command(
    context_settings=STRAY,
    epilog=examples(
        "llm-orc auth login google --client-id ID --client-secret",
        "llm-orc auth login openai-compatible --issuer URL --client-id ID --device",
    ),
)
def login(
    ctx: typer.Context,
    *,
    provider: Provider,
    name: Name = "",
    issuer: Annotated[
        str, typer.Option("--issuer", metavar="URL", help="Who gives out the tokens; google has its own.", show_default=False)
    ] = "",
    client_id: Annotated[
        str, typer.Option("--client-id", metavar="ID", help="Your client, registered with the issuer.", show_default=False)
    ] = "",
    client_secret: Annotated[bool, typer.Option("--client-secret", help="It has a secret: typed without echo, or from stdin.")] = False,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", metavar="SCOPE", help="What to ask for. Repeatable.", show_default=False)
    ] = None,
    device: Annotated[
        bool | None, typer.Option("--device/--no-device", help="Show a code to type on another device.", show_default=False)
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address; open no browser.")] = False,
    store: Where = "",
) -> int:
    """Log in with OAuth, in a browser or with a code. The tokens are kept like keys, and renewed before they end.

    What is given here is remembered: the next login needs the provider's name alone.
    """
    from llm_orc.cli.oauth import Wanted, logged_in
    from llm_orc.domain.message import FailedError

    terminal, keychain = _opened(ctx, provider, name)
    _check_provider(provider)
    where = keychain.store(_store(store))
    wanted = Wanted(provider, name or "default", issuer, client_id, tuple(scope or ()), device, client_secret, not no_browser)
    try:
        kept = logged_in(terminal, keychain, wanted, where)
    except FailedError as error:
        return _fail(terminal, error.failure)
    _say_kept(terminal, keychain, kept, chosen=bool(store))
    return 0


@app.command("list", context_settings=STRAY, epilog=examples("llm-orc auth list", "llm-orc auth list --json"))
def list_(ctx: typer.Context, json: Json = False) -> int:
    """List the keys and logins: where each comes from, and its last four characters."""
    terminal, keychain = _opened(ctx)
    entries = list(_entries(terminal, keychain))
    if json:
        _print_json(terminal, [entry.row() for entry in entries])
    elif entries:
        _print(terminal, [(*entry.cells(), f"...{entry.last_four}" if entry.last_four else "") for entry in entries])
    else:
        terminal.say("there are no keys yet; add one: llm-orc auth add PROVIDER\n")
    return 0


@app.command(context_settings=STRAY, epilog=examples("llm-orc auth remove openai", "llm-orc auth remove openai --name work"))
def remove(ctx: typer.Context, provider: Provider, name: Name = "") -> int:
    """Forget a kept key or login. It stays valid until you revoke it with the provider."""
    terminal, keychain = _opened(ctx, provider, name)
    kept = keychain.named(provider, name or "default")
    if kept is None:
        problem = _missing(keychain, provider, name or "default", "see: llm-orc auth list")
        _say_variable(terminal, provider, "is set, and goes as soon as you unset it")
        raise ProblemError(problem)
    keychain.remove(kept)
    terminal.say(f"removed {provider} from the {kept.origin}; it stays valid until you revoke it with the provider\n")
    _say_variable(terminal, provider, "is still set, and used")
    return 0


@app.command("test", context_settings=STRAY, epilog=examples("llm-orc auth test", "llm-orc auth test openai --name work"))
def asked(ctx: typer.Context, provider: AnyProvider = "", name: Name = "", json: Json = False) -> int:
    """Ask the providers whether the keys work.

    Exit code 1 if one does not.
    """
    from llm_orc.cli.typed import unlock

    terminal, keychain = _opened(ctx, provider, name)
    chosen = [each for each in _entries(terminal, keychain) if provider in ("", each.provider) and name in ("", each.name)]
    if not chosen:
        raise ProblemError(_missing(keychain, provider, name, f"add one: llm-orc auth add {provider or 'PROVIDER'}"))
    unlock(terminal, keychain, [each.kept.store for each in chosen if each.kept])
    tried = _tried(terminal, [(each.provider, each.credential) for each in chosen])
    if json:
        _print_json(terminal, [entry.row() | each.row() for entry, each in zip(chosen, tried, strict=True)])
    else:
        _print(terminal, [(*entry.cells(), each.said(entry.provider)) for entry, each in zip(chosen, tried, strict=True)])
    return 1 if any(each.failure for each in tried) else 0


NOBODY_TO_ASK = "no profile says where {provider} listens"


@dataclass(frozen=True, slots=True)
class Tried:
    """What a provider said to a key."""

    works: bool | None = None
    """None where nobody can be asked."""
    failure: "Failure | None" = None

    def said(self, provider: str) -> str:
        """For people."""
        if self.failure:
            return f"{self.failure.what}; {self.failure.hint}"
        return "works" if self.works else f"not checked: {NOBODY_TO_ASK.format(provider=provider)}"

    def row(self) -> dict[str, Any]:
        """For programs."""
        return {"works": self.works, "cause": self.failure and self.failure.what, "hint": self.failure and self.failure.hint}


@dataclass(frozen=True, slots=True)
class Entry:
    """A key or login, as it is listed."""

    provider: str
    credential: "Credential"
    last_four: str
    kept: "Kept | None" = None
    """None: it is in the environment."""

    @property
    def name(self) -> str | None:
        """By which profiles ask for it."""
        return self.kept.name if self.kept else None

    def cells(self) -> tuple[str, str, str]:
        """For people."""
        return self.provider, self.name or "", self.credential.origin

    def row(self) -> dict[str, Any]:
        """For programs."""
        store = self.kept.store if self.kept else "environment"
        issuer = self.kept.login.issuer if self.kept and self.kept.login else None
        origin = self.credential.origin
        return {
            "provider": self.provider,
            "name": self.name,
            "store": store,
            "origin": origin,
            "last_four": self.last_four,
            "issuer": issuer,
        }


def _entries(terminal: "Terminal", keychain: "Keychain") -> Iterator[Entry]:
    from pydantic import SecretStr

    from llm_orc.credentials.index import last_four
    from llm_orc.credentials.keychain import VARIABLES
    from llm_orc.domain.credential import Given

    for provider, variable in VARIABLES.items():
        if key := terminal.where.env.get(variable, "").strip():
            yield Entry(provider, Given(variable, SecretStr(key)), last_four(key))
    for kept in keychain.kept():
        yield Entry(kept.provider, keychain.credential(kept), kept.last_four, kept)


def _opened(ctx: typer.Context, provider: str = "", name: str = "") -> tuple["Terminal", "Keychain"]:
    """The terminal and the keys of its user; raises ProblemError for words that cannot be names."""
    import re

    from llm_orc.cli.typed import refuse_keys
    from llm_orc.credentials.keychain import Keychain
    from llm_orc.domain.read import NAME_PATTERN

    terminal: Terminal = ctx.obj
    refuse_keys([provider, name], ctx.args)
    refuse_empty(ctx)
    for what, word in (("provider", provider), ("name", name)):
        if word and not re.fullmatch(NAME_PATTERN, word):
            raise ProblemError(Problem(f"'{word}' is no {what}", hint="letters, digits, - and _, a letter first"))
    return terminal, Keychain(terminal.where.env, terminal.where.settings)


def _check_provider(name: str) -> None:
    """Raise ProblemError for a provider that is not there, or has no use for a key."""
    from llm_orc.credentials.keychain import VARIABLES

    if name in KEYLESS:
        raise ProblemError(Problem(f"{name} takes no key", hint="providers that take one: " + ", ".join(VARIABLES)))
    if name in VARIABLES or name in LOCAL:
        return
    from importlib.metadata import entry_points  # costs 100 ms, so only for a name that is not built in

    strangers = entry_points(group="llm_orc.providers").names
    if name not in strangers:
        known = [*VARIABLES, *LOCAL, *strangers]
        raise ProblemError(Problem(f"no provider '{name}'", hint=nearest(name, known) or f"there are: {', '.join(known)}"))


def _store(given: str) -> "Store | None":
    match given:
        case "keyring" | "vault":
            return given
        case "":
            return None
    raise ProblemError(Problem(f"no store '{given}'", hint="--store keyring or --store vault"))


def _missing(keychain: "Keychain", provider: str, name: str, hint: str) -> Problem:
    """That there is no such key, with `hint` where there is none of the provider at all; raises ProblemError for an unknown provider."""
    names = [kept.name for kept in keychain.kept() if kept.provider == provider]
    if provider and not names:
        _check_provider(provider)
    what = f"no key of {provider}" if provider else "no key"
    under = f" under the name '{name}'" if name and (names or name != "default") else ""
    return Problem(f"{what} is kept{under}", hint=f"there are: --name {' or '.join(names)}" if names else hint)


def _tried(terminal: "Terminal", credentials: "Sequence[tuple[str, Credential]]") -> list[Tried]:
    """What the providers say to each, all at once."""
    import asyncio

    from llm_orc.cli.trying import try_key
    from llm_orc.config.layers import read_layers
    from llm_orc.domain.message import FailedError, Failure, Kind

    layers = read_layers(terminal.where)

    async def tried(provider: str, credential: "Credential") -> Tried:
        try:
            return Tried(await try_key(layers, provider, credential) or None)
        except FailedError as error:
            failure = error.failure
            if failure.hint.startswith(f"check {credential.origin}: "):  # which this does
                failure = replace(failure, hint=f"make a new one with the provider, and keep it: llm-orc auth add {provider}")
            return Tried(works=False, failure=failure)
        except ProblemError as error:
            problem = error.problems[0]
            return Tried(works=False, failure=Failure(Kind.INVALID_REQUEST, f"cannot be asked: {problem.what}", problem.hint))

    async def all_tried() -> list[Tried]:
        return await asyncio.gather(*(tried(*each) for each in credentials))

    return asyncio.run(all_tried())


def _fail(terminal: "Terminal", failure: "Failure", more: str = "") -> int:
    terminal.tell([Problem(str(failure), hint="; ".join(filter(None, (failure.hint, more))))])
    return 1


def _say_kept(terminal: "Terminal", keychain: "Keychain", kept: "Kept", *, chosen: bool) -> None:
    why = f" ({keychain.why_no_keyring})" if kept.store == "vault" and not chosen else ""
    terminal.say(f"kept {kept.provider}: {kept.origin}{why}\n")
    _say_variable(terminal, kept.provider, "is set, and goes before it")


def _say_variable(terminal: "Terminal", provider: str, what: str) -> None:
    from llm_orc.credentials.keychain import VARIABLES

    variable = VARIABLES.get(provider, "")
    if terminal.where.env.get(variable, "").strip():
        terminal.say(f"note: {variable} {what}\n")


def _print(terminal: "Terminal", rows: "Sequence[Sequence[str]]") -> None:
    from llm_orc.cli.table import table

    terminal.answer(table(rows, None))


def _print_json(terminal: "Terminal", rows: "Sequence[dict[str, Any]]") -> None:
    from llm_orc.render.json import to_json

    terminal.answer(to_json({"credentials": rows}, indent=2) + "\n")
