import re
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from llm_orc import __version__
from tests.project import NewProject, run

ROOT = Path(__file__).parents[2]
METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SHIPPED = ("ensembles", "profiles")


def tracked(folder: str) -> set[str]:
    """The files of a folder of ours that git knows or would take."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "--", folder, cwd=ROOT).out
    return {name for name in listed.splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a source distribution built from this checkout."""
    built = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, ROOT)
    assert done.code == 0, done
    return next(built.glob("*.whl"))


def test_the_wheel_holds_the_package_and_what_is_shipped_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    shipped = {f"llm_orc/shipped/{name}" for folder in SHIPPED for name in tracked(folder)}
    assert inside == tracked("llm_orc") | shipped
    assert "llm_orc/py.typed" in inside


def test_the_installed_command_finds_what_is_shipped(wheel: Path, project: NewProject, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    python = venv / "bin/python"
    assert run(sys.executable, "-m", "venv", "--without-pip", venv).code == 0
    assert run(sys.executable, "-m", "pip", "-qq", "--python", python, "install", "--no-index", "--no-deps", wheel).code == 0
    packages = next(venv.glob("lib/python*/site-packages"))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))

    here = project()
    assert run(python, "-P", "-c", "import llm_orc; print(llm_orc.__file__)", cwd=here.path).out.startswith(str(packages))
    for args, answer in ((["--version"], __version__), (["list"], "code-review")):
        done = run(venv / "bin/llm-orc", *args, cwd=here.path, env=here.env())
        assert (done.err, done.code) == ("", 0)
        assert answer in done.out


@pytest.mark.parametrize("name", ["review", "dev", "build"])
def test_the_pins_are_hashed_and_name_no_index(name: str) -> None:
    lines = (ROOT / f"requirements/{name}.txt").read_text().splitlines()
    pin = re.compile(r"[a-z0-9._-]+==[a-z0-9.]+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in lines if not line.startswith("#") and not pin.fullmatch(line)] == []
    assert [line for line in lines if "://" in line or "--index" in line or "--find" in line] == []


@pytest.mark.parametrize(("name", "extras"), [("review", ["review"]), ("dev", ["review", "dev"])])
def test_every_dependency_is_pinned(name: str, extras: list[str]) -> None:
    wanted = METADATA["dependencies"] + [each for extra in extras for each in METADATA["optional-dependencies"][extra]]
    names = {re.split(r"[>=\[]", each)[0].lower() for each in wanted} - {"llm-orc"}
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE))
    assert names - pinned == set()
