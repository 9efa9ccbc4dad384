"""The pages of the documentation as programs: what stands in a block is run, and what is shown below a command has to come out.

A comment on the line before a block says more: `<!-- file: NAME -->` the block is this file, for the blocks after it;
`<!-- output -->` it is what the block before it prints; `<!-- needs: PROGRAM -->` it runs only where that is installed;
`<!-- not run: WHY -->`. In what is shown `...` stands for a part of a line, and alone on a line for any number of lines.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from llm_orc.config.reading import parse
from llm_orc.config.settings import Settings
from llm_orc.config.written import profile_of, validated
from tests.project import Project

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = ("console", "python", "sh", "yaml")
"""The languages of which every block runs or loads."""
CLOSED = "http://127.0.0.1:9"
"""Nobody listens there."""
_MARK = re.compile(r"<!-- (file|needs|not run|output)(?:: (.+))? -->")
_NEXT = "\x1e"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page, and the comment before it."""

    page: str
    line: int
    language: str
    text: str
    mark: str = ""
    of: str = ""
    """What follows the mark's word: a file, a program, a reason."""

    @property
    def id(self) -> str:
        """Where it stands: `README.md:42`."""
        return f"{self.page}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether a test stands on it."""
        return self.mark != "not run" and (self.language in RUN or self.mark in ("file", "output"))


def blocks_of(page: Path) -> list[Block]:
    """Every block of a page, in order."""
    return list(_blocks(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8").splitlines()))


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    start = 0
    for number, line in enumerate(lines, 1):
        if not line.startswith("```"):
            continue
        if not start:
            start = number
            continue
        before = lines[start - 2] if start > 1 else ""
        found = _MARK.fullmatch(before)
        if before.startswith("<!--") and not found:
            raise ValueError(f"{page}:{start - 1}: {before} is not understood")
        text = "".join(f"{each}\n" for each in lines[start : number - 1])
        yield Block(page, start, lines[start - 1][3:], text, found[1] if found else "", (found[2] or "") if found else "")
        start = 0


class Reading:
    """One page, read from top to bottom in a project of its own: a repository that holds the examples, and a home with nothing in it."""

    def __init__(self, page: Path, home: Path) -> None:
        self._project = Project(home, "shop", {}, trusted=False)
        shutil.copytree(ROOT / "ensembles/examples", self._project.path / "ensembles/examples")
        self._programs(home / ".bin")
        self._sh("git init -q && git add . && git commit -q -m 'what is there'")
        self._printed = ""
        self.wrong = {block.line: self._tried(block) for block in blocks_of(page) if block.runs}
        """By line, what is wrong with a block; nothing, if all is well."""
        self._project.close()

    def _programs(self, folder: Path) -> None:
        for name, command in {"llm-orc": "-P -m llm_orc", "python": ""}.items():
            program = self._project.write(f"~/{folder.name}/{name}", f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
            program.chmod(0o755)

    def _tried(self, block: Block) -> str:
        try:
            self._read(block)
        except AssertionError as error:
            return str(error)
        return ""

    def _read(self, block: Block) -> None:
        if block.mark == "needs" and not shutil.which(block.of):
            return
        if block.mark == "output":
            compare(block.text, self._printed)
            return
        if block.mark == "file":
            self._project.write(block.of, block.text)
        match block.language:
            case "yaml":
                self._load(block)
            case "python" if not block.mark:
                self._printed = self._sh("python -", stdin=block.text)
            case "sh":
                self._printed = self._sh(f"set -e\n{block.text}")
            case "console":
                self._converse(block)

    def _load(self, block: Block) -> None:
        data = yaml.safe_load(block.text)
        if block.of.startswith(".github/"):
            return
        if "agents" in data:
            file = block.of or f"{block.line}.yaml"
            self._project.write(file, block.text)
            self._sh(f"llm-orc validate {file}")
        elif "provider" in data:
            profile_of(parse(block.text, block.id), "block")
        else:
            document = parse(block.text, block.id)
            document.data.pop("model_profiles", None)
            validated(document, Settings)

    def _converse(self, block: Block) -> None:
        commands, shown = conversation(block.text)
        # The mark after each command leaves the exit code as it was, for `echo $?`.
        mark = r"mark() { code=$?; printf '\036'; return $code; }"
        script = "\n".join([mark, *(f"{command}\nmark" for command in commands)])
        printed = self._sh(script, code=None).split(_NEXT)
        for expected, real in zip(shown, printed, strict=False):
            compare(expected, real)
        assert len(printed) == len(commands) + 1, f"the shell stopped early: {printed}"

    def _sh(self, script: str, *, stdin: str = "", code: int | None = 0) -> str:
        """What a script prints, errors included, as a person would see it."""
        env = self._project.env({"GIT_CONFIG_GLOBAL": os.devnull, "LMSTUDIO_BASE_URL": CLOSED, "HTTPS_PROXY": CLOSED, "COLUMNS": "120"})
        env |= {f"GIT_{who}_{what}": "me@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        env["PATH"] = f"{self._project.home}/.bin:{Path(sys.executable).parent}:{env['PATH']}"
        with subprocess.Popen(
            ["/bin/sh", "-c", script],
            cwd=self._project.path,
            env=env,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            printed, _ = process.communicate(stdin or None, timeout=60)
        assert code is None or process.returncode == code, f"exit code {process.returncode}:\n{printed}"
        return printed.replace(f"{self._project.path.resolve()}", "/home/me/shop").replace(f"{self._project.home.resolve()}", "/home/me")


def conversation(text: str) -> tuple[list[str], list[str]]:
    """The commands of a console block, and what is shown below each."""
    commands: list[str] = []
    shown: list[str] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            commands.append(line[2:])
            shown.append("")
        elif line.startswith("> ") and commands and not shown[-1]:
            commands[-1] += f"\n{line[2:]}"
        else:
            shown[-1] += f"{line}\n"
    return commands, shown


def compare(shown: str, real: str) -> None:
    """Raise AssertionError unless what is shown is what comes out, blank ends aside."""
    shown, real = (_trimmed(text) for text in (shown, real))
    pattern = "\n".join(r"[\s\S]*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") for line in shown.splitlines())
    assert re.fullmatch(pattern, real), f"shown:\n{shown}\n\nreal:\n{real}"


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
