"""Ensembles that need no model, for the tests of the command line."""

import pytest

from tests.project import NewProject, Project

ECHO = """
name: echo
description: Says what it hears
agents:
  - name: echo
    command: [cat]
"""
TWO = """
name: two
description: Two agents, of which one may fail
variables: {code: {default: 0}}
agents:
  - name: good
    command: [cat]
  - name: bad
    command: [sh, -c, 'cat >/dev/null; exit 7']
"""
LAZY = """
name: lazy
description: Works without input
default_task: nothing to do
agents:
  - name: lazy
    command: [cat]
"""
MODEL = """
name: model
description: Asks a model
agents:
  - name: model
    model_profile: careful
    prompt: "Asked: {{ input }}"
"""


@pytest.fixture
def here(project: NewProject) -> Project:
    """A trusted project with a few ensembles."""
    files = {"echo": ECHO, "two": TWO, "lazy": LAZY, "model": MODEL}
    return project({f".llm-orc/ensembles/{name}.yaml": text for name, text in files.items()}, trusted=True)
