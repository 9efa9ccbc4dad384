"""`llm-orc invoke`: run an ensemble on some input."""

from typing import Annotated

import typer

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.cli.options import (
    Attach,
    Cache,
    Css,
    Ensemble,
    FailOn,
    Files,
    Force,
    Format,
    LogFile,
    MaxCost,
    MaxParallel,
    NoDeps,
    NoStdin,
    NoStore,
    Offline,
    Only,
    Output,
    Profiles,
    Split,
    Stream,
    Text,
    Var,
    Verbose,
    refuse_empty,
)

app = new_app()
_Chat = Annotated[bool, typer.Option("--chat", help="Keep the run open, and talk with the model that spoke last.")]


@app.command(
    epilog=examples("git diff | llm-orc invoke code-review 'mind the SQL'", "llm-orc invoke summarize -f report.txt -o summary.md")
)
def invoke(
    ctx: typer.Context,
    *,
    ensemble: Ensemble,
    text: Text = "",
    file: Files = [],  # noqa: B006 - typer reads it and copies it
    attach: Attach = [],  # noqa: B006
    no_stdin: NoStdin = False,
    var: Var = [],  # noqa: B006
    only: Only = "",
    no_deps: NoDeps = False,
    profile: Profiles = [],  # noqa: B006
    max_parallel: MaxParallel = "",
    max_cost: MaxCost = "",
    cache: Cache = None,
    chat: _Chat = False,
    stream: Stream = False,
    offline: Offline = False,
    fail_on: FailOn = "",
    output_format: Format = None,
    output: Output = None,
    force: Force = False,
    split: Split = None,
    css: Css = None,
    no_store: NoStore = False,
    verbose: Verbose = 0,
    log_file: LogFile = "",
) -> int:
    """Run an ensemble on the argument, each file and what stdin holds, joined by blank lines, and print its result."""
    refuse_empty(ctx)
    from llm_orc.cli.input import given_of
    from llm_orc.cli.invocation import Wanted, carried_out
    from llm_orc.cli.logs import logged
    from llm_orc.cli.planning import choices_of

    choices = choices_of(var, only, profile, no_deps=no_deps, max_parallel=max_parallel, max_cost=max_cost, cache=cache)
    wanted = Wanted(output_format, output, fail_on, force, stream, offline, bool(verbose), not no_store, css, split, chat)
    with logged(ctx.obj, log_file, verbose):
        return carried_out(ctx.obj, ensemble, choices, given_of(text, file, attach, no_stdin=no_stdin), wanted)
