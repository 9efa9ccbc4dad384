"""`llm-orc invoke`: run an ensemble on some input."""

from typing import Annotated

import typer

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.cli.complete import agent_profiles, ensembles, formats

app = new_app()
_Many = list[str]


@app.command(epilog=examples("git diff | llm-orc invoke code-review 'mind the SQL'", "llm-orc invoke summarize -f report.txt -o summary.md"))
def invoke(
    ctx: typer.Context,
    ensemble: Annotated[str, typer.Argument(metavar="ENSEMBLE", help="Its name, or the path of its file.", autocompletion=ensembles)],
    text: Annotated[str, typer.Argument(metavar="INPUT", help="What it works on; stands before files and stdin.", show_default=False)] = "",
    file: Annotated[_Many, typer.Option("--file", "-f", metavar="FILE", help="Add a file to the input. Repeatable.")] = [],  # noqa: B006
    no_stdin: Annotated[bool, typer.Option("--no-stdin", help="Do not read stdin.")] = False,
    var: Annotated[_Many, typer.Option("--var", metavar="NAME=VALUE", help="Set a variable of the ensemble. Repeatable.")] = [],  # noqa: B006
    only: Annotated[str, typer.Option("--only", metavar="A,B", help="Run only these agents, and what they depend on.")] = "",
    no_deps: Annotated[bool, typer.Option("--no-deps", help="With --only: without what they depend on.")] = False,
    profile: Annotated[
        _Many,
        typer.Option(
            "--profile",
            metavar="[AGENT=]NAME",
            help="The profile of every model agent, or of one. Repeatable.",
            autocompletion=agent_profiles,
        ),
    ] = [],  # noqa: B006
    max_parallel: Annotated[int | None, typer.Option("--max-parallel", metavar="N", min=1, help="Calls at once, at most.")] = None,
    stream: Annotated[bool, typer.Option("--stream/--no-stream", help="Print the final reply as it comes (text, markdown).")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Send nothing to other machines; skip what would. LLM_ORC_OFFLINE=1 does the same.")
    ] = False,
    fail_on: Annotated[
        str, typer.Option("--fail-on", metavar="EXPR", help="Exit 1 if this Jinja expression over the run is true.", show_default=False)
    ] = "",
    output_format: Annotated[
        str | None,
        typer.Option(
            "--output-format",
            metavar="FORMAT",
            help="rich (on a terminal), text (in a pipe), markdown, json, jsonl, or a .j2 file.",
            autocompletion=formats,
        ),
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", metavar="FILE", help="Write the result to a file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="With -o: replace the file.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say when each agent ends; in JSON, print long prompts.")] = False,
) -> int:
    """Run an ensemble on some input and print its result.

    The input is the argument, each file, then stdin when it is a pipe or a file, joined by a blank line.
    """
    from llm_orc.cli.invocation import Flags, carried_out

    flags = Flags(
        text=text,
        files=tuple(file),
        stdin=not no_stdin,
        var=tuple(var),
        only=only,
        no_deps=no_deps,
        profile=tuple(profile),
        max_parallel=max_parallel,
        stream=stream,
        offline=offline,
        fail_on=fail_on,
        output_format=output_format,
        output=output,
        force=force,
        verbose=verbose,
    )
    return carried_out(ctx.obj, ensemble, flags)
