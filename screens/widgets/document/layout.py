"""Where the rows of a text begin at some width. A row is a line, or a piece of one that is too long.

Ten million characters are laid out in about a tenth of a second: a row is one number, and only lines that are too long
are looked into.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple

from rich.cells import get_character_cell_size

TAB = 4
"""Cells of a tab, wherever it stands."""
_PLAIN = re.compile("[\u0020-\u007e\u00a0-\u02ff\u0370-\u0482\u048a-\u0590\u2010-\u2027\u2030-\u205e]*")
"""Characters that are one cell wide: letters of Europe and usual signs."""


class Layout(NamedTuple):
    width: int
    lines: array[int]
    """The character at which each line begins, and the length of the text + 1 at the end."""
    rows: array[int]
    """The same of rows; every line begins one."""

    @property
    def height(self) -> int:
        return len(self.rows) - 1

    def row_at(self, character: int) -> int:
        return max(min(bisect_right(self.rows, character) - 1, self.height - 1), 0)

    def line_at(self, character: int) -> int:
        """Counted from 1."""
        return max(min(bisect_right(self.lines, character), len(self.lines) - 1), 1)

    def begins_line(self, row: int) -> bool:
        start = self.rows[row]
        return self.lines[self.line_at(start) - 1] == start

    def row(self, number: int) -> tuple[int, int]:
        """From which character to which, the end of the line or the blank it was broken at included."""
        return self.rows[number], self.rows[number + 1]


def lay(text: str, width: int) -> Layout:
    """Broken between words where there are some, else wherever the width ends. `width` is at least 8."""
    width = max(width, 8)
    lines, rows = array("Q"), array("Q")
    at = 0
    for line in text.split("\n"):
        lines.append(at)
        rows.append(at)
        length = len(line)
        if length * TAB > width:
            if _PLAIN.fullmatch(line):
                if length > width:
                    _break(line, at, width, rows)
            else:
                _break_wide(line, at, width, rows)
        at += length + 1
    lines.append(at)
    rows.append(at)
    return Layout(width, lines, rows)


def _break(line: str, at: int, width: int, rows: array[int]) -> None:
    length, start = len(line), 0
    while length - start > width:
        start = _after_blank(line, start, start + width)
        rows.append(at + start)


def _break_wide(line: str, at: int, width: int, rows: array[int]) -> None:
    ends = list(accumulate(map(_CELLS.__getitem__, line)))
    length, start, before = len(line), 0, 0
    while ends[-1] - before > width:
        last = bisect_right(ends, before + width, start)  # characters before it fit
        start = _after_blank(line, start, max(last, start + 1))
        before = ends[start - 1]
        if start >= length:
            return
        rows.append(at + start)


def _after_blank(line: str, start: int, end: int) -> int:
    """Behind the last blank of what fits, a blank right after it included; without one it is cut where it ends."""
    blank = line.rfind(" ", start + 1, end + 1)
    return end if blank < 0 or line[start:blank].isspace() else blank + 1


class _Cells(dict[str, int]):
    def __missing__(self, character: str) -> int:
        cells = TAB if character == "\t" else 1 if ord(character) < 0x20 else get_character_cell_size(character)
        self[character] = cells
        return cells


_CELLS = _Cells()


def cells_of(text: str) -> int:
    return sum(map(_CELLS.__getitem__, text))
