"""Keys and tokens: found in the environment, kept in the keyring or an encrypted vault, never printed."""

from pathlib import Path

KEYS = Path("credentials", "keys.json")
"""Below the user's own layer: which keys are kept."""


def are_kept(settings: Path) -> bool:
    """Whether there may be a key; where there is none, nothing of this room need be imported."""
    try:
        (settings / KEYS).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # told in words by who reads it
        return True
    return True
