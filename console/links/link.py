"""One machine's SSH connection, looked after from when it is wanted until it is closed. It never gives up.

    down ──► connecting ──► up ◄──► suspect ──► switching ──► up
      ▲          │           │         │
      └──────────┴───────────┴─────────┘        blocked: only a person can mend it       closed: no longer wanted
                                                asking: connecting, and a person is to give a code or a password

*Suspect*: an answer is late, and a second connection is being opened beside the first (make before break). Whichever
answers first carries new traffic. *Switching*: the second has taken over, and streams of the first are kept for a grace
time. A connection that is lost is kept as well, out of use, because TCP may still carry its streams over a short gap.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from console.clock import Clock
from console.errors import ForwardRefused, LinkEnded, LinkError, LinkUnreachable
from console.events import Bus
from console.links.backoff import Backoff
from console.links.events import (
    LinkAsks,
    LinkBlocked,
    LinkClosed,
    LinkLost,
    LinkSuspect,
    LinkSwitched,
    LinkUp,
    LinkWaiting,
    StreamsReset,
)
from console.links.leg import Leg, LegGone, Pace
from console.links.wake import Cause, local_address_towards
from console.text import plural

if TYPE_CHECKING:
    import asyncssh

log = logging.getLogger(__name__)

HANDSHAKES = 4
SHORT_LIFE_S = 2.0
"""A connection that ends this soon after its login is no success: the next try waits as after a failure."""
MOST_TRIES = 3
AWAKE_S = 15.0
"""How long after waking a link tries as if somebody waited for it: the network comes back in its own time."""


class LinkState(StrEnum):
    DOWN = "down"
    CONNECTING = "connecting"
    ASKING = "asking"
    UP = "up"
    SUSPECT = "suspect"
    SWITCHING = "switching"
    BLOCKED = "blocked"
    CLOSED = "closed"


class Gate:
    """At most so many handshakes at once, because their mathematics holds up the loop.

    One that takes longer than a second waits for the network or for a person, and gives its place to the next.
    """

    def __init__(self, places: int = HANDSHAKES) -> None:
        self._free = asyncio.Semaphore(places)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        await self._free.acquire()
        given_back = False

        def give_back() -> None:
            nonlocal given_back
            if not given_back:
                given_back = True
                self._free.release()

        timer = asyncio.get_running_loop().call_later(1.0, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()


class Link:
    """The connection to one machine. Everything here is called on the loop's thread.

    `connect` logs in and returns a connection, or raises a `LinkError`; one that `is_permanent` blocks the link.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncssh.SSHClientConnection]],
        clock: Clock,
        bus: Bus,
        name: str,
        *,
        gate: Gate | None = None,
        pace: Pace | None = None,
        backoff: Backoff | None = None,
        succeeded: Callable[[Link], None] | None = None,
    ) -> None:
        self.name = name
        self.state = LinkState.DOWN
        self.pace = pace or Pace()
        self.error: LinkError | None = None
        """Why the last try failed; None while the link is up."""
        self.question: str | None = None
        """What a person is being asked for the login that is under way."""
        self._connect = connect
        self._clock = clock
        self._bus = bus
        self._gate = gate or Gate()
        self._backoff = backoff or Backoff()
        self._succeeded = succeeded
        self._leg: Leg | None = None
        self._old_legs: dict[Leg, asyncio.TimerHandle] = {}
        self._legs_made = 0
        self._waiters: set[asyncio.Future[Leg]] = set()
        self._impatient: set[asyncio.Future[Leg]] = set()
        """Those of the waiters that do not want another try."""
        self._nudge = asyncio.Event()
        self._next_try = self._urgent_try = 0.0
        self._urgent_until = 0.0
        self._asked_at: float | None = None
        """When a person was last asked; None where the last login needed nobody."""
        self._kicked = False
        self._supervisor: asyncio.Task[None] | None = None
        self._ends: set[asyncio.Task[None]] = set()
        """Of tries that were called off and tidy up."""

    # What a user of the link sees

    @property
    def is_up(self) -> bool:
        return self._leg is not None and not self._leg.is_late

    @property
    def was_up(self) -> bool:
        """Whether it has ever been up."""
        return self._legs_made > 0

    @property
    def round_trip_s(self) -> float | None:
        """How long the last sign of life took to come."""
        return self._leg.round_trip_s if self._leg is not None else None

    @property
    def waiting(self) -> int:
        """How many wait for the link to come back."""
        return len(self._waiters)

    async def start(self) -> None:
        """Want it: from here on it connects and stays connected. Returns at once."""
        if self._supervisor is None and self.state is not LinkState.CLOSED:
            self._supervisor = asyncio.get_running_loop().create_task(self._supervise(), name=f"link {self.name}")

    async def close(self) -> None:
        """No longer want it. Streams that are under way are reset; returns when nothing is left."""
        if self.state is LinkState.CLOSED:
            return
        self.state = LinkState.CLOSED
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])
        self._fail_waiters(LinkEnded(f"The link to {self.name} was closed."))
        legs = [*([self._leg] if self._leg is not None else []), *self._old_legs]
        self._leg = None
        for timer in self._old_legs.values():
            timer.cancel()
        self._old_legs.clear()
        for leg in legs:
            leg.kill("The link was closed")
        ends = [*(asyncio.ensure_future(leg.closed()) for leg in legs), *self._ends]
        if ends:
            await asyncio.wait(ends, timeout=2.0)
        self._bus.publish(LinkClosed(self.name))

    async def wait_up(self, limit_s: float | None = None, *, is_patient: bool = True) -> None:
        """Return when requests can flow; raises what `connection` raises, and without patience what the next try that
        fails says. A try has its own limits, and takes longer only while somebody is asked."""
        await self._usable_leg(limit_s, is_patient=is_patient)

    async def connection(self, limit_s: float | None = None) -> asyncssh.SSHClientConnection:
        """The live connection, waited for up to a limit (one minute unless given).

        Raises `LinkUnreachable` after that, `LinkEnded` when the link is closed, and at once whatever blocks the link.
        """
        return (await self._usable_leg(limit_s)).connection

    async def channel(
        self, host: str, port: int, session: Callable[[], Any], *, limit_s: float | None = None
    ) -> tuple[asyncssh.SSHTCPChannel[bytes], Any, Leg]:
        """A channel to a port as the machine sees it, waited for through an outage.

        Raises as `connection` does, and `ForwardRefused` at once when the machine is there but says no.
        """
        import asyncssh  # 140 ms; loaded by whoever made the connection

        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self.pace.hold if limit_s is None else limit_s)
        while True:
            leg = await self._usable_leg(deadline - loop.time())
            try:
                channel, made = await leg.open(host, port, session)
            except LegGone:
                continue
            except asyncssh.ChannelOpenError as error:
                if leg.is_dead or leg.is_replaced or leg.connection.is_closed():
                    await self._until_gone(leg)
                    continue
                raise _forward_refused(self.name, host, port, error) from error
            except (asyncssh.Error, OSError, AssertionError):  # it ended while the channel was being opened
                await self._until_gone(leg)
                continue
            return channel, made, leg

    def kick(self) -> None:
        """Something has changed or somebody is impatient: try now, and start the pauses over."""
        self._backoff.reset()
        self._kicked = True
        self._next_try = self._urgent_try = 0.0
        if self._leg is not None:
            self._leg.ask(self.pace.late_wanted)
        self._nudge.set()

    def hurry(self) -> None:
        """Another link has just come up, so the network may be back: do not sit out a long pause."""
        if self.state is LinkState.DOWN:
            self._backoff.reset()
            soon = asyncio.get_running_loop().time() + self._backoff.urgent_s()
            self._next_try = min(self._next_try, self._not_asked_before(soon))
            self._nudge.set()

    def woke(self, cause: Cause) -> None:
        """The computer or this process slept: ask at once, and connect anew at once if that is what it takes."""
        log.info("link %s: woke (%s)", self.name, cause)
        self._urgent_until = asyncio.get_running_loop().time() + AWAKE_S
        for leg in (self._leg, *self._old_legs):
            if leg is not None:
                leg.ask(self.pace.stall)
        if self._leg is None and self.state is not LinkState.BLOCKED:
            self.kick()

    def check_route(self) -> None:
        """Ask for a sign of life if this computer would now use another of its addresses to reach the machine."""
        if self._leg is None or self._leg.is_late:
            return
        ours = self._leg.connection.get_extra_info("sockname")
        theirs = self._leg.connection.get_extra_info("peername")
        if isinstance(ours, tuple) and isinstance(theirs, tuple) and theirs[0]:
            route = local_address_towards((theirs[0], theirs[1]))
            if route is not None and route != ours[0]:
                self._urgent_until = asyncio.get_running_loop().time() + AWAKE_S
                self._leg.ask(self.pace.late_wanted)

    def may_ask(self, question: str) -> bool:
        """A try is about to ask a person, and is alone with it: false for any other that would ask as well."""
        if self.question is not None:
            return False
        self.question = question
        self._asked_at = asyncio.get_running_loop().time()
        if self._leg is None:
            self.state = LinkState.ASKING
        self._bus.publish(LinkAsks(self.name, question))
        return True

    # Waiting for it

    async def _usable_leg(self, limit_s: float | None, *, is_patient: bool = True) -> Leg:
        if self._leg is not None and not self._leg.is_late:
            return self._leg
        if self.state is LinkState.CLOSED:
            raise LinkEnded(f"The link to {self.name} was closed.")
        if self.state is LinkState.BLOCKED and self.error is not None and not self._kicked:
            raise _again(self.error)
        limit_s = self.pace.hold if limit_s is None and is_patient else limit_s
        waiter: asyncio.Future[Leg] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        if not is_patient:
            self._impatient.add(waiter)
        self._nudge.set()
        try:
            async with asyncio.timeout(limit_s):
                return await waiter
        except TimeoutError:
            reason = f" {self.error.text}" if self.error is not None else ""
            raise LinkUnreachable(
                f"{self.name} did not come back within {limit_s:.0f} s.{reason}",
                hint=self.error.hint if self.error is not None else None,
            ) from self.error
        finally:
            self._waiters.discard(waiter)
            self._impatient.discard(waiter)

    async def _until_gone(self, leg: Leg) -> None:
        """A leg that broke under a call is about to be told as gone; let that happen before asking for the next."""
        if not leg.is_dead and leg.connection.is_closed():
            await leg.closed()
        else:
            await asyncio.sleep(0)

    def _serve_waiters(self) -> None:
        if self._leg is None or self._leg.is_late:
            return
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(self._leg)

    def _fail_waiters(self, error: LinkError) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(_again(error))

    # Connecting

    @property
    def _is_wanted_more(self) -> bool:
        return bool(self._waiters) or asyncio.get_running_loop().time() < self._urgent_until

    def _needs_connection(self) -> bool:
        return self._leg is None or self._leg.is_late

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._nudge.clear()
            if not self._needs_connection():
                await self._nudge.wait()
                continue
            due = self._next_try
            if self._is_wanted_more and self.state is not LinkState.BLOCKED:
                due = min(due, self._urgent_try)
            if (left_s := due - loop.time()) > 0:
                try:
                    async with asyncio.timeout(left_s):
                        await self._nudge.wait()
                except TimeoutError:
                    pass
                continue
            await self._try()

    async def _try(self) -> None:
        """Connect, with a second and third try beside a slow first one while somebody waits."""
        self._kicked = False
        if self._leg is None:
            self.state = LinkState.CONNECTING
        loop = asyncio.get_running_loop()
        tries = {loop.create_task(self._handshake())}
        nudged = loop.create_task(self._nudge.wait())
        try:
            while True:
                may_join = (
                    self._legs_made > 0
                    and len(tries) < MOST_TRIES
                    and self._is_wanted_more
                    and self.question is None  # a person takes their time
                )
                done, _ = await asyncio.wait(
                    {*tries, nudged},
                    timeout=self.pace.second_try if may_join else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                ended = tries & done
                tries -= ended
                error: Exception | None = None
                for each in ended:
                    if (error := each.exception()) is None:  # type: ignore[assignment]
                        self._adopt(each.result(), ended - {each})
                        return
                if error is not None and (not tries or _only_a_person_helps(error)):
                    self._failed(error)
                    return
                if nudged in done:
                    if not self._needs_connection():  # the old connection answers again
                        return
                    self._nudge.clear()
                    nudged = loop.create_task(self._nudge.wait())
                is_wanted = not done or (self._kicked and len(tries) < MOST_TRIES)
                if is_wanted and self.question is None:
                    self._kicked = False
                    tries.add(loop.create_task(self._handshake()))
        finally:
            self.question = None
            nudged.cancel()
            for each in tries:
                self._call_off(each)

    def _call_off(self, attempt: asyncio.Task[asyncssh.SSHClientConnection]) -> None:
        """It lost the race, or nobody wants it any more."""
        attempt.cancel()
        end = asyncio.get_running_loop().create_task(_until_tidy(attempt))
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)

    async def _handshake(self) -> asyncssh.SSHClientConnection:
        async with self._gate.place():
            return await self._connect()

    def _failed(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if not isinstance(error, LinkError):
            if not isinstance(error, OSError):
                log.error("link %s: connecting failed", self.name, exc_info=error)
            told = LinkUnreachable(f"{self.name} cannot be reached: {str(error) or type(error).__name__}.")
            told.__cause__ = error
            error = told
        is_news = self.error is None or self.error.text != error.text
        self.error = error
        self._urgent_try = now + self._backoff.urgent_s()
        if error.is_permanent:
            self._next_try = self._urgent_try = now + self.pace.blocked
            if self._leg is None:
                self._block(error, is_news=is_news)
            return
        for waiter in self._impatient:
            if not waiter.done():
                waiter.set_exception(_again(error))
        self._next_try = now + self._backoff.next_s()
        if self._leg is None:
            self.state = LinkState.DOWN
        due = min(self._next_try, self._urgent_try) if self._is_wanted_more else self._next_try
        self._bus.publish(LinkWaiting(self.name, error.text, max(due - now, 0.0)))

    def _block(self, error: LinkError, *, is_news: bool) -> None:
        was_blocked, self.state = self.state is LinkState.BLOCKED, LinkState.BLOCKED
        if is_news or not was_blocked:
            self._bus.publish(LinkBlocked(self.name, error.text, error.hint, error))
        self._fail_waiters(error)

    def _adopt(
        self, connection: asyncssh.SSHClientConnection, others: set[asyncio.Task[asyncssh.SSHClientConnection]]
    ) -> None:
        for other in others:
            self._call_off(other)
        self._legs_made += 1
        leg = Leg(connection, self._legs_made, self.pace, self)
        replaced, self._leg = self._leg, leg
        self.error = None
        if self.question is None:
            self._asked_at = None
        leg.begin()
        if replaced is not None:
            self._keep(replaced)
        for old in list(self._old_legs):
            old.replace()
            if not old.streams:
                self._end_leg(old, "It was replaced")
        kept = sum(len(old.streams) for old in self._old_legs)
        self.state = LinkState.SWITCHING if self._old_legs else LinkState.UP
        self._bus.publish(LinkSwitched(self.name, kept) if replaced is not None else LinkUp(self.name))
        log.info("link %s: up over connection %s, %s kept", self.name, leg.number, plural(kept, "stream"))
        self._serve_waiters()
        if self._succeeded is not None:
            self._succeeded(self)

    def _not_asked_before(self, when: float) -> float:
        """When to log in at the earliest, if somebody was asked last time: they are not asked again and again."""
        return when if self._asked_at is None else max(when, self._asked_at + self.pace.blocked)

    # What becomes of a leg

    def leg_late(self, leg: Leg) -> None:
        if leg is not self._leg:
            return
        self.state = LinkState.SUSPECT
        # A second login that would ask a person waits until the first one is given up.
        lost_at = asyncio.get_running_loop().time() + self.pace.lost_after_late
        self._next_try = self._urgent_try = 0.0 if self._asked_at is None else self._not_asked_before(lost_at)
        self._backoff.reset()
        self._bus.publish(LinkSuspect(self.name))
        asyncio.get_running_loop().call_later(self.pace.lost_after_late, self._give_up_on, leg)
        self._nudge.set()

    def leg_answers(self, leg: Leg) -> None:
        if leg is not self._leg:
            if self._leg is not None or leg.is_replaced or leg not in self._old_legs:
                return
            self._old_legs.pop(leg).cancel()
            self._leg = leg
        self.error = None
        self._settle()
        self._bus.publish(LinkUp(self.name, resumed=True))
        self._serve_waiters()
        self._nudge.set()

    def leg_gone(self, leg: Leg, reason: str) -> None:
        was_current = leg is self._leg
        if was_current:
            self._leg = None
            self.state = LinkState.DOWN
            now = asyncio.get_running_loop().time()
            if now - leg.begun_at >= SHORT_LIFE_S:
                self._backoff.reset()
                self._next_try = self._urgent_try = self._not_asked_before(0.0)
            else:
                self._next_try = self._not_asked_before(now + self._backoff.next_s())
                self._urgent_try = self._not_asked_before(now + self._backoff.urgent_s())
        self._end_leg(leg, reason)
        if was_current:
            self._bus.publish(LinkLost(self.name, reason))
            if self._asked_at is not None and (left_s := self._next_try - now) > 0:
                self._bus.publish(LinkWaiting(self.name, f"{self.name} asks a person at its login.", left_s))
            self._nudge.set()

    def leg_idle(self, leg: Leg) -> None:
        self._end_leg(leg, "It was replaced")

    def _give_up_on(self, leg: Leg) -> None:
        """It is still late, and nothing has taken over: say so, but keep it in case that it comes back."""
        if leg is self._leg and leg.is_late and not leg.is_dead:
            self._leg = None
            self._keep(leg)
            self.state = LinkState.CONNECTING if self.question is None else LinkState.ASKING
            self._bus.publish(LinkLost(self.name, "No answer"))
            if self.error is not None and self.error.is_permanent:
                self._block(self.error, is_news=True)
            self._nudge.set()

    def _keep(self, leg: Leg) -> None:
        self._old_legs[leg] = asyncio.get_running_loop().call_later(self.pace.grace, self._end_grace, leg)

    def _end_grace(self, leg: Leg) -> None:
        loop = asyncio.get_running_loop()
        if leg.is_late or not leg.streams:
            self._end_leg(leg, "The connection did not come back")
        else:  # it was replaced, but answers: its streams may go on to their own end
            self._old_legs[leg] = loop.call_later(self.pace.grace, self._end_grace, leg)

    def _end_leg(self, leg: Leg, reason: str) -> None:
        timer = self._old_legs.pop(leg, None)
        if timer is not None:
            timer.cancel()
        if count := leg.kill(reason):
            self._bus.publish(StreamsReset(self.name, count, reason))
        if self._leg is not None:
            self._settle()

    def _settle(self) -> None:
        if self.state is LinkState.CLOSED or self._leg is None:
            return
        if self._leg.is_late:
            self.state = LinkState.SUSPECT
        else:
            self.state = LinkState.SWITCHING if self._old_legs else LinkState.UP


def _only_a_person_helps(error: Exception) -> bool:
    return isinstance(error, LinkError) and error.is_permanent


def _again(error: LinkError) -> LinkError:
    """The same error for another who waits: one exception object cannot be raised in two tasks at once."""
    copy = type(error).__new__(type(error))
    copy.args = error.args
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error.__cause__
    return copy


async def _until_tidy(attempt: asyncio.Task[asyncssh.SSHClientConnection]) -> None:
    """Wait for the end of a try that was called off; if it did connect, its connection is ended."""
    await asyncio.wait([attempt])
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().abort()
        await attempt.result().wait_closed()


def _forward_refused(name: str, host: str, port: int, error: asyncssh.ChannelOpenError) -> ForwardRefused:
    where = f"port {port}" if host in ("127.0.0.1", "localhost", "::1") else f"{host}:{port}"
    if error.code == 1:
        return ForwardRefused(
            f"{name} does not allow forwarding to {where}.",
            hint="Its sshd needs AllowTcpForwarding yes (or local), and PermitOpen for this port.",
        )
    if error.code == 2:
        return ForwardRefused(f"Nothing answers at {where} on {name}.", hint="Is the service running there?")
    return ForwardRefused(f"{name} refused a connection to {where}: {error.reason or 'no reason given'}.")
