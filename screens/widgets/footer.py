"""The line of keys at the bottom: what works where the focus is, the most wanted first, cut where the terminal ends."""

from __future__ import annotations

from typing import NamedTuple

from rich.text import Text
from textual import events
from textual.app import RenderResult
from textual.widget import Widget

from screens.keys import ACTIONS, key_name

_ORDER = {action.id: action.footer for action in ACTIONS if action.footer}
HELP = "everywhere.help"


class Hint(NamedTuple):
    """One key and what it does."""

    order: int
    key: str
    words: str

    @property
    def width(self) -> int:
        return len(key_name(self.key)) + len(self.words) + 3


class Footer(Widget):
    """Drawn from the bindings that are live; a click presses the key. Help stays at the right end."""

    def __init__(self) -> None:
        super().__init__()
        self._places: list[tuple[int, int, str]] = []
        """From which cell to which, and the key."""

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh())

    def hints(self) -> list[Hint]:
        """What there is to show, the most wanted first."""
        hints: dict[str, Hint] = {}
        focused = self.screen.focused
        for key, active in self.screen.active_bindings.items():
            name = active.binding.id
            if name not in _ORDER or not active.enabled or name in hints or key.startswith("none-"):
                continue
            letter = key_name(key)
            if focused is not None and len(letter) == 1 and focused.check_consume_key(key, letter):
                continue  # it is typed there; Textual knows this of letters, not of signs with a name
            hints[name] = Hint(_ORDER[name], key, active.binding.description)
        last = hints.pop(HELP, None)
        return sorted(hints.values()) + ([last] if last else [])

    def render(self) -> RenderResult:
        palette = self.app.palette  # type: ignore[attr-defined]
        hints = self.hints()
        width = self.size.width
        line = Text(no_wrap=True, overflow="crop")
        self._places = []
        end = hints.pop() if hints and hints[-1].order == _ORDER[HELP] else None
        left = width - (end.width if end else 0)
        for hint in hints:
            if line.cell_len + hint.width <= left:
                self._put(line, hint, palette)
        if end is not None and end.width <= width:
            line.append(" " * (width - line.cell_len - end.width))
            self._put(line, end, palette)
        return line

    def _put(self, line: Text, hint: Hint, palette: object) -> None:
        start = line.cell_len
        line.append(f" {key_name(hint.key)}", palette.accent)  # type: ignore[attr-defined]
        line.append(f" {hint.words} ", palette.muted)  # type: ignore[attr-defined]
        self._places.append((start, line.cell_len, hint.key))

    def set_palette(self, _palette: object) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        for start, end, key in self._places:
            if start <= event.x < end:
                event.stop()
                self.app.simulate_key(key)
                return
