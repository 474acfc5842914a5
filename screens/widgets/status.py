"""The status line at the top: machine, tunnel, speed, money today, guard."""

from __future__ import annotations

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget


class StatusLine(Widget):
    """Parts by name, drawn in order of weight; those that do not fit are left out, the least wanted first."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: dict[str, tuple[str, str]] = {}

    def put(self, name: str, words: str, colour: str = "muted") -> None:
        """Set one part; empty words remove it."""
        if words:
            self._parts[name] = (words, colour)
        else:
            self._parts.pop(name, None)
        self.refresh()

    def render(self) -> RenderResult:
        palette = self.app.palette  # type: ignore[attr-defined]
        line = Text(" hawser ", style=palette.heading, no_wrap=True, overflow="ellipsis")
        for words, colour in self._parts.values():
            line.append(" │ ", palette.faint)
            line.append(words, getattr(palette, colour))
        return line
