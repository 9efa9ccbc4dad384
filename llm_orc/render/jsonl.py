"""One JSON object per event, in a line of its own, as it happens."""

import re
from dataclasses import fields

from llm_orc.domain.event import Happening
from llm_orc.domain.run import Run
from llm_orc.render.formats import Paper
from llm_orc.render.json import plain, to_json

_WORD = re.compile(r"(?<!^)(?=[A-Z])")


class JsonLines:
    """The events themselves."""

    cut = False

    def __init__(self, paper: Paper) -> None:
        self._paper = paper

    def tell(self, event: Happening) -> None:
        """Write the event."""
        self._paper.write(line(event))

    def close(self, run: Run) -> None:
        """Nothing is left to say: the last event was the end."""


def line(event: Happening) -> str:
    """An event as `{"event": "run_started", "seq": 1, "at": ..., ...}` and a newline."""
    rest = {field.name: getattr(event, field.name) for field in fields(event) if field.name not in {"seq", "at"}}
    name = _WORD.sub("_", type(event).__name__).lower()
    return to_json(plain({"event": name, "seq": event.seq, "at": event.at, **rest})) + "\n"
