"""Choose several models for one question."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Input

from console.chat.on_hand import Listing, ModelsOnHand
from screens.dialogs.models import ModelsDialog, Offer, Row
from screens.widgets.rows import Rows

MOST = 6
"""More answers than this nobody can read beside each other."""


class SeveralDialog(ModelsDialog):
    """Tab or a click marks, Enter takes what is marked. With one mark alone the row of the cursor is the second.
    `marked` has the names; an answer of None means that nobody is asked."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "mark", "Mark", show=False)]
    keys_hint = "Tab marks · Enter asks them all · ^R connects and asks everyone · Esc leaves it"

    def __init__(self, on_hand: ModelsOnHand, listing: Listing, now: datetime, *, current: str | None) -> None:
        self.marked: list[str] = [current] if current else []
        super().__init__(on_hand, listing, now, current=current, title="Compare")

    def action_mark(self) -> None:
        row = self.rows.cursor
        if isinstance(row, Offer) and self._mark(row.row.name):
            self.rows.action_move(1)

    def _mark(self, name: str) -> bool:
        """Mark it, or no longer; False where there is no place."""
        self._is_led = True
        if name in self.marked:
            self.marked.remove(name)
        elif len(self.marked) < MOST:
            self.marked.append(name)
        else:
            self.hawser.say(f"{MOST} at once are the most.")
            return False
        self.rows.repaint()
        self.tell_about()
        return True

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        event.prevent_default()  # Enter is not for the row alone here
        row = self.rows.cursor
        is_meant = self._is_led or bool(self.words)  # a cursor that nobody moved is nobody's choice
        if is_meant and len(self.marked) < 2 and isinstance(row, Offer) and row.row.name not in self.marked:
            self._mark(row.row.name)
        if len(self.marked) < 2:
            self.hawser.say("Mark two or more with Tab, then Enter.")
        else:
            self.dismiss(row)

    @on(Rows.Chosen)
    def _clicked(self, event: Rows.Chosen[Row]) -> None:
        event.stop()
        event.prevent_default()
        if isinstance(event.row, Offer):
            self._mark(event.row.row.name)

    def about(self) -> str:
        if not self.marked:
            return "Nothing is marked."
        return f"{len(self.marked)} of {MOST} marked: {', '.join(self.marked)}"

    def _paint(self, row: Row, width: int, here: bool) -> Text:
        text = super()._paint(row, width - 2, here)
        is_marked = isinstance(row, Offer) and row.row.name in self.marked
        return Text.assemble((" ✓" if is_marked else "  ", self.hawser.palette.accent), text)
