"""Too hot, or out of memory: the GPU readings of all machines against the thresholds.

Readings come from streams (`gpu_watches.py`); alerts are raised when something changes, and now and then while it
stands.
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
    from console.clock import Clock
    from console.money.verdicts import Level
    from console.settings import AlertSettings
    from providers.gpu_smi import Snapshot

_log = logging.getLogger(__name__)

AGAIN_S = 300.0
"""An alert that stands is raised again after this, so that it is told again when that is due."""
UNREAD_S = 300.0
"""A machine that was not read for this long has no state any more."""


class JobsPaused(Event):
    """A fact: a machine has been too hot for too long, and our jobs there are to wait."""

    __slots__ = ("machine",)

    def __init__(self, machine: str) -> None:
        self.machine = machine


class JobsResumed(Event):
    """A fact: it has cooled down, or is off."""

    __slots__ = ("machine",)

    def __init__(self, machine: str) -> None:
        self.machine = machine


class HeatWatch:
    def __init__(
        self,
        settings: AlertSettings,
        alerts: Teller,
        clock: Clock,
        bus: Bus,
        stop: Callable[[str, str], Awaitable[object]],
    ) -> None:
        """`stop(machine, why)` sends the wish to stop it."""
        self._settings = settings
        self._alerts = alerts
        self._clock = clock
        self._bus = bus
        self._stop = stop
        self._read_at_s: dict[str, float] = {}
        self._states: dict[str, Mapping[int, GpuState]] = {}
        self._waiting: dict[str, GpuSample] = {}
        self._raised: dict[str, tuple[Level | None, bool, float]] = {}
        self._paused: set[str] = set()
        self._stopping: set[str] = set()

    def is_paused(self, machine: str) -> bool:
        """Whether our jobs on this machine are to wait."""
        return machine in self._paused

    def note(self, machine: str, snapshot: Snapshot, at_s: float) -> None:
        """Take a reading; of several of a machine before the next round, the last counts."""
        self._waiting[machine] = GpuSample(machine, snapshot, at_s)

    async def round(self) -> None:
        """Judge what was read since the last round."""
        waiting, self._waiting = self._waiting, {}
        for sample in waiting.values():
            await self.judge(sample)
        now_s = self._clock.monotonic()
        for machine in [machine for machine, at_s in self._read_at_s.items() if now_s - at_s >= UNREAD_S]:
            await self._forget(machine)

    async def judge(self, sample: GpuSample) -> None:
        """One reading of one machine."""
        machine = sample.machine
        self._read_at_s[machine] = sample.at_s
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

    async def _forget(self, machine: str) -> None:
        """A machine that is off, or cannot be reached, is neither hot nor full as far as anybody knows."""
        states = self._states.pop(machine, {})
        del self._read_at_s[machine]
        self._stopping.discard(machine)
        subjects = [f"{kind}:{machine}:{number}" for number in states for kind in ("heat", "memory")]
        raised = [
            subject for subject in subjects if (known := self._raised.pop(subject, None)) and known[0] is not None
        ]
        await tell(self._alerts, [Finding(subject, None, f"{machine} is not read any more.") for subject in raised])
        if machine in self._paused:
            self._paused.discard(machine)
            self._bus.publish(JobsResumed(machine))

    def _is_news(self, finding: Finding, acted: bool, now_s: float) -> bool:
        known = self._raised.get(finding.subject)
        is_news = known is None or known[:2] != (finding.level, acted) or now_s - known[2] >= AGAIN_S
        if is_news:
            self._raised[finding.subject] = (finding.level, acted, now_s)
        return is_news
