"""The findings of all checks as one list: merged where they speak of one thing, the worst first."""

from itertools import groupby
from typing import Any

from inputs import is_diff, sources
from reviewing import SEVERITIES, Finding, NotRun, Source, line_of, read_request, reply

MANY = 3  # of one kind in one file: above it one finding stands for all


def main() -> None:
    """Merge what the dependencies found in the input."""
    request = read_request()
    text = request["input"] or ""
    checks: dict[str, Any] = request["dependencies"] or {}
    replies = [check["json"] for check in checks.values() if check["ok"] and isinstance(check["json"], dict)]
    not_run: list[NotRun] = [one for said in replies for one in said["not_run"]]
    not_run += [{"check": name, "why": check["cause"] or "no reply"} for name, check in checks.items() if not check["ok"]]
    findings = merged([one for said in replies for one in said["findings"]])
    reviewed = sources(text)
    reply(
        subject=_subject(reviewed, diff=is_diff(text)),
        lines=sum(source.reviewed(number) for source in reviewed for number in source.lines),
        ran=[name for said in replies for name in said["ran"]],
        not_run=not_run,
        findings=findings,
        report="\n".join(map(line_of, findings)) or "Nothing was found.",
    )


def merged(findings: list[Finding]) -> list[Finding]:
    """One finding per line and kind, and one for a kind that is all over a file; the worst first, then by place."""
    by_place = sorted(findings, key=lambda one: (one["file"], one["line"], one["rule"]))
    broken = {one["file"] for one in findings if one["rule"] == "conflict"}  # the markers are what is wrong with the syntax
    by_place = [one for one in by_place if one["rule"] != "syntax" or one["file"] not in broken]
    single = [_joined(list(same)) for _, same in groupby(by_place, key=lambda one: (one["file"], one["line"], one["rule"]))]
    by_kind = sorted(single, key=lambda one: (one["file"], one["rule"], one["line"]))
    told = [one for _, same in groupby(by_kind, key=lambda one: (one["file"], one["rule"])) for one in _gathered(list(same))]
    return sorted(told, key=lambda one: (SEVERITIES.index(one["severity"]), one["file"], one["line"], one["rule"]))


def _joined(same: list[Finding]) -> Finding:
    """Findings of one kind on one line as one."""
    worst = min(same, key=lambda one: SEVERITIES.index(one["severity"]))
    return {**worst, "what": "; ".join(dict.fromkeys(one["what"] for one in same))}


def _gathered(same: list[Finding]) -> list[Finding]:
    """Findings of one kind in one file: all, or the first one for many."""
    if same[0]["rule"] == "syntax":  # the rest follows from the first
        return same[:1]
    if len(same) <= MANY:
        return same
    others = [str(one["line"]) for one in same[1:]]
    lines = ", ".join(others[:8]) + (", ..." if others[8:] else "")
    return [{**same[0], "what": f"{same[0]['what']}, and {len(others)} more like it (lines {lines})"}]


def _subject(reviewed: list[Source], *, diff: bool) -> str:
    """What was reviewed, in a few words."""
    if diff:
        lines = sum(len(source.changed or ()) for source in reviewed)
        return f"the diff ({_count(len(reviewed), 'file')}, {_count(lines, 'added line')})"
    if not reviewed:
        return ""
    lines = sum(len(source.lines) for source in reviewed)
    if reviewed[1:]:
        return f"{len(reviewed)} files ({_count(lines, 'line')})"
    return f"{reviewed[0].path} ({reviewed[0].language or 'unknown language'}, {_count(lines, 'line')})"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


if __name__ == "__main__":
    main()
