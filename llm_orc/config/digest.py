"""Whether a file is still what it was."""

from hashlib import file_digest
from pathlib import Path


def digest(path: str) -> str | None:
    """The SHA-256 of a file; None where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
