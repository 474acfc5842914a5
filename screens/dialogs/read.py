"""A text to read, of any length."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from console.text import neutralise
from screens.dialogs.base import Dialog
from screens.widgets.key_line import KeyLine


class ReadDialog(Dialog[None]):
    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self.box_title = title
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = Content(neutralise(self.box_title))
            with VerticalScroll(classes="scroll"):
                yield Static(neutralise(self._text), classes="lines", markup=False)
            yield KeyLine("Esc closes")
