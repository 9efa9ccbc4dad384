"""`llm-orc schema`: JSON Schemas, for editors and programs."""

from typing import Annotated, Literal, cast, get_args

import typer

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.domain.problem import Problem, ProblemError, nearest

app = new_app()
Kind = Literal["ensemble", "profile", "config"]
KINDS = (*get_args(Kind), "output")


@app.command(epilog=examples("llm-orc schema > ensemble.schema.json", "llm-orc schema output"))
def schema(
    ctx: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="ensemble, profile, config, or output: what --output-format json prints.",
            autocompletion=lambda: list(KINDS),
        ),
    ] = "ensemble",
) -> int:
    """Print the JSON Schema of a kind of file, or of the JSON output."""
    from llm_orc.render.json import to_json

    if kind == "output":
        from llm_orc.render.output_schema import output_schema

        ctx.obj.answer(to_json(output_schema(), indent=2) + "\n")
    elif kind in get_args(Kind):
        from llm_orc.config.schema import schema as written

        ctx.obj.answer(to_json(written(cast("Kind", kind)), indent=2) + "\n")
    else:
        raise ProblemError(Problem(f"no schema called '{kind}'", hint=nearest(kind, KINDS) or f"there are: {', '.join(KINDS)}"))
    return 0
