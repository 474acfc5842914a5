"""The scroll view of a document: rows are painted as they come in sight, and there are no widgets in it."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Offset, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from console.aside import aside
from console.text import neutralise
from rag.readers import DocumentText
from screens.keys import bindings
from screens.theme import Palette
from screens.widgets.document.layout import TAB, Layout, lay

MEASURE = 112
"""No row is longer; longer ones are hard to read."""
AT_ONCE = 200_000
"""Characters that are laid out on the spot; more are laid out beside the loop."""
BEFORE = 3
"""Rows above what one goes to."""
_UNSEEN = dict.fromkeys((0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, 0x061C))

LightKind: TypeAlias = Literal["other", "bar", "span", "quote", "hit", "hit here"]
"""From the least to the most: what else is cited, the cited span with the bar alone or lit as well, the words of it
that were quoted, what was found."""
_ORDER: Sequence[LightKind] = ("other", "bar", "span", "quote", "hit", "hit here")


class Light(NamedTuple):
    """Characters that are lit."""

    start: int
    end: int
    kind: LightKind = "span"


class Moved(Message, namespace="document_view"):
    """Another row is the first in sight."""


class DocumentView(ScrollView, can_focus=True, inherit_bindings=False):
    """`show` gives it a text, `light` says what is lit in it, `go_to` brings a place in sight."""

    ALLOW_SELECT = True
    DEFAULT_CSS = """
    DocumentView { height: 1fr; overflow-x: hidden; overflow-y: scroll; scrollbar-size-vertical: 1;
                   background: $background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("reading")]

    def __init__(self, palette: Palette) -> None:
        super().__init__()
        self._palette = palette
        self._text = ""
        self._layout: Layout | None = None
        self._pages: list[int] = []
        self._page_numbers: list[int] = []
        self._headings: set[int] = set()
        self._lights: Sequence[Light] = ()
        self._firsts: list[int] = []
        self._longest = 0
        self._there: int | None = None
        """What to go to once the text is laid out."""
        self._told_top = -1

    # ---- what is shown

    def show(self, document: DocumentText) -> None:
        self._text = document.text
        pages = [span for span in getattr(document, "spans", ()) if span.end > span.start]
        self._pages, self._page_numbers = [span.start for span in pages], [span.number for span in pages]
        self._headings = {section.start for section in document.sections if section.headings}
        self._layout, self._lights, self._there = None, (), 0
        self._lay()

    def light(self, lights: Sequence[Light]) -> None:
        """These and no others; where several lie over each other the most important one is seen."""
        self._lights = sorted(lights)
        self._firsts = [light.start for light in self._lights]
        self._longest = max((light.end - light.start for light in self._lights), default=0)
        self.refresh()

    def go_to(self, start: int, end: int | None = None) -> None:
        """Bring these characters in sight, their beginning first, moving only if they are not."""
        if self._layout is None:
            self._there = start
            return
        first, last = self._layout.row_at(start), self._layout.row_at(max((end or start) - 1, start))
        top, room = self.scroll_offset.y, self.size.height
        if first < top or last >= top + room:
            above = BEFORE if last - first + BEFORE < room else 1
            self.scroll_to(y=max(first - above, 0), animate=False, force=True)
        self.refresh()

    @property
    def text(self) -> str:
        return self._text

    @property
    def is_laid(self) -> bool:
        return self._layout is not None

    @property
    def top(self) -> int:
        """The first character in sight."""
        if self._layout is None:
            return self._there or 0
        return self._layout.rows[min(self.scroll_offset.y, self._layout.height - 1)]

    def line_of(self, character: int) -> int:
        return self._layout.line_at(character) if self._layout is not None else 1

    def page_of(self, character: int) -> int | None:
        """The page that a character is on; None for a document without pages."""
        index = bisect_right(self._pages, character) - 1
        return self._page_numbers[max(index, 0)] if self._pages else None

    @property
    def lines(self) -> int:
        return len(self._layout.lines) - 1 if self._layout is not None else 0

    def set_palette(self, palette: Palette) -> None:
        self._palette = palette
        self.refresh()

    # ---- laying out

    @property
    def _gutter(self) -> int:
        """Cells of line or page, a bar and a blank."""
        return max(len(str(self._text.count("\n", 0, 10_000_000) + 1)), 4) + 3 if self.size.width >= 50 else 2

    def _on_resize(self, event: events.Resize) -> None:
        if self._layout is None or self._width != self._layout.width:
            if self._layout is not None:
                self._there = self.top
            self._lay()

    @property
    def _width(self) -> int:
        return max(min(self.scrollable_content_region.width - self._gutter - 1, MEASURE), 8)

    def _lay(self) -> None:
        if self.size.width == 0:
            return
        if len(self._text) <= AT_ONCE:
            self._laid(lay(self._text, self._width))
        else:
            self.run_worker(self._lay_aside(), group="lay", exclusive=True)

    async def _lay_aside(self) -> None:
        text, width = self._text, self._width
        layout = await aside(partial(lay, text, width), "layout")
        if text is self._text and width == self._width:
            self._laid(layout)

    def _laid(self, layout: Layout) -> None:
        self._layout = layout
        self.virtual_size = Size(0, layout.height)
        there, self._there = self._there, None
        if there is not None:
            row = layout.row_at(there)
            self.scroll_to(y=max(row - (BEFORE if there else 0), 0), animate=False, force=True)
        self.refresh()
        self.post_message(Moved())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if round(new_value) != self._told_top:
            self._told_top = round(new_value)
            self.post_message(Moved())

    # ---- painting

    def render_line(self, y: int) -> Strip:
        width, base, layout = self.scrollable_content_region.width, self.rich_style, self._layout
        number = y + self.scroll_offset.y
        if layout is None:
            words = "  Laying it out …" if y == 1 and self._text else ""
            return Strip([Segment(words, base + self._palette.muted)]).extend_cell_length(width, base)
        if number >= layout.height:
            return Strip.blank(width, base)
        start, end = layout.row(number)
        gutter = self._gutter
        segments = self._gutter_segments(number, start, end, gutter, base)
        segments += self._text_segments(number, start, min(end, len(self._text)), base)
        strip = Strip(segments).crop_extend(0, width, base)
        return strip.apply_offsets(-gutter, number)

    def _gutter_segments(self, number: int, start: int, end: int, gutter: int, base: Style) -> list[Segment]:
        layout, palette = self._layout, self._palette
        assert layout is not None
        is_cited = any(light.kind in ("bar", "span", "quote") for light in self._lights_in(start, end))
        bar = Segment("▌ " if is_cited else "  ", base + palette.accent)
        if gutter == 2:
            return [bar]
        words, style = "", palette.faint
        if layout.begins_line(number):
            words = str(layout.line_at(start))
        page = bisect_left(self._pages, start)
        if page < len(self._pages) and self._pages[page] < end:
            words, style = f"p{self._page_numbers[page]}", palette.accent
        return [Segment(f"{words:>{gutter - 3}} ", base + style), bar]

    def _text_segments(self, number: int, start: int, end: int, base: Style) -> list[Segment]:
        text = self._text
        while end > start and text[end - 1] in "\n\r ":
            end -= 1
        style = self._palette.heading if start in self._headings else self._palette.text
        cuts = {start, end}
        lights = self._lights_in(start, end)
        for light in lights:
            cuts |= {max(light.start, start), min(light.end, end)}
        selected = self._selected(number, start, end)
        if selected is not None:
            cuts |= {*selected}
        points = sorted(cuts)
        segments = []
        for first, last in itertools.pairwise(points):
            over = [light for light in lights if light.start <= first < light.end]
            painted = base + style
            if over:
                painted += self._style_of(max(over, key=lambda light: _ORDER.index(light.kind)).kind)
            if selected is not None and selected[0] <= first < selected[1]:
                painted += self._palette.selection
            segments.append(Segment(_shown(text[first:last]), painted))
        return segments

    def _style_of(self, kind: LightKind) -> Style:
        palette = self._palette
        match kind:
            case "other":
                return palette.link
            case "bar":
                return palette.text
            case "span":
                return palette.selection
            case "quote" | "hit":
                return palette.match
            case _:
                return palette.match_here

    def _lights_in(self, start: int, end: int) -> list[Light]:
        first = bisect_left(self._firsts, start - self._longest)
        last = bisect_left(self._firsts, end)
        return [light for light in self._lights[first:last] if light.end > start]

    # ---- selecting

    def _selected(self, number: int, start: int, end: int) -> tuple[int, int] | None:
        selection = self.text_selection
        if selection is None:
            return None
        span = selection.get_span(number)
        if span is None:
            return None
        first, last = span
        return min(start + max(first, 0), end), end if last == -1 else min(start + last, end)

    def _characters(self, selection: Selection) -> tuple[int, int]:
        layout = self._layout
        assert layout is not None

        def at(offset: Offset | None, otherwise: int) -> int:
            if offset is None or not 0 <= offset.y < layout.height:
                return otherwise
            first, last = layout.row(offset.y)
            return min(first + max(offset.x, 0), last)

        return at(selection.start, 0), at(selection.end, len(self._text))

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        if self._layout is None:
            return None
        start, end = self._characters(selection)
        return neutralise(self._text[start:end]).strip("\n"), "\n"

    @property
    def selected_text(self) -> str:
        selection = self.text_selection
        found = self.get_selection(selection) if selection is not None else None
        return found[0] if found is not None else ""

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    # ---- moving

    def action_by(self, rows: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + rows, animate=False, force=True)

    def action_page(self, pages: int) -> None:
        self.action_by(pages * max(self.size.height - 2, 1))

    def action_top(self) -> None:
        self.scroll_to(y=0, animate=False, force=True)

    def action_bottom(self) -> None:
        self.scroll_to(y=self.virtual_size.height, animate=False, force=True)


def _shown(text: str) -> str:
    """Nothing in it acts or hides, and a tab has its width."""
    if text.isascii() and text.isprintable():
        return text
    return neutralise(text.replace("\t", " " * TAB).replace("\r", "")).translate(_UNSEEN)
