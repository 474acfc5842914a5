"""Write the instruction of a chat, or take one from a persona."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static, TextArea

from console.chat.context import estimate_tokens
from screens.dialogs.base import Dialog
from screens.widgets.composer.pastes import clean


class SystemDialog(Dialog[str]):
    """Answers with the text; empty takes the instruction away."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+s", "save", "Save", show=False, priority=True)]

    def __init__(self, text: str, *, usual: str | None) -> None:
        """`usual` is the instruction of the settings, which counts where the chat has none."""
        super().__init__()
        self._text = text
        self._usual = usual

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog system") as box:
            box.border_title = "System prompt of this chat"
            yield TextArea(clean(self._text), soft_wrap=True, compact=True)
            yield Static("", classes="hint", markup=False)

    def on_mount(self) -> None:
        area = self.query_one(TextArea)
        area.placeholder = self._usual or "The instruction that this chat starts with. /persona takes one from a file."
        area.move_cursor(area.document.end)
        area.focus()
        self._tell()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        event.stop()
        self._tell()

    def _tell(self) -> None:
        tokens = estimate_tokens(self.query_one(TextArea).text)
        self.query_one(".hint", Static).update(f"~{tokens:,} tokens with every question   Ctrl+S saves   Esc leaves it")

    def action_save(self) -> None:
        self.dismiss(self.query_one(TextArea).text.strip())
