"""`python -m bench`: measure, print, compare with what is committed, write."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.markdown import written
from bench.results import Result, merged, regressions
from bench.rows import ROWS
from bench.samples import ROOT, BrokenRunError
from bench.workshop import Workshop, workshop

COMMITTED = ROOT / "bench" / "results.json"


def main(arguments: Sequence[str]) -> int:
    """Exit 1 when a command did not end well; a missed budget is a row, not a failure."""
    options = parsed(arguments)
    before: Mapping[str, Any] = json.loads(COMMITTED.read_text()) if COMMITTED.exists() else {"rows": []}
    where = measured_where()
    with workshop(quick=options.quick) as at:
        results = [result for name in options.only or ROWS for result in taken(name, at)]
    rows = [result.as_json() for result in results]
    for said in regressions(rows, before["rows"]):
        print(f"worse  {said}")
    report = {"measured": where, "rows": merged(rows, before["rows"])}
    output = options.output or (None if options.quick else COMMITTED)
    if output:
        output.write_text(json.dumps(report, indent=1) + "\n")
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(written(report, options.markdown.read_text() if options.markdown.exists() else ""))
    return int(any(result.verdict == "BROKEN" for result in results))


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the budgets, each against the floor beside it.")
    parser.add_argument("--only", action="append", choices=list(ROWS), metavar="ROW", help=f"one of: {', '.join(ROWS)}; may be repeated")
    parser.add_argument("--quick", action="store_true", help="one sample of each; written only with --output")
    parser.add_argument("--output", type=Path, help="where the JSON goes (default: bench/results.json)")
    parser.add_argument("--markdown", type=Path, help="write the table into this page")
    return parser.parse_args(arguments)


def taken(name: str, at: Workshop) -> list[Result]:
    """The results of a row, printed as they come."""
    try:
        results = ROWS[name](at)
    except BrokenRunError as why:
        results = [Result(name, "did not end well", 0, "", note=str(why))]
    for result in results:
        print(
            f"{result.verdict:6}  {result.name:14}  {result.shown:>11}  {result.shown_budget:>12}  {result.what}  {result.note}", flush=True
        )
    return results


def measured_where() -> dict[str, str | float]:
    """What a reader must know to compare; `load` is how many processes wanted a CPU before we began."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
