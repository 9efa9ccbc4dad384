"""Write the generated parts of the pages: `python docs/generate.py`. With `--check` only say which are stale, and exit 1."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from providers import providers
from pydantic import BaseModel

from llm_orc.cli.commands import COMMANDS
from llm_orc.config.foreign import PASSED_OVER, REFUSED
from llm_orc.config.schema import described
from llm_orc.config.settings import Settings
from llm_orc.domain import ensemble as written
from llm_orc.domain.context import Context
from llm_orc.domain.keeping import Keeping
from llm_orc.domain.layout import Layout, SectionLayout, Toc
from llm_orc.domain.model import AttachmentLimits, ModelCard, ProviderCard
from llm_orc.domain.price import Price
from llm_orc.domain.profile import Profile

DOCS = Path(__file__).parent
EXAMPLES = DOCS.parent / "ensembles/examples"
BEGIN, END = "<!-- generated: make docs -->", "<!-- generated: end -->"
Places = Iterable[Mapping[str, Any]]


def main(*, check: bool) -> int:
    """Bring the pages up to date, or say which are not."""
    stale = []
    for name, text in {"yaml.md": keys(), "cli.md": commands(), "migration.md": refused(), "providers.md": providers()}.items():
        page = DOCS / name
        old = page.read_text(encoding="utf-8")
        before, _, rest = old.partition(BEGIN)
        new = f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}"
        if new != old:
            stale.append(name)
            if not check:
                page.write_text(new, encoding="utf-8")
    for name in stale:
        print(f"docs/{name} {'is stale: make docs' if check else 'written'}")
    return 1 if check and stale else 0


# The command line


def commands() -> str:
    """The help of every command, as it is printed."""
    names = ["", *COMMANDS]
    names[names.index("config") + 1 : 0] = ["config show", "config path"]
    names[names.index("runs") + 1 : 0] = [f"runs {name}" for name in ("list", "show", "resume", "graph", "export", "diff", "prune")]
    return "\n".join(f"## llm-orc {name}".rstrip() + f"\n\n```text\n{help_of(name)}```\n" for name in names)


def help_of(command: str) -> str:
    """What `llm-orc COMMAND --help` prints in a terminal of 100 columns."""
    env = {**os.environ, "COLUMNS": "100", "TERM": "dumb"}
    call = [sys.executable, "-m", "llm_orc", *command.split(), "--help"]
    return subprocess.run(call, env=env, capture_output=True, text=True, check=True, cwd=DOCS.parent).stdout


# What is refused


def refused() -> str:
    """The keys of LLM Orchestra that do nothing or are refused."""
    idle = [f"| `{key}` | {instead} |" for key, instead in PASSED_OVER.items()]
    foreign = [f"| `{key}` | {instead} |" for key, instead in REFUSED.items()]
    parts = (
        ("Keys that change nothing, and warn", "there", "here", idle),
        ("Keys that are refused", "there", "here", foreign),
    )
    return "\n".join("\n".join([f"## {title}", "", f"| {left} | {right} |", "|---|---|", *rows, ""]) for title, left, right, rows in parts)


# The keys of files


def keys() -> str:
    """A table of keys for each kind of thing that files hold."""
    return "\n".join(section(title, model, used) for title, model, used in SECTIONS)


def section(title: str, model: type[BaseModel], used: Callable[[Any], Places]) -> str:
    """The keys of a model but those of every agent, each with the example that shows it."""
    properties = model.model_json_schema()["properties"]
    required = [key for key, field in model.model_fields.items() if field.is_required()]
    inherited = written.Common.model_fields if issubclass(model, written.Common) and model is not written.Common else {}
    lines = [f"### {title}", "", "| key | type | default | meaning |", "|---|---|---|---|"]
    for key, meaning in described(model).items():
        if key not in inherited and (model, key) not in NAMED_BY_FILE:
            default = "required" if key in required else default_of(properties[key])
            cells = f"`{key}`", in_words(properties[key]), default, f"{meaning} {example_of(key, used)}".strip()
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def in_words(part: Mapping[str, Any]) -> str:
    """A JSON Schema as a reader says it."""
    match part:
        case {"$ref": str(name)}:
            return LINKS[name.rpartition("/")[2]]
        case {"const": value}:
            return f"`{json.dumps(value)}`"
        case {"enum": list(values)}:
            return " or ".join(f"`{value}`" for value in values)
        case {"anyOf": list(choices)} | {"oneOf": list(choices)}:
            return " or ".join(dict.fromkeys(in_words(choice) for choice in choices if choice.get("type") != "null"))
        case {"type": "array", "items": dict(items)}:
            return f"list of {in_words(items)}" if items else "list"
        case {"type": "object", "patternProperties": dict(named)}:
            return f"by name: {in_words(next(iter(named.values())))}"
        case {"type": "object"}:
            return "keys and values"
        case {"type": str(kind)}:
            bounds = [f"{sign} {part[key]:g}" for key, sign in BOUNDS.items() if key in part]
            return " ".join([{"string": "text", "boolean": "true or false"}.get(kind, kind), " and ".join(bounds)]).strip()
    return "anything"


def default_of(part: Mapping[str, Any]) -> str:
    """What holds where a key is left out; empty where that is nothing at all."""
    default = part.get("default")
    return "" if default in (None, "", [], {}) or isinstance(default, dict) else f"`{json.dumps(default)}`".replace('"', "")


# Where a key is shown


def example_of(key: str, used: Callable[[Any], Places]) -> str:
    """A link to the example that shows a key: the one of its name, else the shortest."""
    found = [path for path, data in examples().items() if any(key in place for place in used(data))]
    if not found or key in EVERYWHERE:
        return ""
    best = min(found, key=lambda path: (path.stem != key.replace("_", "-"), path.stat().st_size, path.name))
    return f"[{best.stem}](../ensembles/examples/{best.name})"


@cache
def examples() -> Mapping[Path, Any]:
    """What stands in each example."""
    return {path: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(EXAMPLES.glob("*.yaml"))}


def at(key: str) -> Callable[[Any], Places]:
    """Where an ensemble has the keys of one of its parts."""
    return lambda data: [data[key]] if isinstance(data.get(key), dict) else []


def agents(body: str = "") -> Callable[[Any], Places]:
    """Where it has those of its agents, or of those with one kind of body."""
    return lambda data: [agent for agent in data["agents"] if body in ("", written.body_of(agent).strip("<>"))]


SECTIONS: tuple[tuple[str, type[BaseModel], Callable[[Any], Places]], ...] = (
    ("Ensemble", written.Ensemble, lambda data: [data]),
    ("Every agent", written.Common, agents()),
    ("Model agent", written.ModelAgent, agents("model")),
    ("Script agent", written.ScriptAgent, agents("script")),
    ("Command agent", written.CommandAgent, agents("command")),
    ("Ensemble agent", written.EnsembleAgent, agents("ensemble")),
    ("Fan-out", written.FanOut, lambda data: [agent["fan_out"] for agent in data["agents"] if isinstance(agent.get("fan_out"), dict)]),
    ("Retry", written.Retry, lambda data: [agent["retry"] for agent in data["agents"] if isinstance(agent.get("retry"), dict)]),
    (
        "Context",
        Context,
        lambda data: [agent["context"] for agent in data["agents"] if isinstance(agent.get("context"), dict)],
    ),
    ("Defaults", written.Defaults, at("defaults")),
    ("Variable", written.Variable, lambda data: data.get("variables", {}).values()),
    ("Limits", written.Limits, at("limits")),
    ("Synthesis by a model", written.ModelSynthesis, at("synthesis")),
    ("Synthesis by headings", written.ConcatSynthesis, at("synthesis")),
    ("Synthesis by a template", written.TemplateSynthesis, at("synthesis")),
    ("Synthesis by choice", written.AgentSynthesis, at("synthesis")),
    ("Synthesis as a document", written.DocumentSynthesis, at("synthesis")),
    ("Document", Layout, lambda data: [data["synthesis"]["document"]] if "document" in (data.get("synthesis") or {}) else []),
    ("Section", SectionLayout, lambda _: ()),
    ("Contents", Toc, lambda _: ()),
    ("Profile", Profile, lambda _: ()),
    ("Settings", Settings, lambda _: ()),
    ("Store", Keeping, lambda _: ()),
    ("Provider of the catalogue", ProviderCard, lambda _: ()),
    ("Model of the catalogue", ModelCard, lambda _: ()),
    ("Attachments of the catalogue", AttachmentLimits, lambda _: ()),
    ("Price", Price, lambda _: ()),
)
LINKS = {model.__name__: f"[{title.lower()}](#{title.lower().replace(' ', '-')})" for title, model, _ in SECTIONS}
NAMED_BY_FILE = ((Profile, "name"), (written.Ensemble, "name"))
EVERYWHERE = ("name", "description", "agents", "prompt", "depends_on", "default_task")
BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}

if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
