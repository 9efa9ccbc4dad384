"""Floor: the same, with the library that checks files."""

import typer  # noqa: F401 - the import is the floor
from pydantic import BaseModel  # noqa: F401 - likewise
