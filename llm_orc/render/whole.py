"""Everything that is kept of a run as one JSON object, from whose events it can be folded again."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llm_orc.domain.event import Happening
from llm_orc.domain.kept import KeptRun
from llm_orc.domain.record import record_of, text_of
from llm_orc.domain.run import Run
from llm_orc.render.json import document, plain, quiet, to_json
from llm_orc.render.kept import run_document

EVERYTHING = "json"


def whole(run: Run, listed: KeptRun, spec: Mapping[str, Any] | None, events: Iterable[Happening]) -> Iterator[str]:
    """The object, in pieces: its events are never held together."""
    kept = {"input": run.input, "variables": plain(run.variables), "warnings": [list(each) for each in run.warnings], "spec": plain(spec)}
    head = to_json({**document(run, verbose=True), **_moments(listed), **kept}, indent=2)
    yield head.removesuffix("\n}") + ',\n  "events": ['
    comma = ""
    for event in events:
        yield f"{comma}\n    {quiet(text_of({'seq': event.seq, **record_of(event)}))}"
        comma = ","
    yield "\n  ]\n}\n"


def _moments(listed: KeptRun) -> dict[str, Any]:
    return {key: value for key, value in run_document(listed).items() if key in ("cause", "started_at", "last_at")}
