"""Whether `slow` was done before `after_quick` began."""

import json
import sys

times = {name: int(reply["text"]) for name, reply in json.load(sys.stdin)["dependencies"].items()}
print("after_quick waited for slow" if times["slow"] <= times["after_quick"] else "after_quick did not wait")
