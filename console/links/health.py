"""Whether the services behind tunnels work: their own answer counts, not that an SSH process is there.

A probe goes through the tunnel's local port as any user of it would, on a connection of its own, without a key, without
following redirects, and with a bound on how long it may take and how much of an answer is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple, Self

from console.clock import Clock
from console.events import Bus, Event
from console.machines.services import Service

_log = logging.getLogger(__name__)

EVERY_S = 10.0
"""Between two probes of a service that works."""

AGAIN_S = 2.0
"""Between two probes of one that does not."""

KEPT_ROUND_TRIPS = 128

_LARGEST_BODY = 64 * 1024
_HOLDS_S = 1.0
"""A service that does not speak HTTP counts as working when it keeps a connection this long."""


class Reading(NamedTuple):
    """What one probe found."""

    ok: bool
    round_trip_ms: float | None
    """From opening the connection to the end of the answer's head; None where there was none, or it says nothing."""
    error: str | None
    """In words; None if all is well."""
    at: datetime

    def age(self, now: datetime) -> timedelta:
        return max(now - self.at, timedelta(0))


async def probe(service: Service, local_port: int, clock: Clock) -> Reading:
    """Ask a service through its local port. It never raises: what goes wrong is in the reading."""
    began = clock.monotonic()
    try:
        async with asyncio.timeout(service.probe_limit_s):
            if service.probe_path is None:
                error = await _hold_on(local_port)
                return Reading(error is None, None, error, clock.now())
            head_s, error = await _ask(service, service.probe_path, local_port, clock)
    except TimeoutError:
        return Reading(False, None, f"{service.label} did not answer within {service.probe_limit_s:g} s.", clock.now())
    return Reading(error is None, None if head_s is None else (head_s - began) * 1000, error, clock.now())


async def _ask(service: Service, path: str, local_port: int, clock: Clock) -> tuple[float | None, str | None]:
    from providers import http  # with httpx, which only those pay for who have a tunnel
    from providers.chat.base import Host
    from providers.errors import ProviderError

    host = Host(service.name, f"http://127.0.0.1:{local_port}", connect_timeout_s=service.probe_limit_s)
    async with http.client(host) as client:
        try:
            async with http.opened(client, host, "GET", path) as response:
                head = clock.monotonic()
                await http.read_body(response, host, _LARGEST_BODY)
        except ProviderError as error:
            return None, error.text
    status = response.status_code
    if status < 400 or status in (401, 403):  # it works, and would like to know who asks
        return head, None
    return head, f"{service.label} answers {status} to {path}."


async def _hold_on(local_port: int) -> str | None:
    """Connect and see whether the connection stays: a tunnel takes it at once and lets go when nothing is behind."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", local_port)
    except OSError:
        return f"Nothing is listening on port {local_port} here."
    try:
        async with asyncio.timeout(_HOLDS_S):
            if await reader.read(1):
                return None
        return "The connection was closed at once."
    except TimeoutError:
        return None
    except OSError:
        return "The connection was cut at once."
    finally:
        writer.transport.abort()


class RoundTrips:
    """The last round trips, and what most of them stay below."""

    def __init__(self, kept: int = KEPT_ROUND_TRIPS) -> None:
        self._ring: deque[float] = deque(maxlen=kept)

    def add(self, round_trip_ms: float) -> None:
        self._ring.append(round_trip_ms)

    @property
    def last_ms(self) -> float | None:
        return self._ring[-1] if self._ring else None

    @property
    def p95_ms(self) -> float | None:
        """95 of 100 were at most this long."""
        return percentile(self._ring, 0.95)


def percentile(values: Sequence[float] | deque[float], share: float) -> float | None:
    """The smallest of the values that at least this share of them do not exceed."""
    if not values:
        return None
    ranked = sorted(values)
    return ranked[max(ceil(share * len(ranked)) - 1, 0)]


class ServiceProbed(Event):
    """A sample: the newest reading of a service."""

    __slots__ = ("last_ms", "machine", "p95_ms", "reading", "service")

    def __init__(
        self, machine: str, service: str, reading: Reading, last_ms: float | None, p95_ms: float | None
    ) -> None:
        self.machine = machine
        self.service = service
        self.reading = reading
        self.last_ms = last_ms
        self.p95_ms = p95_ms

    @property
    def key(self) -> Hashable:
        return self.machine, self.service


class ServiceChanged(Event):
    """A fact: a service began or ceased to work, or was found to (not) work for the first time."""

    __slots__ = ("machine", "reading", "service")

    def __init__(self, machine: str, service: str, reading: Reading) -> None:
        self.machine = machine
        self.service = service
        self.reading = reading

    @property
    def is_ok(self) -> bool:
        return self.reading.ok


class Health:
    """Watches one service for as long as `async with` lasts; a sample per reading, a fact per change."""

    def __init__(
        self,
        machine: str,
        service: Service,
        local_port: int,
        clock: Clock,
        bus: Bus,
        *,
        every_s: float = EVERY_S,
        again_s: float = AGAIN_S,
        hindrance: Callable[[], str | None] = lambda: None,
        tell: Callable[[Reading], None] | None = None,
    ) -> None:
        """`hindrance` may say why it is of no use to ask now: that is the reading then, and nothing is sent.

        `tell` gets every reading, as `Shared.note` wants it for the other processes.
        """
        self.machine = machine
        self.service = service
        self.local_port = local_port
        self.round_trips = RoundTrips()
        self.reading: Reading | None = None
        """The last one; None before the first."""
        self._clock = clock
        self._bus = bus
        self._every_s = every_s
        self._again_s = again_s
        self._hindrance = hindrance
        self._tell = tell
        self._soon = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch(), name=f"health of {self.machine}/{self.service.name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def kick(self) -> None:
        """Look now: the link is back, or somebody asked."""
        self._soon.set()

    async def look(self) -> Reading:
        """One probe, told to everybody."""
        reason = self._hindrance()
        if reason is None:
            reading = await probe(self.service, self.local_port, self._clock)
        else:
            reading = Reading(False, None, reason, self._clock.now())
        before, self.reading = self.reading, reading
        if reading.round_trip_ms is not None and reading.ok:
            self.round_trips.add(reading.round_trip_ms)
        self._bus.publish(
            ServiceProbed(self.machine, self.service.name, reading, self.round_trips.last_ms, self.round_trips.p95_ms)
        )
        if before is None or before.ok != reading.ok:
            self._bus.publish(ServiceChanged(self.machine, self.service.name, reading))
            _log.info(
                "A service works." if reading.ok else "A service does not work.",
                extra={"machine": self.machine, "service": self.service.name, "error": reading.error},
            )
        if self._tell is not None:
            self._tell(reading)
        return reading

    async def _watch(self) -> None:
        while True:
            self._soon.clear()
            reading = await self.look()
            pause = asyncio.ensure_future(self._clock.sleep(self._every_s if reading.ok else self._again_s))
            kicked = asyncio.ensure_future(self._soon.wait())
            try:
                await asyncio.wait((pause, kicked), return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
                kicked.cancel()
                await asyncio.gather(pause, kicked, return_exceptions=True)
