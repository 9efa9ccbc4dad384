"""What LLM Orchestra writes otherwise: translated where it means the same, refused with our word for it where it does not."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from llm_orc.config.reading import Document
from llm_orc.domain.problem import KeyPath

PROVIDERS = {"anthropic-api": "anthropic", "google-gemini": "google"}
"""Its names of providers, and ours."""
REFUSED = {
    "loop": "an agent runs once per item with fan_out: {items: ...}",
    "dispatch": "let 'when' on each agent say whether it runs",
    "validation": "check the reply in a script agent that depends on this one",
    "test_mode": "try it without a model: --offline, or --profile embedded",
    "serves": "leave it out: an ensemble is called by its name",
    "input_scope": "'prompt' says what an agent sees: {{ input }}, {{ agents.NAME }}",
}
"""Its keys that have no counterpart, and what to do instead."""
PASSED_OVER = {
    "raw_output": "replies are always kept as they came",
    "output_format": "the format is that of the whole run: --output-format",
    "cost_per_token": "",
}
"""Its keys on an agent or a profile that change nothing here."""
REQUIRE = {"skip": "all", "fail": "all", "stop": "all", "abort": "all", "continue": 0, "proceed": 0, "ignore": 0, "run": 0}
"""What its `on_dependency_failure` says, as our `require`: a failed dependency stops this agent, or never does."""

_REFERENCE = re.compile(r"(?<!\$)\$\{\s*([A-Za-z][\w-]*)\.([\w.-]+)\s*\}")
_SHELL = re.compile(r"[\n|;&<>$`]|^[^/.\s]*\s[^/.]*$")
_OF_RUNS = frozenset({"input", "item", "loop", "agents", "dependencies", "variables"})


def translate(document: Document, data: dict[str, Any], path: KeyPath) -> None:
    """Make the mapping at `path` (an agent, a profile, a synthesis) ours."""
    for key in [key for key in data if key in REFUSED]:
        document.fault_of_key((*path, key), f"'{key}' is LLM Orchestra's and not known here", REFUSED[key])
        del data[key]
    for key in [key for key in data if key in PASSED_OVER]:
        document.fault_of_key((*path, key), f"'{key}' does nothing here", PASSED_OVER[key], warning=True)
        del data[key]
    provider = data.get("provider")
    if isinstance(provider, str):
        data["provider"] = PROVIDERS.get(provider, provider)
    _renamed(document, data, path, "fallback_model_profile", "fallback", lambda name: [name] if isinstance(name, str) else name)
    _renamed(document, data, path, "response_format", "output_schema", _schema_of)


def _renamed(document: Document, data: dict[str, Any], path: KeyPath, theirs: str, ours: str, value: Callable[[Any], Any]) -> None:
    """Write their key as ours; a value of None says nothing."""
    if theirs not in data:
        return
    if ours in data:
        document.fault_of_key((*path, theirs), f"'{theirs}' and '{ours}' are one and the same", f"keep '{ours}'")
        del data[theirs]
    elif (written := value(data.pop(theirs))) is not None:
        data[ours] = written
        document.moved((*path, theirs), (*path, ours))


def _schema_of(response_format: Any) -> Any:
    """The JSON Schema that a `response_format` asks for; a bare name says only that it is JSON."""
    match response_format:
        case "text" | {"type": "text"}:
            return None
        case "json" | "json_object" | {"type": "json" | "json_object"}:
            return {"type": "object"}
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema}} | {"type": "json_schema", "schema": dict() as schema}:
            return schema
    return response_format


def translate_agent(document: Document, data: dict[str, Any], path: KeyPath) -> None:
    """Likewise, with what only agents have."""
    translate(document, data, path)
    if "on_dependency_failure" in data:
        _on_dependency_failure(document, data, path)
    script = data.get("script")
    if isinstance(script, str) and _SHELL.search(script.strip()):
        document.fault((*path, "script"), "'script' names a file, and runs no shell", _as_command(script))
        data["script"] = "inline"


def translate_ensemble(document: Document, data: dict[str, Any]) -> None:
    """Make the keys at the top ours."""
    for key in [key for key in data if key in REFUSED]:
        document.fault_of_key((key,), f"'{key}' is LLM Orchestra's and not known here", REFUSED[key])
        del data[key]
    if "task" in data:
        if "default_task" in data:
            document.fault_of_key(("task",), "'task' and 'default_task' are one and the same", "keep 'default_task'")
            del data["task"]
        else:
            data["default_task"] = data.pop("task")
            document.moved(("task",), ("default_task",))


def refuse_references(document: Document, data: dict[str, Any]) -> None:
    """Note every `${agent.key}`; in a prompt only where it names an agent or the input, since code may be written so too."""
    agents = data.get("agents")
    entries = [agent for agent in agents if isinstance(agent, dict)] if isinstance(agents, list) else []
    names = {str(agent.get("name")) for agent in entries}
    for path, text in _texts(data, ()):
        for found in _REFERENCE.finditer(text):
            owner, rest = found.groups()
            in_prose = path[-1] in ("prompt", "system_prompt", "description", "default_task")
            if owner in names or owner in _OF_RUNS or not in_prose:
                document.fault(path, f"'{found[0]}' is not filled in here", f'write "{_ours(owner, rest, names)}"')


def _ours(owner: str, rest: str, agents: set[str]) -> str:
    if owner in ("agents", "dependencies") and owner not in agents:
        owner, _, rest = rest.partition(".")
    elif owner not in agents and owner in _OF_RUNS:
        return f"{{{{ {owner} }}}}" if owner == "input" else f"{{{{ {owner}.{rest} }}}}"
    key = rest if rest not in ("", "output", "response", "result", "text") else ""
    name = owner.replace("-", "_")
    return f"{{{{ agents.{name}.json.{key} }}}}" if key else f"{{{{ agents.{name} }}}}"


def _on_dependency_failure(document: Document, data: dict[str, Any], path: KeyPath) -> None:
    said = data.pop("on_dependency_failure")
    if "require" in data:
        document.fault_of_key((*path, "on_dependency_failure"), "'on_dependency_failure' and 'require' say the same", "keep 'require'")
    elif isinstance(said, str) and said in REQUIRE:
        data["require"] = REQUIRE[said]
        document.moved((*path, "on_dependency_failure"), (*path, "require"))
    else:
        hint = "write require: all (needs each dependency), any, or 0 (needs none)"
        document.fault((*path, "on_dependency_failure"), "'on_dependency_failure' is either skip or continue", hint)


def _as_command(script: str) -> str:
    words = script.split()
    if "\n" not in script.strip() and not re.search(r"[|;&<>$`]", script):
        return f"a program with arguments is an agent with command: [{', '.join(words)}]"
    return "put it into a file that begins with #!/bin/sh, or write command: [sh, -c, '...']"


def _texts(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        if "${" in value and path:
            yield path, value
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(inner, (*path, key))
