"""Replies in a chat: each as it comes, and only what comes from the model that is talked with."""

from llm_orc.domain.event import Delta, Happening, Submitted
from llm_orc.domain.run import Run
from llm_orc.render.formats import Paper
from llm_orc.render.text import final_node


class Spoken:
    """The tokens of the ensemble's final agent, then those of each turn; `reply` ends one."""

    cut = False

    def __init__(self, paper: Paper) -> None:
        self._paper = paper
        self._speaks = final_node(paper.plan) if paper.plan else ""
        self._pieces: list[str] = []

    def tell(self, event: Happening) -> None:
        """Write the tokens of whoever speaks."""
        if isinstance(event, Submitted) and event.turn is not None:
            self._speaks = event.node
            self._pieces.clear()
        elif self._speaks and isinstance(event, Delta) and event.node == self._speaks and not event.thinking:
            self._pieces.append(event.text)
            self._paper.put(event.text)

    def reply(self, text: str) -> None:
        """Write what is not written yet of a reply that is over, and end the line."""
        out = "".join(self._pieces)
        rest = text[len(out) :] if text.startswith(out) else ""
        if out + rest and not (out + rest).endswith("\n"):
            rest += "\n"
        if rest:
            self._paper.put(rest)
        self._pieces.clear()

    def close(self, run: Run) -> None:
        """All has been written."""
