"""The help: every key that there is, by place, with what it does."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from screens.keys import PLACES, actions_of


class HelpDialog(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [("escape,f1,q,question_mark", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog") as box:
            box.border_title = "Keys"
            yield Static(self._text())

    def _text(self) -> Text:
        palette = self.app.palette  # type: ignore[attr-defined]
        text = Text()
        for place, title in PLACES.items():
            text.append(f"\n{title}\n", palette.heading)
            for action in actions_of(place):
                key = ", ".join(self.app.get_key_display(binding) for binding in _bindings(action.keys))
                text.append(f"  {key or '-':<18}", palette.accent)
                text.append(f"{action.help}\n", palette.text)
        return text


def _bindings(names: tuple[str, ...]) -> list:  # type: ignore[type-arg]
    from textual.binding import Binding

    return [Binding(name, "", "") for name in names]
