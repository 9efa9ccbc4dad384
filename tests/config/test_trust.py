import os
import stat
from pathlib import Path

import pytest

from llm_orc.config.layers import read_layers
from llm_orc.config.trust import is_trusted, trust, trusted_folders, untrust
from llm_orc.domain.problem import ProblemError
from tests.config.conftest import Machine

AGENTS = "agents: [{name: a, script: s.py}]\n"


def test_a_project_is_trusted_once_asked_and_forgotten_again(machine: Machine) -> None:
    where = machine({".llm-orc/ensembles/a.yaml": AGENTS})
    assert not read_layers(where).trusted
    assert not read_layers(where).ensemble("a").files.trusted
    trust(where.cwd, where)
    assert read_layers(where).trusted
    assert read_layers(where).ensemble("a").files.trusted
    untrust(where.cwd, where)
    assert not read_layers(where).trusted


def test_the_list_is_the_users_own(machine: Machine) -> None:
    where = machine({"a/x": "", "b/x": ""})
    trust(where.cwd / "b", where)
    trust(where.cwd / "a", where)
    trust(where.cwd / "a", where)
    file = where.settings / "trusted.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert trusted_folders(where) == (str(where.cwd / "a"), str(where.cwd / "b"))
    assert [entry.name for entry in where.settings.iterdir()] == ["trusted.json"]


def test_trust_is_of_a_folder_not_of_its_links_or_what_is_below(machine: Machine) -> None:
    where = machine({"real/below/x": ""})
    (where.cwd / "link").symlink_to("real")
    trust(where.cwd / "link", where)
    assert is_trusted(where.cwd / "real", where)
    assert not is_trusted(where.cwd / "real/below", where)


@pytest.mark.parametrize(("value", "trusted"), [("1", True), ("", False), ("0", False)])
def test_the_environment_trusts(machine: Machine, value: str, *, trusted: bool) -> None:
    assert read_layers(machine({".llm-orc/ensembles/a.yaml": AGENTS}, LLM_ORC_TRUST=value)).trusted is trusted


@pytest.mark.parametrize("content", ["{", "3", "[3]", "\\xff"])
def test_a_broken_list_trusts_nobody(machine: Machine, content: str) -> None:
    where = machine({".llm-orc/ensembles/a.yaml": AGENTS, "~/.config/llm-orc/trusted.json": content})
    with pytest.raises(ProblemError, match=r"trusted\.json: cannot be read as a list of folders\nhint: remove it"):
        read_layers(where)


def test_a_list_that_cannot_be_written_is_told(machine: Machine) -> None:
    where = machine({"~/.config/llm-orc": "a file"})
    with pytest.raises(ProblemError, match="cannot be written: file exists"):
        trust(where.cwd, where)


def test_a_folder_that_everybody_may_write_is_refused_even_if_trusted(machine: Machine) -> None:
    where = machine({".llm-orc/ensembles/a.yaml": AGENTS}, LLM_ORC_TRUST="1")
    (where.cwd / ".llm-orc").chmod(0o777)
    with pytest.raises(ProblemError) as caught:
        read_layers(where)
    assert str(caught.value) == ".llm-orc: everybody may write into this folder\nhint: close it: chmod o-w .llm-orc"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(machine: Machine) -> None:
    files = {".llm-orc/ensembles/a.yaml": AGENTS}
    where = machine(files)
    os.chown(where.cwd / ".llm-orc", 12345, 12345)
    with pytest.raises(ProblemError, match=r"\.llm-orc: belongs to another user"):
        read_layers(where)
    assert read_layers(machine(LLM_ORC_TRUST="1")).trusted


def test_an_ensemble_called_by_path_has_the_trust_of_its_own_project(machine: Machine) -> None:
    where = machine(
        {
            ".llm-orc/ensembles/a.yaml": AGENTS,
            "inside/b.yaml": AGENTS,
            "cloned/.git/HEAD": "",
            "cloned/deep/c.yaml": AGENTS,
            "~/alone/d.yaml": AGENTS,
            "~/.config/llm-orc/own.yaml": AGENTS,
        }
    )
    trust(where.cwd, where)
    layers = read_layers(where)

    def trusted(path: Path | str) -> bool:
        return layers.around(str(path)).ensemble(str(path)).files.trusted

    assert trusted("inside/b.yaml")
    assert trusted(where.settings / "own.yaml")
    assert not trusted("cloned/deep/c.yaml")
    assert not trusted("../alone/d.yaml")
    trust(where.cwd / "cloned", where)
    trust(where.home / "alone", where)
    assert trusted("cloned/deep/c.yaml")
    assert trusted("../alone/d.yaml")


def test_home_as_a_project_trusts_nothing_below_it(machine: Machine) -> None:
    where = machine({"~/.llm-orc/ensembles/a.yaml": AGENTS, "~/downloads/x.yaml": AGENTS, ".git/HEAD": ""})
    trust(where.home, where)
    assert not read_layers(where).ensemble("../downloads/x.yaml").files.trusted


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("closed", [".llm-orc", "~/.config/llm-orc", "~/.config/llm-orc/trusted.json"])
def test_what_may_not_be_looked_into_is_told(machine: Machine, closed: str) -> None:
    where = machine({".llm-orc/ensembles/a.yaml": AGENTS, "~/.config/llm-orc/trusted.json": "[]"})
    path = where.home / closed[2:] if closed.startswith("~") else where.cwd / closed
    path.chmod(0)
    try:
        with pytest.raises(ProblemError, match="cannot be read: permission denied"):
            read_layers(where)
    finally:
        path.chmod(0o700)
