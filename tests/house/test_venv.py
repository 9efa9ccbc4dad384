"""`.ci/venv` on a machine whose pythons are false ones: which is taken, and what is said when none will do."""

import os
from pathlib import Path
from shutil import copytree, which

import pytest

from tests.project import run

ROOT = Path(__file__).parents[2]
BROKEN = "#!/bin/sh\nexit 127\n"  # what a version manager leaves on the PATH
OLD = '#!/bin/sh\ncase "$*" in *version_info*) exit 1 ;; esac\n'
BARE = '#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; esac\n'
GOOD = """#!/bin/sh
case "$*" in
--version) echo "Python of $(basename "$0")" ;;
"-m venv --clear .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
"-m pip"*) echo "$*" >> installed ;;
esac
"""


class Machine:
    """A checkout with the given commands on its PATH, and next to nothing else there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        copytree(ROOT / ".ci", root / ".ci")
        (root / "bin").mkdir()
        for tool in ("basename", "cat", "cp", "dirname", "mkdir", "mktemp", "rm", "sh"):
            (root / "bin" / tool).symlink_to(which(tool) or "/bin/" + tool)

    def venv(self, pythons: dict[str, str], **env: str) -> tuple[int, str]:
        for name, script in pythons.items():
            (self.root / "bin" / name).write_text(script)
            (self.root / "bin" / name).chmod(0o755)
        surroundings = {"PATH": str(self.root / "bin"), "TMPDIR": os.environ.get("TMPDIR", "/tmp"), **env}
        done = run(self.root / ".ci/venv", "review", cwd=self.root, env=surroundings)
        return done.code, done.out + done.err


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_newest_python_that_runs_and_makes_venvs_is_taken(machine: Machine) -> None:
    pythons = {"python3.14": BROKEN, "python3.13": BARE, "python3.12": GOOD, "python3.11": GOOD, "python3": OLD}
    code, said = machine.venv(pythons)
    assert (code, said.splitlines()[0]) == (0, "Making .venv with Python of python3.12")
    installs = [line.partition(" install ")[2] for line in (machine.root / "installed").read_text().splitlines() if " install " in line]
    assert installs[0] == "--require-hashes --requirement requirements/review.txt"
    assert installs[1].startswith("--require-hashes --requirement requirements/build.txt --target ")
    assert installs[2] == "--no-deps --no-build-isolation --editable ."


def test_a_venv_that_works_is_kept(machine: Machine) -> None:
    machine.venv({"python": GOOD})
    code, said = machine.venv({"python": BROKEN})
    assert (code, "Making" in said) == (0, False)


def test_a_venv_of_another_place_is_made_anew(machine: Machine) -> None:
    machine.venv({"python": GOOD})
    (machine.root / ".venv/place").write_text("/elsewhere\n")
    assert machine.venv({})[1].startswith("Making .venv with")
    assert (machine.root / ".venv/place").read_text() == f"{machine.root.resolve()}\n"


def test_a_python_may_be_named(machine: Machine) -> None:
    code, said = machine.venv({"python3.14": GOOD, "mine": GOOD}, PYTHON="mine")
    assert (code, said.splitlines()[0]) == (0, "Making .venv with Python of mine")


def test_a_missing_venv_module_is_explained(machine: Machine) -> None:
    code, said = machine.venv({"python3.12": OLD, "python3": BARE})
    assert code == 1
    assert said.splitlines() == [
        "python3 fits, but its venv module is incomplete: on Debian and Ubuntu, sudo apt install python3-venv adds it.",
        "Another interpreter can be named: make demo PYTHON=/path/to/python3",
    ]


def test_a_machine_without_a_fitting_python_is_told_so(machine: Machine) -> None:
    code, said = machine.venv({"python3": OLD, "python": BROKEN})
    assert code == 1
    assert said.splitlines()[0] == "llm-orc needs Python 3.11 or newer, and the PATH has none that runs."


def test_an_installation_that_fails_is_an_error(machine: Machine) -> None:
    code, said = machine.venv({"python3": GOOD.replace(">> installed", "| grep -v editable || exit 1")})
    assert code == 1
    assert said.splitlines()[-1] == "pip could not install what llm-orc needs; above it says why. Is a package index in reach?"
