"""A page of HTML in one file: nothing in it is fetched from anywhere, nothing in it runs, and what models wrote is text."""

from collections.abc import Iterable
from html import escape

from llm_orc.render.safe import harmless

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --text: #1c2127; --dim: #66707c; --page: #fff; --soft: #f4f6f8; --line: #d5dae0;
  --succeeded: #2e9e55; --failed: #d23f3f; --running: #2f7fd1; --skipped: #b99a1e; --cancelled: #d0782a;
  --pending: #98a1ab; --partial: #b99a1e }
@media (prefers-color-scheme: dark) {
  :root { --text: #dfe4ea; --dim: #93a0ad; --page: #15191e; --soft: #1e242b; --line: #38424d }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 24px 32px 64px; max-width: 1760px; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif }
h1 { margin: 0; font-size: 24px } h2 { margin: 36px 0 10px; font-size: 17px }
p { margin: 8px 0 } .dim { color: var(--dim) }
.succeeded { --state: var(--succeeded) } .failed { --state: var(--failed) } .running { --state: var(--running) }
.skipped { --state: var(--skipped) } .cancelled { --state: var(--cancelled) } .pending { --state: var(--pending) }
.partial { --state: var(--partial) }
.state { color: var(--state); font-weight: 600 }
.lines { white-space: pre-wrap }
article { max-width: 900px; margin-bottom: 12px; padding: 2px 20px; border: 1px solid var(--line); border-radius: 6px;
  overflow-wrap: anywhere }
pre { margin: 6px 0; padding: 10px 12px; background: var(--soft); border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/1.45 ui-monospace, Consolas, "DejaVu Sans Mono", monospace; tab-size: 4 }
table { border-collapse: collapse } td, th { padding: 3px 14px 3px 0; text-align: left; vertical-align: top }
th { color: var(--dim); font-weight: 500 }
article td, article th { padding: 4px 10px; border: 1px solid var(--line) }
summary { cursor: pointer }
.graph { overflow-x: auto; padding: 4px } .drawing { position: relative; margin: 0 auto }
.drawing svg { position: absolute; inset: 0; fill: none; stroke: var(--dim); stroke-width: 1.4; opacity: .65 }
.box { position: absolute; overflow: hidden; padding: 5px 9px; background: var(--page); color: inherit; text-decoration: none;
  border: 1px solid var(--line); border-left: 5px solid var(--state); border-radius: 6px; font-size: 12px; line-height: 17px }
.box.model, .box.ensemble { border-radius: 6px 14px 14px 6px }
.box.several { box-shadow: 4px 4px 0 -1px var(--page), 4px 4px 0 0 var(--line) }
.box:hover, :target > summary, :target.row { background: var(--soft) }
.box b, .box span { display: block; white-space: nowrap; overflow: hidden; text-overflow: ellipsis } .box b { font-size: 13px }
.row { display: grid; grid-template-columns: minmax(220px, 2fr) 84px minmax(160px, 3fr) 90px 120px 80px minmax(140px, 2fr); gap: 12px;
  padding: 3px 0; border-bottom: 1px solid var(--line); font-size: 13px; align-items: center }
.row > * { overflow: hidden; text-overflow: ellipsis; white-space: nowrap } .row .number { text-align: right }
.bar { position: relative; height: 12px; background: var(--soft); border-radius: 3px }
.bar i { position: absolute; top: 0; bottom: 0; min-width: 2px; border-radius: 3px; background: var(--state) }
details.node > div { padding: 4px 0 12px 24px } details.node > summary { list-style: none }
details.node > summary .name::before { content: "\\25b8  "; color: var(--dim) }
details.node[open] > summary .name::before { content: "\\25be  " }
.squares { display: flex; flex-wrap: wrap; gap: 3px; margin: 6px 0 14px }
.squares a { width: 14px; height: 14px; border-radius: 3px; background: var(--state) }
@media print { details > * { display: block } .graph { overflow: visible } }
"""


def escaped(text: str) -> str:
    """The text, as a page and a value within quotes can hold it."""
    return escape(harmless(text))


def page(title: str, parts: Iterable[str]) -> Iterable[str]:
    """The whole file, in pieces."""
    yield '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<title>{escaped(title)}</title>\n<style>{_STYLE}</style>\n'
    yield from parts
    yield "</html>\n"


def folded(title: str, text: str) -> str:
    """A text that is shown by a click; nothing where there is none."""
    return f"<details><summary>{escaped(title)}</summary>{written(text)}</details>\n" if text else ""


def written(text: str) -> str:
    """A text as it is."""
    return f"<pre>{escaped(text)}</pre>"
