"""New functions that come without a test: only a diff can tell, for it shows all that came."""

import re

from inputs import is_diff, sources
from reviewing import Finding, Source, found, read_request, reply, unknown_languages

CHECK = "missing tests"
NEW = {
    "Python": r"^\s*(?:async )?def (?!_)(\w+)\(",
    "JavaScript": r"^\s*export (?:default )?(?:async )?(?:function\s*\*?|const|class) (\w+)",
    "Go": r"^func (?:\([^)]*\) )?([A-Z]\w*)",
    "Rust": r"^\s*pub (?:async )?fn (\w+)",
    "Java": r"^\s*public (?!class|interface|record|enum)(?:static |final )*[\w<>\[\], ]+ (\w+)\(",
    "Ruby": r"^\s*def ([a-z]\w*)",
    "PHP": r"^\s*public (?:static )?function (\w+)",
}
NEW["TypeScript"] = NEW["JavaScript"]
LEAST = 5  # added lines of a file, below which nobody asks for a test


def main() -> None:
    """Tell once of the first new function, if the diff touches no test."""
    text = read_request()["input"] or ""
    if not is_diff(text):
        reply(ran=[], findings=[], not_run=[{"check": CHECK, "why": "needs a diff"}])
        return
    reviewed = sources(text)
    code = [source for source in reviewed if source.is_code and not source.is_test]
    known = [source for source in code if source.language in NEW]
    findings = [] if any(source.is_test for source in reviewed) else _findings(known)
    reply(ran=[CHECK] if known or not code else [], findings=findings, not_run=unknown_languages(CHECK, code, NEW))


def _findings(known: list[Source]) -> list[Finding]:
    new = [
        (source, number, hit[1])
        for source in known
        if len(source.changed or ()) >= LEAST
        for number in sorted(source.changed or ())
        if (hit := re.match(NEW[source.language], source.lines[number]))
    ]
    if not new:
        return []
    source, number, name = new[0]
    what = (f"`{name}` and {len(new) - 1} more are" if new[1:] else f"`{name}` is") + " new, and the diff touches no test"
    return [found(source, number, "low", what, "add a test that fails without it", "tests")]


if __name__ == "__main__":
    main()
