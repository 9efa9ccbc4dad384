"""The generated part of providers.md: where each provider listens, what becomes of parameters and options, and the fault matrix."""

from collections.abc import Iterable, Sequence

from llm_orc.config.schema import described
from llm_orc.models.anthropic_wire import AnthropicOptions
from llm_orc.models.base import Options
from llm_orc.models.chat_options import ChatOptions
from llm_orc.models.embedded import EmbeddedOptions
from llm_orc.models.google_options import GoogleOptions
from llm_orc.models.ollama_call import Options as OllamaOptions
from llm_orc.models.presets import PRESETS
from tests.matrix.cells import ATTEMPTS, CELLS, FAULTS, FORMATS, RETRY_AFTER, WAYS
from tests.matrix.wire import WIRE

OPTIONS: dict[str, type[Options]] = {
    "openai-compatible, and all that speak its format": ChatOptions,
    "anthropic": AnthropicOptions,
    "google": GoogleOptions,
    "ollama": OllamaOptions,
    "embedded": EmbeddedOptions,
}


def providers() -> str:
    """All of it."""
    return "\n".join([*places(), *parameters(), *options(), *faults()])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def places() -> list[str]:
    """Where each listens, and which variables it reads."""
    rows = [
        (
            f"`{name}`",
            preset.base_url or "as `base_url` says",
            f"`{preset.listens}`" if preset.listens else "",
            f"`{preset.key}`" if preset.key else "",
            str(preset.max_parallel),
        )
        for name, preset in PRESETS.items()
    ]
    head = "provider", "address", "variable of the address", "variable of the key", "calls at once"
    return ["## Where they listen", "", *table(head, rows), ""]


def parameters() -> list[str]:
    """What each key of a profile becomes."""
    keys = next(iter(WIRE.values()))
    rows = [[f"`{key}`", *(f"`{row[key]}`" if row[key] else "not sent, a warning says so" for row in WIRE.values())] for key in keys]
    return ["## What parameters become on the wire", "", *table(["key", *WIRE], rows), ""]


def options() -> list[str]:
    """The entries of `options` that are known."""
    lines = ["## Options", "", "Known entries are checked before anything runs; all others are passed on as they are.", ""]
    for provider, schema in OPTIONS.items():
        meanings = described(schema)
        plain = ", ".join(f"`{name}`" for name, meaning in meanings.items() if not meaning)
        lines += [f"### {provider}", ""]
        lines += [f"* `{name}`: {meaning}" for name, meaning in meanings.items() if meaning]
        lines += [f"* {plain}", ""] if plain else [""]
    return lines


def faults() -> list[str]:
    """The matrix."""
    rows = [
        (
            fault.what,
            f"`{fault.kind}`",
            str(fault.requests),
            "yes" if fault.recovers else "",
            "yes" if fault.falls_back else "",
            "; ".join([f"`{fault.hint}`", *(f"{wire_format}: `{hint}`" for wire_format, hint in fault.hints.items())]),
        )
        for fault in FAULTS
    ]
    ways = "; ".join(f"{what} ({way})" for way, what in WAYS.items())
    return [
        "## When something goes wrong",
        "",
        f"{len(FORMATS)} wire formats, {len(FAULTS)} faults, each met in up to {len(WAYS)} ways, make {len(CELLS)} cells: {ways}.",
        f"A request is made again where that may help, {ATTEMPTS} in all unless `retry` says otherwise.",
        f"`Retry-After` is obeyed (here {RETRY_AFTER} s), up to an hour; without it the waits are 0.5 s and more, doubling, with jitter.",
        "",
        *table(("what goes wrong", "fails as", "requests", "a second request helps", "a fallback is asked", "the hint says"), rows),
        "",
        "An agent's own time, `timeout_seconds`, covers retries and fallbacks: nothing is tried after it. What had come is kept.",
        "",
    ]
