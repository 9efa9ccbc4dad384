"""The search finds a key however it is written, and nothing else."""

import html
import json
import urllib.parse
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

import pytest

from tests.secrets.canaries import ENVIRONMENT, PIECE, Canaries, canary

KEY = canary("a key")
WAYS = {
    "as it is": KEY,
    "in base64": b64encode(KEY.encode()).decode(),
    "in base64, one behind": b64encode(b"k" + KEY.encode()).decode(),
    "in base64, two behind": b64encode(b"me" + KEY.encode() + b"!").decode(),
    "in base64 for a header": b64encode(f"me:{KEY}".encode()).decode(),
    "in base64 for a URL": urlsafe_b64encode(b"??>" + KEY.encode()).decode(),
    "in a URL": urllib.parse.quote(KEY),
    "in a query": urllib.parse.urlencode({"key": KEY}),
    "in JSON": json.dumps({"key": KEY}),
    "in JSON in JSON": json.dumps(json.dumps({"key": KEY})),
    "in HTML": html.escape(KEY),
    "as Python writes it": repr([KEY, {"k": KEY.encode()}]),
    "in hexadecimal": KEY.encode().hex(),
    "its first piece": KEY[:PIECE],
    "its last piece": KEY[-PIECE:],
    "a piece from within": KEY[5 : 5 + PIECE],
    "half of it in base64": b64encode(KEY[:24].encode()).decode(),
    "half of it in hexadecimal": KEY[24:].encode().hex().upper(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_key_is_found(way: str) -> None:
    search = Canaries({"it": KEY, "another": canary("another key")})

    assert search.found(f"before {WAYS[way]} after", b"nothing") == ["it"]


@pytest.mark.parametrize("harmless", ["", f"...{KEY[-4:]}", f"{KEY[:4]}...{KEY[-4:]}", "the key of openai", "x" * 4096])
def test_what_is_no_key_is_not(harmless: str) -> None:
    assert Canaries({"it": KEY}).found(harmless) == []


def test_no_canary_is_taken_for_another_one() -> None:
    for name, secret in ENVIRONMENT.items():
        assert Canaries().found(secret) == [name]


def test_files_are_found_by_what_they_hold_and_by_their_names(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden/store.db-wal").write_bytes(b"\0\1" + KEY.encode() + b"\xff")
    (tmp_path / KEY[-PIECE:].replace("/", "")).write_text("")
    (tmp_path / "link").symlink_to(f"/nowhere/{KEY[:PIECE]}")
    (tmp_path / "clean").write_text(KEY[-4:])

    found = Canaries({"it": KEY}).found_below(tmp_path)

    assert found == ["it in .hidden/store.db-wal", f"it in {KEY[-PIECE:]}", "it in link"]
