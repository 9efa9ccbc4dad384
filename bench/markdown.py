"""The results as a table in a page, between two marks."""

from collections.abc import Mapping
from typing import Any

from bench.results import Result

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
NEW_PAGE = f"""# Performance

What `llm-orc` costs, measured against programs beside it that do the same and nothing more.

{BEGIN}
{END}
"""


def written(report: Mapping[str, Any], page: str) -> str:
    """The page with the table between its marks; a page without marks is begun anew."""
    before, begin, rest = (page if BEGIN in page and END in page else NEW_PAGE).partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{begin}\n{table(report)}\n{END}{after}"


def table(report: Mapping[str, Any]) -> str:
    """One line per row, then the command to repeat it, then why rows missed."""
    where = report["measured"]
    results = [Result(**{key: value for key, value in row.items() if key != "verdict"}) for row in report["rows"]]
    lines = ["| what | measured | budget | | remark |", "|---|---|---|---|---|"]
    lines += [f"| {each.what} | {each.shown} | {each.shown_budget} | {each.verdict} | {each.note} |" for each in results]
    machine = f"{where['system']} {where['machine']}, {where['cpus']} CPUs with a load of {where['load']} before, Python {where['python']}"
    lines += [
        "",
        (
            f"Last measured on {where['date']} ({machine}); after `--only` the other rows are from earlier runs. "
            "Repeat it: `make bench`. Raw samples, commands and floors: `bench/results.json`."
        ),
    ]
    for each in results:
        if each.profile:
            lines += ["", f"`{each.name}` missed its budget; one run of `{each.command}` under cProfile:", "", "```", *each.profile, "```"]
    return "\n".join(lines)
