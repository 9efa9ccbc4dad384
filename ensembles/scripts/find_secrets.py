"""Keys, tokens and passwords that are written in the input. A quote ends where the secret begins to be one."""

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator

from inputs import sources
from reviewing import Finding, Source, found, read_request, reply

CHECK = "secrets"
FIX = "take it from the environment, and revoke this one"
KNOWN = {  # secrets that tell by their form what they open
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "an AWS access key": r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{60,}\b",
    "a GitLab token": r"\bglpat-[\w-]{20,}\b",
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{16,}",
    "a Stripe key": r"\b[rs]k_live_[A-Za-z0-9]{16,}\b",
    "a Google API key": r"\bAIza[\w-]{35}(?![\w-])",
    "an Anthropic key": r"\bsk-ant-[\w-]{24,}",
    "an OpenAI key": r"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{32,}",
    "an OpenRouter key": r"\bsk-or-v1-[0-9a-f]{32,}",
    "an npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "a PyPI token": r"\bpypi-AgE[\w-]{40,}",
    "a SendGrid key": r"\bSG\.[\w-]{16,}\.[\w-]{16,}",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}\b",
    "a signed token (JWT)": r"\beyJ[\w-]{12,}\.eyJ[\w-]{12,}\.[\w-]{16,}",
}
FORMS = re.compile("|".join(f"({form})" for form in KNOWN.values()))
# A line without a hint is not looked at: megabytes are no reason to wait.
GITHUB = ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_")
KNOWN_HINTS = (*GITHUB, "private key", "akia", "asia", "glpat-", "xox", "k_live_", "aiza", "sk-", "npm_", "pypi-age", "sg.", "hf_", "eyj")
GUESS_HINTS = ("://", "passw", "passphrase", "secret", "token", "api_key", "apikey", "access", "auth", "credential", "_key")
IN_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'\"]{1,60}:([^\s@/'\"]{4,80})@[\w.-]")
NAMES = r"(?:password|passwd|passphrase|secret|token|api_?key|access_?key|secret_?key|private_?key|auth_?key|credentials?)"
ASSIGNED = re.compile(
    rf"(?i)(?:^|[^A-Za-z0-9])(\w*{NAMES})\b['\"]?\s*(?:\]|\))?\s*(?::\s*[\w. |\[\]]+=|:=|=>|=|:)\s*[bru]?(['\"`])([^'\"`\s]{{6,200}})\2"
)
UNQUOTED = re.compile(rf"(?i)^\s*(?:export\s+|- )?(\w*{NAMES})()\s*[:=]\s*([^\s'\"`,;(){{}}]{{8,200}})\s*$")  # in settings and scripts
PLACEHOLDER = re.compile(
    r"(?i)example|sample|dummy|placeholder|change_?me|replace|redacted|insert|your|my[-_]|fake|mock|test|todo|xxx|\*\*\*|\.\.\.|^(.)\1+$"
    r"|<|>|\$\{|\{\{|\{\w*\}|%\(|%s|\$\w|\\[bdswBDSW.]|\[[^\]]*\]|\{\d|^(?:os\.|env|process\.)"  # filled in later, or a pattern
    r"|^[a-z_.-]*(?:password|secret|token|key)[a-z_.-]*$"  # a name
)
LONGEST = 1_000  # characters of a line that a person wrote
ALLOWED = re.compile(r"(?i)\bnosec\b|\bnoqa\b|gitleaks:allow|pragma: allowlist secret")


def main() -> None:
    """Look through every line, of code or not."""
    reviewed = sources(read_request()["input"] or "")
    findings = [finding for source in reviewed for finding in _findings(source)]
    reply(ran=[CHECK], findings=findings, not_run=[])


def _findings(source: Source) -> Iterator[Finding]:
    secrets = {number: secret for number in _lines_with(source, KNOWN_HINTS) if (secret := _known(source.lines[number]))}
    if not (source.is_test or source.is_generated):
        guessed = {number: secret for number in _lines_with(source, GUESS_HINTS) if (secret := _guessed(source.lines[number]))}
        secrets = guessed | secrets
    for number, (what, at) in sorted(secrets.items()):
        line = source.lines[number]
        if source.reviewed(number) and not ALLOWED.search(line):
            yield {**found(source, number, "high", f"{what} is written here", FIX, f"secret {what}"), "quote": _shown(line, at)}


def _lines_with(source: Source, hints: tuple[str, ...]) -> set[int]:
    """The lines that hold a hint, found by plain search."""
    numbers = list(source.lines)
    text = "\n".join(source.lines.values()).lower()
    starts = [0, *(newline.end() for newline in re.finditer("\n", text)), len(text)]
    hits: set[int] = set()
    for hint in hints:
        at = text.find(hint)
        while at >= 0:
            index = bisect_right(starts, at) - 1
            hits.add(numbers[index])
            at = text.find(hint, starts[index + 1])
    return hits


def without_secret(line: str) -> str:
    """The line, cut where a secret begins."""
    secret = _known(line) or _guessed(line)
    return _shown(line, secret[1]) if secret else line


def _known(line: str) -> tuple[str, int] | None:
    """What a secret of a known form in a line opens, and where it begins."""
    for form in FORMS.finditer(line):
        if not re.search(r"(?i)example|x{6}|0{8}|1234567", form[0]):
            return list(KNOWN)[(form.lastindex or 1) - 1], form.start()
    return None


def _guessed(line: str) -> tuple[str, int] | None:
    """A secret that its place or its name gives away, and where it begins."""
    if len(line) > LONGEST:
        return None
    for url in IN_URL.finditer(line):
        if not PLACEHOLDER.search(url[1]) and not re.match(r"@(?:localhost|127\.0\.0\.1|example\.)", line[url.end(1) :]):
            return "a password in an address", url.start(1)
    for assigned in (ASSIGNED if re.search("['\"`]", line) else UNQUOTED).finditer(line):
        if not PLACEHOLDER.search(assigned[3]) and _is_random(assigned[3]):
            return f"a secret ({assigned[1]})", assigned.start(3)
    return None


def _is_random(value: str) -> bool:
    """Whether a value looks made rather than named: of several kinds of characters, few of them alike."""
    kinds = sum(bool(re.search(kind, value)) for kind in (r"[a-z]", r"[A-Z]", r"\d", r"[^\w]"))
    bits = -sum(count / len(value) * math.log2(count / len(value)) for count in Counter(value).values())
    is_address = bool(re.match(r"(?:[a-z]+:)?//|[./~]|[\w-]+(?:\.[\w-]+)+$|[a-z]+(?:[-_/:.][a-z]+)+$", value))
    return kinds >= 2 and bits >= 2.7 and not is_address and bool(re.search(r"\d", value) or kinds >= 3)


def _shown(line: str, at: int) -> str:
    """The line up to the first letters of the secret: enough to find it, too little to use it."""
    start = max(0, at - 90)
    return line[start : at + 4].lstrip() + "…"


if __name__ == "__main__":
    main()
