"""One SSH connection under a link, and the question whether it still answers.

The keepalive is our own, with its own deadline: what asyncssh has built in ends the connection, and with it streams
that TCP would have carried over a short gap. Here a late answer is only news; the link decides.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import asyncssh

log = logging.getLogger(__name__)

SMALLEST_WINDOW, LARGEST_WINDOW = 2 << 20, 16 << 20
WANTED_BYTES_PER_S = 320e6
"""The window of a channel is what this fills in a round trip. At 50 ms 2 MiB allow 20 MB/s, and 16 MiB 130; but on a
short way the large one is slower, to a third: sshd fills it, and then moves megabytes about with every packet."""
PACKET_BYTES = 64 << 10

OVERSLEPT_S = 1.0
"""A timer this late says that we slept: an answer has had no chance to be read yet."""


class Pace(NamedTuple):
    """The time limits of a link, in seconds."""

    ask_every: float = 3.0
    late_idle: float = 1.5
    """How long an answer may take while nobody waits for anything."""
    late_wanted: float = 1.0
    """How long it may take while somebody waits, or after waking."""
    stall: float = 0.7
    """How long a client waits for its first bytes, or its channel, before the machine is asked to answer."""
    lost_after_late: float = 2.0
    grace: float = 20.0
    """How long streams are kept on a connection that was replaced or lost and does not answer."""
    hold: float = 60.0
    """How long a new connection waits for the link during an outage."""
    blocked: float = 30.0
    """The pause between tries when only a person can mend what is wrong."""
    second_try: float = 1.5
    """After this long a try that somebody waits for is given company: its packets may have gone into the void."""


class Stream(Protocol):
    """What rides on a leg and has to be told when the leg is gone."""

    def lost(self, reason: str) -> None: ...


class Watcher(Protocol):
    """Who is told about a leg."""

    def leg_late(self, leg: Leg) -> None: ...
    def leg_answers(self, leg: Leg) -> None: ...
    def leg_gone(self, leg: Leg, reason: str) -> None: ...
    def leg_idle(self, leg: Leg) -> None: ...


async def answer(connection: asyncssh.SSHClientConnection) -> None:
    """Return when the other side has answered a question that costs it nothing."""
    ask: Any = getattr(connection, "_make_keepalive_request", None)  # asyncssh has no public way to ask
    if ask is not None:
        await ask()
    else:
        await refused_channel(connection)


async def refused_channel(connection: asyncssh.SSHClientConnection) -> None:
    """The public way: a channel to a port where nothing listens; the refusal is the sign of life."""
    import asyncssh

    try:
        channel, _ = await connection.create_connection(asyncssh.SSHTCPSession, "127.0.0.1", 9)
    except asyncssh.ChannelOpenError:
        return
    channel.abort()


def packets_from(connection: asyncssh.SSHClientConnection) -> int:
    """A number that changes with every packet from the other side: any packet is a sign of life."""
    number: int = getattr(connection, "_recv_seq", 0)
    return number


class Leg:
    """One SSH connection, from its login to its end."""

    def __init__(self, connection: asyncssh.SSHClientConnection, number: int, pace: Pace, watcher: Watcher) -> None:
        from console.links.express import shortest_way  # loads asyncssh, as whoever made the connection has

        self.connection = connection
        self._create_connection = shortest_way(connection)
        self.number = number
        self.is_late = False
        self.is_dead = False
        self.is_replaced = False
        self.streams: set[Stream] = set()
        self.round_trip_s: float | None = None
        """How long the last sign of life took to come, and the shortest time that one took."""
        self._shortest_s = float("inf")
        self._measured = asyncio.Event()
        self._pace = pace
        self._watcher = watcher
        self._loop = asyncio.get_running_loop()
        self.begun_at = self.heard_at = self._loop.time()
        self._packets = 0
        self._openings: set[asyncio.Future[Any]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._question: asyncio.Task[None] | None = None
        self._late_timer: asyncio.TimerHandle | None = None
        self._ask_timer: asyncio.TimerHandle | None = None
        self._end = self._loop.create_task(self._until_closed(), name=f"leg {number} end")

    def begin(self) -> None:
        self.ask(self._pace.late_idle)
        self._ask_timer = self._loop.call_later(self._pace.ask_every, self._ask_regularly)

    # Streams and channels

    async def open(self, host: str, port: int, session: Callable[[], Any]) -> tuple[asyncssh.SSHTCPChannel[bytes], Any]:
        """A channel to a port as the machine sees it.

        Raises what asyncssh raises, or `LegGone` as soon as this leg is dead or replaced; a channel that opens after
        that, or after the caller was cancelled, is closed again.
        """
        if self.is_dead or self.is_replaced:
            raise LegGone
        opening: asyncio.Future[Any] = self._loop.create_future()
        self._openings.add(opening)
        task = self._loop.create_task(self._open(opening, host, port, session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        stall = self._loop.call_later(self._pace.stall, self.ask, self._pace.late_wanted)
        try:
            return await opening  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                opening.result()[0].abort()  # it opened in the very moment in which its client left
            raise
        finally:
            stall.cancel()
            self._openings.discard(opening)

    async def _open(self, opening: asyncio.Future[Any], host: str, port: int, session: Callable[[], Any]) -> None:
        try:
            if not self._measured.is_set():
                await self._measured.wait()
            if opening.done():
                return
            made = await self._create_connection(
                lambda: _discarding() if opening.done() else session(),
                host,
                port,
                window=self._window,
                max_pktsize=PACKET_BYTES,
            )
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the channel
            if not opening.done():
                opening.set_exception(error)
        else:
            if opening.done():
                made[0].abort()
            else:
                opening.set_result(made)

    @property
    def _window(self) -> int:
        return int(min(max(self._shortest_s * WANTED_BYTES_PER_S, SMALLEST_WINDOW), LARGEST_WINDOW))

    def add(self, stream: Stream) -> None:
        self.streams.add(stream)

    def remove(self, stream: Stream) -> None:
        self.streams.discard(stream)
        if not self.streams and self.is_replaced and not self.is_dead:
            self._watcher.leg_idle(self)

    def replace(self) -> None:
        """Another leg has taken over: what has not begun here begins there."""
        self.is_replaced = True
        self._give_up_openings()

    def kill(self, reason: str) -> int:
        """End it now; returns how many streams were reset. Marked dead first, so that nobody takes it for an end."""
        was_dead, self.is_dead = self.is_dead, True
        for timer in (self._late_timer, self._ask_timer):
            if timer is not None:
                timer.cancel()
        if self._question is not None:
            self._question.cancel()
        self._give_up_openings()
        self._measured.set()
        streams = list(self.streams)
        self.streams.clear()
        for stream in streams:
            stream.lost(reason)
        if not was_dead:
            self.connection.abort()
        return len(streams)

    def broke(self) -> None:
        """The connection has ended, and not by us. The first stream that hears of it may say so."""
        if not self.is_dead:
            self._watcher.leg_gone(self, "The connection broke")

    async def closed(self) -> None:
        """Wait until nothing of it is left."""
        await asyncio.wait([self._end])

    def _give_up_openings(self) -> None:
        for opening in self._openings:
            if not opening.done():
                opening.set_exception(LegGone())

    async def _until_closed(self) -> None:
        await self.connection.wait_closed()
        self.broke()

    # Signs of life

    def ask(self, late_s: float) -> None:
        """Ask for a sign of life unless that is being done; it is late if none has come in so many seconds."""
        if self.is_dead:
            return
        if self._question is None:
            self._packets = packets_from(self.connection)
            self._question = self._loop.create_task(self._wait_for_answer())
        due = self._loop.time() + late_s
        if self._late_timer is None or due < self._late_timer.when():
            self._expect(due)

    def ask_now(self) -> None:
        """Somebody waits for bytes that do not come."""
        self.ask(self._pace.late_wanted)

    @property
    def stall_s(self) -> float:
        return self._pace.stall

    def _expect(self, due: float) -> None:
        if self._late_timer is not None:
            self._late_timer.cancel()
        self._late_timer = self._loop.call_at(due, self._is_due, due)

    def _ask_regularly(self) -> None:
        self._ask_timer = self._loop.call_later(self._pace.ask_every, self._ask_regularly)
        if not self.is_late:
            self.ask(self._pace.late_idle)

    async def _wait_for_answer(self) -> None:
        asked_at = self._loop.time()
        try:
            await answer(self.connection)
        except Exception as error:  # noqa: BLE001 - a connection that ends while it is asked is told by its end
            log.debug("leg %s was not asked: %s", self.number, error)
            return
        finally:
            self._question = None
        if self.is_dead or self.connection.is_closed():
            return
        self.round_trip_s = self._loop.time() - asked_at
        self._shortest_s = min(self._shortest_s, self.round_trip_s)
        self._measured.set()
        self._heard()

    def _heard(self) -> None:
        self.heard_at = self._loop.time()
        if self._late_timer is not None:
            self._late_timer.cancel()
            self._late_timer = None
        if self.is_late:
            self.is_late = False
            self._watcher.leg_answers(self)

    def _is_due(self, due: float) -> None:
        now = self._loop.time()
        self._late_timer = None
        if now - due > OVERSLEPT_S:
            self._expect(now + self._pace.late_wanted)
        elif (packets := packets_from(self.connection)) != self._packets:
            self._packets = packets  # the answer is queued behind other packets, which are as good
            self.heard_at = now
            self._expect(now + self._pace.late_idle)
        elif not self.is_late:
            self.is_late = True
            self._watcher.leg_late(self)


class LegGone(Exception):
    """The leg is dead or replaced; the same can be asked of the next one."""


def _discarding() -> Any:
    """The session of a channel that nobody wants any more; it is closed as soon as it is open."""
    import asyncssh

    return asyncssh.SSHTCPSession()
