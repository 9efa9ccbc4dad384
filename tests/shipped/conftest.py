import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

ENSEMBLES = Path(__file__).parents[2] / "ensembles"

Script = Callable[..., Any]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Run a shipped script as llm-orc does: `script(name, input, ...)` gives its JSON, or its text."""

    def run(
        name: str,
        text: str | None = "",
        *,
        parameters: Mapping[str, Any] | None = None,
        dependencies: Mapping[str, Any] | None = None,
        variables: Mapping[str, Any] | None = None,
        python: Sequence[str] = (),
        cwd: Path = tmp_path,
        env: Mapping[str, str] | None = None,
    ) -> Any:
        request = {"input": text, "parameters": parameters, "dependencies": dependencies, "item": None, "variables": variables}
        command = [sys.executable, *python, str(ENSEMBLES / "scripts" / f"{name}.py")]
        done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, cwd=cwd, env=env, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        try:
            return json.loads(done.stdout)
        except ValueError:
            return done.stdout

    return run


@pytest.fixture
def shop() -> str:
    return (ENSEMBLES / "examples" / "shop.py").read_text()
