import sys
from pathlib import Path

import pytest

from tests.project import run

ROOT = Path(__file__).parents[2]


def budgets(*folders: Path) -> tuple[int, list[str]]:
    done = run(sys.executable, ROOT / "checks/budgets.py", *folders)
    return done.code, done.out.splitlines()


def function(name: str, code: int) -> str:
    """A function of that many code lines, with a comment and a blank line that do not count."""
    return f"def {name}():\n    # why\n\n" + "    x = 1\n" * (code - 1)


def test_a_tidy_folder_passes(tmp_path: Path) -> None:
    (tmp_path / "tidy.py").write_text(
        "class TaskManager:\n    '''Promised.'''\n\n" + function("usual", 30) + "x = '''\n\n'''\n# end\n" * 88
    )
    assert budgets(tmp_path) == (0, ["1 modules: nothing beyond the budgets"])


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("long.py", "x = 1\n" * 301, "long.py:1: module has 301 code lines, budget 300"),
        ("docstring.py", "'''" + "text\n" * 300 + "'''\n", "docstring.py:1: module has 301 code lines, budget 300"),
        ("function.py", function("f", 41) + function("g", 2) * 30, "function.py:1: f() has 41 code lines, budget 40"),
        ("usual.py", function("f", 31), "of 1 functions 0 may have more than 30 code lines, 1 have:"),
        (
            "nested.py",
            "class A:\n    class RunManager:\n        '''No.'''\n",
            "nested.py:2: class RunManager: 'Manager' says nothing of what it is",
        ),
        ("utils.py", "", "utils.py:1: 'utils' says nothing of what is inside"),
        ("core/plan.py", "", "core/plan.py:1: 'core' says nothing of what is inside"),
    ],
)
def test_each_excess_is_named_with_its_place(tmp_path: Path, name: str, source: str, fault: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(source)
    code, lines = budgets(tmp_path)
    assert code == 1
    assert fault in [line.removeprefix(f"{tmp_path}/") for line in lines]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert budgets(tmp_path / "nowhere") == (2, [])
