"""Clocks for tests: no one waits, and time still passes in order."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta

START = datetime(2026, 9, 1, 10, tzinfo=UTC)


class EagerClock:
    """Time that stands still until somebody sleeps, and then passes at once. Who wakes first, wakes first."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._passed_s = 0.0
        self._sleepers: list[tuple[float, int]] = []
        self._numbers = itertools.count()
        self.slept: list[float] = []
        """How long each sleep was, in the order they began."""

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed_s)

    def monotonic(self) -> float:
        return self._passed_s

    def advance(self, seconds: float) -> None:
        self._passed_s += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        sleeper = (self._passed_s + max(seconds, 0.0), next(self._numbers))
        heapq.heappush(self._sleepers, sleeper)
        try:
            await asyncio.sleep(0)
            while self._sleepers[0] != sleeper:
                await asyncio.sleep(0)
        finally:
            self._sleepers.remove(sleeper)
            heapq.heapify(self._sleepers)
        self._passed_s = max(self._passed_s, sleeper[0])


class FastClock:
    """Real time, so many times as fast, the same in every process that is given the same beginning.

    Only the program's own pauses get shorter: what waits for a socket waits in real seconds.
    """

    def __init__(self, times: float, began_monotonic: float | None = None) -> None:
        self.times = times
        self.began_monotonic = time.monotonic() if began_monotonic is None else began_monotonic

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return (time.monotonic() - self.began_monotonic) * self.times

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0) / self.times)


class StillClock:
    """Time that stands still: it is what it is set to, and what sleeps sleeps for good."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()
