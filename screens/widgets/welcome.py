"""What stands where messages will be: how to begin, and what is missing before one can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.align import Align
from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from screens.keys import key_name
from screens.widgets.cells import one_line

if TYPE_CHECKING:
    from rich.style import Style

    from screens.theme import Palette

WIDEST = 88
_HINTS = (
    ("/", "commands"),
    ("@", "attach a file"),
    ("#", "ask documents"),
    ("chat.model", "choose the model"),
    ("chat.chats", "chats"),
    ("chat.search", "search everything"),
    ("everywhere.help", "all keys"),
)
"""A sign to type, or an action by its id, which may have been given another key."""
_WAYS = (
    ("ollama serve", "models on this machine"),
    ("OPENAI_API_KEY", "a key, or ANTHROPIC_API_KEY, OPENROUTER_API_KEY"),
    ("hawser config edit", "write an endpoint into the settings"),
    ("hawser demo", "look around without any of it"),
)
"""What gives one somebody to ask."""


class Welcome(Widget):
    DEFAULT_CSS = """
    Welcome { height: 1fr; display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._model: str | None = None
        self._is_alone = False
        self._off_the_record = False

    def show(self, *, model: str | None, is_alone: bool, off_the_record: bool) -> None:
        self._model, self._is_alone, self._off_the_record = model, is_alone, off_the_record
        self.refresh()

    def set_palette(self, _palette: object) -> None:
        self.refresh()

    def render(self) -> RenderResult:
        palette: Palette = self.app.palette  # type: ignore[attr-defined]
        text = Text()
        for words, style in self._sentences(palette):
            text.append_text(Text(words, style)).append("\n")
        room = 12
        if self._is_alone and not self._off_the_record:
            room = 20
            wide = max(len(way) for way, _ in _WAYS) if self.size.width >= 60 else 0
            for way, words in _WAYS:
                text.append("\n" if not wide else "")
                text.append_text(Text.assemble((f"{way:<{wide}}  ", palette.accent), (f"{words}\n", palette.muted)))
        if self.size.height >= room:
            text.append("\n")
            hints = [(self._key(sign) if "." in sign else sign, words) for sign, words in _HINTS]
            width = max(4, *(len(key) for key, _ in hints))
            for key, words in hints:
                text.append_text(Text.assemble((f"{key:>{width}}  ", palette.accent), (f"{words}\n", palette.muted)))
        text.rstrip()
        lines = text.wrap(self.app.console, min(max(self.size.width - 4, 10), WIDEST))
        return Align.center(Text("\n").join(lines), vertical="middle", height=self.size.height)

    def _key(self, action: str) -> str:
        keys = list(self.app.keys[action])  # type: ignore[attr-defined]
        return key_name(keys[0]) if keys else "-"

    def _sentences(self, palette: Palette) -> Sequence[tuple[str, Style]]:
        if self._off_the_record:
            return [
                ("Off the record", palette.heading),
                ("Nothing of this chat is kept but what it cost.", palette.muted),
            ]
        if self._is_alone:
            return [
                ("There is nobody to ask yet.", palette.heading),
                ("Any of these changes that, at the next start:\n", palette.muted),
            ]
        who = (
            f"{one_line(self._model)} answers."
            if self._model
            else f"Choose who answers with {self._key('chat.model')}."
        )
        return [("What is it about?", palette.heading), (who, palette.muted)]
