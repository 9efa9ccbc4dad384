"""What the agent `words` counted, in a sentence."""

import json
import sys

words = json.load(sys.stdin)["dependencies"]["words"]["json"]
print("Most used: " + ", ".join(f"{word} ({count})" for word, count in words["counts"].items()))
