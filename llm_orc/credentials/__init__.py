"""Keys and tokens: found in the environment, kept in the keyring or an encrypted vault, never printed."""

import os
from pathlib import Path

KEYS = Path("credentials", "keys.json")
"""Below the user's own layer: which keys are kept."""


def are_kept(file: str) -> bool:
    """Whether that file may hold a key; where there is none, nothing of this room need be imported."""
    try:
        os.stat(file)  # noqa: PTH116 - five times for every call, and a Path takes ten times as long
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # told in words by who reads it
        return True
    return True
