"""The line of keys at the bottom: what works here, the most wanted first, cut where the terminal ends."""

from __future__ import annotations

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from screens.keys import ACTIONS


class Footer(Widget):
    """Drawn from the bindings that are live where the focus is."""

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh())

    def render(self) -> RenderResult:
        order = {action.id: action.footer for action in ACTIONS if action.footer}
        shown: dict[str, tuple[int, str, str]] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.id in order and active.enabled and binding.id not in shown:
                shown[binding.id] = (order[binding.id], self.app.get_key_display(binding), binding.description)
        line = Text(no_wrap=True, overflow="ellipsis")
        palette = self.app.palette  # type: ignore[attr-defined]
        for _, key, words in sorted(shown.values()):
            part = Text.assemble((f" {key}", palette.accent), (f" {words} ", palette.muted))
            if line.cell_len + part.cell_len > self.size.width:
                break
            line.append_text(part)
        return line
