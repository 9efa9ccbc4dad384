"""Makes a list of the input: the whole of it as one item, one per line, or those of a JSON list, as `variables.items` says."""

import json
import sys
from typing import Any


def main() -> None:
    """Reply with the list; what is wrong with the variables is said before anybody is asked."""
    request = json.load(sys.stdin)
    variables = request["variables"] or {}
    check_schema(variables.get("schema", ""), needed=variables.get("check") == "schema")
    json.dump(items_of(request["input"] or "", variables.get("items", "one")), sys.stdout, ensure_ascii=False)


def items_of(text: str, how: str) -> list[Any]:
    """The items; ends the program where there are none."""
    match how:
        case "lines":
            items: Any = [line.strip() for line in text.splitlines() if line.strip()]
        case "json":
            try:
                items = json.loads(text)
            except ValueError as error:
                sys.exit(f"items=json, and the input is no JSON: {error}")
        case _:
            items = [text.strip()] if text.strip() else []
    if not isinstance(items, list) or not items:
        sys.exit("the input holds no items" if isinstance(items, list) else "items=json, and the input is no JSON list")
    return items


def check_schema(text: str, *, needed: bool) -> None:
    """End the program where a schema is needed and is not there, or is none."""
    if not text:
        if needed:
            sys.exit('check=schema needs one: --var schema="$(cat schema.json)"')
        return
    from jsonschema.exceptions import SchemaError  # costs 0.1 s
    from jsonschema.validators import validator_for

    try:
        schema = json.loads(text)
        validator_for(schema).check_schema(schema)
    except ValueError as error:
        sys.exit(f"the variable schema is no JSON: {error}")
    except SchemaError as error:
        sys.exit(f"the variable schema is no JSON Schema: at {error.json_path}: {error.message}")


if __name__ == "__main__":
    main()
