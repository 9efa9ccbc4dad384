"""Somebody else's idea of the four wire formats: aimock from npm, started with Node itself (`npx` would leave its child running)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

from tests.servers.wire import LONGEST_WAIT

VERSION = "1.43"
FOLDER = Path(os.environ.get("LLM_ORC_TEST_NODE", Path(__file__).parents[2] / "build/node"))
"""Where npm has put it."""
INSTALL = f"npm install --prefix build/node @copilotkit/aimock@{VERSION}"
_LIBRARY = FOLDER / "node_modules/@copilotkit/aimock/dist/index.js"


def missing() -> str:
    """What is not there, empty where all is."""
    return "" if shutil.which("node") and _LIBRARY.exists() else f"needs Node and aimock: {INSTALL}"


class Aimock:
    """A server with these fixtures for the time of a `with` block."""

    def __init__(self, folder: Path, fixtures: list[dict[str, Any]]) -> None:
        """`folder` is where its files go."""
        self._file = folder / "fixtures.json"
        self._file.write_text(json.dumps({"fixtures": fixtures}))
        self.origin = ""

    def __enter__(self) -> Self:
        command: list[str | Path] = ["node", Path(__file__).with_suffix(".mjs"), _LIBRARY, self._file]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "listening on " in line:
                self.origin = line.rpartition(" ")[2].strip()
                return self
        raise RuntimeError(f"aimock did not start: {said}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=LONGEST_WAIT)

    def journal(self) -> list[dict[str, Any]]:
        """Every request that it has seen, each with its `path`, `body` and `response`."""
        with urlopen(f"{self.origin}/__aimock/journal", timeout=LONGEST_WAIT) as answer:
            seen: list[dict[str, Any]] = json.load(answer)
        return seen
