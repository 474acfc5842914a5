"""A machine as we know it: what we want of it, its state by our own word, and what was last seen, with its age.

The cloud is the truth. A record holds our wish and our memory: enough to find every machine and every dollar again
after a kill at any line. `console/history/machines.py` reads and writes the rows; only `fleet.py` changes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, NamedTuple, TypeAlias

from providers.clouds.base import Bills, Reading


class MachineState(StrEnum):
    """Our word for where a machine is in its life. `stopped` and `gone` are said only after a proof."""

    REQUESTED = "requested"
    """The wish is written down; a creation or start may be on its way."""
    BOOTING = "booting"
    """The cloud has it and brings it up."""
    REACHABLE = "reachable"
    """SSH answers, and it is who it should be."""
    READY = "ready"
    """Its services answer."""
    STOPPING = "stopping"
    STOPPED = "stopped"
    DESTROYING = "destroying"
    GONE = "gone"
    LOST = "lost"
    """The cloud lost contact with it, took it away, or does not name it any more and that is not yet proof enough."""
    UNKNOWN = "unknown"
    """The cloud does not answer, or in words that nobody knows."""
    FAILED = "failed"
    """It did not come up and will not; it may still cost money until it is destroyed."""


REACHED = frozenset({MachineState.REACHABLE, MachineState.READY})
"""Somebody got through to it."""


class Desired(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    GONE = "gone"


Origin: TypeAlias = Literal["launched", "adopted", "settings"]
"""Rented by us; found on an account and taken over; a machine of the user's own, named in the settings."""

AtEnd: TypeAlias = Literal["stop", "destroy", "nothing"]


class MachineRecord(NamedTuple):
    seq: int
    name: str
    """What the user calls it; no two that are not gone have the same."""
    cloud: str
    """The account, as the settings call it; `ssh` for machines of the user's own."""
    cloud_id: str | None
    """None until the cloud has told it."""
    label: str
    """What it is labelled with at the cloud: unique for ever."""
    origin: Origin
    desired: Desired
    state: MachineState
    state_at: datetime
    state_why: str
    """The reason in a sentence, where one is worth telling."""
    reading: Reading | None
    """What was last seen."""
    seen_at: datetime | None
    missing: int
    """Readings in a row that did not have it."""
    order: Mapping[str, Any]
    """What was asked for: GPU, disk, image, recipe, models, price ceiling, bid."""
    usd_per_hour: Decimal | None
    """The price it was launched or last started at: what its time is booked with."""
    usd_per_hour_stopped: Decimal | None
    ceiling_usd_per_hour: Decimal | None
    """Never started above this."""
    at_end: AtEnd
    created_at: datetime
    started_at: datetime | None
    """Since when it runs, by the cloud's word."""
    gone_at: datetime | None
    missing_since: datetime | None = None
    """When the first of these readings was."""

    @property
    def is_gone(self) -> bool:
        return self.state is MachineState.GONE

    @property
    def bills(self) -> Bills:
        """What it costs now, as far as was seen."""
        if self.is_gone:
            return Bills.NOTHING
        return self.reading.bills if self.reading is not None else Bills.UNKNOWN

    @property
    def identity(self) -> str:
        """What its SSH host key is pinned to."""
        return f"{self.cloud}:{self.cloud_id}" if self.cloud_id is not None else f"{self.cloud}:{self.label}"


def fresh_record(name: str, cloud: str, label: str, now: datetime) -> MachineRecord:
    """A machine that was just asked for; whoever makes it fills in the rest."""
    return MachineRecord(
        seq=0,
        name=name,
        cloud=cloud,
        cloud_id=None,
        label=label,
        origin="launched",
        desired=Desired.RUNNING,
        state=MachineState.REQUESTED,
        state_at=now,
        state_why="",
        reading=None,
        seen_at=None,
        missing=0,
        order={},
        usd_per_hour=None,
        usd_per_hour_stopped=None,
        ceiling_usd_per_hour=None,
        at_end="stop",
        created_at=now,
        started_at=None,
        gone_at=None,
    )


DeedKind: TypeAlias = Literal["create", "start", "stop", "destroy"]
DeedStep: TypeAlias = Literal["intended", "sent", "accepted"]
"""Written down; about to be sent (so that it may have arrived); the cloud said yes. The proof ends the deed."""
DeedEnd: TypeAlias = Literal["done", "given-up", "overtaken"]
"""Proved; not to be had, and what it may have left was cleaned away; a later wish took its place."""


class Deed(NamedTuple):
    """Something that is being done to a machine, from the wish to the proof. At most one of a machine is open."""

    seq: int
    machine: int
    what: DeedKind
    why: str
    step: DeedStep
    owner: str
    """The process that works on it, as `console/history/owner.py` names it."""
    tries: int
    begun_at: datetime
    tried_at: datetime | None
    next_at: datetime | None
    """Not again before this."""
    alarmed_at: datetime | None
    """When the user was last told that it is overdue."""
    ended_at: datetime | None
    end: DeedEnd | None
    error: str | None
