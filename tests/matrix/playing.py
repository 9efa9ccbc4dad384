"""Many cells in one run of the true command line: each is an agent with a profile of its own."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.project import Project

Event = Mapping[str, Any]
Profiles = Mapping[str, Mapping[str, Any]]
OUT_OF_TIME = 3.0
"""Seconds that an agent has whose server never comes to an end."""
PLENTY = 50.0
"""Seconds that all others have: far more than they need."""


def play(folder: Path, cells: Sequence[str], profiles: Profiles, *, streamed: bool = True) -> Mapping[str, Sequence[Event]]:
    """What is told of each cell; it speaks to the profile of its name, and its prompt names it."""
    agents = [{"name": cell, "model_profile": cell, "prompt": f"cell {cell}."} for cell in cells]
    files = {
        ".llm-orc/ensembles/matrix.yaml": json.dumps({"agents": agents}),
        ".llm-orc/config.yaml": json.dumps({"model_profiles": profiles}),
    }
    project = Project(folder.parent, folder.name, files, trusted=False)
    done = project.run("invoke", "matrix", "hello", "--output-format", "jsonl", *(["--stream"] if streamed else []), timeout=110)
    project.close()
    assert done.code in (1, 3), done  # some fail always
    assert "Traceback" not in done.err
    told = defaultdict(list)
    for event in map(json.loads, done.out.splitlines()):
        told[event.get("node", "")].append(event)
    return told
