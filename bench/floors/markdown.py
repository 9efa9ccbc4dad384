"""Floor: a Markdown file parsed once, and made HTML of and cleaned once, by the libraries alone; prints the CPU seconds of both."""

import json
import sys
import time
from pathlib import Path

import nh3
import pyromark

text = Path(sys.argv[1]).read_text(encoding="utf-8")
options = pyromark.Options.ENABLE_TABLES | pyromark.Options.ENABLE_FOOTNOTES
start = time.process_time()
events = sum(1 for _ in pyromark.events_with_range(text, options=options))
parsed = time.process_time()
nh3.clean(pyromark.html(text, options=options))
print(json.dumps({"seconds": parsed - start, "events": events, "html": time.process_time() - parsed}))
