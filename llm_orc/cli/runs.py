"""`llm-orc runs`: the runs that are kept."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from llm_orc.cli.commands import app as new_app
from llm_orc.cli.commands import examples
from llm_orc.cli.complete import artifacts, ensembles, formats, nodes, runs
from llm_orc.cli.options import Css, Force, Json, Split, refuse_beside, refuse_empty
from llm_orc.cli.resume import EXAMPLES, resume

if TYPE_CHECKING:
    from llm_orc.cli.terminal import Terminal

app = new_app(
    help="List, show and draw the runs that are kept. RUN is an id, the beginning of one, last, or last~1 for the one before.",
    epilog=examples("llm-orc runs list --status failed --since 2d", "llm-orc runs show last"),
)
STATES = ("running", "succeeded", "partial", "failed", "cancelled")
Run = Annotated[str, typer.Argument(metavar="RUN", help="Its id, the beginning of one, last, or last~1.", autocompletion=runs)]
Agent = Annotated[
    str,
    typer.Option("--agent", metavar="NAME", help="Of this node: agent, agent[3] or agent/child.", autocompletion=nodes, show_default=False),
]
Artifact = Annotated[
    str,
    typer.Option(
        "--artifact",
        metavar="NAME",
        help="A file that a script or command left, as it is: > FILE.",
        autocompletion=artifacts,
        show_default=False,
    ),
]
Limit = Annotated[str, typer.Option("--limit", metavar="N", help="So many lines at most.")]
Offset = Annotated[str, typer.Option("--offset", metavar="N", help="Leave out the first N lines.")]
NODE_STATES = ("pending", "running", "succeeded", "failed", "skipped", "cancelled")
FORMS = ("text", "mermaid", "dot", "html", "json")
Output = Annotated[
    str | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to a file, in the format that its ending names.")
]
_SOUGHT, _PAGE = ("status", "body", "model", "since"), ("limit", "offset")
BODIES = ("model", "script", "command", "ensemble", "function")


_Ensemble = Annotated[
    str, typer.Option("--ensemble", metavar="NAME", help="Of this ensemble.", autocompletion=ensembles, show_default=False)
]
_Status = Annotated[
    str,
    typer.Option(
        "--status",
        metavar="STATUS",
        help=f"{', '.join(STATES)}.",
        autocompletion=lambda: list(STATES),
        show_default=False,
    ),
]
_NodeStatus = Annotated[
    str,
    typer.Option(
        "--status",
        metavar="STATUS",
        help=f"Only nodes that are so, wherever they stand: {', '.join(NODE_STATES)}.",
        autocompletion=lambda: list(NODE_STATES),
        show_default=False,
    ),
]
_Body = Annotated[
    str,
    typer.Option(
        "--body",
        metavar="BODY",
        help=f"Only nodes that are a {', '.join(BODIES)}.",
        autocompletion=lambda: list(BODIES),
        show_default=False,
    ),
]
_Model = Annotated[str, typer.Option("--model", metavar="MODEL", help="Only nodes that this model answered.", show_default=False)]
_Since = Annotated[str, typer.Option("--since", metavar="TIME", help="As in 2h, 7d or 2026-01-31 (UTC).", show_default=False)]
_Text = Annotated[str, typer.Option("--text", metavar="TEXT", help="With this in the input, a prompt or a reply.", show_default=False)]


@app.command("list", epilog=examples("llm-orc runs list --ensemble code-review --since 7d", "llm-orc runs list --text timeout --json"))
def list_(
    ctx: typer.Context,
    *,
    ensemble: _Ensemble = "",
    status: _Status = "",
    since: _Since = "",
    text: _Text = "",
    limit: Limit = "20",
    offset: Offset = "0",
    json: Json = False,
) -> int:
    """List the runs that are kept, the last one first."""
    refuse_empty(ctx)
    from llm_orc.cli.runs_opened import moment, number, one_of, opened
    from llm_orc.render.kept import run_document, run_row
    from llm_orc.store.pages import Sought, listed

    terminal: Terminal = ctx.obj
    now = time.time()
    most, first = number(limit, "--limit"), number(offset, "--offset", 0)
    sought = Sought(ensemble, one_of(status, STATES, "--status"), moment(since, "--since", now) if since else 0.0, text)
    with opened(terminal) as store:
        found, more = listed(store, sought, most, first)
    if json:
        from llm_orc.render.json import to_json

        terminal.answer(to_json([run_document(run) for run in found], indent=2) + "\n")
    else:
        from llm_orc.cli.table import table

        terminal.answer(table((run_row(run, now) for run in found), terminal.stdout.width, folds=True))
    if more:
        terminal.say(f"there are more: --limit {2 * most}, or --offset to leave some out\n")
    if not found and not json:
        terminal.say("no run is like this\n" if sought != Sought() else "no more runs are kept\n" if first else "no run is kept here yet\n")
    return 0


@app.command(epilog=examples("llm-orc runs show last --status failed", "llm-orc runs show 20260131-1 --agent review"))
def show(
    ctx: typer.Context,
    *,
    run: Run,
    agent: Agent = "",
    events: Annotated[bool, typer.Option("--events", help="Everything that happened, one thing per line.")] = False,
    result: Annotated[bool, typer.Option("--result", help="The result alone, as it was printed.")] = False,
    artifact: Artifact = "",
    status: _NodeStatus = "",
    body: _Body = "",
    model: _Model = "",
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="Only nodes that began then or later.", show_default=False)] = "",
    limit: Limit = "100",
    offset: Offset = "0",
    json: Json = False,
) -> int:
    """Show what became of a run: its agents, what each took, and the result.

    With --agent: its prompt as it was sent, its reply, artifacts and children. With --json: what invoke --output-format json prints.
    With --status and the like: only such nodes, those below --agent where that is given.
    """
    refuse_empty(ctx)
    refuse_beside(ctx, "artifact", "events", "result", "json", *_SOUGHT, *_PAGE)
    refuse_beside(ctx, "events", "result", *_SOUGHT, *_PAGE)
    refuse_beside(ctx, "result", "json", *_SOUGHT, *_PAGE)
    if not (status or body or model or since):
        refuse_beside(ctx, "json", *_PAGE)
    if artifact:
        from llm_orc.cli.runs_artifacts import printed

        return printed(ctx.obj, run, agent, artifact)
    from llm_orc.cli.runs_shown import Asked, shown

    return shown(ctx.obj, Asked(run, agent, events, result, status, body, model, since, limit, offset, json))


app.command(epilog=examples(*EXAMPLES))(resume)


@app.command(epilog=examples("llm-orc runs graph last", "llm-orc runs graph last -o graph.html"))
def graph(
    ctx: typer.Context,
    *,
    run: Run,
    output_format: Annotated[
        str,
        typer.Option(
            "--output-format", metavar="FORMAT", help=f"{', '.join(FORMS)}.", autocompletion=lambda: list(FORMS), show_default=False
        ),
    ] = "",
    agent: Annotated[
        str,
        typer.Option(
            "--agent",
            metavar="NAME",
            help="Only this node, all that it needed and all who needed it.",
            autocompletion=nodes,
            show_default=False,
        ),
    ] = "",
    whole: Annotated[bool, typer.Option("--whole", help="Draw each item of a fan-out, and each of many agents that are alike.")] = False,
    output: Output = None,
    force: Force = False,
) -> int:
    """Draw the graph of a run: what each node needed, what became of it, how long it took and what it cost.

    A wide fan-out is one node. With -o the ending names the format: .html is a page that fetches nothing, .mmd Mermaid, .dot DOT.
    """
    refuse_empty(ctx)
    from llm_orc.cli.runs_drawn import Asked, graphed

    return graphed(ctx.obj, Asked(run, agent, whole, output_format, output, force))


@app.command(epilog=examples("llm-orc runs export last --output-format page -o run.html", "llm-orc runs export last > run.json"))
def export(
    ctx: typer.Context,
    *,
    run: Run,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--output-format",
            metavar="FORMAT",
            help="json, page, html, docx, pdf, text, markdown, rich, jsonl, or a .j2 file.",
            autocompletion=formats,
        ),
    ] = None,
    output: Output = None,
    force: Force = False,
    split: Split = None,
    css: Css = None,
) -> int:
    """Write a run in any of the formats of invoke, without asking a model.

    JSON holds everything that is kept of it: what invoke prints, what it was begun with, and all events. The page is one file of HTML
    that fetches nothing: the result, the graph, times and costs, every prompt and every reply. html is the result alone.
    """
    refuse_empty(ctx)
    from llm_orc.cli.runs_exported import Asked, exported

    return exported(ctx.obj, Asked(run, output_format, output, force, css, split))


@app.command(epilog=examples("llm-orc runs diff last~1 last", "llm-orc runs diff 20260131-1 20260131-2 --agent review"))
def diff(
    ctx: typer.Context,
    *,
    run: Annotated[str, typer.Argument(metavar="A", help="A run: its id, the beginning of one, last or last~1.", autocompletion=runs)],
    other: Annotated[str, typer.Argument(metavar="B", help="Another one.", autocompletion=runs)],
    agent: Annotated[
        str,
        typer.Option("--agent", metavar="NAME", help="Only this node and what is inside of it.", autocompletion=nodes, show_default=False),
    ] = "",
    brief: Annotated[bool, typer.Option("--brief", help="Only say what differs, without the texts.")] = False,
    limit: Limit = "100",
    json: Json = False,
) -> int:
    """Say what differs between two runs: what they were begun with, prompts, replies, the result, times and costs.

    The exit code is 0 whether they differ or not; with --json, `same` is true where nothing but times and costs does.
    """
    refuse_empty(ctx)
    refuse_beside(ctx, "json", "limit")
    from llm_orc.cli.runs_compared import Asked, compared

    return compared(ctx.obj, Asked(run, other, agent, brief, limit, json))


@app.command(epilog=examples("llm-orc runs prune --older-than 30d --dry-run", "llm-orc runs prune --pin last"))
def prune(
    ctx: typer.Context,
    *,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="Runs that ended before, as in 30d or 2026-01-31.", show_default=False)
    ] = "",
    keep: Annotated[str, typer.Option("--keep", metavar="N", help="All but the last N.", show_default=False)] = "",
    max_size: Annotated[
        str, typer.Option("--max-size", metavar="SIZE", help="The oldest, until the rest takes up 500MB, 2GB, ...", show_default=False)
    ] = "",
    pin: Annotated[str, typer.Option("--pin", metavar="RUN", help="Never forget this run.", autocompletion=runs, show_default=False)] = "",
    unpin: Annotated[
        str, typer.Option("--unpin", metavar="RUN", help="It is as others again.", autocompletion=runs, show_default=False)
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which runs would be forgotten.")] = False,
    json: Json = False,
) -> int:
    """Forget runs that are too many, too old or too large; always whole ones, and never one that is pinned or running.

    Without a bound: as many as store: {keep: ...} in config.yaml says.
    """
    refuse_empty(ctx)
    from llm_orc.cli.runs_pruned import Asked, pruned

    return pruned(ctx.obj, Asked(older_than, keep, max_size, pin, unpin, dry_run, json))
