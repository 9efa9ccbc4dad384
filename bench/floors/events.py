"""Floor: every event of a store read and parsed, and nothing made of it; prints how many there are.

python events.py STORE
"""

import json
import sqlite3
import sys
from pathlib import Path

if __name__ == "__main__":
    connection = sqlite3.connect(Path(sys.argv[1]) / "store.db")
    rows = connection.execute("SELECT seq, event FROM events ORDER BY run, seq")
    print(json.dumps({"events": sum(1 for _, event in rows if json.loads(event))}))
    connection.close()
