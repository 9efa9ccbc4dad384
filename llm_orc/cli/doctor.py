"""`llm-orc doctor`: what works here, what does not, and what to do about it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.cli.options import Json

if TYPE_CHECKING:
    from llm_orc.cli.terminal import Terminal
    from llm_orc.domain.health import EnsembleState, Health, Key, ProfileState, Server

app = new_app()
Row = tuple[bool | None, Sequence[str]]
"""Whether it is well (None: neither well nor wrong), and its columns."""


@app.command(epilog=examples("llm-orc doctor", "llm-orc doctor --json | jq .faults"))
def doctor(ctx: typer.Context, json: Json = False) -> int:
    """Say what works here, what does not, and what to do about it.

    Every server on this machine and every provider whose key is there is asked for its models, all at once, for some seconds at most;
    nothing else is sent. Exit code 0 if the default profile can be answered, else 1.
    """
    from llm_orc.cli import unwaited
    from llm_orc.cli.health import Examination
    from llm_orc.cli.planning import warn
    from llm_orc.config.layers import read_layers

    terminal: Terminal = ctx.obj
    layers = read_layers(terminal.where)
    health = unwaited.run(Examination(terminal, layers).health())
    if json:
        from llm_orc.render.json import plain, to_json

        terminal.answer(to_json(plain(health), indent=2) + "\n")
    else:
        terminal.answer("".join(f"{line}\n" for line in _lines(terminal, health)))
    warn(terminal, layers.warnings)
    return 0 if health.ok else 1


def _lines(terminal: "Terminal", health: "Health") -> Iterator[str]:
    from llm_orc.render.safe import one_line
    from llm_orc.render.words import folded, ink

    color, width = terminal.stdout.color, terminal.stdout.width
    program = health.program
    yield one_line(f"llm-orc {program.version} on Python {program.python}  {program.file}")
    default = next((each for each in health.profiles if each.name == health.default_profile), None)
    answer = f"is answered by {default.resolved}" if default and health.ok else "cannot be answered"
    yield ink(f"the default profile '{one_line(health.default_profile)}' {one_line(answer)}", "green" if health.ok else "red", color=color)
    yield from _table("servers", (_server(each) for each in health.servers), terminal)
    yield from _table("keys", (_key(each) for each in health.keys), terminal)
    yield from _table("profiles", (_profile(each) for each in health.profiles), terminal)
    yield from _table("shipped ensembles", (_ensemble(each) for each in health.ensembles), terminal)
    rows = ((each.trusted or False, (each.layer, each.path, _folder(each))) for each in health.folders)
    yield from _table("folders", rows, terminal)
    if health.faults:
        yield ""
        yield ink("to do", "bold", color=color)
    for fault in health.faults:
        yield from folded(f"  {one_line(fault.what)}", width)
        if fault.hint:
            yield from (f"    {row.strip()}" for row in folded(ink("->", "cyan", color=color) + f" {one_line(fault.hint)}", width))


def _table(head: str, rows: "Iterable[Row]", terminal: "Terminal") -> Iterator[str]:
    """A heading and its rows, each with its state in colour; nothing where there are none."""
    from llm_orc.cli.table import table
    from llm_orc.render.words import ink

    known = list(rows)
    if not known:
        return
    color = terminal.stdout.color
    yield ""
    yield ink(head, "bold", color=color)
    lines = table((columns for _, columns in known), terminal.stdout.width, "  ").splitlines()
    styles = {None: "dim", False: "red"}
    for (well, _), line in zip(known, lines, strict=True):
        yield ink(line, styles[well], color=color) if well in styles else line


def _server(server: "Server") -> Row:
    if not server.running:
        return None, (server.provider, server.address, "", "not running" if server.local else "cannot be reached")
    speed = "" if server.milliseconds is None else f"{server.milliseconds:,.0f} ms"
    if server.models is None:
        return False, (server.provider, server.address, speed, server.cause or "")
    from llm_orc.render.words import counted, listed

    loaded = f", in memory: {listed(server.loaded)}" if server.loaded else ""
    return not server.cause, (server.provider, server.address, speed, server.cause or counted(server.models, "model") + loaded)


def _key(key: "Key") -> Row:
    shown = f"...{key.last_four}" if key.last_four else ""
    return key.works, (key.provider, key.name or "", key.origin, shown, "works" if key.works else key.cause or "")


def _profile(profile: "ProfileState") -> Row:
    from llm_orc.cli.answers import in_words

    if profile.resolved is None:
        return False, (profile.name, _written(profile), "", profile.cause or "")
    where = profile.resolved if profile.destination == profile.provider else f"{profile.resolved} at {profile.destination}"
    return profile.answers, (profile.name, where, in_words(profile.price), profile.cause or "")


def _written(profile: "ProfileState") -> str:
    return f"{profile.provider}/{profile.model}" if profile.provider else ""


def _ensemble(ensemble: "EnsembleState") -> Row:
    from llm_orc.render.words import counted, listed

    cannot = [agent for agent in ensemble.agents if not agent.runs]
    if not cannot:
        return True, (ensemble.name, f"{counted(len(ensemble.agents), 'agent')}, all can run")
    can, agents = len(ensemble.agents) - len(cannot), counted(len(ensemble.agents), "agent")
    causes = "; ".join(dict.fromkeys(agent.cause or "" for agent in cannot))
    which = f"{can} of {agents}, not {listed(agent.name for agent in cannot)}" if can else f"none of {agents}"
    return False, (ensemble.name, f"{which}: {causes}")


def _folder(folder: Any) -> str:
    return "" if folder.trusted and folder.there else "not trusted" if not folder.trusted else "not there"
