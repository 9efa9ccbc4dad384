"""What a script or command says that depends on nothing but what it is handed: made of which parts, by their hashes alone."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from shutil import which
from typing import Any

from llm_orc.domain.ensemble import CommandAgent, ScriptAgent
from llm_orc.domain.message import Attachment
from llm_orc.domain.reuse import Parts, hashed
from llm_orc.engine.programs import Program

SPENT = "spent"
"""What the dependencies of a script took, which is told to it and no part of what it works on."""


def parts_of_script(agent: ScriptAgent, program: Program, handed: Mapping[str, Any], attachments: Iterable[Attachment]) -> Parts:
    """Of what is on its stdin, and of the variables that it asked for; raises OSError, TypeError or ValueError."""
    needs = {name: {key: value for key, value in told.items() if key != SPENT} for name, told in (handed["dependencies"] or {}).items()}
    attached = [(each.name, each.media_type, each.path, each.sha256) for each in attachments]
    parts = {**handed, "dependencies": needs or None, "attachments": attached or None, "body": "script"}
    return hashed({**parts, "script": sha256(Path(program.argv[-1]).read_bytes()).hexdigest(), **_named(agent, program)})


def parts_of_command(agent: CommandAgent, program: Program, stdin: str) -> Parts:
    """A program is known by where it lies, its size and its date; raises OSError."""
    path = (
        Path(program.cwd, program.argv[0]) if "/" in program.argv[0] else Path(which(program.argv[0], path=program.env.get("PATH")) or "")
    )
    state = path.stat()
    found = (str(path), state.st_size, state.st_mtime_ns)
    parts = {"body": "command", "command": program.argv, "program": found, "stdin": stdin, "success_codes": agent.success_codes}
    return hashed({**parts, **_named(agent, program)})


def _named(agent: ScriptAgent | CommandAgent, program: Program) -> Mapping[str, str]:
    """The variables that it asked for."""
    return {f"env {name}": program.env[name] for name in agent.env if name in program.env}
