import sys
from pathlib import Path
from shutil import copy

import pytest

from tests.project import Outcome, run

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def floors(house: Path) -> Outcome:
    return run(BIN / "lint-imports", "--no-cache", cwd=house)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A house with a few empty rooms, under our contracts."""
    copy(ROOT / "pyproject.toml", tmp_path)
    for room in ("", "domain", "engine", "config", "library", "cli"):
        (tmp_path / "llm_orc" / room).mkdir()
        (tmp_path / "llm_orc" / room / "__init__.py").touch()
    (tmp_path / "llm_orc" / "app.py").write_text("import llm_orc.config, llm_orc.engine\n")
    return tmp_path


def test_looking_down_is_allowed(house: Path) -> None:
    (house / "llm_orc/cli/list.py").write_text("import asyncio, llm_orc.app, llm_orc.domain\n")
    assert floors(house).code == 0


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("domain/plan.py", "import llm_orc.engine"),
        ("domain/plan.py", "import asyncio"),
        ("engine/perform.py", "import llm_orc.config"),
        ("config/load.py", "from llm_orc import app"),
        ("library/tasks.py", "import llm_orc.cli"),
        ("attic.py", ""),
    ],
)
def test_the_floors_are_held(house: Path, module: str, source: str) -> None:
    (house / "llm_orc" / module).write_text(source)
    done = floors(house)
    assert done.code == 1
    assert Path(module).stem in done.out


def test_mocks_are_banned() -> None:
    ruff = (BIN / "ruff", "check", "--stdin-filename", "tests/test_x.py", "--output-format", "concise", "-")
    done = run(*ruff, cwd=ROOT, stdin="from unittest.mock import patch\n\npatch()\n")
    assert done.code == 1
    assert "TID251 `unittest.mock` is banned" in done.out


def test_each_ignored_rule_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    lines = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.flake8-builtins]")].splitlines()
    rules = [line for line in lines if line.startswith('  "')]
    assert len(rules) > 20
    assert [rule for rule in rules if "# " not in rule] == []
