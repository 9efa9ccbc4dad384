"""What was meant to go before anybody sees it: conflict markers, debugging, notes to oneself."""

import re
from bisect import bisect_right
from collections.abc import Iterator

from inputs import sources
from languages import NOT_CODE, Masked, masked
from reviewing import Finding, Source, found, read_request, reply, unknown_languages

CONFLICTS, DEBUGGING, NOTES = "conflict markers", "debug leftovers", "TODOs"
# What one prints while looking for a bug.
LOUD = r"""['"`](?:\W*(?:debug|here|got here|xxx+|wtf)\W*['"`]|(?:>>>|!!!)[^'"`]*['"`]|debug\b)"""
# For each language: severity, what, and the call in code; what follows it on the line decides where the second pattern is given.
DEBUG: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "Python": (
        ("high", "a breakpoint is left over", r"(?<![\w.])breakpoint\(\)|\bi?pu?db\.(?:set_trace|post_mortem)\(|\bdebugpy\.\w+\(", ""),
        ("medium", "a debugger is imported", r"^\s*(?:import|from) (?:i?pu?db|debugpy|icecream)\b", ""),
        ("low", "printed for debugging", r"(?<![\w.])print\(", rf"(?i)\s*f?{LOUD}|\s*f['\"][^'\"]*\{{\w[\w.]*=\}}"),
    ),
    "JavaScript": (
        ("high", "a breakpoint is left over", r"^\s*debugger\s*;?\s*$", ""),
        ("medium", "only this test runs", r"^\s*(?:describe|it|test|context)\.only\(|^\s*f(?:describe|it)\(", ""),
        ("low", "printed for debugging", r"\bconsole\.(?:log|debug|dir|trace)\(", rf"(?i)\s*{LOUD}"),
    ),
    "Rust": (("medium", "printed for debugging", r"\bdbg!\(", ""), ("low", "printed for debugging", r"\be?println!\(", rf"(?i)\s*{LOUD}")),
    "Go": (
        ("medium", "printed for debugging", r"\bspew\.Dump\(", ""),
        ("low", "printed for debugging", r"\bfmt\.Print(?:ln|f)?\(", rf"(?i)\s*{LOUD}"),
    ),
    "Ruby": (("high", "a breakpoint is left over", r"^\s*(?:binding\.(?:pry|irb)|byebug|debugger)\b", ""),),
    "PHP": (("medium", "printed for debugging", r"(?<![\w>:$])(?:var_dump|dd|print_r)\(", r"(?!.*,\s*true\s*\))"),),
    "Java": (("low", "printed for debugging", r"\bSystem\.(?:out|err)\.print(?:ln|f)?\(", rf"(?i)\s*{LOUD}"),),
    "C#": (("high", "a breakpoint is left over", r"\bDebugger\.Break\(", ""),),
}
DEBUG["TypeScript"] = DEBUG["JavaScript"]
DEBUG["Kotlin"] = DEBUG["Java"]
NOTE = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b(?!['\"`])")


def main() -> None:
    """Look for all three."""
    reviewed = sources(read_request()["input"] or "")
    findings: list[Finding] = []
    for source in reviewed:
        findings += _conflicts(source)
        if not source.is_generated and source.language != "text":
            findings += (one for first, text in source.parts() for one in _leftovers(source, first, text))
    code = [source for source in reviewed if source.is_code]
    not_run = unknown_languages(DEBUGGING, [source for source in reviewed if source.language not in NOT_CODE or not source.language], DEBUG)
    ran = [CONFLICTS, *([DEBUGGING] if any(source.language in DEBUG for source in code) else []), NOTES]
    reply(ran=ran, findings=findings, not_run=not_run)


def _conflicts(source: Source) -> Iterator[Finding]:
    """The first line of each conflict that has all its markers."""
    start, middle = 0, False
    for number, line in source.lines.items():
        if line.startswith("<<<<<<< "):
            start, middle = number, False
        elif line == "=======" and start:
            middle = True
        elif line.startswith(">>>>>>> ") and middle:
            if any(source.reviewed(marker) for marker in (start, number)):
                yield found(
                    source,
                    start,
                    "high",
                    "a merge conflict is not resolved",
                    f"keep one side, and delete the markers down to line {number}",
                    "conflict",
                )
            start, middle = 0, False


def _leftovers(source: Source, first: int, text: str) -> Iterator[Finding]:
    """Debugging and notes in one run of lines."""
    masks = masked(text, source.language)
    for index, code in enumerate(masks.code.split("\n") if source.language in DEBUG and not source.is_test else []):
        if source.reviewed(first + index) and (told := _debugging(source.language, code, source.lines[first + index])):
            yield found(source, first + index, *told, "delete it", f"debug {told[1]}")
    for index in _notes(text, masks):
        if source.reviewed(first + index):
            yield found(source, first + index, "low", "a note of unfinished work", "do it, or open an issue for it", "note")


def _debugging(language: str, code: str, line: str) -> tuple[str, str] | None:
    for severity, what, call, argument in DEBUG[language]:
        hit = re.search(call, code)
        if hit and (not argument or re.match(argument, line[hit.end() :])):
            return severity, what
    return None


def _notes(text: str, masks: Masked) -> Iterator[int]:
    """The line indexes of notes in comments, each once."""
    starts = [0, *(newline.end() for newline in re.finditer("\n", text))] if masks.comments else []
    seen: set[int] = set()
    for offset, comment in masks.comments:
        for note in NOTE.finditer(comment):
            index = bisect_right(starts, offset + note.start()) - 1
            if index not in seen:
                seen.add(index)
                yield index


if __name__ == "__main__":
    main()
