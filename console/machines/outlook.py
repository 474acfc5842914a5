"""What a question to a machine would begin with: a connection, a start, or a rental; how long, for how much.

By the store alone: what was seen last, what boots took, and the limits that the user set. Nobody is asked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from console.errors import MachineError
from console.history import machines
from console.machines import boot, wishes, words
from console.machines.boot import Phase
from providers.clouds.base import State

if TYPE_CHECKING:
    from console.machines.records import MachineRecord
    from console.settings import LeaseSettings, Machine

Whereabouts: TypeAlias = Literal["on", "coming", "off", "unrented", "unknown"]

_STATES: Mapping[State, Whereabouts] = {
    State.RUNNING: "on",
    State.STARTING: "coming",
    State.QUEUED: "coming",
    State.LOST: "unknown",
}
_AFTER_A_STOP = (Phase.RENTED, Phase.SSH, Phase.SERVICE, Phase.WARM)


class Outlook(NamedTuple):
    """How a machine stands towards the next question."""

    state: Whereabouts
    """`unknown` for a machine of the user's own that nothing can tell about."""
    seen_at: datetime | None = None
    usd_per_hour: Decimal | None = None
    """While it runs; of one that is not rented yet, the most that it may be."""
    up_in_s: float | None = None
    """What it usually takes until it answers; None where nothing has to be started."""
    why_not: str = ""
    """Why a question does not start it, in a sentence; empty where it would."""
    gpu: str = ""

    @property
    def price_words(self) -> str:
        if self.usd_per_hour is None:
            return "price unknown"
        return f"{'at most ' if self.state == 'unrented' else ''}{words.per_hour(self.usd_per_hour)}"

    def words(self) -> str:
        """For a heading: as short as can be."""
        match self.state:
            case "on":
                return f"on, not connected · {self.price_words}" if self.usd_per_hour else "on, not connected"
            case "coming":
                return "coming up"
            case "unknown":
                return "not connected"
            case "off" | "unrented":
                pass
        parts = ["off" if self.state == "off" else "not rented"]
        if self.why_not:
            parts.append("a question does not start it")
        elif self.up_in_s is not None:
            parts += [f"up in about {words.span(self.up_in_s)}", self.price_words]
        return " · ".join(parts)

    def sentence(self, machine: str) -> str:
        """What the first question will do."""
        match self.state:
            case "on":
                return f"{machine} runs; the first question connects to it."
            case "coming":
                return f"{machine} is coming up; the first question waits for it."
            case "unknown":
                return f"{machine} is not connected; the first question connects to it."
            case "off" | "unrented":
                pass
        if self.why_not:
            return self.why_not
        does = "starts it" if self.state == "off" else f"rents {self.gpu or 'it'}"
        takes = "" if self.up_in_s is None else f", which takes about {words.span(self.up_in_s)}"
        is_what = "off" if self.state == "off" else "not rented yet"
        return f"{machine} is {is_what}: the first question {does}{takes}, for {self.price_words}."


def outlooks(
    connection: sqlite3.Connection, known: Mapping[str, Machine], lease: LeaseSettings, now: datetime
) -> dict[str, Outlook]:
    """Of all machines of the settings, which those rented without being written there have joined."""
    records = {record.name: record for record in machines.every(connection)}
    boots = boot.Known(connection)
    wakes = wishes.wakes_today(connection, now)
    return {
        name: _of(machine, records.get(name), boots, _why_not(name, lease, wakes, now))
        for name, machine in known.items()
    }


def _of(machine: Machine, record: MachineRecord | None, boots: boot.Known, why_not: str) -> Outlook:
    is_own = machine.cloud == "ssh"
    reading = record.reading if record is not None else None
    if is_own and (reading is None or machine.start is None):
        state: Whereabouts = "on" if reading is not None and reading.state is State.RUNNING else "unknown"
        return Outlook(state, usd_per_hour=machine.usd_per_hour)
    if record is None:
        takes_s = boot.expected_total_s(boots.expected(machine.cloud, ""))
        return Outlook("unrented", None, machine.max_price_usd_per_hour, takes_s, why_not, machine.gpu or "")
    if reading is None:
        return Outlook("coming", record.seen_at, record.usd_per_hour)
    state = _STATES.get(reading.state, "off")
    price = machine.usd_per_hour if is_own else reading.usd_per_hour or record.usd_per_hour
    if state != "off":
        return Outlook(state, record.seen_at, price)
    takes_s = boot.expected_total_s(boots.expected(record.cloud, reading.host), _AFTER_A_STOP)
    return Outlook("off", record.seen_at, price, takes_s, why_not, reading.gpu)


def _why_not(name: str, lease: LeaseSettings, wakes: int, now: datetime) -> str:
    try:
        wishes.check_wake(name, lease, wakes, now)
    except MachineError as error:
        return f"{error.text} {error.hint or ''}".rstrip()
    return ""
