"""Too hot, or out of memory: the GPU readings of all machines against the thresholds.

Readings come once a second; alerts are raised when something changes, and now and then while it stands.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from console.alarms import Finding, GpuState, Teller, judge_gpus, tell
from console.errors import ConsoleError
from console.events import Bus, Event
from console.machines.gpu import GpuSample
from providers.errors import ProviderError

if TYPE_CHECKING:
    from console.events import Subscription
    from console.money.verdicts import Level
    from console.settings import AlertSettings

_log = logging.getLogger(__name__)

AGAIN_S = 300.0
"""An alert that stands is raised again after this, so that it is told again when that is due."""


class JobsPaused(Event):
    """A fact: a machine has been too hot for too long, and our jobs there are to wait."""

    __slots__ = ("machine",)

    def __init__(self, machine: str) -> None:
        self.machine = machine


class JobsResumed(Event):
    """A fact: it has cooled down."""

    __slots__ = ("machine",)

    def __init__(self, machine: str) -> None:
        self.machine = machine


class HeatWatch:
    def __init__(
        self,
        settings: AlertSettings,
        alerts: Teller,
        bus: Bus,
        stop: Callable[[str, str], Awaitable[object]],
    ) -> None:
        """`stop(machine, why)` sends the wish to stop it."""
        self._settings = settings
        self._alerts = alerts
        self._bus = bus
        self._stop = stop
        self._states: dict[str, Mapping[int, GpuState]] = {}
        self._raised: dict[str, tuple[Level | None, bool, float]] = {}
        self._paused: set[str] = set()
        self._stopping: set[str] = set()

    def is_paused(self, machine: str) -> bool:
        """Whether our jobs on this machine are to wait."""
        return machine in self._paused

    async def run(self) -> None:
        """Judge every reading on the bus until it closes, or this is cancelled."""
        with self._bus.subscribe() as readings:
            await self._follow(readings)

    async def _follow(self, readings: Subscription) -> None:
        async for event in readings:
            if isinstance(event, GpuSample):
                await self.judge(event)

    async def judge(self, sample: GpuSample) -> None:
        """One reading of one machine."""
        machine = sample.machine
        outcome = judge_gpus(machine, sample.snapshot.gpus, self._states.get(machine, {}), sample.at_s, self._settings)
        self._states[machine] = outcome.states
        await tell(
            self._alerts,
            [finding for finding in outcome.findings if self._is_news(finding, outcome.pause, sample.at_s)],
        )
        if outcome.pause != (machine in self._paused):
            (self._paused.add if outcome.pause else self._paused.discard)(machine)
            self._bus.publish(JobsPaused(machine) if outcome.pause else JobsResumed(machine))
        if not outcome.stop:
            self._stopping.discard(machine)
        elif machine not in self._stopping:
            self._stopping.add(machine)
            hottest = next(finding for finding in outcome.findings if finding.level == "alarm")
            try:
                await self._stop(machine, hottest.text)
            except (ConsoleError, ProviderError) as error:
                self._stopping.discard(machine)  # with the next reading
                _log.warning("a machine that is too hot was not stopped", extra={"machine": machine, "why": str(error)})

    def _is_news(self, finding: Finding, acted: bool, now_s: float) -> bool:
        known = self._raised.get(finding.subject)
        is_news = known is None or known[:2] != (finding.level, acted) or now_s - known[2] >= AGAIN_S
        if is_news:
            self._raised[finding.subject] = (finding.level, acted, now_s)
        return is_news
