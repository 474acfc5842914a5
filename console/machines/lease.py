"""The rules of leases: when a machine may live on, when to warn, when to end it. Pure: values in, values out.

Two limits hold for every run of a machine. *Idle*: so many minutes after the last sign of real work. *Hard*: so many
hours after its start, whatever it does, unless the lease is extended. A pin keeps a machine through idleness until it
expires, never through the hard limit. What cannot be seen counts as work, up to the hard limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from console.machines.records import AtEnd, Desired, MachineRecord, MachineState
from providers.clouds.base import Bills

if TYPE_CHECKING:
    from console.machines.records import Deed
    from console.settings import Settings

READ_KINDS = ("gpu", "ssh", "jobs")
"""Signals that have to be read on the machine. All others are noted by whoever does the work, and need no reading."""

STALE = timedelta(seconds=200)
"""A reading older than this says nothing about now."""
CHECK = timedelta(seconds=60)
"""How long a machine must have been watched without a gap before it is believed to be idle. After a gap, as when the
computer slept, it is looked at anew for so long before it is ended."""
WARNING = timedelta(minutes=5)
"""How long before the end it is told."""

Cause: TypeAlias = Literal["idle", "hard"]


class Limits(NamedTuple):
    idle: timedelta | None
    """None: it is never ended for being idle."""
    hard: timedelta
    at_end: AtEnd


class Lease(NamedTuple):
    """One for each machine; of a machine that is off, the one of its last run."""

    machine: int
    began_at: datetime
    hard_until: datetime
    ended_at: datetime | None = None
    pinned_until: datetime | None = None
    pin_why: str = ""
    on_machine: Mapping[str, Any] = {}
    """What is known of the stopper on the machine, see `on_machine.py`."""
    elsewhere: Mapping[str, Any] = {}
    """The same of one on another host."""


class Signal(NamedTuple):
    """One kind of work on a machine."""

    kind: str
    active_at: datetime | None
    """When there last was some; None: never since anybody looked."""
    seen_at: datetime
    """When somebody last looked, or did it."""
    seen_from: datetime
    """Since when it was looked at without a gap."""
    detail: str = ""


class Keep(NamedTuple):
    until: datetime
    """When it ends if nothing more happens."""
    cause: Cause
    why: str


class Warn(NamedTuple):
    at: datetime
    """When it ends."""
    cause: Cause
    why: str


class End(NamedTuple):
    cause: Cause
    why: str


Verdict: TypeAlias = Keep | Warn | End


def limits_of(record: MachineRecord, settings: Settings) -> Limits:
    """What holds for a machine. One of the user's own is left alone unless its settings say how it is ended."""
    own = settings.machines.get(record.name)
    idle_min = settings.idle.stop_after_min
    hard_h = settings.lease.hard_h
    at_end = record.at_end
    if own is not None:
        idle_min = own.stop_after_min if own.stop_after_min is not None else idle_min
        hard_h = own.hard_h if own.hard_h is not None else hard_h
        if record.origin == "settings":
            at_end = own.at_end or "nothing"
    return Limits(
        None if idle_min == "off" else timedelta(minutes=float(idle_min)), timedelta(hours=float(hard_h)), at_end
    )


def is_leased(record: MachineRecord, deed: Deed | None, limits: Limits) -> bool:
    """Whether a lease runs: it is on, or on its way up, or may be, and nobody is ending it already."""
    if limits.at_end == "nothing" or record.is_gone:
        return False
    if deed is not None and deed.what in ("stop", "destroy"):
        return False
    if record.bills is Bills.EVERYTHING:
        return True
    return record.desired is Desired.RUNNING and record.state is not MachineState.STOPPED


def run_began(
    record: MachineRecord, lease: Lease | None, last_start: datetime | None, now: datetime
) -> datetime | None:
    """When a run began that has no lease yet; None if the lease that is there is for this run."""
    if lease is not None and lease.ended_at is None:
        if last_start is not None and last_start > lease.began_at:
            return last_start
        return now if lease.began_at > now else None  # the clock was set back
    since = lease.ended_at if lease is not None and lease.ended_at is not None else record.created_at
    begun = [moment for moment in (last_start, record.started_at) if moment is not None and since <= moment <= now]
    return min(begun, default=now)


def came_up_at(record: MachineRecord, lease: Lease) -> datetime:
    """Coming up is work: idleness is counted from its end."""
    moments = [lease.began_at]
    if record.started_at is not None:
        moments.append(record.started_at)
    if record.state in (MachineState.REQUESTED, MachineState.BOOTING, MachineState.REACHABLE, MachineState.READY):
        moments.append(record.state_at)
    return max(moments)


def unread(signals: Mapping[str, Signal], now: datetime) -> list[str]:
    """The kinds of work of which nobody knows how it stands, in a sentence's words."""
    missing = []
    for kind in READ_KINDS:
        signal = signals.get(kind)
        if signal is None or not timedelta(0) <= now - signal.seen_at <= STALE or now - signal.seen_from < CHECK:
            missing.append(kind)
    return missing


def last_work(
    lease: Lease, signals: Mapping[str, Signal], now: datetime, came_up: datetime | None = None
) -> tuple[datetime, str]:
    """When there last was work in this run, as far as it was seen, and what it was."""
    at, what = max(lease.began_at, came_up or lease.began_at), "its start"
    for signal in signals.values():
        if signal.active_at is not None and signal.active_at > at:
            at, what = signal.active_at, signal.detail or signal.kind
    return min(at, now), what


def verdict(
    lease: Lease, signals: Mapping[str, Signal], limits: Limits, now: datetime, *, came_up: datetime | None = None
) -> Verdict:
    """What the lease says at this moment."""
    hard = lease.hard_until
    if now >= hard:
        return End("hard", f"its lease ended at {_clock(hard)}")
    if limits.idle is None:
        return _until(hard, "hard", "idleness does not end it", now, hard)
    blind = unread(signals, now)
    at, what = last_work(lease, signals, now, came_up)
    pin_holds = lease.pinned_until is not None and lease.pinned_until > now
    if blind:
        ends = now + limits.idle
        if pin_holds and lease.pinned_until is not None:
            ends = max(ends, lease.pinned_until)
        return _until(ends, "idle", f"not known: {', '.join(map(WORDS.__getitem__, blind))}", now, hard)
    ends, why = at + limits.idle, f"last work at {_clock(at)}: {what}"
    if pin_holds and lease.pinned_until is not None and lease.pinned_until > ends:
        ends, why = lease.pinned_until, f"pinned until {_clock(lease.pinned_until)}: {lease.pin_why}"
    if now >= ends:
        return End("idle", f"idle since {_clock(at)}, for {minutes(now - at)}: the last work was {what}")
    return _until(ends, "idle", why, now, hard)


WORDS = {"gpu": "GPU use", "ssh": "SSH sessions", "jobs": "jobs on it"}


def _until(ends: datetime, cause: Cause, why: str, now: datetime, hard: datetime) -> Verdict:
    if ends >= hard:
        ends, cause = hard, "hard"
    return Warn(ends, cause, why) if ends - now <= WARNING else Keep(ends, cause, why)


def _clock(moment: datetime) -> str:
    """As the user's clock shows it."""
    return f"{moment.astimezone():%H:%M}"


def minutes(span: timedelta) -> str:
    whole = int(span.total_seconds() // 60)
    return f"{whole} min" if whole < 120 else f"{whole // 60} h {whole % 60:02} min"
