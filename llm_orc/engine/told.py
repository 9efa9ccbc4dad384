"""Who is told what happens."""

import logging
from collections.abc import Iterable

from llm_orc.domain.event import Happening
from llm_orc.domain.message import Tell

_log = logging.getLogger("llm_orc")


class Told:
    """Listeners, of which one that raises harms nobody."""

    def __init__(self, listeners: Iterable[Tell], run: str = "") -> None:
        self._listeners, self._run = list(listeners), run

    def tell(self, event: Happening) -> None:
        """Tell each of them; one that raises is told nothing more."""
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - a stranger's code
                self._listeners.remove(listener)
                _log.exception("a listener failed and is not told anything more", extra={"run": self._run})
