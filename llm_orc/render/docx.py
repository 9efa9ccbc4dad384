"""The result as a Word document."""

from io import BytesIO
from typing import TYPE_CHECKING

from llm_orc.domain.document import Slugs
from llm_orc.domain.event import Happening
from llm_orc.domain.outline import outline, syntax
from llm_orc.domain.run import Run
from llm_orc.render.formats import Paper, needs
from llm_orc.render.safe import harmless

if TYPE_CHECKING:
    from docx.document import Document

_SIZES = (22, 16, 13, 11.5, 11, 11)
"""Points of the headings of each level."""
_TITLE = 255
"""Characters that a document's title may have."""


class Docx:
    """The result as a Word document, once the run is over."""

    cut = False

    def __init__(self, paper: Paper) -> None:
        needs("docx", "docx", paper)
        self._paper = paper

    def tell(self, event: Happening) -> None:
        """Nothing is written before the end."""

    def close(self, run: Run) -> None:
        """Write the document; nothing where there is no result."""
        if run.result:
            self._paper.write(document(run.result, run.ensemble))


def document(text: str, name: str) -> bytes:
    """Markdown as a Word document, titled by its first heading of the first level, else by `name`."""
    import docx
    import pyromark

    from llm_orc.render.word import Writer, written

    known = outline(harmless(text))
    slugs = Slugs()
    places = {slugs.slug(heading.text): index for index, heading in enumerate(known.headings)}
    made = docx.Document()
    made.core_properties.title = written(next((heading.text for heading in known.headings if heading.level == 1), name))[:_TITLE]
    made.core_properties.author = made.core_properties.comments = ""
    _styled(made)
    writer = Writer(made, places)
    for event in pyromark.events(known.edited({}, {}), options=syntax()):
        writer.write(event)
    out = BytesIO()
    made.save(out)
    return out.getvalue()


def _styled(made: "Document") -> None:
    """Our own looks: quiet, and the same for every document."""
    from docx.enum.style import WD_STYLE_TYPE
    from docx.oxml.ns import qn
    from docx.shared import Cm, Pt, RGBColor

    from llm_orc.render.word import CODE_FONT

    for section in made.sections:
        section.left_margin = section.right_margin = Cm(2.5)
        section.top_margin = section.bottom_margin = Cm(2.3)
    normal = made.styles["Normal"]
    normal.font.name, normal.font.size = "Calibri", Pt(11)
    normal.paragraph_format.space_after = Pt(8)
    for level, size in enumerate(_SIZES, 1):
        style = made.styles[f"Heading {level}"]
        style.font.name, style.font.size, style.font.color.rgb = "Calibri", Pt(size), RGBColor(0x1C, 0x1E, 0x21)
        style.element.rPr.rFonts.attrib.pop(qn("w:asciiTheme"), None)
        style.element.rPr.rFonts.attrib.pop(qn("w:hAnsiTheme"), None)
        style.paragraph_format.space_before, style.paragraph_format.space_after = Pt(0 if level == 1 else 16), Pt(6)
    code = made.styles.add_style("Code Block", WD_STYLE_TYPE.PARAGRAPH)
    code.base_style = normal
    code.font.name, code.font.size = CODE_FONT, Pt(9.5)
    code.paragraph_format.space_after = Pt(8)
