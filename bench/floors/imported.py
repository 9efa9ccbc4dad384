"""Floor: what one library takes to import after those that every run has loaded; prints its seconds."""

import asyncio  # noqa: F401 - what a run has loaded before
import json
import sys
import time
from importlib import import_module

import jinja2.sandbox  # noqa: F401
import typer  # noqa: F401
import yaml  # noqa: F401
from pydantic import BaseModel  # noqa: F401

start = time.perf_counter()
import_module(sys.argv[1])
print(json.dumps({"seconds": time.perf_counter() - start}))
