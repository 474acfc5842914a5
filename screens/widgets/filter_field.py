"""The line that a filter is typed into: an `Input` that takes no part of the screen's layout when it changes."""

from __future__ import annotations

from textual.geometry import Size
from textual.reactive import Reactive
from textual.widgets import Input


class FilterField(Input):
    """As wide as what it is in, whatever it says. Textual's own lays the whole screen out anew for every letter, which
    costs more than to draw the rows that the letter leaves."""

    virtual_size: Reactive[Size] = Reactive(Size(0, 0))

    def __init__(self, value: str = "", *, placeholder: str = "") -> None:
        super().__init__(value, placeholder=placeholder, select_on_focus=bool(value))
