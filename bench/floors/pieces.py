"""Floor: reads a text, cuts it into pieces of 12,000 characters and holds both.

python pieces.py FILE
"""

import sys
from pathlib import Path

PIECE = 12_000

if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text()
    pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    if sum(map(len, pieces)) != len(text):
        sys.exit("a part is lost")
