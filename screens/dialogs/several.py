"""Choose several models for one question."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from console.chat.on_hand import ModelsOnHand, OnHand
from screens.dialogs.models import ModelsDialog, Row

MOST = 6
"""More columns than this nobody can read."""


class SeveralDialog(ModelsDialog):
    """Tab marks; Enter takes what is marked, and the row of the cursor with it. `marked` has the names."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "mark", "Mark", show=False, priority=True)]

    def __init__(self, on_hand: ModelsOnHand, listed: Sequence[OnHand], now: datetime, *, current: str | None) -> None:
        super().__init__(on_hand, listed, now, current=current, title="Compare", hint="Tab marks   Enter asks them all")
        self.marked: list[str] = [current] if current and any(each.name == current for each in listed) else []

    def action_mark(self) -> None:
        row = self.rows.cursor
        if not isinstance(row, OnHand):
            return
        if row.name in self.marked:
            self.marked.remove(row.name)
        elif len(self.marked) < MOST:
            self.marked.append(row.name)
        else:
            self.hawser.say(f"{MOST} at once are the most.")
        self.rows.repaint()
        self.rows.action_move(1)

    def _paint(self, row: Row, width: int, here: bool) -> Text:
        text = super()._paint(row, width - 2, here)
        is_marked = isinstance(row, OnHand) and row.name in self.marked
        return Text.assemble((" ✓" if is_marked else "  ", self.hawser.palette.accent), text)
