"""The line that a filter is typed into: an `Input` that takes no part of the screen's layout when it changes."""

from __future__ import annotations

from collections.abc import Callable

from textual.geometry import Size
from textual.reactive import Reactive
from textual.widgets import Input


class FilterField(Input):
    """As wide as what it is in, whatever it says. Textual's own lays the whole screen out anew for every letter, which
    costs more than to draw the rows that the letter leaves."""

    virtual_size: Reactive[Size] = Reactive(Size(0, 0))

    def __init__(self, value: str = "", *, placeholder: str = "", typed: Callable[[], None] | None = None) -> None:
        """`typed` is called whenever it says something else, before that is drawn."""
        self._typed = typed
        super().__init__(value, placeholder=placeholder, select_on_focus=bool(value))

    def watch_value(self) -> None:
        if self._typed is not None and self.is_mounted:
            self._typed()
