"""All that is known of a message, in rows of name and value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from console.text import neutralise
from screens.dialogs.base import Dialog
from screens.widgets.cells import one_line
from screens.widgets.key_line import KeyLine


class DetailsDialog(Dialog[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,i,q", "close", "Close", show=False),
        Binding("y", "copy", "Copy", show=False),
    ]

    def __init__(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self.box_title = title
        self.rows = rows

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog details") as box:
            box.border_title = Content(neutralise(self.box_title))
            with VerticalScroll(classes="scroll"):
                yield Static(self._table(), markup=False)
            yield KeyLine("y copies all · Esc closes")

    def _table(self) -> Table:
        palette = self.hawser.palette
        table = Table.grid(padding=(0, 2))
        table.add_column(style=palette.muted, no_wrap=True)
        table.add_column(style=palette.text, overflow="fold")
        for name, value in self.rows:
            table.add_row(Text(one_line(name)), Text(one_line(value)))
        return table

    def action_copy(self) -> None:
        self.hawser.copy("\n".join(f"{name}: {value}" for name, value in self.rows), "the details")
