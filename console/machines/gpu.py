"""The GPUs of a machine, read over its link by one streaming `nvidia-smi`; nothing is installed there.

    async with GpuWatch("gpu1", link.connection, clock, bus) as watch:
        ...                                   each round is on the bus as `GpuSample`, and in `watch.latest`

A machine without GPUs, or with a driver that does not answer, says why in `watch.trouble` and is asked again later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Self

from console.clock import Clock
from console.errors import LinkBroken, LinkError, TimeLimit
from console.events import Bus, Event
from console.links.remote import Connect, RemoteCommand, run
from providers.gpu_smi import EVERY_MS, Rounds, Snapshot, command

__all__ = ["GpuSample", "GpuTrouble", "GpuWatch", "read_once"]

_log = logging.getLogger(__name__)

AGAIN_S = 5.0
"""After the stream broke off."""
WITHOUT_S = 60.0
"""After the machine said that it has no GPU that answers."""


@dataclass(frozen=True, slots=True)
class GpuSample(Event):
    """A sample: the GPUs of a machine in one round."""

    machine: str
    snapshot: Snapshot
    at_s: float
    """By the monotonic clock."""

    @property
    def key(self) -> Hashable:
        return self.machine


@dataclass(frozen=True, slots=True)
class GpuTrouble(Event):
    """A fact: why there are no readings."""

    machine: str
    text: str


class GpuWatch:
    def __init__(
        self,
        machine: str,
        connect: Connect,
        clock: Clock,
        bus: Bus,
        *,
        told: Callable[[Snapshot], None] | None = None,
        every_ms: int = EVERY_MS,
    ) -> None:
        """`told` gets each round at once, for those who decide by it."""
        self.machine = machine
        self.latest: GpuSample | None = None
        self.trouble: str | None = None
        self._connect = connect
        self._clock = clock
        self._bus = bus
        self._told = told
        self._every_ms = every_ms
        self._few_fields = False
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch(), name=f"GPUs of {self.machine}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching

    def age_s(self) -> float | None:
        """Since the last round; None before the first."""
        return None if self.latest is None else self._clock.monotonic() - self.latest.at_s

    async def _watch(self) -> None:
        while True:
            pause_s = AGAIN_S
            try:
                rounds = await self._stream()
            except LinkError as error:
                self._complain(error.text)
            else:
                if rounds.wants_fewer_fields and not self._few_fields:
                    self._few_fields = True
                    pause_s = 0.0
                else:
                    self._complain(rounds.complaint or "nvidia-smi ended without a word.")
                    pause_s = WITHOUT_S if rounds.complaint else AGAIN_S
            await self._clock.sleep(pause_s)

    async def _stream(self) -> Rounds:
        """One run of the tool, until it ends by itself."""
        rounds = Rounds(few_fields=self._few_fields)
        line_of_tool = command(few_fields=self._few_fields, every_ms=self._every_ms)
        async with RemoteCommand(self._connect, line_of_tool, machine=self.machine) as running:
            async for line in running.lines():
                for snapshot in rounds.read(line.text):
                    self._tell(snapshot)
        return rounds

    def _tell(self, snapshot: Snapshot) -> None:
        self.trouble = None
        self.latest = GpuSample(self.machine, snapshot, self._clock.monotonic())
        self._bus.publish(self.latest)
        if self._told is not None:
            self._told(snapshot)

    def _complain(self, text: str) -> None:
        if text != self.trouble:
            self.trouble = text
            _log.info("No GPU readings.", extra={"machine": self.machine, "error": text})
            self._bus.publish(GpuTrouble(self.machine, text))


async def read_once(connect: Connect, machine: str, *, limit_s: float = 10.0) -> tuple[Snapshot | None, str]:
    """The GPUs of a machine now; without any, the reason. `LinkError` when the machine cannot be asked."""
    for few_fields in (False, True):
        rounds = Rounds(few_fields=few_fields)
        try:
            output = await run(
                connect, command(few_fields=few_fields, every_ms=None), machine=machine, limit_s=limit_s, by_group=False
            )
        except TimeLimit as error:
            raise LinkBroken(error.text) from error
        found = [snapshot for line in output.text.splitlines() for snapshot in rounds.read(line)]
        found += rounds.rest()
        if found:
            return found[0], ""
        if not rounds.wants_fewer_fields:
            break
    complaint = rounds.complaint or " ".join(output.err.decode(errors="replace").split())[:300]
    return None, complaint or f"nvidia-smi says nothing ({output.ended})."
