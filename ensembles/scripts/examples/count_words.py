"""The words of the input that come most often, as JSON: {"words": [...], "counts": {...}}."""

import json
import re
import sys
from collections import Counter

request = json.load(sys.stdin)
counts = Counter(re.findall(r"\w+", request["input"].lower()))
parameters = request["parameters"] or {}  # null when the YAML has none
most = counts.most_common(parameters.get("most", 5))
json.dump({"words": [word for word, _ in most], "counts": dict(most)}, sys.stdout)
