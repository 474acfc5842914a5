"""A list of any length: only the rows in sight are asked for and drawn.

The rows are any sequence, also one that loads what it is asked for. Each row is painted by a function of its own value,
the width and whether the cursor is on it, once, and kept until it changes: moving the cursor paints two rows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.text import neutralise
from screens.keys import bindings

if TYPE_CHECKING:
    from textual import events

T = TypeVar("T")
Row = TypeVar("Row")

Words: TypeAlias = "str | Text | list[Segment]"
Painted: TypeAlias = "Words | tuple[Words, ...]"
"""One line, or as many as the list has per row."""

_NARROW = 50
"""Cells below which a list is a column beside something else."""
_WIDEST_EMPTY = 64
_KEPT = 600
"""Painted rows that are kept; more than any screen shows."""
_REACH = 1000
"""How far around its old place a row is looked for after the rows changed; a short list is searched whole."""


class Rows(ScrollView, Generic[T], can_focus=True):
    """Rows with a cursor. `show` gives it other rows; what the user does comes as `Moved` and `Chosen`."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--cursor", "rows--empty"}
    DEFAULT_CSS = """
    Rows {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
    }
    Rows > .rows--cursor { background: $block-cursor-blurred-background; text-style: $block-cursor-blurred-text-style; }
    Rows:focus > .rows--cursor, Rows.-led > .rows--cursor {
        background: $block-cursor-background;
        color: $block-cursor-foreground;
        text-style: $block-cursor-text-style;
    }
    Rows > .rows--empty { color: $foreground 60%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list")]

    class Moved(Message, Generic[Row]):
        """The cursor is on another row; None when there is none."""

        def __init__(self, rows: Rows[Any], row: Row | None) -> None:
            super().__init__()
            self.rows = rows
            self.row = row

        @property
        def control(self) -> Rows[Any]:
            return self.rows

    class Chosen(Message, Generic[Row]):
        """Enter or a click on a row."""

        def __init__(self, rows: Rows[Any], row: Row) -> None:
            super().__init__()
            self.rows = rows
            self.row = row

        @property
        def control(self) -> Rows[Any]:
            return self.rows

    def __init__(
        self,
        paint: Callable[[T, int, bool], Painted],
        *,
        lines: int = 1,
        can_choose: Callable[[T], bool] | None = None,
        empty: str = "",
        id: str | None = None,  # noqa: A002 - as every widget calls it
        classes: str | None = None,
    ) -> None:
        """`lines` is the height of every row. The cursor passes over rows that cannot be chosen: headings.
        `empty` is shown where rows would be, and says what to do."""
        super().__init__(id=id, classes=classes)
        self.paint = paint
        self.lines = lines
        self.empty = empty
        self._can_choose = can_choose or (lambda row: True)
        self._rows: Sequence[T] = ()
        self._cursor = 0
        self._strips: dict[tuple[int, bool], tuple[T, list[Strip]]] = {}
        self._look: Hashable = None
        self._painted_for: tuple[int, Style, Style] | None = None
        self._empty_lines: tuple[tuple[str, int], list[Text]] | None = None

    # What it shows

    @property
    def rows(self) -> Sequence[T]:
        return self._rows

    @property
    def cursor(self) -> T | None:
        """The row the cursor is on."""
        return self._rows[self._cursor] if self._cursor < len(self._rows) else None

    @property
    def cursor_index(self) -> int:
        return self._cursor

    def show(
        self,
        rows: Sequence[T],
        *,
        keep: Callable[[T], Hashable] | None = None,
        at: int | None = None,
        empty: str | None = None,
        look: Hashable = None,
    ) -> None:
        """Show these. The cursor goes to the row numbered `at`; else, with `keep`, it stays on the row that has the
        same key, or at its place if that row went; else it goes to the first. `look` is what else the rows are painted
        from: while it is the same, rows that are the same are not painted again."""
        before, old = self.cursor, self._cursor
        screen_line = old * self.lines - self.scroll_offset.y
        self._rows = rows
        if empty is not None:
            self.empty = empty
        kept = None
        if at is None and keep is not None and before is not None:
            kept = self._find(keep, keep(before), old)
            at = old if kept is None else kept
        self._cursor = self._nearest(at or 0)
        if look is None or look != self._look:
            self._strips.clear()
        self._look = look
        self._set_length(len(rows) * self.lines)
        top = self._cursor * self.lines - screen_line if keep is not None or at else 0
        self.scroll_to(y=max(top, 0), animate=False, force=True)
        self._show_cursor()
        self.refresh()
        now = self.cursor
        is_same = kept is not None if keep is not None else before is now
        if not is_same:
            self.post_message(self.Moved(self, now))

    def repaint(self, first: int | None = None, count: int = 1) -> None:
        """Paint rows again whose values changed: `count` from `first` on, or all."""
        if first is None:
            self._strips.clear()
            self.refresh()
            return
        for index in range(first, first + count):
            self._forget(index)
        self.refresh_lines(first * self.lines, count * self.lines)

    @property
    def in_sight(self) -> range:
        """The numbers of the rows that can be seen."""
        top = self.scroll_offset.y
        return range(top // self.lines, min(-(-(top + self.size.height) // self.lines), len(self._rows)))

    def go_to(self, index: int) -> None:
        """Put the cursor on this row, or the nearest that can be chosen."""
        self._go(self._nearest(index))

    # What the user does

    def action_move(self, step: int) -> None:
        self._go(next(self._choosable(self._cursor + step, step), self._cursor))

    def action_page(self, step: int) -> None:
        page = max(self.size.height // self.lines - 1, 1)
        self._go(self._nearest(self._cursor + step * page, step))

    def action_first(self) -> None:
        self._go(self._nearest(0))

    def action_last(self) -> None:
        self._go(self._nearest(len(self._rows) - 1, -1))

    def action_choose(self) -> None:
        row = self.cursor
        if row is not None and self._can_choose(row):
            self.post_message(self.Chosen(self, row))

    def on_click(self, event: events.Click) -> None:
        index = (event.y + self.scroll_offset.y) // self.lines
        if 0 <= index < len(self._rows) and self._can_choose(self._rows[index]):
            event.stop()
            self._go(index)
            self.action_choose()

    def _go(self, index: int) -> None:
        if index == self._cursor or not self._rows:
            return
        before, self._cursor = self._cursor, index
        for changed in (before, index):
            self.refresh_lines(changed * self.lines, self.lines)
        self._show_cursor()
        self.post_message(self.Moved(self, self._rows[index]))

    def _choosable(self, start: int, step: int) -> Iterator[int]:
        """The rows from `start` on, in this direction, that can be chosen."""
        step = 1 if step > 0 else -1
        for index in range(start, len(self._rows) if step > 0 else -1, step):
            if 0 <= index < len(self._rows) and self._can_choose(self._rows[index]):
                yield index

    def _nearest(self, index: int, step: int = 1) -> int:
        index = min(max(index, 0), max(len(self._rows) - 1, 0))
        for direction in (step, -step):
            for found in self._choosable(index, direction):
                return found
        return 0

    def _find(self, keep: Callable[[T], Hashable], key: Hashable, near: int) -> int | None:
        count = len(self._rows)
        if near < count and keep(self._rows[near]) == key:
            return near
        low, high = (0, count) if count <= 2 * _REACH else (max(near - _REACH, 0), min(near + _REACH, count))
        return next((index for index in range(low, high) if keep(self._rows[index]) == key), None)

    # Drawing

    def _set_length(self, lines: int) -> None:
        """Lay the screen out anew only if something beside this widget's content changes by it."""
        size, before = Size(0, lines), self.virtual_size
        height = self.styles.height
        is_fixed = height is not None and not height.is_auto
        if is_fixed and (lines > self.size.height) == (before.height > self.size.height):
            self.set_reactive(Rows.virtual_size, size)
            self._scroll_update(size)
        else:
            self.virtual_size = size

    def _show_cursor(self) -> None:
        """Scroll until the cursor's row is in sight; the headings above the first row come along."""
        height = self.size.height
        if height <= 0:
            return
        top, bottom = self._cursor * self.lines, (self._cursor + 1) * self.lines
        if top < self.scroll_offset.y:
            is_first = next(self._choosable(self._cursor - 1, -1), None) is None if self._cursor < 20 else False
            self.scroll_to(y=0 if is_first else top, animate=False, force=True)
        elif bottom > self.scroll_offset.y + height:
            self.scroll_to(y=bottom - height, animate=False, force=True)

    def _on_resize(self, event: events.Resize) -> None:
        self._show_cursor()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._painted_for = None

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if self._painted_for is None or self._painted_for[0] != width:
            self._strips.clear()
            self._painted_for = (width, self.rich_style, self.get_component_rich_style("rows--cursor"))
        _, style, cursor_style = self._painted_for
        index, line = divmod(y + self.scroll_offset.y, self.lines)
        if index >= len(self._rows):
            return self._blank_line(y, width, style)
        is_cursor = index == self._cursor
        row = self._rows[index]
        painted, strips = self._strips.get((index, is_cursor), (None, None))
        if strips is None or (painted is not row and painted != row):
            if len(self._strips) > _KEPT:
                self._strips.clear()
            strips = self._paint(row, width, is_cursor, style + cursor_style if is_cursor else style)
            self._strips[index, is_cursor] = row, strips
        return strips[line]

    def _paint(self, row: T, width: int, is_cursor: bool, style: Style) -> list[Strip]:
        painted = self.paint(row, width, is_cursor and self._can_choose(row))
        lines = painted if isinstance(painted, tuple) else (painted,)
        strips = [self._strip(words, width, style, is_cursor=is_cursor) for words in lines[: self.lines]]
        return strips + [Strip.blank(width, style)] * (self.lines - len(strips))

    def _strip(self, words: Words, width: int, style: Style, *, is_cursor: bool = False) -> Strip:
        if isinstance(words, str):
            words = [Segment(words)]
        elif isinstance(words, Text):
            base = (
                words.style if isinstance(words.style, Style) else None
            )  # which rich forgets where there are no spans
            words = [s for s in Segment.apply_style(words.render(self.app.console), base) if s.text != "\n"]
        # Whatever a painter forgot to clean is cleaned here: nothing else stands between it and the terminal.
        safe = [
            segment
            if segment.text.isprintable()
            else Segment(neutralise(segment.text).replace("\n", " ").replace("\t", " "), segment.style)
            for segment in words
        ]
        over = None
        if is_cursor and self.app.current_theme.ansi:  # its sixteen colours cannot all be read on the cursor's
            over = Style(color=style.color, dim=False)
        return Strip(Segment.apply_style(safe, style, over)).crop_extend(0, width, style)

    def _blank_line(self, y: int, width: int, style: Style) -> Strip:
        if self._rows or not self.empty:
            return Strip.blank(width, style)
        if self._empty_lines is None or self._empty_lines[0] != (self.empty, width):
            wrapped = list(Text(self.empty).wrap(self.app.console, max(min(width - 4, _WIDEST_EMPTY), 1)))
            for line in wrapped:
                line.rstrip()
            self._empty_lines = ((self.empty, width), wrapped)
        lines = self._empty_lines[1]
        # In the middle as one block where there is room; a narrow list says it where its first row would be.
        is_narrow = width < _NARROW
        top = 1 if is_narrow else max((self.size.height - len(lines)) // 3, 0)
        if not 0 <= y - top < len(lines):
            return Strip.blank(width, style)
        text = lines[y - top].copy()
        text.pad_left(2 if is_narrow else max((width - max(line.cell_len for line in lines)) // 2, 0))
        return self._strip(text, width, style + self.get_component_rich_style("rows--empty"))

    def _forget(self, index: int) -> None:
        self._strips.pop((index, True), None)
        self._strips.pop((index, False), None)
