"""Keys in their turn: each reaches whatever has the focus once all before it have done what they do.

Textual gives a key to the widget that has the focus when the key arrives. Keys that come together, as over a slow line
or from someone who knows what comes next, would all go to the first one: of `/error` every letter would be taken for a
command, and what is typed into a dialog that is only just opening would be lost.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from textual.app import ScreenStackError
from textual.events import Key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual import events
    from textual.app import App
    from textual.message_pump import MessagePump
    from textual.widget import Widget

LONGEST_TURN_S = 1.0
"""After this the next key goes on all the same: something may be busy for long that has nothing to do with keys."""


class Turns:
    """What is typed, held until it is its turn. `deliver` gives it to whatever has the focus."""

    def __init__(self, app: App[Any], deliver: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app = app
        self._deliver = deliver
        self._typed: deque[events.Event] = deque()
        self._turn: object | None = None
        """What stands for the key that is being obeyed."""
        self._timed: object | None = None
        self.is_held = True
        """Before the first focus nothing has its turn."""

    async def take(self, event: events.Event) -> None:
        self._typed.append(event)
        if self._turn is None:
            await self._go_on()
        elif self._timed is not self._turn:
            self._timed = turn = self._turn
            self._app.set_timer(LONGEST_TURN_S, lambda: self._end(turn))

    async def begin(self) -> None:
        """Something has the focus."""
        self.is_held = False
        await self._go_on()

    async def _go_on(self) -> None:
        while self._typed and self._turn is None and not self.is_held:
            event = self._typed.popleft()
            target = self._app.focused
            self._turn = turn = object()
            await self._deliver(event)
            if target is not None and isinstance(event, Key) and target.check_consume_key(event.key, event.character):
                self._turn = None  # it is a letter of a text, and moves nothing
            else:
                self._pass(turn, self._way_of(target), 0)

    def _way_of(self, target: Widget | None) -> list[MessagePump]:
        """Everyone who may have something to do because of a key, in the order in which they get to it.

        The key goes up from the widget until somebody obeys it; then what that causes goes up. Each of them comes
        twice, for the messages they send themselves. The app moves the focus; the screen that is on top by then looks
        for a first focus when it is new.
        """
        above = [each for each in target.ancestors_with_self if each is not self._app] if target is not None else []
        up: list[MessagePump] = [each for each in above for _ in range(2)]
        return [*up, self._app, *up, self._app]

    def _pass(self, turn: object, way: list[MessagePump], station: int) -> None:
        """Behind what waits in the queue of each."""
        while station < len(way) + 2:
            pump = way[station] if station < len(way) else _top(self._app) if station == len(way) else self._app
            station += 1
            if pump is not None and pump.call_later(self._pass, turn, way, station):
                return
        self._app.call_later(self._end, turn)

    async def _end(self, turn: object) -> None:
        if self._turn is turn:
            self._turn = None
            await self._go_on()


def _top(app: App[Any]) -> MessagePump | None:
    try:
        return app.screen
    except ScreenStackError:  # it is closing
        return None
