"""Machines with files on them, described by values: nothing of the real surroundings is read."""

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from llm_orc.config.layers import Surroundings

Machine = Callable[..., Surroundings]


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for place, content in files.items():
        file = folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else dedent(content).encode())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A home with these files (`~/...`), and a project in it with the others; the command is called in the project."""

    def made(files: Mapping[str, str | bytes] | None = None, *, cwd: str = "", **env: str) -> Surroundings:
        home = tmp_path / "home"
        project = home / "project"
        (project / cwd).mkdir(parents=True, exist_ok=True)
        for place, content in (files or {}).items():
            write(home if place.startswith("~/") else project, {place.removeprefix("~/"): content})
        return Surroundings(project / cwd, home, env)

    return made
