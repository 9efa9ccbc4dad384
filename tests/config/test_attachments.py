"""Where attached files are looked for, who may read which, and that one is read once."""

import os
from pathlib import Path

import pytest

from llm_orc.config.attachments import read_attachment
from llm_orc.config.layers import read_layers
from llm_orc.config.surroundings import Surroundings
from llm_orc.domain.files import Files
from llm_orc.domain.problem import ProblemError
from tests import pictures
from tests.config.conftest import Machine

ONE = "agents: [{name: a}]\n"
HOME = ".llm-orc/ensembles/one.yaml"


def files(where: Surroundings, name: str = "one") -> Files:
    return read_layers(where).ensemble(name).files


def refused(where: Surroundings, named: str, *, filled: bool = False) -> str:
    with pytest.raises(ProblemError) as raised:
        files(where).attachment(named, filled=filled)
    return str(raised.value)


@pytest.mark.parametrize("place", [".llm-orc/a.png", ".llm-orc/ensembles/a.png", "a.png"])
def test_a_file_lies_beside_the_ensemble_in_its_layer_or_in_the_project(machine: Machine, place: str) -> None:
    where = machine({HOME: ONE, place: pictures.png()}, cwd="deep")
    found = files(where).attachment("a.png")
    assert (found.name, found.media_type) == ("a.png", "image/png")
    assert Path(found.path) == where.home / "project" / place


def test_only_a_name_that_is_filled_in_is_looked_for_where_the_command_is_called(machine: Machine) -> None:
    where = machine({HOME: ONE, "deep/a.png": pictures.png()}, cwd="deep")
    assert files(where).attachment("a.png", filled=True).path == str(where.cwd / "a.png")
    assert refused(where, "a.png").startswith("no file 'a.png'\nhint: looked in ")


def test_the_same_file_is_read_once_however_it_is_called(machine: Machine) -> None:
    where = machine({HOME: ONE, "a.png": pictures.png()})
    first = files(where).attachment("a.png")
    assert files(where).attachment("a.png") is first
    other = read_attachment(where.cwd / "a.png", "./a.png")
    assert (other.name, other.data is first.data) == ("./a.png", True)
    (where.cwd / "a.png").write_bytes(pictures.png(3, 3))
    assert files(where).attachment("a.png").data == pictures.png(3, 3)


def test_a_full_path_is_not_told_to_others(machine: Machine) -> None:
    where = machine({"a.png": pictures.png()})
    assert read_attachment(where.cwd / "a.png", str(where.cwd / "a.png")).name == "a.png"


def test_a_project_that_is_not_trusted_reads_nothing_outside(machine: Machine) -> None:
    where = machine({HOME: ONE, "~/key.txt": "secret"})
    (where.cwd / "link.txt").symlink_to("../key.txt")
    for name in ("../key.txt", "link.txt", str(where.home / "key.txt")):
        assert refused(where, name).startswith(
            f"'{name}' lies outside of the project\nhint: if you know what is in this project: llm-orc trust"
        )


def test_what_is_filled_in_reads_nothing_outside_even_where_all_is_trusted(machine: Machine) -> None:
    where = machine({HOME: ONE, "~/key.txt": "secret", "inside.txt": "yes"}, LLM_ORC_TRUST="1")
    (where.cwd / "link.txt").symlink_to("../key.txt")
    assert files(where).attachment("../key.txt").text == "secret"
    for name in ("../key.txt", "link.txt", str(where.home / "key.txt")):
        said = f"'{name}' lies outside of the project\nhint: a name that is filled in leads no further than the project and"
        assert refused(where, name, filled=True) == f"{said} the working directory"
    assert files(where).attachment("inside.txt", filled=True).text == "yes"


def test_what_is_no_file_is_told(machine: Machine) -> None:
    where = machine({HOME: ONE, "folder/a.png": pictures.png()})
    os.mkfifo(where.cwd / "pipe")
    assert refused(where, "folder") == "'folder' is no file\nhint: attach the files in it by their names"
    assert refused(where, "pipe") == "'pipe' is no file"
    assert refused(where, "nope").startswith("no file 'nope'\n")
    assert refused(where, "a\0b").startswith("no file 'a\0b'\n")


def test_a_large_file_is_refused_before_it_is_read(machine: Machine) -> None:
    where = machine({HOME: ONE, "large": ""})
    with (where.cwd / "large").open("wb") as file:
        file.truncate(10**12)
    assert refused(where, "large") == "'large' is larger than 50 MB\nhint: attach a smaller one, or a part of it"
