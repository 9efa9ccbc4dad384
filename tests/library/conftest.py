"""A place to talk in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.library.talking import Place, place


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as made:
        yield made
