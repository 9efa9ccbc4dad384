"""Flags that several commands have."""

from typing import Annotated

import typer

from llm_orc.cli.complete import agent_profiles, agents, ensembles, formats, variables
from llm_orc.domain.problem import Problem, ProblemError

Ensemble = Annotated[str, typer.Argument(metavar="ENSEMBLE", help="Its name, or the path of its file.", autocompletion=ensembles)]
Text = Annotated[str, typer.Argument(metavar="INPUT", help="What it works on; stands before files and stdin.", show_default=False)]
Offline = Annotated[
    bool, typer.Option("--offline", help="Send nothing to other machines, and skip what would. LLM_ORC_OFFLINE=1 does the same.")
]
NoStore = Annotated[bool, typer.Option("--no-store", help="Keep nothing of this run.")]
Files = Annotated[list[str], typer.Option("--file", "-f", metavar="FILE", help="Add a file to the input. Repeatable.")]
Attach = Annotated[
    list[str],
    typer.Option("--attach", metavar="FILE", help="Send an image, a PDF or a text along with the input; - is stdin. Repeatable."),
]
Var = Annotated[
    list[str],
    typer.Option("--var", metavar="NAME=VALUE", help="Set a variable of the ensemble. Repeatable.", autocompletion=variables),
]
Only = Annotated[str, typer.Option("--only", metavar="A,B", help="Run only these agents, and what they depend on.", autocompletion=agents)]
NoDeps = Annotated[bool, typer.Option("--no-deps", help="With --only: without what they depend on.")]
Profiles = Annotated[
    list[str],
    typer.Option(
        "--profile",
        metavar="[AGENT=]NAME",
        help="The profile of every model agent, or of one. Repeatable.",
        autocompletion=agent_profiles,
    ),
]
MaxParallel = Annotated[str, typer.Option("--max-parallel", metavar="N", help="Calls at once, at most.", show_default=False)]
MaxCost = Annotated[
    str, typer.Option("--max-cost", metavar="DOLLARS", help="What all calls together may cost, at most.", show_default=False)
]
NoStdin = Annotated[bool, typer.Option("--no-stdin", help="Do not read stdin.")]
Stream = Annotated[bool, typer.Option("--stream/--no-stream", help="Print the final reply as it comes (text, markdown).")]
FailOn = Annotated[
    str, typer.Option("--fail-on", metavar="EXPR", help="Exit 1 if this Jinja expression over the run is true.", show_default=False)
]
Format = Annotated[
    str | None,
    typer.Option(
        "--output-format",
        metavar="FORMAT",
        help="rich (on a terminal), text (in a pipe), markdown, html, docx, pdf, json, jsonl, or a .j2 file.",
        autocompletion=formats,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the result to a file; its ending says how: .md, .html, .docx, .pdf, .json, .jsonl, .txt.",
    ),
]
Css = Annotated[str | None, typer.Option("--css", metavar="FILE", help="A style sheet for html and pdf, after its own.")]
Split = Annotated[
    str | None, typer.Option("--split", metavar="DIR", help="Write each section to a file of its own; no result is printed but to -o.")
]
Force = Annotated[bool, typer.Option("--force", help="With -o and --split: replace files.")]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        help="Say when each agent ends, and in JSON print long prompts whole; -vv: requests, waits and sizes too.",
        show_default=False,
    ),
]
LogFile = Annotated[
    str, typer.Option("--log-file", metavar="FILE", help="Add all that happens to a file, as JSON lines.", show_default=False)
]
Cache = Annotated[
    bool | None,
    typer.Option("--cache/--no-cache", help="Reuse replies to equal requests, or none, whatever is written.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def refuse_empty(ctx: typer.Context) -> None:
    """Raise ProblemError for options that were given without a value: `--fail-on "$UNSET"` would let everything through."""
    options = [param for param in ctx.command.params if param.param_type_name == "option" and param.name]
    given = [param for param in options if ctx.params.get(param.name) == "" and _was_typed(ctx, param.name)]
    if given:
        raise ProblemError(*(Problem(f"{param.opts[0]} is empty", hint="give it a value, or leave it out") for param in given))


def refuse_beside(ctx: typer.Context, name: str, *others: str) -> None:
    """Raise ProblemError where an option was given beside one of others that mean nothing then."""
    if not _was_typed(ctx, name):
        return
    flag = {param.name: param.opts[0] for param in ctx.command.params}
    if given := [other for other in others if other != name and _was_typed(ctx, other)]:
        raise ProblemError(*(Problem(f"{flag[other]} does nothing with {flag[name]}", hint="leave one of them out") for other in given))


def _was_typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
