"""The rows in sight as finished strips.

A strip is made once for a line and kept; a row with a selection or a found word on it is kept as well. So rows that did
not change are the same objects as before, which is how the view finds out what to paint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.style import Style
from textual.strip import Strip

from screens.theme import Palette
from screens.widgets.transcript import paint, selecting
from screens.widgets.transcript.column import Column
from screens.widgets.transcript.finding import Search, locate, logical, row_spans
from screens.widgets.transcript.message import END, Message, Row

KEPT_WINDOWS = 3
"""Finished rows that are kept of one message, in windows full of them; of more the older half goes."""
KEPT_MARKED = 500
BELOW = " ↓ more below, G "


class Window:
    def __init__(self, column: Column, palette: Palette) -> None:
        self.column = column
        self.palette = palette
        self.base = Style()
        self.current: int | None = None
        """The message with the bar, while `is_focused`."""
        self.is_focused = False
        self.search: Search | None = None
        self.ends: tuple[selecting.Point, selecting.Point] | None = None
        """What is selected."""
        self.rows: list[Strip] = []
        self.places: list[tuple[int, int]] = []
        """Message and line of each row."""
        self._marked: dict[tuple[int, tuple[paint.Span, ...]], tuple[Strip, Strip]] = {}
        self._here: tuple[object, tuple[int, int, int] | None] | None = None

    @property
    def is_marked(self) -> bool:
        """Something is selected or searched for, and places of lines are held for it."""
        return self.ends is not None or self.search is not None

    def make(self, width: int) -> list[Strip]:
        """The rows for a window of this width, as high as the column's room."""
        column = self.column
        bar = self.palette.accent if self.is_focused else None
        rows: list[Strip] = []
        self.places = list(column.visible())
        for index, number in self.places:
            strip = self._row(column.messages[index], number, width, bar if index == self.current else None)
            if self.is_marked:
                strip = self._with_marks(strip, index, number)
            rows.append(strip)
        blank = Strip.blank(width, self.base)
        rows.extend([blank] * (column.room - len(rows)))
        if not column.follows and rows:
            style = self.base + self.palette.muted + Style(meta={"to": "end"})
            rows[-1] = self._kept(rows[-1], [(-1, width, style)], lambda row: paint.hint_over(row, BELOW, style, width))
        self.rows = rows
        return rows

    def _row(self, message: Message, number: int, width: int, bar: Style | None) -> Strip:
        line = message.line(number)
        if line is END:
            bar = None
        assert message.rows is not None
        kept = message.rows.get(id(line))
        if (
            kept is not None
            and kept.line is line
            and kept.base is self.base
            and kept.bar is bar
            and kept.strip.cell_length == width
        ):
            return kept.strip
        over = self.palette.faint if message.item.excluded else None
        strip = paint.finish(line, width, message.look.width if message.look else width, self.base, bar, over)
        if len(message.rows) > KEPT_WINDOWS * self.column.room:
            for each in list(message.rows)[: len(message.rows) // 2]:
                del message.rows[each]
        message.rows[id(line)] = Row(line, self.base, bar, strip)
        return strip

    def _with_marks(self, strip: Strip, index: int, number: int) -> Strip:
        """Found words and the selection over a row."""
        message = self.column.messages[index]
        spans: list[paint.Span] = []
        if self.search is not None and self.search.needle:
            spans.extend(self._found_on(self.search, message, index, number))
        if self.ends is not None:
            chosen = selecting.span(*self.ends, index, number, len(message.line(number).strip.text))
            if chosen is not None:
                spans.append((*chosen, self.palette.selection))
        return self._kept(strip, spans, lambda row: paint.mark(row, spans)) if spans else strip

    def _kept(self, strip: Strip, spans: list[paint.Span], make: Callable[[Strip], Strip]) -> Strip:
        """The same marks on the same row are the same strip."""
        key = (id(strip), tuple(spans))
        kept = self._marked.get(key)
        if kept is None or kept[0] is not strip:
            if len(self._marked) > KEPT_MARKED:
                self._marked.clear()
            kept = self._marked[key] = (strip, make(strip))
        return kept[1]

    def _found_on(self, search: Search, message: Message, index: int, number: int) -> Iterable[paint.Span]:
        if not message.body_start <= number < message.body_start + message.body_height:
            return
        first, lines = logical(message, number)
        here = self.hit(search)
        for which, start, end in row_spans(lines, search.needle)[number - first]:
            is_here = here is not None and here[:3] == (index, first, which)
            yield start, end, self.palette.match_here if is_here else self.palette.match

    def hit(self, search: Search) -> tuple[int, int, int, int] | None:
        """The hit that is looked at: its message, the first row of its logical line, which hit it is there, its row."""
        if search.here is None:
            return None
        index, which = search.here
        message = self.column.messages[index]
        state = (search.needle, index, which, message.look, message.height)
        if self._here is None or self._here[0] != state:
            self._here = (state, locate(message, search.needle, which))
        place = self._here[1]
        return None if place is None else (index, *place)
