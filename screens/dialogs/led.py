"""A dialog whose keys go to a line that is typed in, while the arrows lead the rows under it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeAlias, TypeVar

from textual.binding import Binding, BindingType
from textual.widgets import Input
from textual.worker import Worker

from screens.dialogs.base import KeptDialog
from screens.theme import Palette
from screens.widgets.rows import Rows

Answer = TypeVar("Answer")
Work: TypeAlias = Callable[[], Coroutine[None, None, None]]


class LedDialog(KeptDialog[Answer]):
    """`rows` never has the focus; Enter in the line chooses the row that the cursor is on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "lead('move', -1)", "Up", show=False),
        Binding("down", "lead('move', 1)", "Down", show=False),
        Binding("pageup", "lead('page', -1)", "Page up", show=False),
        Binding("pagedown", "lead('page', 1)", "Page down", show=False),
        Binding("ctrl+home", "lead('first')", "First", show=False),
        Binding("ctrl+end", "lead('last')", "Last", show=False),
    ]

    rows: Rows[Any]

    @property
    def words(self) -> str:
        """What was typed."""
        return self.query_one(Input).value.strip()

    def rows_are_there(self) -> None:
        """What was held is drawn, together with the rows: once they have said themselves that they changed."""
        self.rows.call_later(self.call_later, self.show_frame)

    def on_mount(self) -> None:
        self.rows.can_focus = False

    def set_palette(self, _palette: Palette) -> None:
        self.rows.repaint()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.rows.action_choose()

    def in_background(self, work: Work, group: str, *, newest: bool = False) -> Worker[None]:
        """Begin something that waits. With `newest` what was begun before in this group is given up."""
        worker: Worker[None] = self.run_worker(work, group=group, exclusive=newest)
        return worker

    def action_lead(self, what: str, *how: int) -> None:
        getattr(self.rows, f"action_{what}")(*how)
