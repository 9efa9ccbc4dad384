"""A finished run as one JSON object; its schema is in `output_schema`."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import sha256
from math import isfinite
from typing import Any

from llm_orc.domain.event import Happening, Produced
from llm_orc.domain.message import Reply, Usage
from llm_orc.domain.run import Node, Run
from llm_orc.domain.said import parsed
from llm_orc.domain.use import EndpointUse, Spending
from llm_orc.render.formats import Paper

VERSION = 1
"""Of this output; grows only when a key changes its meaning or goes away."""
LONG_PROMPT = 8_000
"""Bytes from which on a prompt is told by its hash."""
HEAD = 400
"""Characters of a long prompt that are shown."""
DEEPEST = 100
"""Levels of a value; what lies deeper is null, as no parser need go further."""
_ESCAPED = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Json:
    """The whole run, once it is over."""

    cut = False

    def __init__(self, paper: Paper) -> None:
        self._paper = paper

    def tell(self, event: Happening) -> None:
        """Nothing is written before the end."""

    def close(self, run: Run) -> None:
        """Write the object, indented."""
        self._paper.write(to_json(document(run, verbose=self._paper.verbose), indent=2) + "\n")


def document(run: Run, *, verbose: bool = False) -> dict[str, Any]:
    """What the JSON output says of a run; with `verbose` long prompts are whole."""
    return {
        "version": VERSION,
        "run": run.id,
        "ensemble": run.ensemble,
        "status": run.status,
        "result": run.result,
        "agents": [agent_document(run, node, verbose=verbose) for node in run.top()],
        "totals": {
            "usage": plain(run.usage),
            "cost": None if run.unpriced else run.cost,
            "cached": run.reused,
            "saved": _saved(run.saved),
            "seconds": _seconds(run.seconds),
            "waited": _seconds(sum(node.waited for node in run.nodes.values())),
            "models": {
                name: {"usage": plain(spent.usage), "cost": None if name in run.unpriced else spent.cost}
                for name, spent in run.models.items()
            },
            "endpoints": {name: _endpoint(use) for name, use in run.endpoints.items()},
        },
    }


def _endpoint(use: EndpointUse) -> dict[str, Any]:
    return {
        "requests": use.requests,
        "peak": use.peak,
        "running": use.running,
        "queued": use.waiting,
        "waited": _seconds(use.waited),
    }


def agent_document(run: Run, node: Node, *, verbose: bool) -> dict[str, Any]:
    """What it says of one agent; its children are below it."""
    reply, children = node.reply, [agent_document(run, child, verbose=verbose) for child in run.below(node)]
    unpriced = any(child["usage"]["total"] and child["cost"] is None for child in children)
    return {
        "name": node.name,
        "status": node.status,
        "cached": node.cached,
        "cause": node.cause or None,
        "text": reply.text if reply else None,
        "json": plain(_parsed(reply)) if reply else None,
        "partial": None if reply else node.text or None,
        "prompt": _prompt(node.prompt, verbose=verbose),
        "profile": node.profile or None,
        "provider": node.provider or None,
        "model": node.model or None,
        "attempts": node.sent or None,
        "fell_back": [{"profile": profile, "cause": str(failure)} for profile, failure in node.fell_back],
        "finish": reply.finish if reply and (node.sent or (node.cached and node.model)) else None,
        "mismatch": (reply.mismatch or None) if reply else None,
        "usage": plain(node.usage),
        "window": _window(node),
        "shortened": _shortened(node),
        "cost": None if unpriced else node.cost,
        "saved": _saved(node.saved),
        "changed": list(node.changed),
        "seconds": _seconds(node.seconds),
        "waited": _seconds(node.waited),
        "artifacts": [_artifact(each) for each in node.artifacts],
        "children": children,
    }


def _artifact(artifact: Produced) -> dict[str, Any]:
    """A file that its program left; without a hash it is not kept."""
    return {"name": artifact.name, "media_type": artifact.media_type, "bytes": artifact.size, "sha256": artifact.sha256 or None}


def _saved(spent: Spending | None) -> dict[str, Any] | None:
    """What replies that were there already took when they were made."""
    return None if spent is None else {"usage": plain(spent.usage), "cost": spent.cost}


def _window(node: Node) -> dict[str, Any] | None:
    """How much of the model's context window the last request and its reply took."""
    size = node.context_window
    if size is None:
        return None
    return {"size": size, "used": node.taken, "available": max(size - node.taken, 0), "utilisation": round(node.taken / size, 4)}


def _shortened(node: Node) -> dict[str, Any] | None:
    """How a request that was too long was made to fit."""
    told = node.shortened
    return None if told is None else {"policy": told.policy, "before": told.before, "after": told.after, "room": told.room}


def _seconds(seconds: float | None) -> float | None:
    # The clock of a machine may be set back while a run goes on.
    return None if seconds is None else round(max(seconds, 0.0), 3)


def _prompt(prompt: str, *, verbose: bool) -> str | dict[str, Any] | None:
    raw = prompt.encode(errors="surrogatepass")
    if len(raw) <= LONG_PROMPT or verbose:
        return prompt or None
    return {"sha256": sha256(raw).hexdigest(), "bytes": len(raw), "head": prompt[:HEAD]}


def _parsed(reply: Reply) -> Any:
    if reply.structured:
        return reply.value
    try:
        return parsed(reply.text)
    except (ValueError, RecursionError):
        return None


def plain(value: object, depth: int = 0) -> Any:
    """A value made of what JSON knows: our own types as objects, numbers without a JSON form as null, all else as text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if isfinite(value) else None
        case _ if depth >= DEEPEST:
            return None
        case Mapping():
            return {str(key): plain(each, depth + 1) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(each, depth + 1) for each in value]
        case Usage():
            return {
                "input": value.input,
                "output": value.output,
                "total": value.total,
                "cached": value.cached,
                "reasoning": value.reasoning,
                "estimated": value.estimated,
            }
        case _ if is_dataclass(value):
            return {field.name: plain(getattr(value, field.name), depth + 1) for field in fields(value)}
        case _:
            return str(value)


def to_json(value: object, indent: int | None = None) -> str:
    """Plain values as JSON text that UTF-8 can hold and no terminal is driven by."""
    return quiet(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent))


def quiet(text: str) -> str:
    """JSON text of any making likewise."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
