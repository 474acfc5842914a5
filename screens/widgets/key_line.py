"""The keys of a dialog on one line, drawn as the footer draws its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

if TYPE_CHECKING:
    from screens.theme import Palette

GAP = "  "


class KeyLine(Widget):
    """`words` are parts with ` · ` between them, each of which begins with its key: `Enter takes it · Esc leaves it`.

    Where there is no room for all, those before the last are left out from the right: the last says how to leave.
    """

    DEFAULT_CSS = """
    KeyLine { height: 1; padding: 0 1; margin: 1 0 0 0; }
    """

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words

    def show(self, words: str) -> None:
        if words != self.words:
            self.words = words
            self.refresh()

    def set_palette(self, _palette: Palette) -> None:
        self.refresh()

    def render(self) -> RenderResult:
        palette: Palette = self.app.palette  # type: ignore[attr-defined]
        line = Text(no_wrap=True, overflow="ellipsis")
        for part in fitting(self.words.split(" · "), self.size.width):
            key, _, words = part.partition(" ")
            if line.plain:
                line.append(GAP)
            line.append(key, palette.accent)
            line.append(f" {words}", palette.muted)
        return line


def fitting(parts: list[str], width: int) -> list[str]:
    """As many parts as there is room for; the last one always."""
    kept = list(parts)
    while len(kept) > 1 and Text(GAP.join(kept)).cell_len > width:
        kept.pop(-2)
    return kept
