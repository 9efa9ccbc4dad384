"""Collects the items whose answers will not do: those that failed before, and those that the grader or one's own check fails."""

import json
import re
import sys
from typing import Any

VERDICT = re.compile(r"^\W*VERDICT\W+(pass|fail)\b\W*$", re.MULTILINE | re.IGNORECASE)
SHOWN = 200
"""Letters of a reason."""


def main() -> None:
    """Reply with `items`, their `indices` in the whole list, and `whys`, all in the same order."""
    request = json.load(sys.stdin)
    dependencies, check = request["dependencies"], (request["variables"] or {}).get("check")
    drafts = dependencies["drafts"]["json"]
    whys = {failed["index"]: failed["why"] for failed in drafts["failed"]}
    items = {each["index"]: each["item"] for each in (*drafts["passed"], *drafts["failed"])}
    told = {"grader": (dependencies["grades"], graded), "script": (dependencies["own"], checked)}
    if check in told:
        said, read = told[check]
        verdicts = said["json"] if isinstance(said["json"], list) else []
        for place, draft in enumerate(drafts["passed"]):
            why = read(verdicts[place]) if place < len(verdicts) else f"the check gave no verdict ({said['cause'] or 'too few of them'})"
            if why:
                whys[draft["index"]] = why
    indices = sorted(whys)
    failures = {"items": [items[index] for index in indices], "indices": indices, "whys": [whys[index] for index in indices]}
    json.dump(failures, sys.stdout, ensure_ascii=False)


def graded(reply: object) -> str:
    """Why the grader fails an answer; empty where it passes it. What says nothing passes nothing."""
    found = VERDICT.findall(reply) if isinstance(reply, str) else []
    if not found:
        return "the grader gave no verdict"
    if found[-1].lower() == "pass":
        return ""
    words = " ".join(VERDICT.sub("", str(reply)).split())
    return words[:SHOWN] or "the grader fails it"


def checked(verdict: Any) -> str:
    """Likewise of one's own check."""
    if isinstance(verdict, dict):
        return "" if verdict.get("ok") is True else str(verdict.get("why") or "the check fails it")[:SHOWN]
    return "" if verdict is True else "the check fails it" if verdict is False else "the check gave no verdict"


if __name__ == "__main__":
    main()
