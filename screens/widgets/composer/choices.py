"""The list over the text: commands, files or past prompts. It never has the focus; the composer moves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from screens.widgets.cells import clip, fit

MOST_ROWS = 8
BORDER = 2
LONGEST_BESIDE = 24
"""How far right the fainter words may begin so that they stand in a column."""


class Choice(NamedTuple):
    value: str
    """What is taken when it is chosen."""
    label: str
    words: str = ""
    """What stands beside it, fainter."""


class Choices(Widget):
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "choices--row",
        "choices--words",
        "choices--here",
        "choices--head",
    }
    DEFAULT_CSS = """
    Choices {
        overlay: screen; constrain: none inside; display: none; width: 1fr; height: auto;
        background: $surface; border: round $border; padding: 0 1;
    }
    Choices .choices--words { color: $text-muted; }
    Choices .choices--here { background: $block-cursor-background; color: $block-cursor-foreground; }
    Choices .choices--head { color: $primary; }
    """

    class Picked(Message):
        """Chosen by mouse."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[Choice, ...] = ()
        self.here = 0
        self._first = 0
        self._most = MOST_ROWS
        self._beside_at = 0
        self._head = ""

    @property
    def is_open(self) -> bool:
        return bool(self.display)

    @property
    def chosen(self) -> Choice | None:
        return self.rows[self.here] if self.rows else None

    def open(self, rows: Sequence[Choice], *, head: str = "") -> None:
        """Show these; the choice stays where it was if it is still among them, else goes to the first."""
        before = self.chosen.value if self.is_open and self.chosen is not None and self.here else None
        self.rows = tuple(rows)
        self._head = head
        self.here = next((index for index, row in enumerate(self.rows) if row.value == before), 0)
        self._first = 0
        self._beside_at = min(max((cell_len(row.label) for row in self.rows if row.words), default=0), LONGEST_BESIDE)
        composer = self.parent
        assert isinstance(composer, Widget)
        above = composer.region.y - BORDER - (1 if head else 0)
        self._most = max(1, min(MOST_ROWS, above))
        self._scroll()
        self.display = True
        # Right above the composer and as wide as it is: from within its border and padding, out of them.
        self.styles.width = composer.outer_size.width
        self.styles.offset = (-2, -(self._height() + BORDER + 1))
        self.refresh(layout=True)

    def shut(self) -> None:
        self.rows = ()
        self.here = 0
        self.display = False

    def step(self, by: int) -> None:
        """Over the end to the beginning, and back."""
        if self.rows:
            self.here = (self.here + by) % len(self.rows)
            self._scroll()
            self.refresh()

    def _scroll(self) -> None:
        if self.here < self._first:
            self._first = self.here
        elif self.here >= self._first + self._most:
            self._first = self.here - self._most + 1

    def _height(self) -> int:
        return min(len(self.rows), self._most) + (1 if self._head else 0)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return self._height()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if self._head:
            if y == 0:
                text = self._head
                if len(self.rows) > 1:
                    text = f"{text}  {self.here + 1}/{len(self.rows)}"
                return Strip([Segment(fit(text, width), self.get_component_rich_style("choices--head"))])
            y -= 1
        index = self._first + y
        if index >= len(self.rows):
            return Strip.blank(width, self.rich_style)
        row = self.rows[index]
        is_here = index == self.here
        label = clip(row.label, width)
        label += " " * (self._beside_at - cell_len(label) if row.words else 0)
        style = self.get_component_rich_style("choices--here" if is_here else "choices--row")
        beside = style if is_here else self.get_component_rich_style("choices--words")
        room = width - cell_len(label) - 2
        if room < 6 or not row.words:
            return Strip([Segment(fit(label, width), style)])
        return Strip([Segment(f"{label}  ", style), Segment(fit(row.words, room), beside)])

    async def _on_mouse_down(self, event: events.MouseDown) -> None:
        event.stop()
        row = event.get_content_offset(self)
        if row is None:
            return
        index = self._first + row.y - (1 if self._head else 0)
        if 0 <= index < len(self.rows):
            self.here = index
            self.refresh()
            self.post_message(self.Picked())

    def _on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.step(1)

    def _on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.step(-1)
