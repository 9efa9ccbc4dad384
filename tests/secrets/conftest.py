"""A user with a key for everything, and a server that repeats what it was sent."""

from collections.abc import Iterator, Mapping

import pytest

from tests.project import NewProject, Project
from tests.secrets.canaries import ENVIRONMENT, PASSPHRASE, STRANGE
from tests.secrets.parrot import Parrot

NO_KEYRING = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
EVERYTHING: Mapping[str, str] = {**ENVIRONMENT, **STRANGE, **NO_KEYRING, "LLM_ORC_PASSPHRASE": PASSPHRASE}
"""An environment with a canary in each variable that may hold a secret."""


@pytest.fixture(scope="module")
def parrot() -> Iterator[Parrot]:
    """One server for a module."""
    with Parrot() as server:
        yield server


@pytest.fixture
def here(project: NewProject) -> Project:
    """A trusted project."""
    return project(trusted=True)
