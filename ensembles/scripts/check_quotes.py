"""Reads the reviewers' findings, looks every quote up in the input, and adds what is true to the facts.

A quote that stands elsewhere than told gets its right place; one that stands nowhere is kept apart, so that nobody acts on it.
"""

import re
from typing import Any

from find_secrets import without_secret
from inputs import sources
from merge_findings import merged
from reviewing import Finding, NotRun, Source, line_of, quoted, read_request, reply

FACTS = "facts"
FORM = re.compile(
    r"^[\s>]*(?:[-*+]|\d+[.)])?\s*[*`]*(?P<file>[^\s|*`]+?):(?:L|line )?(?P<line>\d+)(?:-\d+)?[*`]*[:,]?\s+"
    r"[*`(\[]*(?P<severity>high|medium|low)\b[*`)\]]*[:,]?\s*"
    r"(?P<what>.*?)\s+\|\s+(?P<quote>.*?)(?:\s+\|\s+(?P<fix>(?:(?!\s\|\s).)*))?\s*$",
    re.IGNORECASE,
)
SHORTEST = 8  # characters that a part of a line needs
NOTHING = re.compile(r"(?im)^\W*(?:no (?:findings?|issues?|problems?)|nothing|none)\b")


def main() -> None:
    """Check the replies of all dependencies but the facts."""
    request = read_request()
    dependencies: dict[str, Any] = dict(request["dependencies"] or {})
    facts = dependencies.pop(FACTS)["json"]
    reviewed = sources(request["input"] or "")
    proven: list[Finding] = []
    unproven: list[Finding] = []
    remarks: dict[str, str] = {}
    for name, reviewer in dependencies.items():
        said = _said(name, reviewer["text"] or "") if reviewer["ok"] else []
        if reviewer["ok"] and not said and not NOTHING.search((reviewer["text"] or "")[:400]):
            remarks[name] = reviewer["text"]
        for finding in said:
            (proven if _proven(finding, reviewed) else unproven).append(finding)
    not_run: list[NotRun] = [{"check": name, "why": one["cause"] or "no reply"} for name, one in dependencies.items() if not one["ok"]]
    findings = merged([*facts["findings"], *proven])
    reply(
        **{
            **facts,
            "reviewers": [name for name, one in dependencies.items() if one["ok"]],
            "not_run": [*facts["not_run"], *not_run],
            "findings": findings,
            "unproven": merged(unproven),
            "remarks": remarks,
            "report": "\n".join(map(line_of, findings)) or "Nothing was found.",
        }
    )


def _said(name: str, text: str) -> list[Finding]:
    """The findings in a reviewer's reply."""
    return [
        {
            "file": one["file"],
            "line": int(one["line"]),
            "severity": one["severity"].lower(),
            "what": f"{one['what']} ({name})",
            "quote": _bare(one["quote"]),
            "fix": one["fix"] or "",
            "rule": f"review {one['line']}",
        }
        for line in text.split("\n")
        if (one := FORM.match(line))
    ]


def _bare(quote: str) -> str:
    """A quote without the marks that a writer puts round code."""
    quote = quote.strip()
    marks = re.match(r"(`+)(?!`)(.*?)\1$", quote) or re.match(r"()[\"“](.*)[\"”]$", quote)
    return marks[2].strip() if marks else quote


def _proven(finding: Finding, reviewed: list[Source]) -> bool:
    """Whether the quote stands in the input; gives the finding its true file and line."""
    quote = finding["quote"].rstrip("…")
    wanted = {_plain(quote), _plain(re.sub(r"^[+-]\s?", "", quote))} - {""}  # as it is, and without the mark of a diff
    places = [
        (not _same_file(source.path, finding["file"]), plain not in wanted, abs(number - finding["line"]), source, number)
        for source in reviewed
        for number, line in source.lines.items()
        if (plain := _plain(line)) and any(_quotes(part, plain) for part in wanted)
    ]
    if not places:
        return any(_quotes(part, _plain(line)) for source in reviewed for line in source.removed for part in wanted)
    *_, source, number = min(places, key=lambda place: place[:3])
    finding.update({"file": source.path, "line": number, "quote": quoted(without_secret(source.lines[number])), "rule": f"review {number}"})
    return True


def _quotes(part: str, line: str) -> bool:
    """Whether a part is the line, or enough of it to be meant."""
    return part == line or (len(part) >= SHORTEST and part in line)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _same_file(path: str, told: str) -> bool:
    return path == told or path.endswith("/" + told) or told.endswith("/" + path)


if __name__ == "__main__":
    main()
