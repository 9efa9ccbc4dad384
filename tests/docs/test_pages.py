import re
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from llm_orc.engine.programs import PASSED_ON
from tests.docs.pages import PAGES, ROOT, Block, Reading, blocks_of, compare, conversation
from tests.project import run

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
NOT_RUN = {"asks LM Studio": 1, "installs": 1, "needs a model": 3}
"""How many blocks may not be run here, by the reason that stands before them."""
Read = Callable[[Block], str]


@pytest.fixture(scope="session")
def wrong_in(tmp_path_factory: pytest.TempPathFactory) -> Read:
    @cache
    def read(page: str) -> Reading:
        return Reading(ROOT / page, tmp_path_factory.mktemp("home"))

    return lambda block: read(block.page).wrong[block.line]


@pytest.mark.parametrize("block", [pytest.param(block, id=block.id) for block in BLOCKS if block.runs])
def test_a_block_runs_and_prints_what_is_shown(block: Block, wrong_in: Read) -> None:
    if block.mark == "needs" and not shutil.which(block.of):
        pytest.skip(f"needs {block.of}")
    wrong = wrong_in(block)
    assert not wrong, wrong


def test_few_blocks_are_not_run_and_say_why() -> None:
    reasons = [block.of for block in BLOCKS if block.mark == "not run"]
    assert {reason: reasons.count(reason) for reason in {*reasons, *NOT_RUN}} == NOT_RUN


LINKS = [
    pytest.param(page, target, id=f"{page.relative_to(ROOT)}:{number}:{target}")
    for page in PAGES
    for number, line in enumerate(page.read_text().splitlines(), 1)
    for target in re.findall(r"\]\(([^)\s]+)\)", line)
]


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_a_link_leads_somewhere(page: Path, target: str) -> None:
    if "://" in target:
        pytest.skip("not in this repository")
    name, _, heading = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    assert file.exists()
    assert not heading or heading in headings(file)


def headings(page: Path) -> set[str]:
    titles = re.findall(r"(?m)^#+ (.+)$", page.read_text())
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_generated_pages_are_those_of_this_program() -> None:
    assert run(sys.executable, ROOT / "docs/generate.py", "--check") == ("", "", 0)


def test_every_variable_that_programs_see_is_named() -> None:
    page = " ".join((ROOT / "docs/flow.md").read_text().split())
    assert f"no others: {' '.join(f'`{name}`' for name in PASSED_ON)}, and those that its `env` names" in page


@pytest.mark.parametrize(
    ("shown", "real"),
    [("a\n", "a \n\n"), ("took ... s\n", "took 0.2 s\n"), ("a\n...\nz\n", "a\nb\nc\nz\n"), ("1.5 (x)*\n", "1.5 (x)*\n")],
)
def test_what_is_shown_may_leave_out_what_varies(shown: str, real: str) -> None:
    compare(shown, real)


@pytest.mark.parametrize(("shown", "real"), [("a\n", "b\n"), ("a ... c\n", "a\nc\n"), ("a\n", "a\nb\n"), ("", "a\n"), ("1.5\n", "125\n")])
def test_nothing_else_may_differ(shown: str, real: str) -> None:
    with pytest.raises(AssertionError, match="shown"):
        compare(shown, real)


def test_a_console_block_is_commands_and_what_they_print() -> None:
    assert conversation("$ cat <<X\n> one\n> X\none\n$ echo $?\n0\n") == (["cat <<X\none\nX", "echo $?"], ["one\n", "0\n"])
