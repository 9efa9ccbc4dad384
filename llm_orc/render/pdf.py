"""The result as a PDF: the HTML page, as it would be printed."""

from importlib import import_module

from llm_orc.domain.event import Happening
from llm_orc.domain.problem import Problem, ProblemError
from llm_orc.domain.run import Run
from llm_orc.render.formats import Paper, needs
from llm_orc.render.html import page

PANGO = "apt install libpango-1.0-0 libpangoft2-1.0-0, or brew install pango; or print the page: -o FILE.html"


class Pdf:
    """The result as a PDF, once the run is over."""

    cut = False

    def __init__(self, paper: Paper) -> None:
        needs("pdf", "weasyprint", paper)
        self._paper = paper
        try:
            import_module("weasyprint")  # now, so that nothing is spent on what cannot be written
        except OSError:
            raise ProblemError(Problem("a PDF needs the library Pango, and it is not there", hint=PANGO)) from None

    def tell(self, event: Happening) -> None:
        """Nothing is written before the end."""

    def close(self, run: Run) -> None:
        """Write the PDF; nothing where there is no result."""
        if run.result:
            self._paper.write(printed(page(run.result, run.ensemble, self._paper.css)))


def printed(html: str) -> bytes:
    """A page on paper. Nothing is fetched for it."""
    from weasyprint import HTML  # type: ignore[import-untyped]

    try:
        made: bytes = HTML(string=html, url_fetcher=_refused).write_pdf()
    except RecursionError:
        raise ProblemError(Problem("the result is nested too deeply for a PDF", hint="take the page: -o FILE.html")) from None
    return made


def _refused(url: str, *_: object, **__: object) -> dict[str, object]:
    raise ValueError(url)
