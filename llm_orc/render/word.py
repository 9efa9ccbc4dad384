"""Markdown, event by event, as the paragraphs, lists and tables of a Word document."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from docx.enum.style import WD_STYLE_TYPE
from docx.enum.text import WD_ALIGN_PARAGRAPH, WD_BREAK
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.oxml.numbering import CT_Num
from docx.shared import Cm, Pt, RGBColor
from docx.text.paragraph import Paragraph

if TYPE_CHECKING:
    from docx.document import Document
    from docx.table import Table, _Cell

CODE_FONT = "Consolas"
FAINT = RGBColor(0x62, 0x68, 0x6F)
_LEADS_ON = re.compile(r"(?:https?://|mailto:)\S+", re.IGNORECASE)
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SHADE = "F2F3F5"
_LINK = RGBColor(0x0B, 0x5C, 0xAD)
_MARKS = {"Strong": "bold", "Emphasis": "italic", "Strikethrough": "strike"}
_SIDES = {"Left": WD_ALIGN_PARAGRAPH.LEFT, "Center": WD_ALIGN_PARAGRAPH.CENTER, "Right": WD_ALIGN_PARAGRAPH.RIGHT}
_DEEPEST = 3
"""Levels of lists that Word has a style for."""


def written(value: Any) -> Any:
    """The same in characters that XML has: `&#1;` in Markdown is one that it has not."""
    match value:
        case str():
            return _NO_XML.sub("\ufffd", value)
        case dict():
            return {key: written(each) for key, each in value.items()}
        case list() | tuple():
            return [written(each) for each in value]
    return value


@dataclass(slots=True)
class Writer:
    """Writes into one document; `places` are the headings by the names that links call them."""

    document: "Document"
    places: Mapping[str, int]
    notes: dict[str, int] = field(default_factory=dict)
    """The numbers of footnotes, by label."""
    _paragraph: Paragraph | None = None
    _is_begun: bool = False
    """Whether it is there before the words that it belongs to."""
    _marks: list[str] = field(default_factory=list)
    _link: str = ""
    _lists: list[int | None] = field(default_factory=list)
    """The numbering of each list that is open, the innermost last; None has bullets."""
    _quotes: int = 0
    _headings: int = 0
    _table: "Table | None" = None
    _row: "Sequence[_Cell] | None" = None
    """Its cells, which the library looks for each time it is asked."""
    _cells: int = 0
    _sides: Sequence[str] = ()
    _code: list[str] | None = None
    _styles: dict[str, str | None] = field(default_factory=dict)
    """Their ids, by name."""
    _relations: dict[str, str] = field(default_factory=dict)
    """The ids of links."""
    _numberings: dict[str, int] = field(default_factory=dict)
    """What lists of a style are numbered like."""
    _last: Any = None
    """The numbering that was added last."""
    _end: Any = field(init=False)
    """What stands at the end of the document, whatever is written."""

    def __post_init__(self) -> None:
        self._end = self.document.element.body.sectPr

    def write(self, event: Any) -> None:
        """One event of pulldown-cmark."""
        event = written(event)
        if isinstance(event, str):
            self._alone(event)
            return
        ((kind, value),) = event.items()
        if kind == "Start":
            name, what = _named(value)
            if begin := getattr(self, f"_begin_{name.lower()}", None):
                begin(what)
            elif name in _MARKS:
                self._marks.append(_MARKS[name])
        elif kind == "End":
            name, what = _named(value)
            if end := getattr(self, f"_end_{name.lower()}", None):
                end()
            elif name in _MARKS:
                self._marks.remove(_MARKS[name])
        else:
            self._inline(kind, value)

    def _alone(self, event: str) -> None:
        if event == "Rule":
            _bordered(self._new("Normal"))
            self._paragraph = None
        elif event == "HardBreak":
            self._here.add_run().add_break(WD_BREAK.LINE)
        else:
            self._text(" ")

    def _inline(self, kind: str, value: Any) -> None:
        match kind:
            case "Text" if self._code is not None:
                self._code.append(value)
            case "Text":
                self._text(value)
            case "Code":
                self._text(value, code=True)
            case "InlineHtml" if re.fullmatch(r"<br\s*/?>", value.strip(), re.IGNORECASE):
                self._here.add_run().add_break(WD_BREAK.LINE)
            case "TaskListMarker":
                self._text("\u2611 " if value else "\u2610 ")
            case "FootnoteReference":
                self._here.add_run(str(self._number(value))).font.superscript = True
            case _:
                pass  # HTML has no place in such a document

    # Paragraphs

    @property
    def _here(self) -> Paragraph:
        if self._paragraph is None:
            self._paragraph = self._new("Normal")
        return self._paragraph

    def _new(self, style: str) -> Paragraph:
        if style not in self._styles:
            self._styles[style] = self.document.part.get_style_id(style, WD_STYLE_TYPE.PARAGRAPH)  # type: ignore[no-untyped-call]
        element: Any = OxmlElement("w:p")
        self._end.addprevious(element)  # the library would look through all that is there, for each paragraph
        element.style = self._styles[style]
        paragraph = Paragraph(element, self.document._body)  # noqa: SLF001 - the library has no other way
        if self._quotes:
            paragraph.paragraph_format.left_indent = Cm(0.9 * self._quotes)
        return paragraph

    def _begin_paragraph(self, _: Any) -> None:
        if self._is_begun:  # the first one of an item or a note
            self._is_begun = False
            return
        self._paragraph = self._new("List Continue" if self._lists else "Normal")

    def _end_paragraph(self) -> None:
        self._paragraph = None

    def _begin_heading(self, what: Any) -> None:
        self._paragraph = self._new(f"Heading {what['level'][1]}")
        _bookmarked(self._paragraph, self._headings)
        self._headings += 1

    _end_heading = _end_paragraph

    def _begin_blockquote(self, _: Any) -> None:
        self._quotes += 1

    def _end_blockquote(self) -> None:
        self._quotes -= 1

    def _begin_codeblock(self, _: Any) -> None:
        self._code = []

    def _end_codeblock(self) -> None:
        paragraph = self._new("Code Block")
        _shaded(paragraph._p.get_or_add_pPr())  # noqa: SLF001 - the library has no other way
        paragraph.add_run("".join(self._code or ()).rstrip("\n"))
        self._code = self._paragraph = None

    def _begin_footnotedefinition(self, label: str) -> None:
        self._paragraph = self._new("Normal")
        self._paragraph.paragraph_format.left_indent, self._paragraph.paragraph_format.first_line_indent = Cm(0.6), Cm(-0.6)
        self._paragraph.add_run(f"{self._number(label)} ").font.superscript = True
        self._is_begun = True

    _end_footnotedefinition = _end_paragraph
    _begin_htmlblock = _begin_codeblock

    def _end_htmlblock(self) -> None:
        self._code = None

    # Lists

    def _begin_list(self, start: int | None) -> None:
        self._lists.append(None)
        if start is not None:
            self._lists[-1] = self._numbering(self._style_of_item("Number"), start)
        self._paragraph = None

    def _numbering(self, style: str, start: int) -> int:
        """A numbering of its own, so that a list does not go on with the numbers of the one before."""
        numbering = self.document.part.numbering_part.element
        if style not in self._numberings:
            own = self.document.styles[style].element.pPr.numPr.numId.val
            self._numberings[style] = numbering.num_having_numId(own).abstractNumId.val
        if self._last is None:
            self._last = numbering.add_num(self._numberings[style])
        else:  # the library would look through all of them for a number that is free
            following: Any = CT_Num.new(self._last.numId + 1, self._numberings[style])  # type: ignore[no-untyped-call]
            self._last.addnext(following)
            self._last = following
        self._last.add_lvlOverride(ilvl=0).add_startOverride(start)
        numbered: int = self._last.numId
        return numbered

    def _end_list(self) -> None:
        self._lists.pop()
        self._paragraph = None

    def _style_of_item(self, kind: str) -> str:
        depth = min(len(self._lists), _DEEPEST)
        return f"List {kind} {depth}" if depth > 1 else f"List {kind}"

    def _begin_item(self, _: Any) -> None:
        number = self._lists[-1]
        self._paragraph = self._new(self._style_of_item("Bullet" if number is None else "Number"))
        if number is not None:
            properties = self._paragraph._p.get_or_add_pPr().get_or_add_numPr()  # noqa: SLF001 - the library has no other way
            properties.get_or_add_numId().val = number
            properties.get_or_add_ilvl().val = 0
        self._is_begun = True

    _end_item = _end_paragraph

    # Tables

    def _begin_table(self, sides: Sequence[str]) -> None:
        self._sides = sides
        self._table = self.document.add_table(rows=0, cols=len(sides), style="Table Grid")

    def _end_table(self) -> None:
        self._table = None
        self._new("Normal").paragraph_format.space_after = Pt(2)
        self._paragraph = None

    def _begin_tablerow(self, _: Any) -> None:
        assert self._table is not None  # noqa: S101 - a row stands in a table
        self._row = self._table.add_row().cells  # type: ignore[no-untyped-call]
        self._cells = 0

    _begin_tablehead = _begin_tablerow

    def _end_tablerow(self) -> None:
        self._row = self._paragraph = None

    def _end_tablehead(self) -> None:
        assert self._row is not None  # noqa: S101 - it has begun
        for cell in self._row:
            _shaded(cell._tc.get_or_add_tcPr())  # noqa: SLF001 - the library has no other way
            for run in cell.paragraphs[0].runs:
                run.bold = True
        self._end_tablerow()

    def _begin_tablecell(self, _: Any) -> None:
        assert self._row is not None  # noqa: S101 - a cell stands in a row
        self._paragraph = self._row[self._cells].paragraphs[0]
        self._paragraph.alignment = _SIDES.get(self._sides[self._cells])
        self._paragraph.paragraph_format.space_after = Pt(2)
        self._cells += 1

    # Words

    def _begin_link(self, what: Any) -> None:
        self._link = what["dest_url"]

    def _end_link(self) -> None:
        self._link = ""

    def _text(self, text: str, *, code: bool = False) -> None:
        paragraph = self._here
        run = paragraph.add_run(text)
        for mark in self._marks:
            setattr(run.font, mark, True)
        if code:
            run.font.name = CODE_FONT
            _shaded(run._r.get_or_add_rPr())  # noqa: SLF001 - the library has no other way
        if self._quotes:
            run.font.color.rgb = FAINT
        target = self._target()
        if target is not None:
            run.font.color.rgb = _LINK
            target.append(run._r)  # noqa: SLF001 - the library has no other way
            paragraph._p.append(target)  # noqa: SLF001 - the library has no other way

    def _target(self) -> Any:
        """The element of a link that leads somewhere: to a heading of ours, into the web, to an address."""
        element = OxmlElement("w:hyperlink")
        if self._link.startswith("#") and self._link[1:] in self.places:
            element.set(qn("w:anchor"), _place(self.places[self._link[1:]]))
        elif _LEADS_ON.fullmatch(self._link):
            if self._link not in self._relations:
                self._relations[self._link] = self.document.part.relate_to(self._link, RELATIONSHIP_TYPE.HYPERLINK, is_external=True)
            element.set(qn("r:id"), self._relations[self._link])
        else:
            return None
        return element

    def _number(self, label: str) -> int:
        return self.notes.setdefault(label, len(self.notes) + 1)


def _named(value: Any) -> tuple[str, Any]:
    return next(iter(value.items())) if isinstance(value, dict) else (value, None)


def _place(heading: int) -> str:
    return f"heading_{heading}"


def _bookmarked(paragraph: Paragraph, heading: int) -> None:
    for kind in ("w:bookmarkStart", "w:bookmarkEnd"):
        mark = OxmlElement(kind)
        mark.set(qn("w:id"), str(heading))
        if kind == "w:bookmarkStart":
            mark.set(qn("w:name"), _place(heading))
        paragraph._p.append(mark)  # noqa: SLF001 - the library has no other way


def _shaded(properties: Any) -> None:
    shade = OxmlElement("w:shd")
    for name, value in (("val", "clear"), ("color", "auto"), ("fill", _SHADE)):
        shade.set(qn(f"w:{name}"), value)
    properties.append(shade)


def _bordered(paragraph: Paragraph) -> None:
    borders, line = OxmlElement("w:pBdr"), OxmlElement("w:bottom")
    for name, value in (("val", "single"), ("sz", "6"), ("space", "1"), ("color", "BFC3C8")):
        line.set(qn(f"w:{name}"), value)
    borders.append(line)
    paragraph._p.get_or_add_pPr().append(borders)  # noqa: SLF001 - the library has no other way
