"""The example plugin is what its page shows, and once installed an ensemble uses it."""

import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks_of
from tests.project import NewProject, run

EXAMPLE = ROOT / "docs/plugin-example"


def test_the_page_shows_the_example_as_it_is() -> None:
    shown = {block.of.removeprefix("loud/"): block.text for block in blocks_of(ROOT / "docs/plugins.md") if block.of.startswith("loud/")}
    assert shown == {file.name: file.read_text() for file in EXAMPLE.iterdir() if file.is_file()}


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Where the plugin is installed, and nothing else."""
    target = tmp_path / "packages"
    install = "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", target, EXAMPLE
    done = run(sys.executable, "-m", "pip", "--disable-pip-version-check", *install)
    assert done.code == 0, done
    return target


ENSEMBLE = """
agents:
  - name: shout
    model_profile: loud
    options: {marks: 2}
"""
PROFILE = """
provider: loud
model: any
temperature: 0.5
"""


def test_an_ensemble_uses_the_installed_example(packages: Path, project: NewProject) -> None:
    here = project({"shout.yaml": ENSEMBLE, ".llm-orc/profiles/loud.yaml": PROFILE})

    done = here.run("invoke", "shout.yaml", "good morning", env={"PYTHONPATH": str(packages)})

    assert (done.out, done.code) == ("GOOD MORNING!!\n", 0)
    assert "loud does not take temperature" in done.err


def test_without_it_there_is_no_such_provider(project: NewProject) -> None:
    here = project({"shout.yaml": ENSEMBLE, ".llm-orc/profiles/loud.yaml": PROFILE})

    done = here.run("invoke", "shout.yaml", "good morning")

    assert (done.out, done.code) == ("", 2)
    assert "no provider 'loud'" in done.err


def test_a_wrong_option_is_found_before_anything_runs(packages: Path, project: NewProject) -> None:
    here = project({"shout.yaml": ENSEMBLE.replace("2", "many"), ".llm-orc/profiles/loud.yaml": PROFILE})

    done = here.run("validate", "shout.yaml", env={"PYTHONPATH": str(packages)})

    assert done.code == 2
    assert "option 'marks' must be a whole number" in done.err


def test_the_example_passes_the_suite_that_it_comes_with(packages: Path) -> None:
    suite = EXAMPLE / "test_loud.py"
    program = f"import sys; sys.path.insert(0, {str(packages)!r}); import pytest; sys.exit(pytest.main(sys.argv[1:]))"

    done = run(sys.executable, "-c", program, "-q", "-p", "no:cacheprovider", suite, cwd=packages)

    assert done.code == 0, done
    assert "passed" in done.out
