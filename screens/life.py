"""How the app lives in its terminal, whatever it shows: first keys, suspension, a fault, colours, the end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import App
from textual.filter import Monochrome, NoColor

from screens.in_turn import Turns
from screens.last_frame import frame_of
from screens.terminal import TerminalDriver

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType
    from textual.await_remove import AwaitRemove
    from textual.dom import DOMNode
    from textual.screen import Screen
    from textual.widget import Widget

    from screens.early import EarlyScreen

log = logging.getLogger(__name__)

KEYS_FIRST_S = 0.04
"""How long the first frame has to itself: what was typed is seen before anything else is loaded."""
FIRST_FOCUS_S = 3.0
"""How long keys are held for a first focus at most."""


class LivingApp(App[int]):
    """The base of the app. `early` is the screen that was there before it; None where there was none, as in tests."""

    def __init__(self, early: EarlyScreen | None = None) -> None:
        super().__init__(driver_class=TerminalDriver)
        self.early = early
        self.last_frame = b""
        """What was on screen when the app began to leave, as `EarlyScreen` keeps it."""
        self._waiting: list[Callable[[], Any]] | None = []
        self._read_with: dict[str, str] = {}
        """The colours that the style rules were read with."""
        self._turns = Turns(self, super().on_event)
        if self.no_color:
            from screens.colourless import Colourless

            kept = [each for each in self._filters if not isinstance(each, Monochrome | NoColor)]
            self._filters = [*kept, Colourless()]

    def on_load(self) -> None:
        self.app_resume_signal.subscribe(self, lambda _: self.call_later(self._draw_anew))
        self.set_timer(FIRST_FOCUS_S, self._stop_waiting)

    def refresh_css(self, animate: bool = True) -> None:
        """Read the rules anew when colours have changed. Textual asks for that at the start too, when they are those
        that the rules were read with."""
        variables = self.get_css_variables()
        if variables == self._read_with:
            self.stylesheet.update(self, animate=animate)
            for screen in self.screen_stack:
                screen._css_update_count = self._css_update_count
            return
        self._read_with = variables
        super().refresh_css(animate)

    def read_css_with(self, theme: str) -> None:
        """Say before the first frame which colours it has."""
        self.theme = theme
        self._read_with = self.get_css_variables()
        self.stylesheet.set_variables(self._read_with)

    # ---- the first frame

    def after_first_frame(self, work: Callable[[], Any]) -> None:
        """Call this once the first whole frame has been given to the terminal; at once when it has been."""
        if self._waiting is None:
            self.call_later(work)
        else:
            self._waiting.append(work)

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        super()._display(screen, renderable)
        if self._waiting is not None and renderable is not None and screen.focused is not None:
            self._first_frame_drawn()

    def _first_frame_drawn(self) -> None:
        waiting, self._waiting = self._waiting, None
        self.call_later(self._turns.begin)
        for work in waiting or ():
            self.set_timer(KEYS_FIRST_S, work)

    # ---- keys

    async def on_event(self, event: events.Event) -> None:
        """Textual drops keys while nothing has the focus; held, they reach whatever gets it first, in their order."""
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            await self._turns.take(event)
        else:
            await super().on_event(event)

    async def first_room_shown(self) -> None:
        """Called when what is shown first has been drawn: where nothing takes keys, the room itself does."""
        if not self.screen.focus_chain:
            await self._turns.begin()
            self._first_frame_drawn()

    def focus_given(self) -> None:
        """Something on screen has the focus."""
        if self._turns.is_held:
            self.call_later(self._turns.begin)

    async def on_descendant_focus(self) -> None:
        await self._turns.begin()

    async def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._first_frame_drawn()
        await self._turns.begin()

    # ---- stopping and going on

    def _draw_anew(self) -> None:
        """The terminal forgot what was on it while another program had it."""
        self.screen.refresh()
        self.refresh(layout=True)

    # ---- the terminal

    def draw(self, codes: str) -> None:
        """Send control codes past what is on screen, as the clipboard needs."""
        if self._driver is not None:
            self._driver.write(codes)

    # ---- the end

    def _prune(self, *nodes: Widget, parent: DOMNode | None = None) -> AwaitRemove:
        """What a screen has under way ends before its widgets leave it, for it would look for them in vain; Textual
        ends it after that."""
        for node in nodes:
            for each in node.walk_children(with_self=True):
                self.workers.cancel_node(each)
        return super()._prune(*nodes, parent=parent)

    def exit(self, result: int | None = None, return_code: int = 0, message: object = None) -> None:
        try:
            self.last_frame = self.frame()
        finally:  # that it cannot be drawn must keep nobody here
            super().exit(result, return_code)

    def frame(self) -> bytes:
        """What is on screen, in the form in which the next start paints it; without content while that is private."""
        with self._context():  # a signal, or the end of the terminal, comes from outside of it
            return frame_of(self, with_content=not self.is_private)

    @property
    def is_private(self) -> bool:
        """Whether something is shown that must leave no trace. A screen says so by an attribute of this name."""
        return any(getattr(screen, "is_private", False) for stack in self._screen_stacks.values() for screen in stack)

    def terminal_gone(self) -> None:
        """Nobody sees or types anything any more."""
        log.info("the terminal is gone")
        self.exit(return_code=130)

    def _handle_exception(self, error: Exception) -> None:
        """A fault ends the app. What it was is told once the terminal is itself again; the traceback is in the log."""
        log.error("the app failed", exc_info=error)
        self._return_code = 1
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()
