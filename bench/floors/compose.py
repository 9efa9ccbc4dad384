"""Floor: `yaml.compose` with the C loader on one file; prints its own seconds."""

import json
import sys
import time
from pathlib import Path

import yaml

text = Path(sys.argv[1]).read_text()
start = time.perf_counter()
yaml.compose(text, Loader=yaml.CSafeLoader)
print(json.dumps({"seconds": time.perf_counter() - start}))
