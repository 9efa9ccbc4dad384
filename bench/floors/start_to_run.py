"""Floor: every library that a run without a network may need, and nothing done with them."""

import asyncio  # noqa: F401 - the imports are the floor
import sqlite3  # noqa: F401

import jinja2.sandbox  # noqa: F401
import typer  # noqa: F401
import yaml  # noqa: F401
from pydantic import BaseModel  # noqa: F401
