"""One line for each file that is attached: its name, what it is, and its size in bytes."""

import json
import sys
from pathlib import Path

for file in json.load(sys.stdin)["attachments"] or []:
    print(f"{file['name']}: {file['media_type']}, {Path(file['path']).stat().st_size} bytes")
