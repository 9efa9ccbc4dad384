"""`llm-orc config`: the settings, and where each comes from."""

from typing import TYPE_CHECKING, Annotated

import typer

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.cli.options import Json

if TYPE_CHECKING:
    from llm_orc.cli.terminal import Terminal
    from llm_orc.config.settings import Origin

app = new_app(
    help="Show the settings, and where each comes from.",
    epilog=examples("llm-orc config show --origin", "$EDITOR $(llm-orc config path)"),
)


@app.command(epilog=examples("llm-orc config show --origin", "LLM_ORC_DEFAULT_PROFILE=fast llm-orc config show --json"))
def show(
    ctx: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Say which layer and line each value comes from.")] = False,
    json: Json = False,
) -> int:
    """Show every setting with its value."""
    from llm_orc.cli.planning import warn
    from llm_orc.config.layers import read_layers
    from llm_orc.render.json import plain, to_json

    terminal: Terminal = ctx.obj
    layers = read_layers(terminal.where)
    origins = layers.settings.origins()
    if json:
        shown = {key: _document(each) if origin else each.value for key, each in origins.items()}
        terminal.answer(to_json(plain(shown), indent=2) + "\n")
    else:
        from llm_orc.cli.table import table

        rows = [(key, _value(each), *((each.layer, _place(each)) if origin else ())) for key, each in origins.items()]
        terminal.answer(table(rows, None))
    warn(terminal, layers.warnings)
    return 0


@app.command(epilog=examples("$EDITOR $(llm-orc config path)", "llm-orc config path --json"))
def path(ctx: typer.Context, json: Json = False) -> int:
    """Print the files that settings are read from, the strongest last; they need not exist."""
    from llm_orc.config.folders import BUILT_IN, layers_of
    from llm_orc.render.json import to_json

    terminal: Terminal = ctx.obj
    folders = [folder for folder in layers_of(terminal.where) if folder.layer != BUILT_IN]
    files = [(folder.layer, folder.path / "config.yaml") for folder in folders]
    if json:
        terminal.answer(to_json([{"layer": layer, "file": str(file), "exists": file.exists()} for layer, file in files], indent=2) + "\n")
    else:
        terminal.answer("".join(f"{file}\n" for _, file in files))
    return 0


def _document(origin: "Origin") -> dict[str, object]:
    return {"value": origin.value, "layer": origin.layer, "place": str(origin.place) if origin.place else None}


def _place(origin: "Origin") -> str:
    return str(origin.place) if origin.place else ""


def _value(origin: "Origin") -> str:
    from llm_orc.domain.said import text_of

    return "-" if origin.value is None else text_of(origin.value)
