"""Checks answers by their words alone: those that refuse, hedge or break off fail."""

import json
import re
import sys

REFUSES = re.compile(
    r"\b(?:I (?:do not|don't) know|I (?:cannot|can't|can not|am unable to|am not able to)|I(?:'m| am) (?:not sure|sorry)|as an AI)\b",
    re.IGNORECASE,
)
ENDS = (".", "!", "?", ")", "]", "}", '"', "'", "`", "*", "…")
LONG = 200
"""Letters from which on an answer is a text, and ends like one."""


def main() -> None:
    """Reply with a verdict for each answer: {ok, why}."""
    text = json.load(sys.stdin)["input"] or ""
    try:
        answers = [each["answer"] for each in json.loads(text)]
    except (ValueError, TypeError, KeyError):
        sys.exit('the input is no JSON list of {"item": ..., "answer": ...}')
    verdicts = ({"ok": not why, "why": why} for why in map(fault, answers))
    json.dump([*verdicts], sys.stdout, ensure_ascii=False)


def fault(answer: object) -> str:
    """What is wrong with an answer; empty where nothing is."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    if found := REFUSES.search(text):
        return f'it says "{found[0]}"'
    return "it breaks off" if len(text) > LONG and not text.rstrip().endswith(ENDS) else ""


if __name__ == "__main__":
    main()
