"""The result as one HTML page, which needs nothing from anywhere else and holds nothing that runs."""

import re
from functools import cache
from html import escape
from importlib.resources import files

from llm_orc.domain.document import Slugs
from llm_orc.domain.event import Happening
from llm_orc.domain.outline import Outline, outline, syntax
from llm_orc.domain.run import Run
from llm_orc.render.formats import Paper
from llm_orc.render.safe import harmless

_TAGS = (
    "a abbr b blockquote br caption code dd del details div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i img input ins kbd li "
    "mark ol p pre q s samp small span strong sub summary sup table tbody td tfoot th thead tr u ul var"
)
_ATTRIBUTES = {  # a picture is shown by its words: it would have to be fetched, or read from a place that a model names
    "a": {"href", "title"},
    "code": {"class"},
    "div": {"class", "id"},
    "img": {"alt", "title"},
    "input": {"checked"},
    "li": {"id"},
    "ol": {"start"},
    "sup": {"class", "id"},
    "td": {"style", "align", "colspan", "rowspan"},
    "th": {"style", "align", "colspan", "rowspan"},
}
_MARK = re.compile("<h([1-6])>\ue000([0-9]+)\ue001 ?")
_MARKS = re.compile("[\ue000\ue001]")


class Html:
    """The result as a page, once the run is over."""

    cut = False

    def __init__(self, paper: Paper) -> None:
        self._paper = paper

    def tell(self, event: Happening) -> None:
        """Nothing is written before the end."""

    def close(self, run: Run) -> None:
        """Write the page; nothing where there is no result."""
        if run.result:
            self._paper.write(page(run.result, run.ensemble, self._paper.css))


def page(text: str, name: str, css: str | None = None) -> str:
    """Markdown as a whole page; `css` comes after our own. Titled by its first heading of the first level, else by `name`."""
    known = read(text)
    title = next((heading.text for heading in known.headings if heading.level == 1 and not heading.nested), name)
    return whole(title, f"<main>\n{body(known)}</main>", css)


def read(text: str) -> Outline:
    """Markdown, ready to be made a body of."""
    return outline(_MARKS.sub("", harmless(text)))


def whole(title: str, inside: str, css: str | None = None, style_of_its_own: str = "") -> str:
    """The page round what stands in it."""
    own = (css or "").replace("</", r"<\/")  # else it could end the style sheet
    more = f"<style>\n{own}\n</style>\n" if css else ""
    return (
        '<!doctype html>\n<html lang="">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style()}{style_of_its_own}</style>\n{more}</head>\n<body>\n{inside}\n</body>\n</html>\n"
    )


def body(known: Outline, slugs: Slugs | None = None, notes: str = "fn") -> str:
    """What stands on the page: headings have names, links lead on only by the web or mail, and nothing is fetched.

    Where several stand on one page, they share `slugs`, and each has another name for its `notes`.
    """
    import nh3
    import pyromark

    slugs = slugs or Slugs()
    places = [slugs.slug(heading.text) for heading in known.headings]
    openings: dict[int, str | None] = {each.start: f"{'#' * each.level} \ue000{index}\ue001" for index, each in enumerate(known.headings)}
    labels = {label: f"{notes}:{index}" for index, label in enumerate(dict.fromkeys(note.label for note in known.footnotes), 1)}
    made = pyromark.html(known.edited(openings, labels), options=syntax())
    clean = nh3.clean(
        made,
        tags=set(_TAGS.split()),
        attributes=_ATTRIBUTES,
        set_tag_attribute_values={"input": {"type": "checkbox", "disabled": ""}},
        filter_style_properties={"text-align"},
        url_schemes={"http", "https", "mailto"},
    )
    return _MARK.sub(lambda found: f"<h{found[1]}{_named(places[int(found[2])])}>", clean)


def _named(place: str) -> str:
    return f' id="{escape(place)}"' if place else ""


@cache
def style() -> str:
    """How a page looks, on a screen and on paper."""
    return files("llm_orc.render").joinpath("page.css").read_text(encoding="utf-8")
