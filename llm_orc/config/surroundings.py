"""Where a command was called, as a value: nothing here asks the machine itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a command was called: what is read of the machine comes from here."""

    cwd: Path
    home: Path
    env: Mapping[str, str] = field(repr=False)
    """Holds keys."""

    @property
    def settings(self) -> Path:
        """The user's own layer, on macOS too."""
        xdg = self.env.get("XDG_CONFIG_HOME", "")
        return (Path(xdg) if xdg.startswith("/") else self.home / ".config") / "llm-orc"

    def shown(self, path: Path) -> str:
        """A path as it is shortest to read and to click on: relative where it lies below the working directory."""
        try:
            return str(path.relative_to(self.cwd))
        except ValueError:
            return str(path)
