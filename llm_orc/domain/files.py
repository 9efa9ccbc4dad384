"""The files that an ensemble may name."""

from typing import Any, Protocol

from llm_orc.domain.message import Attachment
from llm_orc.domain.problem import Problem, ProblemError


class Files(Protocol):
    """The files that an ensemble may name, looked up from the folder it lies in."""

    @property
    def trusted(self) -> bool:
        """Whether its scripts and commands may run."""
        ...

    @property
    def bounds(self) -> str | None:
        """The folder that its agents may read files of; None where the user trusts whoever wrote it."""
        ...

    def beyond(self, name: str) -> Problem | None:
        """What keeps its agents from reading the files of this name or pattern; a problem without a place."""
        ...

    def text(self, name: str) -> str:
        """The text of a prompt or template; raises ProblemError without a place."""
        ...

    def data(self, name: str) -> Any:
        """What a JSON or YAML file holds; raises ProblemError without a place."""
        ...

    def program(self, name: str) -> str:
        """The absolute path of a script; raises ProblemError without a place."""
        ...

    def attachment(self, name: str, *, filled: bool = False) -> Attachment:
        """A file to send; raises ProblemError without a place. A name that was `filled` in may be the word of a model."""
        ...


class NoFiles:
    """What an ensemble without a folder has."""

    trusted = True
    bounds = None

    def beyond(self, name: str) -> None:
        """Who writes Python may read everything."""

    def text(self, name: str) -> str:
        """Nothing can be read."""
        raise ProblemError(Problem(f"no folder to look for '{name}' in", hint="give the text itself"))

    def data(self, name: str) -> Any:
        """Nothing can be read."""
        return self.text(name)

    def attachment(self, name: str, *, filled: bool = False) -> Attachment:  # noqa: ARG002 - the contract
        """Nothing can be read."""
        raise ProblemError(Problem(f"no folder to look for '{name}' in", hint="give the file to the run: attachments=[...]"))

    def program(self, name: str) -> str:
        """Nothing can be run but what is named by its full path."""
        if name.startswith("/"):
            return name
        raise ProblemError(Problem(f"no folder to look for '{name}' in", hint="name the script by its full path"))
