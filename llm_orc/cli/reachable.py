"""The providers that there are, and the models that they have, for `llm-orc list`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from llm_orc.app import Known
from llm_orc.cli import unwaited
from llm_orc.cli.answers import Answers, in_words
from llm_orc.cli.table import table
from llm_orc.cli.terminal import Terminal
from llm_orc.config.layers import Layers
from llm_orc.domain.health import PerMillion
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.domain.profile import AUTO, Endpoint, Profile
from llm_orc.models.base import Listed
from llm_orc.models.look import Look
from llm_orc.models.presets import PRESETS, base_url_of
from llm_orc.models.registry import BUILT_IN, ENTRY_POINTS
from llm_orc.render.json import plain, to_json

SECONDS = 2.0
INSIDE: Mapping[str, str] = {AUTO: "chooses one of the others", "embedded": "in this process, no network"}
"""What is no server."""


@dataclass(frozen=True, slots=True)
class Row:
    """A model, and what is known of it; the names are the keys of the JSON."""

    provider: str
    address: str
    model: str
    source: str
    """server, or catalogue where the server cannot be asked."""
    chat: bool
    loaded: bool | None
    context_window: int | None
    capabilities: tuple[str, ...] | None
    price: PerMillion | None

    def cells(self) -> Sequence[str]:
        """For people."""
        state = (
            "from the catalogue"
            if self.source == "catalogue"
            else ""
            if self.loaded is None
            else "in memory"
            if self.loaded
            else "not loaded"
        )
        window = f"{self.context_window:,} tokens" if self.context_window else ""
        able = ", ".join(self.capabilities or ()).replace("_", " ") if self.chat else "no chat"
        return self.provider, self.model, state, window, in_words(self.price), able


def list_providers(terminal: Terminal, layers: Layers, *, json: bool) -> int:
    """Print every provider: where it listens, and whether its key is there. Opens no socket."""
    known, strangers = Known(layers), entry_points(group=ENTRY_POINTS)
    plugins = {each.name: each.value for each in strangers}
    rows = [_provider(layers, known, name, plugins.get(name)) for name in dict.fromkeys((*sorted(BUILT_IN), *sorted(plugins)))]
    if json:
        terminal.answer(to_json({"providers": rows}, indent=2) + "\n")
    else:
        terminal.answer(table(map(_provider_cells, rows), terminal.stdout.width))
    return 0


def _provider(layers: Layers, known: Known, name: str, plugin: str | None) -> dict[str, Any]:
    preset = PRESETS.get(name)
    found = known.find(name, preset.key if preset else None)
    return {
        "name": name,
        "address": base_url_of(name, layers.where.env) if preset else None,
        "variable": preset.key if preset else None,
        "key": found is not None,
        "origin": found.origin if found else None,
        "plugin": None if name in BUILT_IN else plugin,
    }


def _provider_cells(row: Mapping[str, Any]) -> Sequence[str]:
    name = row["name"]
    preset = PRESETS.get(name)
    where = row["address"] or INSIDE.get(name) or (f"plugin {row['plugin']}" if row["plugin"] else "at a profile's base_url")
    key = f"key: {row['origin']}" if row["key"] else f"no key; export {row['variable']}=..., or llm-orc auth add {name}"
    return name, where, key if row["key"] or (preset and preset.needs_key) else ""


def list_models(terminal: Terminal, layers: Layers, provider: str, *, json: bool) -> int:
    """Print the models that servers list, and of clouds that cannot be asked those that the catalogue knows; the exit code."""
    _check(provider)
    answers = Answers(layers)
    unwaited.run(_looked(answers, provider))
    rows = [*_rows(answers, provider)]
    if json:
        terminal.answer(to_json({"models": plain(rows)}, indent=2) + "\n")
    else:
        terminal.answer(table((row.cells() for row in rows), terminal.stdout.width))
    problems = [*_problems(answers, provider)]
    terminal.tell(problems)
    return 1 if any(not problem.warning for problem in problems) else 0


def _check(provider: str) -> None:
    if provider in PRESETS or not provider:
        return
    names = {*PRESETS, *entry_points(group=ENTRY_POINTS).names}
    if provider in INSIDE:
        raise ProblemError(Problem(f"'{provider}' is no server that has models", hint=f"there are: {', '.join(sorted(names))}"))
    if provider not in names:
        raise ProblemError(Problem(f"no provider '{provider}'", hint=nearest(provider, names) or f"there are: {', '.join(sorted(names))}"))


async def _looked(answers: Answers, provider: str) -> None:
    try:
        await answers.look(lambda: SECONDS, provider=provider)
    finally:
        await answers.close()


def _rows(answers: Answers, provider: str) -> Iterator[Row]:
    listed = [look for look in answers.looks.values() if look.failure is None]
    for look in listed:
        yield from (_listed(answers, look, model) for model in look.models)
    said = {look.profile.provider for look in listed}
    for name, card in answers.known.catalog.items():
        if name not in said and provider in ("", name) and name in PRESETS:
            for model, known in card.models.items():
                if known.gone is None:
                    yield _listed(answers, Look(Profile(provider=name, model=model), Endpoint(name, "")), Listed(model))


def _listed(answers: Answers, look: Look, model: Listed) -> Row:
    profile = look.profile.model_copy(update={"model": model.name, "price": None, "context_window": None, "capabilities": None})
    card = answers.known.card(profile)
    able = card.capabilities if model.capabilities is None else model.capabilities
    return Row(
        profile.provider,
        look.endpoint.label,
        model.name,
        "server" if look.endpoint.label else "catalogue",
        model.chat,
        model.loaded,
        model.context_window or card.context_window,
        None if able is None else tuple(sorted(able)),
        answers.price(profile),
    )


def _problems(answers: Answers, provider: str) -> Iterator[Problem]:
    """Servers that cannot be asked; one on this machine that does not run only where it is meant, and no other answers."""
    looks = answers.looks.values()
    meant = bool(provider) and not any(look.failure is None for look in looks)
    failed = ((look, look.failure) for look in looks if look.failure)
    yield from (
        Problem(f"{look.profile.provider}: {failure.what}", hint=failure.hint, warning=not meant)
        for look, failure in failed
        if meant or not (look.absent and look.endpoint.local)
    )
    yield from (Problem(f"{name}: {problem.what}", hint=problem.hint, warning=not meant) for name, problem in answers.wrong.items())
