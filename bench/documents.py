"""Makes a document of many sections, and a page of it; prints the CPU seconds of both.

python -m bench.documents FILE
"""

import json
import sys
import time
from pathlib import Path

from llm_orc.domain.document import Document, Section, markdown
from llm_orc.render.html import page

SECTIONS = 1_000
PART = """\
## What part {part} of section {number} says

Some *words* about [it](https://example.test/{number}/{part}), `as code` and in **bold**, which go on for a while as prose does, \
line after line, until everything is said that has to be said about it.[^{part}]

- one thing, which is short
- another thing, which is a little longer than that
  - and one below it

| name | value |
|---|---:|
| size | {number} |
| part | {part} |

```python
# no heading
print({number}, {part})
```

[^{part}]: Said elsewhere.
"""
BETWEEN = "\n\x1e\n"
"""Stands between the sections in the file."""


def sections() -> str:
    """Five megabytes of Markdown as models write it."""
    parts = (
        f"# Section {number}\n\n" + "\n".join(PART.format(number=number, part=part) for part in range(1, 12)) for number in range(SECTIONS)
    )
    return BETWEEN.join(parts)


def main(file: str) -> None:
    """Time both."""
    texts = Path(file).read_text(encoding="utf-8").split(BETWEEN)
    began = time.process_time()
    whole = markdown(Document("All of it", tuple(Section(f"section{number}", text) for number, text in enumerate(texts))))
    made = time.process_time()
    html = page(whole, "all")
    ended = time.process_time()
    if whole.count("\n## ") != SECTIONS + 1 or html.count("<h2") != SECTIONS + 1:
        sys.exit("not every section is there")
    sizes = {"megabytes": len(whole.encode()) / 1e6, "headings": html.count("<h2") + html.count("<h3")}
    print(json.dumps({"markdown": made - began, "html": ended - made, **sizes}))


if __name__ == "__main__":
    main(sys.argv[1])
