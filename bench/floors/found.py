"""Floor: every reply of a store looked up by its key and parsed, and nothing made of it; prints how many there are.

python found.py STORE
"""

import json
import sqlite3
import sys
from pathlib import Path

if __name__ == "__main__":
    connection = sqlite3.connect(Path(sys.argv[1]) / "store.db")
    keys = connection.execute("SELECT key FROM replies").fetchall()
    found = [json.loads(connection.execute("SELECT reply FROM replies WHERE key = ?", key).fetchone()[0]) for key in keys]
    print(json.dumps({"rows": len(found)}))
    connection.close()
