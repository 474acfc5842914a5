"""What the fleet tells the rest of the program. All are facts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from console.events import Event
from console.machines.records import DeedEnd, DeedKind, MachineState
from providers.clouds.base import Bills


@dataclass(frozen=True, slots=True)
class MachineChanged(Event):
    """A machine came into another state. `before` is None for one that was not known."""

    name: str
    before: MachineState | None
    after: MachineState
    why: str


@dataclass(frozen=True, slots=True)
class MachineDrifted(Event):
    """Something else about it changed at its cloud: its price or its name."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class MachineFound(Event):
    """A machine with our label that nobody here knew, or that was thought gone, is there. It may cost money."""

    name: str
    cloud: str
    cloud_id: str
    label: str
    bills: Bills


@dataclass(frozen=True, slots=True)
class MachineOutbid(Event):
    name: str


@dataclass(frozen=True, slots=True)
class DeedOverdue(Event):
    """What was asked for is not proved after two minutes, or again later; with each alarm the pauses grow."""

    name: str
    what: DeedKind
    since: datetime
    text: str


@dataclass(frozen=True, slots=True)
class DeedProved(Event):
    name: str
    what: DeedKind


@dataclass(frozen=True, slots=True)
class DeedEnded(Event):
    """It ended without its proof: given up, with the reason, or overtaken by a later wish."""

    name: str
    what: DeedKind
    how: DeedEnd
    text: str


@dataclass(frozen=True, slots=True)
class AccountTrouble(Event):
    """An account cannot be read; what is known of its machines grows old. Told once for each reason in a row."""

    cloud: str
    text: str
    hint: str | None = None
