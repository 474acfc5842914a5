"""What all dialogs share: a box in the middle, Esc or a click beside it to leave without an answer."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

if TYPE_CHECKING:
    from screens.app import HawserApp

Answer = TypeVar("Answer")

HELD_S = 0.1
"""How long the first frame of a dialog waits for what it is to show; after that it is drawn without."""
HELD_FOR_ROWS_S = 0.04
"""How long a letter waits for the rows that it leaves."""


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

    def _on_screen_resume(self, event: events.ScreenResume) -> None:
        """Its styles are those that its widgets were mounted with: to find them once more for all of them takes longer
        than to draw it."""
        event.refresh_styles = False

    def on_screen_resume(self) -> None:
        if self._is_withdrawn:
            self.call_later(self.dismiss, None)


class KeptDialog(Dialog[Answer]):
    """One that `KeptDialogs` keeps while it is not shown. Whoever shows it again makes it as new first."""

    def __init__(self) -> None:
        super().__init__()
        self._held: ExitStack | None = None
        self._held_until: asyncio.TimerHandle | None = None

    def hold_frame(self, limit_s: float) -> None:
        """Draw nothing until `show_frame`, but for so long at most: what belongs together is one frame then. Two take
        longer, since the second one waits until the first one's time is over."""
        if self._held is None:
            self._held = ExitStack()
            self._held.enter_context(self.app.batch_update())
            self._held_until = asyncio.get_running_loop().call_later(limit_s, self.show_frame)

    def show_frame(self) -> None:
        """There is something to show, or it took too long."""
        if self._held is not None and self._held_until is not None:
            self._held_until.cancel()
            self._held.close()
            self._held = self._held_until = None
            self.check_idle()
