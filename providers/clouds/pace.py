"""A cloud's limits kept by ourselves: so many calls of a kind at once, then one per interval.

Callers of a kind wait in the order they came. A call counts for its own kind and for all calls together. What a cloud
asks for beyond that (`hold`) holds back everybody; where that would take longer than `PATIENCE_S`, nobody waits, and
`turn` says at once when to come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from providers.clouds.base import PATIENCE_S, Clock
from providers.errors import RateLimited

ALL = "all"
"""The kind that every call counts for as well."""


class Limit(NamedTuple):
    interval_s: float
    burst: int = 1
    """How many may go at once after a quiet time."""


class Pace:
    def __init__(self, name: str, clock: Clock, limits: Mapping[str, Limit]) -> None:
        self._name = name
        self._clock = clock
        self._lanes = {kind: _Lane(clock, limit) for kind, limit in limits.items()}

    async def turn(self, kind: str) -> None:
        """Wait until this call may go."""
        assert kind != ALL
        own, shared = self._lane(kind), self._lane(ALL)
        async with own.order:
            while True:
                await self._until_free(own)
                async with shared.order:
                    await self._until_free(shared)
                    if own.wait_s() <= 0:
                        # Counted together, in the moment that the call goes: the cloud counts from there as well.
                        own.take()
                        shared.take()
                        return

    async def _until_free(self, lane: _Lane) -> None:
        while (wait_s := lane.wait_s()) > 0:
            if lane.held_s() > PATIENCE_S:
                raise too_many(self._name, lane.held_s())
            await self._clock.sleep(wait_s)

    def hold(self, kind: str, seconds: float) -> None:
        """Let no call of this kind go for so long."""
        self._lane(kind).hold(seconds)

    def slow(self, kind: str, interval_s: float) -> None:
        """The cloud told its interval; it is kept from here on if it is longer than the one we knew."""
        lane = self._lane(kind)
        lane.limit = Limit(max(lane.limit.interval_s, interval_s))

    def _lane(self, kind: str) -> _Lane:
        if kind not in self._lanes:
            self._lanes[kind] = _Lane(self._clock, Limit(0.0))
        return self._lanes[kind]


class _Lane:
    def __init__(self, clock: Clock, limit: Limit) -> None:
        self.limit = limit
        self.order = asyncio.Lock()
        self._clock = clock
        self._paid_until = float("-inf")
        """The moment up to which the calls that went have used up the interval."""
        self._held_until = float("-inf")

    def held_s(self) -> float:
        return self._held_until - self._clock.monotonic()

    def wait_s(self) -> float:
        credit_s = (self.limit.burst - 1) * self.limit.interval_s
        return max(self._paid_until - credit_s - self._clock.monotonic(), self.held_s())

    def take(self) -> None:
        self._paid_until = max(self._paid_until, self._clock.monotonic()) + self.limit.interval_s

    def hold(self, seconds: float) -> None:
        self._held_until = max(self._held_until, self._clock.monotonic() + seconds)


def too_many(name: str, seconds: float) -> RateLimited:
    minutes = seconds / 60
    length = f"{seconds:.0f} seconds" if minutes < 2 else f"{minutes:.0f} minutes"
    return RateLimited(f"{name} has had too many requests and wants a pause of {length}.", retry_after_s=seconds)
