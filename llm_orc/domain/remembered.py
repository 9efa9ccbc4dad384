"""What an ensemble's files said when they were read."""

from dataclasses import dataclass, field
from typing import Any

from llm_orc.domain.files import Files
from llm_orc.domain.message import Attachment
from llm_orc.domain.problem import Problem


@dataclass(slots=True)
class Remembered:
    """Files that are read once each, and kept in mind."""

    files: Files
    texts: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    programs: dict[str, str] = field(default_factory=dict)
    attached: dict[str, Attachment] = field(default_factory=dict)
    """By the names that were written, not by those that a model said."""

    @property
    def trusted(self) -> bool:
        """Whether its scripts and commands may run."""
        return self.files.trusted

    @property
    def bounds(self) -> str | None:
        """The folder that its agents may read files of."""
        return self.files.bounds

    def beyond(self, name: str) -> Problem | None:
        """What keeps its agents from reading the files of this name or pattern."""
        return self.files.beyond(name)

    def text(self, name: str) -> str:
        """The text of a prompt or template; raises ProblemError without a place."""
        if name not in self.texts:
            self.texts[name] = self.files.text(name)
        return self.texts[name]

    def data(self, name: str) -> Any:
        """What a JSON or YAML file holds; raises ProblemError without a place."""
        if name not in self.values:
            self.values[name] = self.files.data(name)
        return self.values[name]

    def program(self, name: str) -> str:
        """The absolute path of a script; raises ProblemError without a place."""
        if name not in self.programs:
            self.programs[name] = self.files.program(name)
        return self.programs[name]

    def attachment(self, name: str, *, filled: bool = False) -> Attachment:
        """A file to send; raises ProblemError without a place."""
        if filled:
            return self.files.attachment(name, filled=True)
        if name not in self.attached:
            self.attached[name] = self.files.attachment(name)
        return self.attached[name]
