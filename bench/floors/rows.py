"""Floor: rows of the length of a node in a bare table, each in a transaction of its own; prints the CPU milliseconds of one.

python rows.py FOLDER
"""

import json
import sqlite3
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROWS = 2_000
TEXT = "a sentence of some words, " * 40

if __name__ == "__main__":
    with TemporaryDirectory(dir=sys.argv[1]) as place:
        connection = sqlite3.connect(Path(place) / "rows.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, text TEXT)")
        start = time.process_time()
        for number in range(ROWS):
            connection.execute("INSERT INTO rows VALUES (?, ?)", (number, TEXT))
        print(json.dumps({"ms": (time.process_time() - start) / ROWS * 1000}))
        connection.close()
