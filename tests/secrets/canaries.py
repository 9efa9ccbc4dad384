"""Keys that must never be seen again, and a search that finds them however they are written.

`Canaries` holds one secret for each way of giving one. `found` names those that are there, whole or in pieces: as they are, in base64,
URL-encoded, escaped for JSON, HTML or Python, or in hexadecimal digits; `found_below` looks into every file below a folder.
"""

import html
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from itertools import islice
from pathlib import Path
from urllib.parse import quote, quote_plus

PIECE = 12
"""So many characters in a row give a key away; the last four alone may be shown."""
AWKWARD = "/+=\"\\<&'%"
"""What is written otherwise in nearly every format."""


def canary(name: str) -> str:
    """The secret of this name: nothing in it looks like a key, so that no pattern for keys hides what is leaked."""
    digits = iter(sha256(name.encode()).hexdigest())
    return "".join(letter + "".join(islice(digits, 4)) for letter in f"k{AWKWARD}")


ENVIRONMENT: Mapping[str, str] = {
    name: canary(name)
    for name in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "OPENAI_COMPATIBLE_API_KEY")
}
"""The key of each provider as a variable."""
STRANGE: Mapping[str, str] = {
    name: canary(name)
    for name in (
        "ANTHROPIC_AUTH_TOKEN",
        "GOOGLE_API_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "OPENAI_ADMIN_KEY",
        "HF_TOKEN",
        "AZURE_OPENAI_API_KEY_2",
        "anthropic_api_key",
    )
}
"""Variables that we do not read, and that hold keys all the same."""
PASSPHRASE = canary("passphrase")
PROXY_PASSWORD = sha256(b"proxy").hexdigest()[:30]
"""As it stands in a URL."""


@cache
def pieces(secret: str) -> Mapping[int, frozenset[bytes]]:
    """Everything that gives it away, by its length."""
    found: dict[int, set[bytes]] = {}
    for form, size in _forms(secret):
        found.setdefault(size, set()).update(form[start : start + size] for start in range(len(form) - size + 1))
    return {size: frozenset(each) for size, each in found.items()}


def _forms(secret: str) -> Iterator[tuple[bytes, int]]:
    """Each way of writing it, and how long a piece of that is as good as the key."""
    raw = secret.encode()
    texts = {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        quote(secret, safe="").lower(),
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret)[1:-1])[1:-1],
        html.escape(secret),
        repr(secret)[1:-1],
        repr(raw)[2:-1],
    }
    yield from ((text.encode(), PIECE) for text in texts)
    for before in range(3):
        for encoded in (b64encode, urlsafe_b64encode):
            # The first and the last characters depend on what stands beside the key.
            yield encoded(bytes(before) + raw)[-(-before * 4 // 3) : -4], PIECE * 4 // 3
    yield from ((text.encode(), 2 * PIECE) for text in (raw.hex(), raw.hex().upper()))
    yield secret.encode("utf-16-le"), 2 * PIECE


@dataclass(frozen=True, slots=True)
class Canaries:
    """Secrets by what they are."""

    secrets: Mapping[str, str] = field(default_factory=lambda: {**ENVIRONMENT, **STRANGE, "passphrase": PASSPHRASE})

    def plus(self, **more: str) -> "Canaries":
        """With these, too."""
        return Canaries({**self.secrets, **more})

    def found(self, *written: bytes | str) -> list[str]:
        """The names of those that give themselves away in what was written."""
        seen = [each.encode(errors="surrogateescape") if isinstance(each, str) else each for each in written]
        suspect = [each for each in seen if _holds(each, frozenset(self.secrets.values()))]
        return [name for name, secret in self.secrets.items() if any(_holds(each, frozenset({secret})) for each in suspect)]

    def found_below(self, *folders: Path, but: Callable[[Path], bool] = lambda _: False) -> list[str]:
        """Each file below the folders that holds one, in its name or its bytes, and which."""
        return [
            f"{name} in {file.relative_to(folder)}"
            for folder in folders
            for file, data in bytes_below(folder)
            if not but(file)
            for name in self.found(data, str(file.relative_to(folder)))
        ]


@cache
def _pieces_of_all(secrets: frozenset[str]) -> Mapping[int, frozenset[bytes]]:
    each = [pieces(secret) for secret in secrets]
    return {size: frozenset[bytes]().union(*(one.get(size, ()) for one in each)) for size in {size for one in each for size in one}}


def _holds(written: bytes, secrets: frozenset[str]) -> bool:
    return any(not each.isdisjoint(_windows(written, size)) for size, each in _pieces_of_all(secrets).items())


def _windows(written: bytes, size: int) -> Iterator[bytes]:
    return (written[start : start + size] for start in range(len(written) - size + 1))


def bytes_below(folder: Path) -> Iterable[tuple[Path, bytes]]:
    """Every file below a folder, hidden ones and what a link names too."""
    for file in sorted(folder.rglob("*")):
        if file.is_symlink():
            yield file, str(file.readlink()).encode()
        if file.is_file():
            yield file, file.read_bytes()
