"""Counts the rankings of a council: the best of N answers gets N points, the next one less; answers are named A, B, C in their order."""

import json
import re
import sys
from typing import Any

RANKING = re.compile(r"^\W*RANKING\W*([A-Z](?:\s*[>,]\s*[A-Z])*)\W*$", re.MULTILINE | re.IGNORECASE)


def main() -> None:
    """Count the last ranking of each reply."""
    dependencies: dict[str, Any] = json.load(sys.stdin)["dependencies"]
    answers = [answer for answer in _list(dependencies["answers"]) if answer is not None]
    rankings = [ranking for ranking in map(ranked, _list(dependencies["rankings"])) if ranking]
    sys.stdout.write(count("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(answers)], rankings) + "\n")


def _list(dependency: dict[str, Any]) -> list[Any]:
    return dependency["json"] if isinstance(dependency["json"], list) else []


def ranked(reply: object) -> str:
    """The letters of a reply's last ranking, each once, the best first."""
    found = RANKING.findall(reply) if isinstance(reply, str) else []
    return "".join(dict.fromkeys(re.sub(r"[^A-Z]", "", found[-1].upper()))) if found else ""


def count(letters: str, rankings: list[str]) -> str:
    """The result in words: points per answer, the best first."""
    if not rankings:
        return "No member ranked the answers in the form asked for."
    points = dict.fromkeys(letters, 0)
    for ranking in rankings:
        for place, letter in enumerate(letter for letter in ranking if letter in points):
            points[letter] += len(letters) - place
    order = sorted(letters, key=lambda letter: -points[letter])
    voters = "1 ranking" if len(rankings) == 1 else f"{len(rankings)} rankings"
    return f"{voters}: " + ", ".join(f"{letter} {points[letter]}" for letter in order)


if __name__ == "__main__":
    main()
