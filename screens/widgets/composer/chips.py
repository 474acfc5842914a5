"""The row above the text: what goes with the question, each piece removable by key and by mouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from console.chat.attaching import Attached
from console.chat.drafts import Chip
from screens.widgets.cells import clip

LONGEST_LABEL = 40
MOST_ROWS = 4


class ShownChip(NamedTuple):
    number: int
    """What it is called among all chips of this composer; a chip that is replaced keeps it."""
    chip: Chip
    label: str
    attached: Attached | None = None
    """What was read; None while it is being read, and for what is not a file."""
    reading: bool = False
    told: str = ""
    """What else there is to say of it."""

    @property
    def warning(self) -> str:
        secret = self.attached.secret if self.attached is not None else None
        return f"looks like {secret}" if secret else ""

    @property
    def words(self) -> str:
        told = [clip(self.label, LONGEST_LABEL)]
        if self.warning:
            told.append(f"⚠ {self.warning}")
        if self.attached is not None:
            told.append(self.attached.words)
        if self.reading:
            told.append("reading …")
        if self.told:
            told.append(self.told)
        return " · ".join(told)


class ChipRow(Widget, can_focus=True):
    COMPONENT_CLASSES: ClassVar[set[str]] = {"chips--chip", "chips--here", "chips--warning", "chips--more"}
    DEFAULT_CSS = """
    ChipRow { height: auto; width: 1fr; }
    ChipRow .chips--chip { background: $panel; color: $foreground; }
    ChipRow .chips--warning { background: $panel; color: $warning; }
    ChipRow .chips--here { background: $block-cursor-background; color: $block-cursor-foreground; }
    ChipRow .chips--more { color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", show=False),
        Binding("right", "step(1)", show=False),
        Binding("home", "step(-999)", show=False),
        Binding("end", "step(999)", show=False),
        Binding("delete,backspace,ctrl+d", "remove", "Remove", show=True),
        Binding("enter,ctrl+e", "expand", "Expand", show=True),
        Binding("down,escape,tab", "leave(1)", "Write", show=True),
        Binding("up", "leave(-1)", show=False),
    ]

    here: reactive[int] = reactive(0)

    class Removed(Message):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    class Expanded(Message):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    class LeftRow(Message):
        """Down to the text (1), or further up (-1)."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def __init__(self) -> None:
        super().__init__()
        self._chips: tuple[ShownChip, ...] = ()
        self._rows: list[list[tuple[int, str]]] = []
        self._laid_out_for = -1

    def show_chips(self, chips: Sequence[ShownChip]) -> None:
        self._chips = tuple(chips)
        self._laid_out_for = -1
        self.here = max(0, min(self.here, len(self._chips) - 1))
        self.display = bool(self._chips)
        self.refresh(layout=True)

    # ---- drawing

    def _lay_out(self, width: int) -> list[list[tuple[int, str]]]:
        """Which chips stand in which row, with the words that fit; the last row may end in a count (-1)."""
        if width == self._laid_out_for:
            return self._rows
        rows: list[list[tuple[int, str]]] = [[]]
        taken = 0
        for index, chip in enumerate(self._chips):
            words = clip(chip.words, max(width - 6, 8))
            needed = cell_len(words) + 4  # blanks around, the cross, its blank
            if taken and taken + 1 + needed > width:
                if len(rows) == MOST_ROWS:
                    rows[-1].append((-1, f"+{len(self._chips) - index}"))
                    break
                rows.append([])
                taken = 0
            rows[-1].append((index, words))
            taken += needed + 1
        self._rows, self._laid_out_for = rows, width
        return rows

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lay_out(width))

    def render_line(self, y: int) -> Strip:
        rows = self._lay_out(self.size.width)
        if y >= len(rows):
            return Strip.blank(self.size.width, self.rich_style)
        segments: list[Segment] = []
        for index, words in rows[y]:
            if index < 0:
                segments.append(Segment(f" {words}", self.get_component_rich_style("chips--more")))
                continue
            style = self._style_of(index)
            segments.append(Segment(f" {words} ", style + Style(meta={"chip": index})))
            segments.append(Segment("✕ ", style + Style(meta={"chip": index, "cross": True})))
            segments.append(Segment(" ", self.rich_style))
        return Strip(segments).adjust_cell_length(self.size.width, self.rich_style)

    def _style_of(self, index: int) -> Style:
        if self.has_focus and index == self.here:
            return self.get_component_rich_style("chips--here")
        if self._chips[index].warning:
            return self.get_component_rich_style("chips--warning")
        return self.get_component_rich_style("chips--chip")

    def watch_has_focus(self, _focus: bool) -> None:
        self.refresh()

    # ---- keys and mouse

    @property
    def chosen(self) -> ShownChip | None:
        return self._chips[self.here] if self._chips else None

    def action_step(self, by: int) -> None:
        self.here = max(0, min(self.here + by, len(self._chips) - 1))

    def action_remove(self) -> None:
        if self.chosen is not None:
            self.post_message(self.Removed(self.chosen.number))

    def action_expand(self) -> None:
        if self.chosen is not None:
            self.post_message(self.Expanded(self.chosen.number))

    def action_leave(self, step: Literal[-1, 1]) -> None:
        self.post_message(self.LeftRow(step))

    async def _on_click(self, event: events.Click) -> None:
        meta = event.style.meta
        index = meta.get("chip")
        if not isinstance(index, int) or index >= len(self._chips):
            return
        event.stop()
        self.here = index
        if meta.get("cross"):
            self.action_remove()
