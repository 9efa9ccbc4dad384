"""`llm-orc continue`: say something to the model that spoke last in a run, or at any of its nodes."""

from typing import Annotated

import typer

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.cli.complete import nodes, profiles, runs
from llm_orc.cli.options import Attach, Css, Files, Force, Format, LogFile, MaxCost, NoStdin, Output, Stream, Verbose, refuse_empty

app = new_app()
_Run = Annotated[str, typer.Argument(metavar="RUN", help="Its id, the beginning of one, or last.", autocompletion=runs)]
_Text = Annotated[str, typer.Argument(metavar="TEXT", help="What is said; stands before files and stdin.", show_default=False)]
_After = Annotated[
    list[str],
    typer.Option("--after", metavar="NODE", help="Go on from this node, not from the last. Repeatable.", autocompletion=nodes),
]
_Profile = Annotated[
    str, typer.Option("--profile", metavar="NAME", help="Answered by this profile.", autocompletion=profiles, show_default=False)
]
_Offline = Annotated[bool, typer.Option("--offline", help="Send nothing to other machines. LLM_ORC_OFFLINE=1 does the same.")]


@app.command(
    "continue", epilog=examples("llm-orc continue last 'and what about the tests?'", "llm-orc continue last --after security -f new.py")
)
def continue_(
    ctx: typer.Context,
    *,
    run: _Run,
    text: _Text = "",
    file: Files = [],  # noqa: B006 - typer reads it and copies it
    attach: Attach = [],  # noqa: B006
    no_stdin: NoStdin = False,
    after: _After = [],  # noqa: B006
    profile: _Profile = "",
    max_cost: MaxCost = "",
    stream: Stream = False,
    offline: _Offline = False,
    output_format: Format = None,
    output: Output = None,
    force: Force = False,
    css: Css = None,
    verbose: Verbose = 0,
    log_file: LogFile = "",
) -> int:
    """Go on with a run by hand, and print the reply.

    The model that spoke last answers, in its role, and is told what was said before. With --after it is the model of that node, and the
    run gets a branch. What was said, and the reply, are kept in the run.
    """
    refuse_empty(ctx)
    from llm_orc.cli.continuing import Asked, continued
    from llm_orc.cli.input import given_of
    from llm_orc.cli.invocation import Wanted
    from llm_orc.cli.logs import logged
    from llm_orc.cli.planning import choices_of

    dollars = choices_of([], "", [], no_deps=False, max_parallel="", max_cost=max_cost).max_cost
    wanted = Wanted(output_format, output, "", force, stream, offline, bool(verbose), keep=True, css=css)
    given = given_of(text, file, attach, no_stdin=no_stdin)
    with logged(ctx.obj, log_file, verbose):
        return continued(ctx.obj, Asked(run, tuple(after), profile or None, dollars), given, wanted)
