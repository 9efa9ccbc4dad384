"""The verdict, if there is one, then the reviews file by file."""

import json
import re
import sys


def main() -> None:
    """Write it as Markdown."""
    dependencies = json.load(sys.stdin)["dependencies"]
    reviews, verdict = dependencies["reviews"], dependencies["verdict"]
    parts = [verdict["text"], "# File by file"] if verdict["ok"] else []
    parts.append(reviews["text"] or f"No file was reviewed: {reviews['cause'] or 'none was named'}")
    sys.stdout.write("\n\n".join(re.sub(r"\n{3,}", "\n\n", part.strip()) for part in parts) + "\n")


if __name__ == "__main__":
    main()
