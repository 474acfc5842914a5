"""A breaker per endpoint: one that failed three times in a row is left alone for a while, by every process.

Only failures of the connection count (nothing answered, connecting took too long, the service broke); a refused key or
a wrong model says nothing about whether an endpoint is up. The time it is left alone grows from 10 seconds to 5 min.
When it is over, one caller may try (half-open); an answer closes the breaker, another failure opens it for longer.

An open breaker moves an endpoint to the end of a chain and no more: what was asked for by name is always tried. A store
that cannot be used costs the sharing and nothing else: it must not fail an answer.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from console.clock import Clock
from console.errors import LinkError, NoWay, StoreError
from providers.errors import ServiceFailed, TimedOut, Unreachable

if TYPE_CHECKING:
    from typing import Protocol

    class Failures(Protocol):
        """What the store keeps of an endpoint."""

        @property
        def failures(self) -> int: ...
        @property
        def open_until(self) -> datetime | None: ...

    class Shelf(Protocol):
        """Where processes share what they saw; the store is one."""

        async def breakers(self) -> Mapping[str, Failures]: ...
        async def note_failure(self, endpoint: str, at: datetime, until: datetime | None) -> int: ...
        async def note_success(self, endpoint: str) -> None: ...


_log = logging.getLogger(__name__)

FAILURES = 3
FIRST_OPEN_S = 10.0
LONGEST_OPEN_S = 300.0
_TRIAL_S = 30.0
"""For how long the others of this process leave an endpoint to the one that tries it again."""
_FRESH_S = 2.0
"""How old the view of what other processes saw may be."""


class Breakers:
    """All endpoints' breakers. Without a shelf they are this process's own."""

    def __init__(self, clock: Clock, shelf: Callable[[], Awaitable[Shelf]] | None = None) -> None:
        self._clock = clock
        self._shelf = shelf
        self._failures: dict[str, int] = {}
        self._open_until: dict[str, datetime] = {}
        self._trials: dict[str, float] = {}
        self._read_at: float | None = None

    async def open_for_s(self, endpoint: str) -> float:
        """For how many seconds the endpoint is to be left alone; 0 when it may be tried.

        The first one to ask after that time has the trial: to the others it stays open until the trial has ended.
        """
        await self._read()
        if self._failures.get(endpoint, 0) < FAILURES:
            return 0.0
        left_s = self._left_s(endpoint)
        if left_s > 0:
            return left_s
        trial_s = self._trials.get(endpoint, 0.0) - self._clock.monotonic()
        if trial_s > 0:
            return trial_s
        self._trials[endpoint] = self._clock.monotonic() + _TRIAL_S
        return 0.0

    async def failed(self, endpoint: str, failure: BaseException) -> None:
        """Count a failure, if it is one of the connection."""
        if not is_down(failure):
            return
        await self._read()
        failures = self._failures.get(endpoint, 0) + 1
        now = self._clock.now()
        until = now + timedelta(seconds=open_s(failures)) if failures >= FAILURES else None
        self._failures[endpoint] = failures
        self._trials.pop(endpoint, None)
        if until is not None:
            self._open_until[endpoint] = until
        if self._shelf is None:
            return
        try:
            shelf = await self._shelf()
            self._failures[endpoint] = max(failures, await shelf.note_failure(endpoint, now, until))
        except StoreError as error:
            _log.warning("The failure of %s is not shared with other processes: %s", endpoint, error.text)

    async def succeeded(self, endpoint: str) -> None:
        """Close the breaker. Writes only where there was something to forget, which is nearly never."""
        await self._read()
        self._trials.pop(endpoint, None)
        self._open_until.pop(endpoint, None)
        if not self._failures.pop(endpoint, 0) or self._shelf is None:
            return
        try:
            shelf = await self._shelf()
            await shelf.note_success(endpoint)
        except StoreError as error:
            _log.warning("That %s is up again is not shared with other processes: %s", endpoint, error.text)

    def _left_s(self, endpoint: str) -> float:
        until = self._open_until.get(endpoint)
        if until is None:
            return 0.0
        left_s = (until - self._clock.now()).total_seconds()
        # More than the longest time means that a clock jumped; such a breaker would stay open for hours.
        return left_s if left_s <= LONGEST_OPEN_S else 0.0

    async def _read(self) -> None:
        """Take over what other processes saw, at most every two seconds."""
        if self._shelf is None:
            return
        now_s = self._clock.monotonic()
        if self._read_at is not None and now_s - self._read_at < _FRESH_S:
            return
        self._read_at = now_s
        try:
            shelf = await self._shelf()
            kept = await shelf.breakers()
        except StoreError as error:
            _log.warning("What other processes saw of the endpoints is not known: %s", error.text)
            return
        self._failures = {endpoint: row.failures for endpoint, row in kept.items()}
        self._open_until = {endpoint: row.open_until for endpoint, row in kept.items() if row.open_until is not None}


def is_down(error: BaseException) -> bool:
    """Whether an error says that the endpoint itself is down, rather than that it did not like what it was sent."""
    if isinstance(error, TimedOut):
        return error.phase == "connect"
    if isinstance(error, NoWay):
        return isinstance(error.cause, LinkError) and not error.cause.is_permanent
    if isinstance(error, ServiceFailed):
        return error.status is not None and error.status >= 500
    return isinstance(error, Unreachable)


def open_s(failures: int) -> float:
    """How long to leave an endpoint alone after so many failures in a row: 10 s, 20 s, 40 s … 5 min."""
    doublings = min(max(failures - FAILURES, 0), 10)
    return float(min(FIRST_OPEN_S * 2**doublings, LONGEST_OPEN_S))
