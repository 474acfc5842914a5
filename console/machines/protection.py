"""How well a running machine is protected against being forgotten: who would end it, and when they last said so.

Two stoppers can be there: a Hawser process that has the role of the guard, and one that needs no computer of the
user's to be on, either on the machine itself or on another host. A stopper counts only while it is proved: it has
checked in a moment ago, and what it needs for ending the machine was tried.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from console.history.rows import from_ms
from console.text import plural

if TYPE_CHECKING:
    from console.machines.lease import Lease
    from console.machines.records import MachineRecord

ROLE = "guard"
BEAT_S = 3.0
"""How often the guard says that it is there."""
STALE_ROLE = timedelta(seconds=11)
"""After this much silence another process takes the role: with a look every three seconds, within fifteen."""
STALE_STOPPER = timedelta(minutes=5)
"""How old the last check-in of a stopper elsewhere may be as it was last read."""
TROUBLED = timedelta(minutes=10)
"""After so long without an answer from its account, the guard cannot be counted on."""


class Word(StrEnum):
    GUARDED = "guarded"
    HALF = "half-guarded"
    NONE = "UNPROTECTED"


class Stopper(NamedTuple):
    where: str
    """`this computer`, `the machine` or the name of a host."""
    is_proved: bool
    text: str
    """Why it is, or is not, proved; a sentence."""
    seen_at: datetime | None
    """When it last checked in."""


class Protection(NamedTuple):
    word: Word | None
    """None for a machine that needs none: it is off, or nothing is to end it."""
    stoppers: tuple[Stopper, ...] = ()

    @property
    def text(self) -> str:
        """Everything in a line."""
        return "; ".join(f"{stopper.where}: {stopper.text}" for stopper in self.stoppers)


def protection_of(
    connection: sqlite3.Connection, record: MachineRecord, lease: Lease | None, now: datetime
) -> Protection:
    """`lease` is None for a machine that needs no protection."""
    if lease is None:
        return Protection(None)
    from console.history import machines, roles
    from console.history.owner import is_alive

    account = machines.account(connection, record.cloud)
    failing = account.failed_at is not None and account.error is not None
    here = process_stopper(
        roles.holder(connection, ROLE),
        now,
        is_alive=is_alive,
        trouble=account.error if failing and now - (account.read_at or record.created_at) > TROUBLED else None,
    )
    stoppers = [here]
    stoppers += [
        remote_stopper(told, now, where=str(told.get("where") or where))
        for told, where in ((lease.on_machine, "the machine"), (lease.elsewhere, "another host"))
        if told
    ]
    if len(stoppers) == 1:
        stoppers.append(Stopper("the machine", False, "no guard is installed there", None))
    return Protection(word_for(stoppers), tuple(stoppers))


def word_for(stoppers: list[Stopper]) -> Word:
    proved = sum(stopper.is_proved for stopper in stoppers)
    return Word.GUARDED if proved >= 2 else Word.HALF if proved else Word.NONE


def process_stopper(
    holder: tuple[str, datetime] | None, now: datetime, *, is_alive: Any, trouble: str | None
) -> Stopper:
    """The guard among the processes here."""
    where = "this computer"
    if holder is None:
        return Stopper(where, False, "no Hawser runs that guards", None)
    owner, beat_at = holder
    if not is_alive(owner):
        return Stopper(where, False, "the Hawser that guarded was ended", beat_at)
    if abs(now - beat_at) > STALE_ROLE:
        return Stopper(where, False, f"the Hawser that guards says nothing since {ago(now, beat_at)}", beat_at)
    if trouble is not None:
        return Stopper(where, False, f"its account cannot be read: {trouble}", beat_at)
    return Stopper(where, True, f"process {owner.partition(':')[0]}, {ago(now, beat_at)}", beat_at)


def remote_stopper(told: Mapping[str, Any], now: datetime, *, where: str) -> Stopper:
    """One that is not on this computer, by what was last read of it."""
    beat_ms = told.get("beat_ms")
    beat_at = from_ms(int(beat_ms)) if isinstance(beat_ms, int) else None
    if trouble := told.get("trouble"):
        return Stopper(where, False, str(trouble), beat_at)
    if beat_at is None:
        return Stopper(where, False, "it has not checked in yet", None)
    if now - beat_at > STALE_STOPPER:
        return Stopper(where, False, f"it last checked in {ago(now, beat_at)}", beat_at)
    return Stopper(where, True, f"checked in {ago(now, beat_at)}", beat_at)


def ago(now: datetime, moment: datetime) -> str:
    seconds = max(int((now - moment).total_seconds()), 0)
    if seconds < 120:
        return f"{seconds} s ago"
    if seconds < 7200:
        return f"{seconds // 60} min ago"
    return f"{plural(seconds // 3600, 'hour')} ago"
