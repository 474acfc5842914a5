"""A look into a chat beside the list: what it is, and what was said in it last, or where the filter was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.strip import Strip
from textual.widget import Widget

from console.chat.shelf import Glimpse, marks
from console.text import plural
from screens.widgets.cells import clip, one_line
from screens.widgets.chat_line import mark_text, segments_of

if TYPE_CHECKING:
    from textual import events

    from console.history.listing import Said
    from screens.theme import Palette

_LINES = 9
"""Lines of one message at most, so that several are seen."""
_LOOKED_THROUGH = 4000


class GlimpseView(Widget):
    """A function of the last `Glimpse` it was given. The end is kept in sight where there is not room for all."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    GlimpseView { width: 42%; height: 1fr; padding: 0 1; display: none; }
    """

    def __init__(self, palette: Palette) -> None:
        super().__init__()
        self._palette = palette
        self._glimpse: Glimpse | None = None
        self._query = ""
        self._words = ""
        self._strips: list[Strip] | None = None

    def show(self, glimpse: Glimpse | None, query: str = "") -> None:
        self._glimpse, self._query, self._words = glimpse, query, ""
        self._again()

    def say(self, words: str) -> None:
        """A sentence where the chat would be."""
        self._glimpse, self._words = None, words
        self._again()

    def set_palette(self, palette: Palette) -> None:
        self._palette = palette
        self._again()

    def on_resize(self, event: events.Resize) -> None:
        self._again()

    def _again(self) -> None:
        self._strips = None
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips = None

    def render_line(self, y: int) -> Strip:
        if self._strips is None:
            width, style = self.size.width, self.rich_style
            lines = [
                Strip(segments_of(line)).apply_style(style).crop_extend(0, width, style)
                for line in self._drawn(width, self.size.height)
            ]
            self._strips = [*lines, Strip.blank(width, style)]
        return self._strips[min(y, len(self._strips) - 1)]

    def _drawn(self, width: int, height: int) -> list[Text]:
        palette, glimpse = self._palette, self._glimpse
        if width < 4:
            return []
        if glimpse is None:
            return self._wrapped(Text(one_line(self._words), palette.muted), width)
        row = glimpse.row
        title = Text(clip(row.title, 2 * width - 4) or "Untitled", palette.heading)
        facts = [row.model or "", plural(row.message_count, "message"), *(f"#{tag}" for tag in row.tags)]
        head = [*self._wrapped(title, width), Text(clip(" · ".join(filter(None, facts)), width), palette.muted), Text()]
        body: list[Text] = []
        for number, said in enumerate(glimpse.messages):
            body += self._said(said, width, is_hit=glimpse.is_hit and number == len(glimpse.messages) - 1)
            body.append(Text())
        return head + body[-max(height - len(head) + 1, 1) :]

    def _said(self, said: Said, width: int, *, is_hit: bool) -> list[Text]:
        palette = self._palette
        who, style = ("You", palette.user) if said.role == "user" else (said.model or said.role, palette.assistant)
        state = "" if said.state == "complete" else f"  {said.state}"
        lines = [Text.assemble((clip(who, width - 12), style), (state, palette.muted))]
        lines[0].style = palette.text
        text = said.text[:_LOOKED_THROUGH]
        if is_hit and (found := marks(text, self._query)):
            start = max(found[0][0] - 2 * width, 0)
            text = ("…" if start else "") + text[start:]
        words: list[Text] = []
        for line in text.splitlines():
            if cleaned := one_line(line):
                whole = Text(cleaned, palette.text)
                if self._query:
                    mark_text(whole, self._query, palette.match)
                words += self._wrapped(whole, width)
            if len(words) > _LINES:
                words = [*words[: _LINES - 1], Text("…", palette.muted)]
                break
        return lines + words

    def _wrapped(self, text: Text, width: int) -> list[Text]:
        lines = list(text.wrap(self.app.console, width))
        for line in lines:
            line.style = text.style
        return lines
