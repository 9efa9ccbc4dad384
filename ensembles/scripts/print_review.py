"""The review as Markdown: the verdict if there is one, the findings, and what did not run."""

import re
import sys
from collections import Counter
from itertools import groupby
from typing import Any

from reviewing import SEVERITIES, Finding, NotRun, code, line_of, read_request

LONGEST_REASON = 120
HEAD = 4_000  # characters of a reply that is shown as it came


def main() -> None:
    """Write the review."""
    request = read_request()
    dependencies: dict[str, Any] = request["dependencies"]
    review, verdict = dependencies["quotes"]["json"], dependencies["verdict"]
    wanted = (request["variables"] or {}).get("verdict", True)
    not_run = review["not_run"] + ([{"check": "verdict", "why": verdict["cause"] or "no reply"}] if wanted and not verdict["ok"] else [])
    parts = [verdict["text"].strip(), "## Findings"] if verdict["ok"] else []
    parts += [_summary(review), "\n".join(f"- {_shown(one)}" for one in review["findings"])]
    if review["unproven"]:
        parts += ["Not to rely on, for the quote is not in the input:", "\n".join(f"- {_shown(one)}" for one in review["unproven"])]
    parts += [f"{name} said, in a form that cannot be checked:\n\n{_quotation(text)}" for name, text in review["remarks"].items()]
    if not_run:
        parts.append(f"Not run: {_reasons(not_run)}.")
    sys.stdout.write("\n\n".join(part for part in parts if part) + "\n")


def _summary(review: dict[str, Any]) -> str:
    """What was found in what, in one line."""
    by = f"{len(review['ran'])} checks" + (f" and {len(review['reviewers'])} reviewers" if review["reviewers"] else "")
    if not review["subject"]:
        return f"The input is empty: nothing found by {by}"
    found = Counter(one["severity"] for one in review["findings"])
    if not found:
        return f"{_name(review['subject'])}: nothing found by {by}"
    kinds = ", ".join(f"{found[severity]} {severity}" for severity in SEVERITIES if found[severity])
    number = found.total()
    return f"{number} finding{'' if number == 1 else 's'} in {_name(review['subject'])} by {by}: {kinds}"


def _shown(finding: Finding) -> str:
    """The line of a finding, safe in Markdown."""
    safe: Finding = {**finding, "what": _safe(finding["what"]), "quote": code(finding["quote"]), "fix": _safe(finding["fix"])}
    return line_of(safe, place=_safe(f"{finding['file']}:{finding['line']}"))


def _safe(text: str) -> str:
    """A text as it is, or as code where Markdown would read marks into it."""
    return code(text) if "`" not in text and re.search(r"__|\*|<|\]\(", text) else text


def _name(subject: str) -> str:
    """What was reviewed, its name made safe."""
    name, bracket, rest = subject.partition(" (")
    return _safe(name) + bracket + rest


def _quotation(text: str) -> str:
    cut = text if len(text) <= HEAD else text[:HEAD] + " …"
    return "\n".join(f"> {line}" for line in cut.strip().split("\n"))


def _short(why: str) -> str:
    line = why.strip().split("\n")[0]
    return line if len(line) <= LONGEST_REASON else line[:LONGEST_REASON] + "…"


def _reasons(not_run: list[NotRun]) -> str:
    """What did not run, told once per reason."""
    groups = groupby(sorted(not_run, key=lambda one: one["why"] == "offline"), key=lambda one: one["why"])
    return "; ".join(f"{', '.join(one['check'] for one in same)} ({_short(why)})" for why, same in groups)


if __name__ == "__main__":
    main()
