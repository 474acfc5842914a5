"""What all dialogs share: a box in the middle, Esc or a click beside it to leave without an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

if TYPE_CHECKING:
    from screens.app import HawserApp

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer | None]):
    """Its answer is None when it was left without one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "Close", show=False)]

    _is_withdrawn = False

    @property
    def hawser(self) -> HawserApp:
        from screens.app import HawserApp

        app = self.app
        assert isinstance(app, HawserApp)
        return app

    def action_close(self) -> None:
        self.dismiss(None)

    def cancel_something(self) -> bool:
        """Ctrl+C leaves a dialog as Esc does."""
        self.action_close()
        return True

    def on_click(self, event: events.Click) -> None:
        if event.widget is self:
            self.action_close()

    def withdraw(self) -> None:
        """Nobody waits for the answer any more: go, or go as soon as nothing lies over it."""
        self._is_withdrawn = True
        if self.is_current:
            self.dismiss(None)

    def on_screen_resume(self) -> None:
        if self._is_withdrawn:
            self.call_later(self.dismiss, None)
