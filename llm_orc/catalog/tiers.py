"""The dated table of tiers, shipped as `tiers.json`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

FILE = Path(__file__).with_name("tiers.json")


def read_tiers() -> Mapping[str, Mapping[str, str]]:
    """Provider -> tier -> model, the providers in the order in which they are tried."""
    return cast("Mapping[str, Mapping[str, str]]", json.loads(FILE.read_bytes())["tiers"])
