"""The way of a machine from the order to the first token, in phases, each with the time that it usually takes.

What "usually" means is learned: the median of the last boots on the same host with the same image, else of that host,
else of that cloud, else a first guess. A phase that takes much longer than that is stalled, and said to be.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from statistics import median
from typing import NamedTuple

from console.clock import Clock
from console.events import Bus, Event
from console.history.rows import to_ms


class Phase(StrEnum):
    RENTED = "rented"
    """From the order until the cloud has the machine at work."""
    IMAGE = "image"
    """The container image is pulled, or the system boots."""
    SSH = "ssh"
    """Until it can be logged in to."""
    SERVICE = "service"
    """Until its service answers."""
    WEIGHTS = "weights"
    """Until the model is there."""
    WARM = "warm"
    """Until the model is in the GPU's memory."""


_FIRST_GUESS_S = {
    Phase.RENTED: 20.0,
    Phase.IMAGE: 120.0,
    Phase.SSH: 45.0,
    Phase.SERVICE: 30.0,
    Phase.WEIGHTS: 120.0,
    Phase.WARM: 20.0,
}

WITHOUT_DOWNLOADS = (Phase.RENTED, Phase.SSH, Phase.SERVICE, Phase.WARM)
"""What does not depend on how fast the host's line is."""

_LEARNED_FROM = 10
"""The newest boots of a kind; older ones say little about a host of today."""

_STALLED_AFTER = 3.0
"""Times the usual."""
_STALLED_AT_LEAST_S = 60.0


class Expected(NamedTuple):
    seconds: float
    boots: int
    """How many it was learned from; 0 is a guess."""


@dataclass(frozen=True, slots=True)
class BootProgress(Event):
    """A sample: how far a machine is."""

    machine: str
    phase: Phase
    elapsed_s: float
    expected: Expected
    detail: str = ""

    @property
    def key(self) -> Hashable:
        return self.machine


@dataclass(frozen=True, slots=True)
class BootPhaseEnded(Event):
    """A fact: a phase is over."""

    machine: str
    phase: Phase
    seconds: float


@dataclass(frozen=True, slots=True)
class BootStalled(Event):
    """A fact: a phase takes much longer than it usually does."""

    machine: str
    phase: Phase
    elapsed_s: float
    expected: Expected


def learn(
    connection: sqlite3.Connection, cloud: str, host: str, image: str, phase: Phase, seconds: float, at: datetime
) -> None:
    connection.execute(
        "INSERT INTO boots (cloud, host, image, phase, seconds, at) VALUES (?, ?, ?, ?, ?, ?)",
        (cloud, host, image, phase.value, seconds, to_ms(at)),
    )


def expected(connection: sqlite3.Connection, cloud: str, host: str, image: str) -> dict[Phase, Expected]:
    """What each phase usually takes there."""
    return {phase: _expected(connection, cloud, host, image, phase) for phase in Phase}


def expected_total_s(expectations: dict[Phase, Expected], phases: Sequence[Phase] = tuple(Phase)) -> float:
    return sum(expectations[phase].seconds for phase in phases)


class Known:
    """The boots of all hosts, read once, for a list of offers."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        newest_first = connection.execute("SELECT cloud, host, phase, seconds FROM boots ORDER BY at DESC")
        self._seconds: dict[tuple[str, str, str], list[float]] = {}
        for cloud, host, phase, seconds in newest_first:
            for key in {(cloud, host, phase), (cloud, "", phase)}:
                there = self._seconds.setdefault(key, [])
                if len(there) < _LEARNED_FROM:
                    there.append(seconds)

    def expected(self, cloud: str, host: str) -> dict[Phase, Expected]:
        """As `expected`, for any image."""
        return {phase: self._of(cloud, host, phase) for phase in Phase}

    def _of(self, cloud: str, host: str, phase: Phase) -> Expected:
        seconds = self._seconds.get((cloud, host, phase.value)) or self._seconds.get((cloud, "", phase.value))
        return Expected(median(seconds), len(seconds)) if seconds else Expected(_FIRST_GUESS_S[phase], 0)


def _expected(connection: sqlite3.Connection, cloud: str, host: str, image: str, phase: Phase) -> Expected:
    narrowest_first = (
        ("cloud = ? AND host = ? AND image = ?", (cloud, host, image)),
        ("cloud = ? AND host = ?", (cloud, host)),
        ("cloud = ? AND image = ?", (cloud, image)),
        ("cloud = ?", (cloud,)),
    )
    for condition, values in narrowest_first:
        if ("host = ?" in condition and not host) or ("image = ?" in condition and not image):
            continue
        rows = connection.execute(
            f"SELECT seconds FROM boots WHERE {condition} AND phase = ? ORDER BY at DESC LIMIT ?",  # noqa: S608
            (*values, phase.value, _LEARNED_FROM),
        ).fetchall()
        if rows:
            return Expected(median(seconds for (seconds,) in rows), len(rows))
    return Expected(_FIRST_GUESS_S[phase], 0)


class Passed(NamedTuple):
    phase: Phase
    seconds: float
    """So far, for the one that is under way."""
    expected: Expected
    is_over: bool
    is_stalled: bool


class Timeline:
    """One boot while it goes on. `enter` begins a phase and ends the one before; what was passed over took no time."""

    def __init__(
        self,
        machine: str,
        expectations: dict[Phase, Expected],
        clock: Clock,
        bus: Bus,
    ) -> None:
        self.machine = machine
        self._expectations = expectations
        self._clock = clock
        self._bus = bus
        self._began_s = clock.monotonic()
        self._phase: Phase | None = None
        self._phase_began_s = self._began_s
        self._was_stalled = False
        self._over: list[Passed] = []

    @property
    def phase(self) -> Phase | None:
        return self._phase

    @property
    def elapsed_s(self) -> float:
        return self._clock.monotonic() - self._began_s

    def enter(self, phase: Phase, detail: str = "") -> None:
        """Be in a phase; to be in it already only tells the news."""
        if phase is not self._phase:
            self._leave()
            self._phase = phase
            self._phase_began_s = self._clock.monotonic()
            self._was_stalled = False
        self.tick(detail)

    def tick(self, detail: str = "") -> None:
        """Tell how far it is, and once if it stalls."""
        if self._phase is None:
            return
        elapsed_s = self._clock.monotonic() - self._phase_began_s
        expectation = self._expectations[self._phase]
        self._bus.publish(BootProgress(self.machine, self._phase, elapsed_s, expectation, detail))
        if not self._was_stalled and is_stalled(elapsed_s, expectation):
            self._was_stalled = True
            self._bus.publish(BootStalled(self.machine, self._phase, elapsed_s, expectation))

    def end(self) -> None:
        """The machine is ready."""
        self._leave()

    def remaining_s(self, until: Phase = Phase.WARM) -> float:
        """What is left up to the end of a phase, as far as it can be expected."""
        order = list(Phase)
        now = order.index(self._phase) if self._phase is not None else 0
        rest = sum(self._expectations[phase].seconds for phase in order[now : order.index(until) + 1])
        if self._phase is not None:
            elapsed_s = self._clock.monotonic() - self._phase_began_s
            rest -= min(elapsed_s, self._expectations[self._phase].seconds)
        return max(rest, 0.0)

    def phases(self) -> list[Passed]:
        """All that were entered, with their times."""
        if self._phase is None:
            return list(self._over)
        elapsed_s = self._clock.monotonic() - self._phase_began_s
        expectation = self._expectations[self._phase]
        return [*self._over, Passed(self._phase, elapsed_s, expectation, False, is_stalled(elapsed_s, expectation))]

    def _leave(self) -> None:
        if self._phase is None:
            return
        seconds = self._clock.monotonic() - self._phase_began_s
        expectation = self._expectations[self._phase]
        self._over.append(Passed(self._phase, seconds, expectation, True, self._was_stalled))
        self._bus.publish(BootPhaseEnded(self.machine, self._phase, seconds))
        self._phase = None


def is_stalled(elapsed_s: float, expectation: Expected) -> bool:
    return elapsed_s > max(_STALLED_AFTER * expectation.seconds, expectation.seconds + _STALLED_AT_LEAST_S)
