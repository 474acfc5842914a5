"""Noticing that the computer slept, that this process was stopped, or that the network is another one.

Once a second three clocks are compared: the monotonic one stands still during sleep, the boot-time one (where there is
one) and the wall clock do not. A tick that comes late says that this process itself was stopped.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

TICK_S = 1.0
JUMP_S = 5.0
"""A clock that ran this much ahead of another, or a tick this late, means that something slept."""

Cause: TypeAlias = Literal["sleep", "stopped", "clock"]


class Reading(NamedTuple):
    """The clocks at one moment, in seconds."""

    monotonic: float
    boottime: float | None
    wall: float


def read_clocks() -> Reading:
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return Reading(time.monotonic(), time.clock_gettime(boottime) if boottime is not None else None, time.time())


def compare(before: Reading, after: Reading) -> Cause | None:
    """What happened between two readings that were meant to be one tick apart."""
    passed_s = after.monotonic - before.monotonic
    if passed_s > TICK_S + JUMP_S:
        return "stopped"
    if before.boottime is not None and after.boottime is not None:
        if after.boottime - before.boottime - passed_s > JUMP_S:
            return "sleep"
        return None
    if after.wall - before.wall - passed_s > JUMP_S:
        return "clock"
    return None


class Wake:
    """Calls `woke` within a second or so of waking, and `tick` each second."""

    def __init__(
        self, woke: Callable[[Cause], None], tick: Callable[[], None], clocks: Callable[[], Reading] = read_clocks
    ) -> None:
        self._woke = woke
        self._tick = tick
        self._clocks = clocks
        self._last = clocks()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._timer is None:
            self._last = self._clocks()
            self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """One tick: compare with the one before."""
        now = self._clocks()
        cause = compare(self._last, now)
        self._last = now
        if cause is not None:
            self._woke(cause)
        self._tick()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._on_timer)

    def _on_timer(self) -> None:
        self._arm()
        self.look()


def local_address_towards(address: tuple[str, int]) -> str | None:
    """The address that this computer would send from; asking the kernel for the route sends nothing."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError:
        return None
