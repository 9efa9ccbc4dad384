"""The formats a result comes in. A format folds the events of a run, and may write as they come."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from llm_orc.domain.event import Happening
from llm_orc.domain.problem import Problem, ProblemError, nearest
from llm_orc.domain.run import Run
from llm_orc.render.safe import encodable, harmless

if TYPE_CHECKING:
    from llm_orc.domain.plan import Plan

GROUP = "llm_orc.formats"
"""The entry point group for formats of others."""
FORMATS = {
    "docx": "llm_orc.render.docx:Docx",
    "html": "llm_orc.render.html:Html",
    "json": "llm_orc.render.json:Json",
    "jsonl": "llm_orc.render.jsonl:JsonLines",
    "markdown": "llm_orc.render.text:Text",
    "page": "llm_orc.render.run_page:RunPage",
    "pdf": "llm_orc.render.pdf:Pdf",
    "rich": "llm_orc.render.rich:Rich",
    "text": "llm_orc.render.text:Text",
}
TEMPLATE_SUFFIX = ".j2"


@dataclass(frozen=True, slots=True)
class Paper:
    """What a format writes on."""

    write: Callable[[str | bytes], None]
    """Takes text, or the bytes of what is none, and lets it out at once."""
    plan: "Plan | None"
    """None of a run that is kept without it."""
    stream: bool = False
    """Whether the final agent's tokens are wanted as they come."""
    verbose: bool = False
    width: int | None = None
    """Columns of the terminal; None where it is none."""
    color: bool = False
    css: str | None = None
    """A style sheet of the user's own, for pages."""

    def put(self, text: str) -> None:
        """Write what came from a model: verbatim, but a terminal is not driven by it."""
        self.write(encodable(text) if self.width is None else harmless(text))


class Format(Protocol):
    """Hears every event of a run, in order, then the whole run; writes when it likes. A plugin is a callable `Paper -> Format`."""

    @property
    def cut(self) -> bool:
        """Whether what was written ends in the middle, because its agent failed."""
        ...

    def tell(self, event: Happening) -> None: ...

    def close(self, run: Run) -> None: ...


def open_format(name: str, paper: Paper) -> Format:
    """The format of this name, or of this `.j2` file; raises ProblemError for an unknown name and an unreadable template."""
    if name in FORMATS:
        module, _, attribute = FORMATS[name].partition(":")
        shape = _opened(getattr(importlib.import_module(module), attribute), paper)
        if paper.plan is None or not paper.plan.ensemble.source.is_comparison:
            return shape
        from llm_orc.render.comparison import compared  # of all plans only those of `compare`

        return compared(name, shape, paper)
    if name.endswith(TEMPLATE_SUFFIX):
        from llm_orc.render.template import Template

        return Template(name, paper)
    return _plugin(name, paper)


def needs(name: str, module: str, paper: Paper) -> None:
    """Raise ProblemError where the format `name` lacks the package that it is made with, or would be written to a terminal."""
    if find_spec(module) is None:
        raise ProblemError(Problem(f"the format '{name}' needs the extra 'documents'", hint="pip install 'llm-orc[documents]'"))
    if paper.width is not None:
        raise ProblemError(Problem(f"the format '{name}' is nothing that a terminal can show", hint=f"name a file for it: -o FILE.{name}"))


def _plugin(name: str, paper: Paper) -> Format:
    from importlib.metadata import entry_points  # scans every installed package: 100 ms, spent only on names that are not ours

    others = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in others:
        known = sorted({*FORMATS, *others})
        hint = nearest(name, known) or f"there are: {', '.join(known)}, or a {TEMPLATE_SUFFIX} file"
        raise ProblemError(Problem(f"no output format '{name}'", hint=hint))
    try:
        return _opened(others[name].load(), paper)
    except (ImportError, AttributeError):
        package = others[name].dist
        hint = f"it comes from the package {package.name}: install that again" if package else ""
        raise ProblemError(Problem(f"the output format '{name}' cannot be loaded", hint=hint)) from None


def _opened(kind: Callable[[Paper], Format], paper: Paper) -> Format:
    return kind(paper)
