"""One line above the transcript: the chat, who answers, and how full the window is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from console.text import plural
from screens.chat_items import window_words
from screens.widgets.cells import clip, one_line

if TYPE_CHECKING:
    from console.chat.estimates import Estimate
    from console.chat.open_chat import OpenChat
    from screens.theme import Palette

NARROW = 60


class ChatTitle(Widget):
    DEFAULT_CSS = """
    ChatTitle { height: 1; padding: 0 2; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._title = ""
        self._marks: list[tuple[str, str]] = []
        self._model = ""
        self._window: tuple[str, str] = ("", "muted")

    def show(self, chat: OpenChat, usual_model: str | None) -> None:
        """`usual_model` answers where the chat has no model of its own."""
        self._title = one_line(chat.title) or "New chat"
        self._marks = [("off the record", "warn")] if chat.off_the_record else []
        if chat.system:
            self._marks.append((chat.persona or "own instruction", "muted"))
        if chat.params:
            self._marks.append((plural(len(chat.params), "parameter"), "muted"))
        if chat.earlier:
            self._marks.append((f"{chat.earlier:,} more above", "muted"))
        self._model = one_line(chat.model or usual_model or "no model chosen")
        self.refresh()

    def show_window(self, estimate: Estimate | None) -> None:
        words = window_words(estimate) if estimate is not None else ("", "muted")
        if words != self._window:
            self._window = words
            self.refresh()

    def set_palette(self, _palette: object) -> None:
        self.refresh()

    def render(self) -> RenderResult:
        palette: Palette = self.app.palette  # type: ignore[attr-defined]
        width = self.size.width
        right = Text(no_wrap=True)
        parts = [(self._model, "accent"), self._window] if width >= NARROW else [(self._model, "accent")]
        if width >= 2 * NARROW:
            parts = [*self._marks, *parts]
        elif self._marks and width >= NARROW:
            parts = [self._marks[0], *parts]
        for words, colour in parts:
            if words:
                right.append(" · " if right.plain else "", palette.faint)
                right.append(clip(words, max(width // 2, 8)), getattr(palette, colour))
        title = clip(self._title, max(width - right.cell_len - 2, 8))
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(title, palette.strong)
        line.append(" " * max(width - line.cell_len - right.cell_len, 1))
        line.append_text(right)
        return line
