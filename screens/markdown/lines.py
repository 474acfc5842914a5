"""What rendering gives: finished lines; and how styled text is broken into them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from rich.cells import cell_len, split_graphemes
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip


class LineStrip(Strip):
    """A strip that gets Textual's seven caches when one of them is first used.

    They take more than a kilobyte while they are empty. Most lines are laid out and never painted themselves: what is
    painted is made of them, and only for the rows in sight.
    """

    __slots__ = ()

    def __init__(self, segments: Iterable[Segment], cell_length: int | None = None) -> None:
        self._segments = list(segments)
        self._cell_length = cell_length

    def __getattr__(self, name: str) -> object:
        """Asked for what is not there yet."""
        if name not in Strip.__slots__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        super().__init__(self._segments, self._cell_length)
        return getattr(self, name)

    @property
    def is_light(self) -> bool:
        """Whether no cache was needed so far."""
        try:
            object.__getattribute__(self, "_crop_cache")
        except AttributeError:
            return True
        return False


Run: TypeAlias = tuple[str, Style]
"""A piece of text in one style. The text holds no control characters but line ends."""
Row: TypeAlias = list[Run]


class Line(NamedTuple):
    """One finished line of the screen.

    Copying leaves out the first `indent` cells. A line that `continues` is the rest of the one before: copying puts
    `joint` between them (the blank at which it was broken, or nothing) in place of a line end. Code has a `fill`: the
    style in which the rest of the row is to be painted, so that a block of code is one rectangle. Link targets are in
    the styles: `meta["link"]` is an address, `meta["source"]` the number of a numbered mark.
    """

    strip: Strip
    continues: bool = False
    indent: int = 0
    joint: str = ""
    fill: Style | None = None


class CodeBlock(NamedTuple):
    """A fenced or indented piece of code. `text` is what stood in the source; `number` counts from 1 in the message."""

    number: int
    language: str
    text: str
    first_line: int
    last_line: int


class Broken(NamedTuple):
    """A row of broken text; `joint` is None where a line of the source begins, else what was left out at the break."""

    row: Row
    joint: str | None


_SINGLE = re.compile("[\x20-\x7e\xa0-\xac\xae-\u02ff\u0370-\u0482\u2500-\u25fc\u2800-\u28ff]*")
"""Characters that are one cell each, whatever stands beside them."""
_NOT_FIRST = frozenset("、。，．！？：；）］｝」』】〉》”’…％ー々")
"""Wide characters that must not begin a row."""


def is_plain(text: str) -> bool:
    """Whether every character is one cell."""
    return text.isascii() or _SINGLE.fullmatch(text) is not None


def wrap(runs: Iterable[Run], width: int) -> list[Broken]:
    """Break text at blanks, or inside a word where one is wider than a row. A line end in the text begins a new row.

    Breaking is greedy, so that the rows of a text are those of its beginning, but for the last one.
    """
    pieces = [run for run in runs if run[0]]
    text = "".join([piece for piece, _ in pieces])
    if not is_plain(text.replace("\n", "")):
        pieces, text = _narrowed(pieces, text, width)
        spans = _breaks_wide(text, width)
    elif len(text) <= width and "\n" not in text:
        return [Broken(pieces, None)]
    else:
        spans = _breaks_plain(text, width)
    return _slices(pieces, text, spans)


def chop(runs: Iterable[Run], width: int) -> list[Row]:
    """Break one line of code into rows of `width` cells, wherever that is. There is always one row."""
    pieces = [run for run in runs if run[0]]
    text = "".join([piece for piece, _ in pieces])
    if is_plain(text):
        if len(text) <= width:
            return [pieces]
        spans = [(start, min(start + width, len(text)), "") for start in range(0, len(text), width)]
    else:
        pieces, text = _narrowed(pieces, text, width)
        spans = []
        start = used = 0
        for begin, _, cells in split_graphemes(text)[0]:
            if used + cells > width:
                spans.append((start, begin, ""))
                start, used = begin, 0
            used += cells
        spans.append((start, len(text), ""))
    return [broken.row for broken in _slices(pieces, text, spans)]


def to_strip(*parts: Sequence[Run]) -> Strip:
    """One strip of these runs; neighbours of one style become one segment."""
    segments: list[Segment] = []
    for part in parts:
        for text, style in part:
            if segments and segments[-1].style is style:
                segments[-1] = Segment(segments[-1].text + text, style)
            elif text:
                segments.append(Segment(text, style))
    return LineStrip(segments)


def cells(runs: Iterable[Run]) -> int:
    return sum(cell_len(text) for text, _ in runs)


def _breaks_plain(text: str, width: int) -> list[tuple[int, int, str | None]]:
    spans: list[tuple[int, int, str | None]] = []
    start = 0
    joint: str | None = None
    size = len(text)
    while True:
        line_end = text.find("\n", start, start + width + 1)
        if line_end >= 0:
            spans.append((start, line_end, joint))
            start, joint = line_end + 1, None
        elif size - start <= width:
            spans.append((start, size, joint))
            return spans
        else:
            blank = text.rfind(" ", start, start + width + 1)
            if blank <= start or not text[start:blank].strip():
                spans.append((start, start + width, joint))
                start, joint = start + width, ""
                continue
            following = blank + 1
            while following < size and text[following] == " ":
                following += 1
            end = blank
            while text[end - 1] == " ":
                end -= 1
            spans.append((start, end, joint))
            if following >= size:
                return spans
            joint = text[end:following]
            start = following
            if text[start] == "\n":
                joint, start = None, start + 1


def _breaks_wide(text: str, width: int) -> list[tuple[int, int, str | None]]:
    spans: list[tuple[int, int, str | None]] = []
    begin = 0
    for line in text.split("\n"):
        spans.extend(_breaks_of_line(text, begin, begin + len(line), width))
        begin += len(line) + 1
    return spans


def _breaks_of_line(text: str, begin: int, end: int, width: int) -> list[tuple[int, int, str | None]]:
    """Like `_breaks_plain`, over graphemes, and with breaks on both sides of wide characters."""
    spans: list[tuple[int, int, str | None]] = []
    joint: str | None = None
    start = begin
    used = 0  # cells since `start`
    chance = used_at_chance = -1  # where this row may end, and the cells up to there
    after_blank = False
    for left, _, size in split_graphemes(text[begin:end])[0]:
        position = begin + left
        character = text[position]
        blank = character == " "
        if (blank and not after_blank) or (
            not blank and position > start and _may_break_before(text, position, size, start)
        ):
            chance, used_at_chance = position, used
        after_blank = blank
        while not blank and used + size > width and position > start:
            if chance > start and text[start:chance].strip(" "):
                row_end = chance
                following = chance
                while following < position and text[following] == " ":
                    following += 1
                spans.append((start, row_end, joint))
                joint = text[row_end:following]
                used -= used_at_chance + (following - row_end)
                start = following
            else:
                spans.append((start, position, joint))
                joint, start, used = "", position, 0
            chance = -1
        used += size
    spans.append((start, end, joint))
    trimmed = []
    for first, last, lead in spans:
        # Blanks past the edge are not shown.
        words = text[first:last].rstrip(" ")
        stop = first + len(words)
        trimmed.append((first, stop + max(0, min(last - stop, width - cell_len(words))), lead))
    return trimmed


def _may_break_before(text: str, position: int, size: int, start: int) -> bool:
    before = text[position - 1]
    if before == " ":
        return False  # the chance is at the blank
    if text[position] in _NOT_FIRST:
        return False
    return size == 2 or "\u2e80" <= before <= "\uffef" or before >= "\U00020000"


def _slices(pieces: Row, text: str, spans: Sequence[tuple[int, int, str | None]]) -> list[Broken]:
    if len(pieces) == 1:
        style = pieces[0][1]
        return [Broken([(text[start:end], style)] if end > start else [], joint) for start, end, joint in spans]
    ends = list(accumulate(len(piece) for piece, _ in pieces))
    rows: list[Broken] = []
    index = 0
    for start, end, joint in spans:
        row: Row = []
        while index < len(pieces) and ends[index] <= start:
            index += 1
        at = index
        while at < len(pieces) and start < end:
            piece, style = pieces[at]
            offset = ends[at] - len(piece)
            stop = min(end, ends[at])
            row.append((piece[start - offset : stop - offset], style))
            start = stop
            at += 1
        rows.append(Broken(row, joint))
    return rows


def _narrowed(pieces: Row, text: str, width: int) -> tuple[Row, str]:
    """In a row of one cell nothing wide can stand: a dot takes its place."""
    if width > 1:
        return pieces, text
    narrow = [
        ("".join(["·" if cell_len(c) > 1 else c for c in piece.replace("\ufe0f", "")]), style)
        for piece, style in pieces
    ]
    return narrow, "".join([piece for piece, _ in narrow])
