"""What to try after a run of an ensemble that comes with the program: three commands that work as they are shown."""

import os
import shlex
from pathlib import Path

from llm_orc.cli.commands import NAME
from llm_orc.cli.input import FROM_STDIN, Given
from llm_orc.cli.terminal import Terminal
from llm_orc.config.folders import BUILT_IN
from llm_orc.config.layers import Layers
from llm_orc.domain.message import Kind
from llm_orc.domain.plan import Choices
from llm_orc.domain.run import Run

SHOWN = 40
"""Letters of an input that is written out again."""


def comes_with_us(layers: Layers, name: str) -> bool:
    """Whether the ensemble of that name is one that is shipped."""
    return next((folder.layer for folder in reversed(layers.folders) if folder.file("ensembles", name)), "") == BUILT_IN


def next_steps(terminal: Terminal, layers: Layers, run: Run, name: str, choices: Choices, given: Given) -> list[str]:
    """The lines of three commands, and what each is for."""
    program = program_of(terminal)
    variables = [word for key, value in choices.variables.items() for word in ("--var", f"{key}={value}")]
    skipped = any(node.failure is None and node.cause == Kind.OFFLINE for node in run.nodes.values())
    steps = [
        (_again(terminal, [program, "invoke", name], given, variables), "with models, too")
        if skipped
        else (shlex.join([program, "show", name, "--graph", "ascii"]), "its graph"),
        (shlex.join([program, "plan", name, *variables]), "what each agent is sent, and who answers"),
        (shlex.join([program, "list"]), "what else can be called")
        if layers.project
        else (shlex.join([program, "init"]), "an ensemble of your own, here"),
    ]
    width = max(len(command) for command, _ in steps)
    return ["try next:", *(f"  {command:<{width}}  {what}" for command, what in steps)]


def program_of(terminal: Terminal) -> str:
    """The program as it can be called again: by its name where the PATH leads to it, else by the shorter of its paths."""
    from shutil import which

    called, where = terminal.called, terminal.where
    if Path(called).name != NAME or os.sep not in called:
        return NAME
    found = which(NAME, path=where.env.get("PATH"))
    if found and os.path.realpath(found) == os.path.realpath(where.cwd / called):
        return NAME
    near = os.path.relpath(where.cwd / called, where.cwd)
    return min(called, near if os.sep in near else f"./{near}", key=len)


def _again(terminal: Terminal, words: list[str], given: Given, variables: list[str]) -> str:
    """The same call; what came through a pipe, and a long text, cannot be shown."""
    text = [given.text if len(given.text) <= SHOWN and "\n" not in given.text else "..."] if given.text else []
    files = [word for file in given.files for word in ("-f", file)]
    files += [word for file in given.attached for word in ("--attach", file)]
    piped = "... | " if (given.stdin or FROM_STDIN in given.attached) and terminal.has_input else ""
    return piped + shlex.join([*words, *text, *files, *variables])
