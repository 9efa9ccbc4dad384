"""Floor: what any command line built on typer costs to start."""

import typer  # noqa: F401 - the import is the floor
