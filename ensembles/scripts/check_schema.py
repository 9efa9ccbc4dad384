"""Puts each answer beside its item, and keeps apart those that did not come or do not follow `variables.schema`."""

import json
import sys
from typing import Any


def main() -> None:
    """Reply with `passed`, each {index, item, answer}, and `failed`, each {index, item, why}."""
    request = json.load(sys.stdin)
    dependencies = request["dependencies"]
    items = dependencies["items"]["json"]
    answers = dependencies["cheap"]["json"] or [None] * len(items)
    faults = Faults((request["variables"] or {}).get("schema", ""))
    passed, failed = [], []
    for index, (item, answer) in enumerate(zip(items, answers, strict=True)):
        if why := "no answer" if answer is None else faults.of(answer):
            failed.append({"index": index, "item": item, "why": why})
        else:
            passed.append({"index": index, "item": item, "answer": answer})
    json.dump({"passed": passed, "failed": failed}, sys.stdout, ensure_ascii=False)


class Faults:
    """What is wrong with answers by one schema; nothing by none."""

    def __init__(self, schema: str) -> None:
        self._validator: Any = None
        if schema:
            from jsonschema.validators import validator_for  # costs 0.1 s

            parsed = json.loads(schema)
            self._validator = validator_for(parsed)(parsed)

    def of(self, answer: object) -> str:
        """The first fault, in words; empty where there is none."""
        fault = next(self._validator.iter_errors(answer), None) if self._validator else None
        if fault is None:
            return ""
        return "it is no JSON" if isinstance(answer, str) else f"it does not follow the schema at {fault.json_path}: {fault.message[:200]}"


if __name__ == "__main__":
    main()
