"""`llm-orc runs resume`: go on with a run that was cut short, or ask again what failed in it."""

from typing import Annotated

import typer

from llm_orc.cli.complete import runs
from llm_orc.cli.options import Css, FailOn, Force, Format, LogFile, MaxCost, Output, Stream, Verbose, refuse_empty

EXAMPLES = "llm-orc runs resume last", "llm-orc runs resume 20261121-1 --max-cost 2.50 -o report.md"
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Its id, the beginning of one, last, or last~1.", autocompletion=runs)]
Again = Annotated[bool, typer.Option("--again", help="Begin a new run of the same plan and input.")]
Offline = Annotated[
    bool | None,
    typer.Option("--offline/--no-offline", help="Send nothing to other machines; as the run was begun, if left out.", show_default=False),
]


def resume(
    ctx: typer.Context,
    *,
    run: RunId,
    again: Again = False,
    max_cost: MaxCost = "",
    stream: Stream = False,
    offline: Offline = None,
    fail_on: FailOn = "",
    output_format: Format = None,
    output: Output = None,
    force: Force = False,
    css: Css = None,
    verbose: Verbose = 0,
    log_file: LogFile = "",
) -> int:
    """Go on with a run as it was planned, on the input that it had.

    What has succeeded is not repeated; what failed, was skipped or was cut off is decided again. Of a run that is whole the result is
    printed again. Scripts are run as they are now, all else is as it was when the run began; what has changed since is said.
    """
    refuse_empty(ctx)
    from llm_orc.cli.invocation import Wanted
    from llm_orc.cli.logs import logged
    from llm_orc.cli.planning import choices_of
    from llm_orc.cli.resuming import Asked, resumed

    dollars = choices_of([], "", [], no_deps=False, max_parallel="", max_cost=max_cost).max_cost
    wanted = Wanted(output_format, output, fail_on, force=force, stream=stream, offline=bool(offline), verbose=bool(verbose), css=css)
    with logged(ctx.obj, log_file, verbose):
        return resumed(ctx.obj, Asked(run, wanted, dollars, offline, again))
