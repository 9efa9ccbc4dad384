"""A terminal as far as our output needs one: text, line ends, and the few sequences that move and erase."""

import re
import unicodedata

_TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]")


class Screen:
    """What stands on a terminal of this size; lines that scroll off the top are kept apart."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.lines = [[" "] * columns for _ in range(rows)]
        self.scrolled: list[str] = []
        self.row = self.column = 0
        self.cursor = True

    def feed(self, text: str) -> None:
        """Show what a program wrote; an unknown sequence is an error."""
        end = 0
        for found in _TOKEN.finditer(text):
            assert found.start() == end, f"not understood: {text[end : found.start()]!r}"
            end = found.end()
            if found[2]:
                self._sequence(found[1], found[2])
            elif found[0] == "\r":
                self.column = 0
            elif found[0] == "\n":
                self._down()
            else:
                self._put(found[0])
        assert end == len(text), f"not understood: {text[end:]!r}"

    @property
    def text(self) -> str:
        """The visible lines, without spaces and empty lines at the end."""
        return "\n".join("".join(line).rstrip() for line in self.lines).rstrip("\n")

    def _put(self, letter: str) -> None:
        wide = 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if self.column + wide > self.columns:
            self.column = 0
            self._down()
        self.lines[self.row][self.column] = letter
        if wide == 2:
            self.lines[self.row][self.column + 1] = ""
        self.column += wide

    def _down(self) -> None:
        if self.row < self.rows - 1:
            self.row += 1
            return
        self.scrolled.append("".join(self.lines.pop(0)).rstrip())
        self.lines.append([" "] * self.columns)

    def _sequence(self, numbers: str, kind: str) -> None:
        match kind, numbers:
            case "m", _:
                pass
            case "A", _:
                self.row = max(0, self.row - int(numbers or 1))
            case "K", "2":
                self.lines[self.row] = [" "] * self.columns
            case "K", "" | "0":
                self.lines[self.row][self.column :] = [" "] * (self.columns - self.column)
            case "l", "?25":
                self.cursor = False
            case "h", "?25":
                self.cursor = True
            case _:
                raise AssertionError(f"not understood: ESC [{numbers}{kind}")
