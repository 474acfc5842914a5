"""Brings what a cloud said into the rows: which machine each reading is of, what becomes of it, and what to tell.

Everything here runs inside one transaction on a connection, so that a reading, the state that follows from it, the end
of a deed, the deed that has to follow and what the meter books are kept together or not at all.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

from console.events import Event
from console.history import machines
from console.machines import lifecycle
from console.machines.events import (
    DeedEnded,
    DeedProved,
    MachineChanged,
    MachineDrifted,
    MachineFound,
    MachineOutbid,
)
from console.machines.labels import free_name, is_ours, name_in
from console.machines.lifecycle import Change
from console.machines.records import AtEnd, Deed, Desired, MachineRecord, MachineState, fresh_record
from providers.clouds.base import Reading, State

ReadingHook: TypeAlias = Callable[[sqlite3.Connection, MachineRecord, Reading | None, datetime], None]
"""Called with the machine as it is with this reading, inside the transaction that stores it; None: not listed."""

LATE_START = timedelta(minutes=10)
"""How long after a stop a start of ours that was on its way may still come through."""
MOST_STRANGERS = 100
"""So many machines of others on an account are remembered."""
STALE = timedelta(minutes=3)
"""How long after a stop a machine that is up says that the proof was an old reading. Later, somebody started it."""


class Sighting:
    """One list, or one look at a single machine, being written down. `events` are for the bus, after the commit."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        cloud: str,
        asked_at: datetime,
        now: datetime,
        hooks: Sequence[ReadingHook],
        owner: str,
    ) -> None:
        self._connection = connection
        self._cloud = cloud
        self._asked_at = asked_at
        self._now = now
        self._hooks = hooks
        self._owner = owner
        self.events: list[Event] = []
        self.to_look_at: list[str] = []
        """Ids of machines that have to be asked for alone."""

    def list_came(self, readings: Iterable[Reading]) -> None:
        """A whole list: who is in it, who is not, and who nobody knew."""
        living = machines.of_cloud(self._connection, self._cloud)
        by_id = {record.cloud_id: record for record in living if record.cloud_id is not None}
        seen: set[int] = set()
        strangers = []
        for reading in readings:
            record = by_id.get(reading.id) or self._once_known(reading)
            if record is None:
                strangers.append(reading)
            elif record.seq not in seen:
                seen.add(record.seq)
                self.machine_seen(record, reading)
        for record in living:
            if record.seq not in seen:
                self.machine_missed(record)
        not_ours = []
        for reading in strangers:
            if reading.state in (State.GONE, State.DESTROYING):
                continue
            if is_ours(reading.label):
                self.adopt(reading, name_in(reading.label), found=True)
            else:
                not_ours.append(reading)
        machines.change_account(self._connection, self._cloud, strangers=_told(not_ours))

    def _once_known(self, reading: Reading) -> MachineRecord | None:
        """A machine that was thought gone, or one whose order's answer was lost."""
        if (record := machines.by_cloud_id(self._connection, self._cloud, reading.id)) is not None:
            return record
        record = machines.by_label(self._connection, self._cloud, reading.label) if reading.label else None
        if record is None or record.cloud_id is not None:
            return None
        self._gets_id(record, reading.id)
        return record._replace(cloud_id=reading.id)

    def machine_seen(self, record: MachineRecord, reading: Reading) -> None:
        if record.seen_at is not None and self._asked_at < record.seen_at:
            return  # somebody has seen it since this was asked for
        deed = machines.deed_of(self._connection, record.seq)
        just_stopped = stopped_by_us = False
        if deed is None and record.desired is Desired.STOPPED:
            just_stopped, stopped_by_us = self._our_stop(record)
        change = lifecycle.after(
            record,
            reading,
            deed,
            self._now,
            asked_at=self._asked_at,
            just_stopped=just_stopped,
            stopped_by_us=stopped_by_us,
        )
        if change.look:
            self.to_look_at.append(reading.id)
        record = self.write(record, deed, change)
        self._tell_hooks(record, reading)

    def machine_missed(self, record: MachineRecord, *, alone: bool = False) -> None:
        if self._asked_at < (record.seen_at or record.created_at):
            return
        deed = machines.deed_of(self._connection, record.seq)
        change = lifecycle.after(record, None, deed, self._now, asked_at=self._asked_at, alone=alone)
        if change.look and record.cloud_id is not None:
            self.to_look_at.append(record.cloud_id)
        record = self.write(record, deed, change)
        self._tell_hooks(record, None)

    def no_answer(self) -> None:
        """The account could not be read: what is known grows old."""
        deeds = machines.open_deeds(self._connection)
        for record in machines.of_cloud(self._connection, self._cloud):
            deed = deeds.get(record.seq)
            if (change := lifecycle.unseen(record, deed, self._now)) is not None:
                self.write(record, deed, change)

    def adopt(self, reading: Reading, name: str, *, found: bool = False, at_end: AtEnd = "stop") -> MachineRecord:
        """Take a machine over as it is seen: nothing is done to it."""
        taken = {record.name for record in machines.every(self._connection)}
        label = reading.label
        if not label or machines.has_label(self._connection, label):
            label = f"{label or name}~{reading.id}"  # two of one label, or none: the id tells them apart
        desired = Desired.STOPPED if reading.state is State.STOPPED else Desired.RUNNING
        record = machines.add(
            self._connection,
            fresh_record(free_name(name, taken), self._cloud, label, self._now)._replace(
                cloud_id=reading.id,
                origin="adopted",
                desired=desired,
                state=MachineState.UNKNOWN,
                order={"gpu": reading.gpu, "count": reading.gpu_count},
                at_end=at_end,
            ),
        )
        text = f"Found on {self._cloud} with our label." if found else f"Taken over from {self._cloud}."
        machines.note(self._connection, record.seq, self._now, "found", text)
        if found:
            self.events.append(MachineFound(record.name, self._cloud, reading.id, reading.label, reading.bills))
        self.machine_seen(record, reading)
        return machines.by_seq(self._connection, record.seq)

    def write(self, record: MachineRecord, deed: Deed | None, change: Change) -> MachineRecord:
        """Store a change and everything that goes with it; returns the machine as it is then."""
        fields = dict(change.fields)
        if record.is_gone and fields.get("gone_at", record.gone_at) is None:
            name = self._name_again(record)
            if name != record.name:
                fields["name"] = name
        changed = record._replace(**fields)
        if record.is_gone and not changed.is_gone and (back := changed.reading) is not None:
            self.events.append(MachineFound(changed.name, self._cloud, back.id, back.label, back.bills))
        machines.change(self._connection, record.seq, **fields)
        if changed.state is not record.state:
            text = changed.state_why or f"It is {changed.state}."
            machines.note(self._connection, record.seq, self._now, changed.state, text)
            self.events.append(MachineChanged(changed.name, record.state, changed.state, changed.state_why))
        elif changed.state_why and changed.state_why != record.state_why:
            machines.note(self._connection, record.seq, self._now, changed.state, changed.state_why)
        for text in change.notes:
            machines.note(self._connection, record.seq, self._now, "changed", text)
            self.events.append(MachineDrifted(changed.name, text))
        if _was_outbid(record, changed):
            self.events.append(MachineOutbid(changed.name))
        if deed is not None and change.end is not None:
            machines.end_deed(self._connection, deed.seq, change.end, self._now, change.error)
            what = f"{deed.what} {change.end}"
            machines.note(self._connection, record.seq, self._now, what, change.error or "")
            proved = change.end == "done"
            self.events.append(
                DeedProved(changed.name, deed.what)
                if proved
                else DeedEnded(changed.name, deed.what, change.end, change.error or "")
            )
        if change.follow is not None:
            assert deed is None or change.end is not None, "one deed ends before the next begins"
            machines.open_deed(self._connection, record.seq, change.follow, change.why, self._owner, self._now)
        return changed

    def _gets_id(self, record: MachineRecord, cloud_id: str) -> None:
        """The answer to an order was lost, and its label tells what became of it."""
        machines.change(self._connection, record.seq, cloud_id=cloud_id)
        machines.note(self._connection, record.seq, self._now, "found", f"Its label was found: it is {cloud_id}.")
        deed = machines.deed_of(self._connection, record.seq)
        if deed is not None and deed.what == "create":
            machines.step_deed(self._connection, deed.seq, step="accepted", tried_at=self._now, error=None)

    def _our_stop(self, record: MachineRecord) -> tuple[bool, bool]:
        """Whether the last thing done was our stop, too short ago for somebody else to have started it since; and
        whether it was our stop at all."""
        deeds = machines.deeds(self._connection, record.seq, limit=2)
        if not deeds or deeds[0].what != "stop" or deeds[0].ended_at is None:
            return False, False
        over_a_start = len(deeds) == 2 and deeds[1].what in ("start", "create") and deeds[1].end != "done"
        return self._now - deeds[0].ended_at < (LATE_START if over_a_start else STALE), True

    def _name_again(self, record: MachineRecord) -> str:
        return free_name(record.name, {other.name for other in machines.every(self._connection)})

    def _tell_hooks(self, record: MachineRecord, reading: Reading | None) -> None:
        for hook in self._hooks:
            hook(self._connection, record, reading, self._asked_at)


def _told(strangers: Sequence[Reading]) -> str:
    """What a list shows of machines that nobody here knows; who wants more audits the account."""
    told = [
        {
            "id": each.id,
            "label": each.label[:100],
            "state": each.state,
            "bills": each.bills,
            "usd_per_hour": None if each.usd_per_hour is None else str(each.usd_per_hour),
        }
        for each in strangers[:MOST_STRANGERS]
    ]
    return json.dumps(told)


def _was_outbid(before: MachineRecord, after: MachineRecord) -> bool:
    is_outbid = after.reading is not None and after.reading.state is State.OUTBID
    was_outbid = before.reading is not None and before.reading.state is State.OUTBID
    return is_outbid and not was_outbid and after.desired is Desired.RUNNING
