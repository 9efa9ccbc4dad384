"""Events as records of the logger `llm_orc`: whoever has set up `logging` hears what every listener hears, but no prompt and no reply."""

import json
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from llm_orc.domain.event import (
    Answered,
    Cancelled,
    Delta,
    Failed,
    FellBack,
    Happening,
    Loaded,
    Loading,
    Missed,
    Produced,
    Queued,
    Received,
    Repairing,
    Resumed,
    Retrying,
    Reused,
    RunEnded,
    RunStarted,
    Sent,
    Shortened,
    Skipped,
    Started,
    Submitted,
    Warned,
)
from llm_orc.domain.message import Failure
from llm_orc.domain.record import name_of
from llm_orc.domain.run import Run
from llm_orc.domain.secret import PIECE, without_secrets
from llm_orc.render.safe import one_line
from llm_orc.render.words import cost_of, counted, dollars, seconds, size_text, tokens

NAME = "llm_orc"
RUN: ContextVar[str] = ContextVar("llm_orc_run", default="")
"""The run that something is said in, also by a library or by a function of somebody's."""
_OURS = ("run", "node", "event", "seq")
Said = tuple[str, Mapping[str, Any]]
"""What happened in words, and what they are made of."""


class Logged:
    """Tells a logger of what happens in a run, which has folded each event before."""

    def __init__(self, log: logging.Logger, run: Run, run_id: str) -> None:
        self._log, self._run = log, run
        self._token = RUN.set(run_id)

    def close(self) -> None:
        """What is said from now on is said outside of this run."""
        RUN.reset(self._token)

    def tell(self, event: Happening) -> None:
        """Make a record of it, if anybody wants that."""
        if isinstance(event, Delta):
            return
        level, said = _WORDS.get(type(event), (logging.DEBUG, _by_name))
        if isinstance(event, RunEnded) and self._run.status != "succeeded":
            level = logging.WARNING
        if self._log.isEnabledFor(level):
            words, details = said(event, self._run)
            ours = {"run": self._run.id, "node": getattr(event, "node", ""), "event": name_of(event), "seq": event.seq}
            self._log.log(level, "%s", words, extra={**ours, "details": details})


class Lines(logging.Formatter):
    """A record as a line for people."""

    def format(self, record: logging.LogRecord) -> str:
        who = getattr(record, "node", "") or ("" if record.name == NAME else record.name)
        parts = (_utc(record), record.levelname.lower(), _run_of(record), who, record.getMessage())
        return without_secrets("  ".join(filter(None, map(one_line, parts))) + _trace(record, self), PIECE)


class JsonLines(logging.Formatter):
    """A record as a JSON object on a line: `time level logger run message`; of an event also `node event seq`, and what it holds."""

    def format(self, record: logging.LogRecord) -> str:
        document = {"time": _utc(record), "level": record.levelname.lower(), "logger": record.name, "run": _run_of(record) or None}
        document |= {key: value for key in _OURS[1:] if (value := getattr(record, key, ""))}
        document["message"] = record.getMessage()
        document |= {key: value for key, value in getattr(record, "details", {}).items() if value not in (None, "", ())}
        if trace := _trace(record, self).strip():
            document["traceback"] = trace
        return json.dumps(_cleaned(document), default=str)


def _run_of(record: logging.LogRecord) -> str:
    return getattr(record, "run", "") or RUN.get()


def _utc(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trace(record: logging.LogRecord, formatter: logging.Formatter) -> str:
    return f"\n{formatter.formatException(record.exc_info)}" if record.exc_info else ""


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return without_secrets(value, PIECE)
        case Mapping():
            return {_cleaned(str(key)): _cleaned(each) for key, each in value.items()}
        case list() | tuple():
            return [_cleaned(each) for each in value]
        case _:
            return value


# What is said of each kind of event


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _why(failure: Failure) -> Mapping[str, Any]:
    return {"kind": str(failure.kind), "cause": failure.what, "hint": failure.hint}


def _started(event: RunStarted, _: Run) -> Said:
    agents, size = sum(map(len, event.phases)), _bytes(event.input)
    said = f"{event.ensemble} begins: {counted(agents, 'agent')}, an input of {size_text(size)}"
    return said, {"ensemble": event.ensemble, "agents": agents, "input_bytes": size}


def _ended(event: RunEnded, run: Run) -> Said:
    parts = (seconds(run.seconds), tokens(run.usage), cost_of(run, unpriced=bool(run.unpriced)))
    said = f"{run.ensemble} {run.status}: {', '.join(filter(None, parts))}"
    spent = {"tokens": run.usage.total, "cost": run.cost, "seconds": round(run.seconds, 3)}
    return said, {"status": run.status, "cause": event.cause, **spent, "result_bytes": _bytes(event.result)}


def _joined(event: Submitted, _: Run) -> Said:
    after = f", after {', '.join(event.depends_on)}" if event.depends_on else ""
    return f"{event.body} joins{after}", {"body": event.body, "depends_on": event.depends_on}


def _waits(event: Queued, _: Run) -> Said:
    return f"waits for {event.limit}", {"limit": event.limit, "endpoint": event.endpoint}


def _begins(event: Started, _: Run) -> Said:
    size = _bytes(event.prompt)
    items = counted(event.items, "item") if event.items is not None else ""
    model = f"for {event.provider}/{event.model}" if event.model else ""
    parts = (items, f"a prompt of {size_text(size)}" if size else "", model)
    asked = {"profile": event.profile, "provider": event.provider, "model": event.model}
    return f"begins: {', '.join(filter(None, parts))}".rstrip(": "), {"prompt_bytes": size or None, "items": event.items, **asked}


def _sends(event: Sent, run: Run) -> Said:
    number = run.nodes[event.node].sent
    details = {"endpoint": event.endpoint, "profile": event.profile, "provider": event.provider, "model": event.model, "request": number}
    return f"request {number} to {event.endpoint}, for {event.provider}/{event.model}", details


def _receives(event: Received, _: Run) -> Said:
    usage = {"input": event.usage.input, "output": event.usage.output, "cached": event.usage.cached, "estimated": event.usage.estimated}
    details = {"endpoint": event.endpoint, "model": event.model, "usage": usage, "cost": event.cost}
    if event.failure is not None:
        return f"no reply from {event.endpoint}: {event.failure}", {**details, **_why(event.failure)}
    cost = dollars(event.cost) if event.cost is not None else ""
    return f"a reply from {event.endpoint}: {', '.join(filter(None, (tokens(event.usage), cost)))}".rstrip(": "), details


def _answers(event: Answered, run: Run) -> Said:
    node, size = run.nodes[event.node], _bytes(event.reply.text)
    spent = {"seconds": round(node.seconds or 0.0, 3), "tokens": node.usage.total, "cost": node.cost}
    parts = (seconds(node.seconds), tokens(node.usage), f"a reply of {size_text(size)}")
    return f"succeeded: {', '.join(filter(None, parts))}", {"reply_bytes": size, **spent}


def _fails(event: Failed, _: Run) -> Said:
    return f"failed: {event.failure}", _why(event.failure)


def _retries(event: Retrying, _: Run) -> Said:
    return f"retries in {seconds(event.seconds)}: {event.failure}", {"seconds": event.seconds, **_why(event.failure)}


def _falls_back(event: FellBack, _: Run) -> Said:
    return f"falls back to {event.profile}: {event.failure}", {"profile": event.profile, **_why(event.failure)}


def _leaves(event: Produced, _: Run) -> Said:
    details = {"name": event.name, "media_type": event.media_type, "bytes": event.size, "sha256": event.sha256}
    return f"left {event.name}: {event.media_type}, {size_text(event.size)}", details


def _reuses(event: Reused, _: Run) -> Said:
    return f"has a kept reply: {tokens(event.usage)}".rstrip(": "), {"model": event.model, "tokens_saved": event.usage.total}


def _shortens(event: Shortened, _: Run) -> Said:
    details = {"policy": event.policy, "before": event.before, "after": event.after, "room": event.room}
    return f"has room for {event.room:,} tokens: {event.before:,} become {event.after:,} ({event.policy})", details


def _by_name(event: Happening, _: Run) -> Said:
    return name_of(event).replace("_", " "), {}


_WORDS: Mapping[type, tuple[int, Callable[[Any, Run], Said]]] = {
    RunStarted: (logging.INFO, _started),
    Resumed: (logging.INFO, lambda _, run: (f"{run.ensemble} is gone on with", {})),
    RunEnded: (logging.INFO, _ended),
    Submitted: (logging.DEBUG, _joined),
    Queued: (logging.DEBUG, _waits),
    Started: (logging.DEBUG, _begins),
    Sent: (logging.DEBUG, _sends),
    Received: (logging.DEBUG, _receives),
    Reused: (logging.INFO, _reuses),
    Shortened: (logging.INFO, _shortens),
    Missed: (logging.DEBUG, lambda event, _: (f"asks anew, changed: {', '.join(event.changed)}", {"changed": event.changed})),
    Loading: (logging.DEBUG, lambda event, _: (f"waits until {event.model} is loaded", {"model": event.model})),
    Loaded: (logging.DEBUG, lambda _, __: ("the model is loaded", {})),
    Retrying: (logging.INFO, _retries),
    FellBack: (logging.WARNING, _falls_back),
    Repairing: (logging.INFO, lambda event, _: (f"is asked to mend its reply: {event.what}", {"cause": event.what})),
    Produced: (logging.INFO, _leaves),
    Answered: (logging.INFO, _answers),
    Failed: (logging.ERROR, _fails),
    Skipped: (logging.INFO, lambda event, _: (f"skipped: {event.cause}", {"cause": event.cause})),
    Cancelled: (logging.WARNING, lambda _, __: ("cancelled", {})),
    Warned: (logging.WARNING, lambda event, _: (event.what, {})),
}
"""What is not here is said by its name alone."""
