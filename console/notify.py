"""Alerts: written down once for each subject, and told on every channel without anybody waiting for it.

The same trouble is told once, again when it gets worse, and again after a while as long as it stands; its end is told
once. Which process raised it does not matter: what was told is in the store. While a channel is busy, what waits for it
is gathered and goes out as one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from console.channels.base import Message
from console.errors import ChannelFailed, NotFound
from console.events import Bus, Event
from console.history.alerts import LOUDNESS
from console.history.rows import to_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from console.channels.base import Channel
    from console.clock import Clock
    from console.history.alerts import Alert
    from console.history.store import Store
    from console.money.verdicts import Level

_log = logging.getLogger(__name__)

MOST_WAITING = 200
"""For one channel; the oldest of more are left out, and stand in the list of alerts all the same."""
CLOSING_S = 5.0
UNHEARD_AGAIN = timedelta(minutes=1)
"""An alert that no channel delivered is told again after this, if it still stands."""


class AlertRaised(Event):
    """A fact, told once however often it is raised."""

    __slots__ = ("at", "level", "subject", "text")

    def __init__(self, subject: str, level: Level, text: str, at: datetime) -> None:
        self.subject = subject
        self.level = level
        self.text = text
        self.at = at


class AlertCleared(Event):
    """A fact: what was told before is over."""

    __slots__ = ("subject", "text")

    def __init__(self, subject: str, text: str) -> None:
        self.subject = subject
        self.text = text


class Outlet(NamedTuple):
    """A channel and the least that it is used for."""

    channel: Channel
    level: Level


class Told(NamedTuple):
    """How one channel did in a test."""

    channel: str
    error: ChannelFailed | None


class Alerts:
    def __init__(
        self,
        store: Store,
        outlets: Sequence[Outlet],
        clock: Clock,
        bus: Bus,
        *,
        again_after: Mapping[Level, timedelta | None] | None = None,
    ) -> None:
        """`again_after` says for each level how long one that stands stays untold; None tells it once only."""
        self._store = store
        self._clock = clock
        self._bus = bus
        self._again_after = again_after or {}
        self._lines = [_Line(outlet, self._delivered) for outlet in outlets]
        self._reached: dict[str, int] = {}

    async def raise_(self, subject: str, level: Level, text: str) -> bool:
        """Write down that this stands; False if it was told before. Returns before any channel has it."""
        from console.history import alerts

        now = self._clock.now()
        again_after = self._again_after.get(level)
        again_ms = None if again_after is None else again_after // timedelta(milliseconds=1)
        tell = await self._store.run(
            lambda connection: alerts.put(connection, to_ms(now), subject, level, text, again_ms), write=True
        )
        if tell:
            _log.log(_LOG_LEVELS[level], "alert: %s", text)
            self._bus.publish(AlertRaised(subject, level, text, now))
            self._tell(Message(subject, level, text, now))
        return tell

    async def clear(self, subject: str, text: str = "") -> bool:
        """Write down that it is over; False if nothing stood. Told once, on the channels that had the alert."""
        from console.history import alerts

        now = self._clock.now()
        # Looking first: nearly always nothing stands, and looking does not wait for other writers.
        known = await self._store.run(lambda connection: alerts.get(connection, subject))
        if known is None or not known.is_open:
            return False
        ended = await self._store.run(lambda connection: alerts.clear(connection, to_ms(now), subject), write=True)
        if ended is None:
            return False
        self._bus.publish(AlertCleared(subject, text or ended.text))
        if ended.told_at is not None:
            self._tell(Message(subject, ended.level, text or ended.text, now, cleared=True))
        return True

    async def open(self) -> list[Alert]:
        """What stands, the loudest first."""
        from console.history import alerts

        return await self._store.run(alerts.every)

    async def every(self) -> list[Alert]:
        """Also what is over."""
        from console.history import alerts

        return await self._store.run(lambda connection: alerts.every(connection, cleared=True))

    @property
    def channels(self) -> list[tuple[str, Level]]:
        return [(line.outlet.channel.name, line.outlet.level) for line in self._lines]

    async def test(self, channel: str | None = None) -> list[Told]:
        """Send a trial alert on one channel, or on all of them, and wait for what becomes of it."""
        chosen = [line.outlet.channel for line in self._lines if channel in (None, line.outlet.channel.name)]
        if channel is not None and not chosen:
            names = ", ".join(name for name, _ in self.channels)
            raise NotFound(f"There is no channel {channel!r}.", hint=f"Known are: {names}." if names else None)
        trial = Message("test", "warning", "This is a trial of your alerts.", self._clock.now())

        async def one(channel: Channel) -> Told:
            try:
                await channel.send([trial])
            except ChannelFailed as error:
                return Told(channel.name, error)
            return Told(channel.name, None)

        return list(await asyncio.gather(*map(one, chosen)))

    async def settle(self) -> None:
        """Wait until every channel has what was told so far, or has failed."""
        for line in self._lines:
            await line.settled()

    async def close(self, *, limit_s: float = CLOSING_S) -> None:
        """Let the channels finish, within a limit, and end them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self.settle()
        for line in self._lines:
            await line.close()

    def _tell(self, message: Message) -> None:
        takers = [line for line in self._lines if LOUDNESS[message.level] >= LOUDNESS[line.outlet.level]]
        if takers and not message.cleared:
            self._reached[message.subject] = len(takers)
        for line in takers:
            line.add(message)

    async def _delivered(self, messages: Sequence[Message], ok: bool) -> None:
        """Note how it went; an alert that no channel delivered is told again soon."""
        for message in messages:
            if message.cleared or message.subject not in self._reached:
                continue
            if ok:
                del self._reached[message.subject]
                continue
            self._reached[message.subject] -= 1
            if self._reached[message.subject] == 0:
                del self._reached[message.subject]
                from console.history import alerts

                again_after = self._again_after.get(message.level)
                as_if_told_at = None
                if again_after is not None:
                    as_if_told_at = to_ms(self._clock.now() - max(again_after - UNHEARD_AGAIN, timedelta()))
                await self._store.run(
                    partial(alerts.untell, subject=message.subject, as_if_told_at_ms=as_if_told_at), write=True
                )


class _Line:
    """What waits for one channel, and the task that sends it."""

    def __init__(self, outlet: Outlet, delivered: Callable[[Sequence[Message], bool], Awaitable[None]]) -> None:
        self.outlet = outlet
        self._delivered = delivered
        self._waiting: deque[Message] = deque(maxlen=MOST_WAITING)
        self._task: asyncio.Task[None] | None = None

    def add(self, message: Message) -> None:
        self._waiting.append(message)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._send_all())

    async def settled(self) -> None:
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
        await self.outlet.channel.close()

    async def _send_all(self) -> None:
        while self._waiting:
            messages = list(self._waiting)
            self._waiting.clear()
            try:
                await self.outlet.channel.send(messages)
                ok = True
            except ChannelFailed as error:
                _log.warning("the channel %s did not deliver an alert: %s", self.outlet.channel.name, error.text)
                ok = False
            await self._delivered(messages, ok)


_LOG_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "alarm": logging.ERROR}
