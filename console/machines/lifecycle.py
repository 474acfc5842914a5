"""What a reading, or its absence, makes of a machine and of what is being done to it. Pure: values in, values out.

    requested ── booting ── reachable ── ready         an answer to a request is never a proof; a later reading is
        │           │           └──┬──────┘
        │           │           stopping ── stopped    `stopped`: the cloud says so, wants it so, and bills no GPU
        └───────────┴── destroying ── gone             `gone`: the cloud says so, or misses it again and again
    lost, unknown, failed                              what nobody asked for

`after` is the one table of transitions, `unseen` says what silence comes to, `next_act` what a deed needs now, and
`is_overdue` when the user has to be told. Nothing here knows a clock, a store or a cloud.

Two rules come before all others. `STOPPED` needs a reading that was asked for after our request was answered. And one
reading without a machine is nothing: it takes `GONE_READINGS` of them over `GONE_S`, and then a look at it alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

from console.machines.records import Deed, DeedEnd, DeedKind, Desired, MachineRecord, MachineState
from providers.clouds.base import Bills, Reading, State

GONE_READINGS = 3
GONE_S = 30.0
NEVER_SEEN_S = 180.0
"""The same for a machine that no reading ever had: lists are late with what was just made."""

DIED_S = 45.0
"""How long a machine has to read as died until it is believed; three readings about 15 s apart."""

QUEUE_S = 60.0
"""How long a start may wait for a GPU before it is given up: one that is not there by then is another's."""
WATCHED_S = 120.0
"""How long nobody may have looked at an order for it to be destroyed as one that never ran."""
START_SEEN_S = 120.0
"""How long a machine may read as stopped after its start was accepted."""
START_LIMIT_S = 1800.0
"""How long a start may take in all."""

UNKNOWN_AFTER_S = 600.0
"""What was last seen longer ago than this is no longer believed."""

ALARM_S = 120.0
"""How long a stop or a destruction may be without proof before the user is told."""
SLOW_S = 900.0
"""The same for a creation or a start."""
ALARM_PAUSE_S = 3600.0
"""The longest pause between two alarms; they double up to it."""

PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0
"""Between two tries of a request that failed, or that changed nothing."""
PATIENCE_S = 20.0
"""How long an accepted request is left to work before it is sent again."""

UNPAID = (Bills.NOTHING, Bills.DISK)
_COMING_UP = (State.STARTING, State.RUNNING, State.QUEUED)


class Change(NamedTuple):
    """What is to be written."""

    fields: Mapping[str, Any]
    """Of the record; only what is other than before."""
    end: DeedEnd | None = None
    """How the open deed ended."""
    error: str | None = None
    """Why it was given up."""
    follow: DeedKind | None = None
    """What has to be done next, in the place of the open deed or with none open."""
    why: str = ""
    """The reason for `follow`."""
    look: bool = False
    """The machine has to be asked for alone: if the cloud does not know it then either, it is gone."""
    notes: tuple[str, ...] = ()
    """What else changed at the cloud, as sentences for its log."""


class Act(StrEnum):
    WAIT = "wait"
    SEND = "send"
    CANCEL = "cancel"
    """Nobody wants it any more and nothing is left of it."""
    GIVE_UP = "give-up"
    """It took too long; a stop has to follow."""


class _Turn(NamedTuple):
    """Where a reading leads: our word, the reason, and what becomes of the deed."""

    state: MachineState
    why: str = ""
    end: DeedEnd | None = None
    follow: DeedKind | None = None


def is_unpaid(reading: Reading) -> bool:
    """Whether it says that no GPU is paid for, and that this is how it is wanted."""
    return reading.bills in UNPAID and reading.state in (State.STOPPED, State.OUTBID, State.BROKEN)


def after(
    record: MachineRecord,
    reading: Reading | None,
    deed: Deed | None,
    now: datetime,
    *,
    asked_at: datetime | None = None,
    alone: bool = False,
    just_stopped: bool = False,
    stopped_by_us: bool = False,
) -> Change:
    """What becomes of a machine. `reading` is None when a list came without it.

    `asked_at` is when the reading was asked for (now, unless given); `alone` says that the cloud was asked for this one
    machine; `stopped_by_us` that our stop was the last thing done to it, and `just_stopped` that this is so short ago
    that it being up is no wish of anybody's.
    """
    asked_at = asked_at or now
    if reading is None:
        return _absent(record, deed, now, asked_at, alone)
    if record.is_gone and reading.state is State.GONE:
        return Change({})
    fields: dict[str, Any] = {"reading": reading, "seen_at": asked_at}
    if record.missing:
        fields |= {"missing": 0, "missing_since": None}
    if record.is_gone:
        fields["gone_at"] = None
    notes = _prices(record, reading, fields)
    if is_doubtful := _is_doubtful(record, reading, deed):
        turn = _Turn(MachineState.LOST, "Its cloud calls it destroyed, which nobody here asked for; it is asked again.")
    elif deed is None:
        turn = _by_itself(record, reading, now, fields, just_stopped, stopped_by_us)
    else:
        turn = _under_way(record, reading, deed, now, asked_at)
    if reading.state is State.RUNNING and record.started_at is None:
        fields["started_at"] = asked_at
    elif reading.state in (State.STOPPED, State.OUTBID, State.BROKEN, State.GONE) and record.started_at is not None:
        fields["started_at"] = None
    if turn.state is MachineState.GONE:
        fields["gone_at"] = now
    if turn.follow is not None:
        fields["desired"] = Desired.GONE if turn.follow == "destroy" else Desired.STOPPED
    elif turn.end == "done" and deed is not None and deed.what == "stop":
        fields["desired"] = Desired.STOPPED
    _word(record, turn, now, fields)
    given_up = turn.why if turn.end == "given-up" else None
    return Change(
        _changed(record, fields), turn.end, given_up, turn.follow, turn.why if turn.follow else "", is_doubtful, notes
    )


def _is_doubtful(record: MachineRecord, reading: Reading, deed: Deed | None) -> bool:
    """Whether it is called gone for the first time, and nobody here is ending it: clouds have said so of machines that
    ran on."""
    if reading.state is not State.GONE or record.is_gone or record.reading is None:
        return False
    return record.reading.state is not State.GONE and (deed is None or deed.what in ("create", "start"))


def _word(record: MachineRecord, turn: _Turn, now: datetime, fields: dict[str, Any]) -> None:
    if turn.state is not record.state:
        fields |= {"state": turn.state, "state_at": now}
    fields["state_why"] = turn.why


def _changed(record: MachineRecord, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in fields.items() if getattr(record, name) != value}


def _prices(record: MachineRecord, reading: Reading, fields: dict[str, Any]) -> tuple[str, ...]:
    """Take over what the cloud says that it costs, and what it is called there."""
    notes = []
    running = reading.state in (State.RUNNING, State.STARTING)
    price = reading.usd_per_hour
    if price is not None and price != record.usd_per_hour and (running or record.usd_per_hour is None):
        fields["usd_per_hour"] = price
        if record.usd_per_hour is not None:
            notes.append(f"The price changed from ${record.usd_per_hour} to ${price} an hour.")
    if reading.usd_per_hour_stopped is not None:
        fields["usd_per_hour_stopped"] = reading.usd_per_hour_stopped
    before = record.reading
    if before is not None and before.label != reading.label:
        notes.append(f"It was renamed at its cloud, from {before.label!r} to {reading.label!r}.")
    return tuple(notes)


# With nothing of ours under way: what is seen is taken over


def _by_itself(
    record: MachineRecord,
    reading: Reading,
    now: datetime,
    fields: dict[str, Any],
    just_stopped: bool,
    stopped_by_us: bool,
) -> _Turn:
    if record.desired is Desired.GONE and not _is_gone(reading):
        return _Turn(MachineState.DESTROYING, "It is there after all, and is to be gone.", follow="destroy")
    if record.desired is Desired.STOPPED and _is_up(reading):
        if just_stopped:
            return _Turn(MachineState.STOPPING, "It is up again after its stop.", follow="stop")
        if record.is_gone:
            return _Turn(MachineState.STOPPING, "It is there after all, and is to be stopped.", follow="stop")
        fields["desired"] = Desired.RUNNING
        turn = _plain(record._replace(desired=Desired.RUNNING), reading, now)
        return turn._replace(why="It was started at its cloud, not here." + (f" {turn.why}" if turn.why else ""))
    if stopped_by_us and reading.bills is Bills.EVERYTHING and reading.state in (State.STOPPED, State.STOPPING):
        return _Turn(MachineState.STOPPING, _paid(reading), follow="stop")
    if record.desired is Desired.RUNNING and reading.state is State.STOPPED:
        fields["desired"] = Desired.STOPPED
        turn = _plain(record._replace(desired=Desired.STOPPED), reading, now)
        return turn._replace(why="It was stopped at its cloud, not here." + (f" {turn.why}" if turn.why else ""))
    turn = _plain(record, reading, now)
    if turn.state is record.state and not turn.why:
        return turn._replace(why=record.state_why)
    return turn


def _is_up(reading: Reading) -> bool:
    """Whether it runs or is about to, or has a GPU that is paid for without anything running on it."""
    paid_idle = reading.bills is Bills.EVERYTHING and reading.state in (State.DIED, State.BROKEN, State.LOST)
    return reading.state in _COMING_UP or paid_idle


def _is_gone(reading: Reading) -> bool:
    return reading.state is State.GONE and reading.bills in (*UNPAID, Bills.UNKNOWN)


def _plain(record: MachineRecord, reading: Reading, now: datetime) -> _Turn:
    """Our word for what a cloud says, when it is all that counts."""
    match reading.state:
        case State.STARTING:
            return _Turn(MachineState.BOOTING)
        case State.RUNNING:
            reached = record.state in (MachineState.REACHABLE, MachineState.READY)
            return _Turn(record.state if reached else MachineState.BOOTING)
        case State.STOPPING:
            return _Turn(MachineState.STOPPING)
        case State.STOPPED:
            return _Turn(MachineState.STOPPED) if is_unpaid(reading) else _Turn(MachineState.STOPPING, _paid(reading))
        case State.QUEUED:
            return _Turn(
                MachineState.REQUESTED,
                "A start waits for a GPU at its cloud and may come up at any time; a stop ends it.",
            )
        case State.OUTBID:
            if record.desired is Desired.STOPPED and is_unpaid(reading):
                return _Turn(MachineState.STOPPED)
            return _Turn(MachineState.LOST, "It was taken away for a higher bid.")
        case State.DIED:
            return _died(record, now, reading)
        case State.BROKEN:
            return _Turn(MachineState.FAILED, reading.message or "Its cloud says that it will never run.")
        case State.LOST:
            return _Turn(MachineState.LOST, "Its cloud has no contact with the host.")
        case State.DESTROYING:
            return _Turn(MachineState.DESTROYING)
        case State.GONE if _is_gone(reading):
            return _Turn(MachineState.GONE, "It was destroyed.")
        case State.GONE:
            return _Turn(MachineState.DESTROYING, "Its cloud calls it destroyed, and still bills it.")
        case State.UNKNOWN:
            return _Turn(MachineState.UNKNOWN, f"Its cloud says {reading.words!r}, which nobody knows.")
        case _:
            assert_never(reading.state)


def _paid(reading: Reading) -> str:
    if reading.bills is Bills.EVERYTHING:
        return "Its cloud calls it stopped, and it is still paid at the full price."
    return "Its cloud calls it stopped, and nothing says what is still paid for."


def _died(record: MachineRecord, now: datetime, reading: Reading) -> _Turn:
    before = record.reading
    again = before is not None and before.state is State.DIED
    if record.state is MachineState.FAILED and again:
        return _Turn(MachineState.FAILED, record.state_why)
    if record.state is MachineState.LOST and again and now - record.state_at >= timedelta(seconds=DIED_S):
        return _Turn(MachineState.FAILED, reading.message or "What ran on it has ended.")
    return _Turn(MachineState.LOST, "What ran on it seems to have ended.")


# With a deed of ours open


def _under_way(record: MachineRecord, reading: Reading, deed: Deed, now: datetime, asked_at: datetime) -> _Turn:
    if _is_gone(reading):
        ended: DeedEnd = "done" if deed.what in ("stop", "destroy") else "given-up"
        return _Turn(MachineState.GONE, "It was destroyed.", ended)
    match deed.what:
        case "create":
            return _creating(record, reading, deed, now)
        case "start":
            return _starting(record, reading, deed, now, asked_at)
        case "stop":
            return _stopping(record, reading, deed, asked_at)
        case "destroy":
            return _Turn(MachineState.DESTROYING, deed.error or "")
        case _:
            assert_never(deed.what)


def _since(deed: Deed, now: datetime) -> float:
    return (now - (deed.tried_at or deed.begun_at)).total_seconds()


def _creating(record: MachineRecord, reading: Reading, deed: Deed, now: datetime) -> _Turn:
    """What was ordered and never ran holds nothing: if it cannot run, it is destroyed. Else it is stopped."""
    price, ceiling = reading.usd_per_hour, record.ceiling_usd_per_hour
    if price is not None and ceiling is not None and round(price, 3) > ceiling and not reading.spot:
        why = f"It costs ${price} an hour, more than the ${ceiling} it may."
        return _Turn(MachineState.DESTROYING, why, "given-up", "destroy")
    turn = _plain(record, reading, now)
    match reading.state:
        case State.RUNNING:
            return turn._replace(end="done")
        case State.BROKEN:
            return _Turn(MachineState.DESTROYING, turn.why, "given-up", "destroy")
        case State.DIED if turn.state is MachineState.FAILED:
            return _Turn(MachineState.STOPPING, turn.why, "given-up", "stop")
        case State.QUEUED | State.STOPPED | State.OUTBID:
            if _since(deed, now) < QUEUE_S:
                return _Turn(MachineState.REQUESTED, "It waits for a GPU.")
            if _was_watched(record, deed, now):
                return _Turn(MachineState.DESTROYING, "There was no GPU for it.", "given-up", "destroy")
            return _Turn(MachineState.STOPPING, "It is off, and nobody saw whether it ran.", "given-up", "stop")
        case _:
            return turn


def _was_watched(record: MachineRecord, deed: Deed, now: datetime) -> bool:
    """Whether it cannot have run unseen for long since it was ordered."""
    seen_at = record.seen_at or deed.tried_at or deed.begun_at
    return record.started_at is None and (now - seen_at).total_seconds() <= WATCHED_S


def _starting(record: MachineRecord, reading: Reading, deed: Deed, now: datetime, asked_at: datetime) -> _Turn:
    """A start that is given up is followed by a stop, or it may come up later, unattended."""
    turn = _plain(record._replace(desired=Desired.RUNNING), reading, now)
    if deed.tried_at is None or asked_at <= deed.tried_at:
        return _Turn(MachineState.REQUESTED, turn.why if turn.state is not MachineState.STOPPED else "")
    waited = _since(deed, now)

    def given_up(why: str) -> _Turn:
        return _Turn(MachineState.STOPPING, why, "given-up", "stop")

    match reading.state:
        case State.RUNNING:
            return turn._replace(end="done")
        case State.QUEUED | State.OUTBID if waited >= QUEUE_S:
            return given_up("Its GPU is not free.")
        case State.STOPPED if waited >= START_SEEN_S:
            return given_up("The start changed nothing.")
        case State.BROKEN:
            return given_up(turn.why)
        case State.DIED if turn.state is MachineState.FAILED:
            return given_up(turn.why)
        case State.QUEUED | State.OUTBID | State.STOPPED:
            return _Turn(MachineState.REQUESTED, turn.why if reading.state is not State.STOPPED else "")
        case _:
            return turn


def _stopping(record: MachineRecord, reading: Reading, deed: Deed, asked_at: datetime) -> _Turn:
    # Only after an answer: a request without one may never have arrived, and a list may be an old one.
    if is_unpaid(reading) and deed.step == "accepted" and deed.tried_at is not None and asked_at > deed.tried_at:
        if reading.state is State.BROKEN:
            return _Turn(MachineState.FAILED, reading.message or "Its cloud says that it will never run.", "done")
        return _Turn(MachineState.STOPPED, "", "done")
    if reading.state is State.STOPPED and not is_unpaid(reading):
        return _Turn(MachineState.STOPPING, _paid(reading))
    return _Turn(MachineState.STOPPING, deed.error or "")


# Not in a list that came


def _absent(record: MachineRecord, deed: Deed | None, now: datetime, asked_at: datetime, alone: bool) -> Change:
    if record.is_gone:
        return Change({})
    if deed is not None and deed.what == "create" and (deed.tried_at is None or asked_at <= deed.tried_at):
        return Change({})  # it could not be there yet
    if record.origin == "settings":
        return unseen(record, deed, now) or Change({})
    missing, since = record.missing, record.missing_since or now
    if not alone:
        missing += 1
    fields: dict[str, Any] = {"missing": missing, "missing_since": since}
    limit_s = GONE_S if record.seen_at is not None else NEVER_SEEN_S
    enough = missing >= GONE_READINGS and (now - since).total_seconds() >= limit_s
    if enough and record.cloud_id is None and deed is not None and deed.what == "create":
        return Change(_changed(record, fields))  # whoever ordered it decides, see `next_act`
    if enough and (alone or record.cloud_id is None):
        return _vanished(record, deed, now, fields)
    if record.seen_at is None:
        return Change(_changed(record, fields), look=enough)  # not in the lists yet
    held = {"stop": MachineState.STOPPING, "destroy": MachineState.DESTROYING}
    state = held.get(deed.what, MachineState.LOST) if deed is not None else MachineState.LOST
    _word(record, _Turn(state, "Its cloud does not name it at the moment."), now, fields)
    return Change(_changed(record, fields), look=enough)


def _vanished(record: MachineRecord, deed: Deed | None, now: datetime, fields: dict[str, Any]) -> Change:
    end: DeedEnd | None = None
    if deed is not None:
        end = "done" if deed.what in ("stop", "destroy") else "given-up"
    why = "Its cloud does not know it any more." if record.seen_at else "Its cloud never named it."
    fields |= {"gone_at": now, "started_at": None}
    if record.seen_at is None:
        fields["desired"] = Desired.GONE  # nobody ever had it; should it come up late, it goes
    _word(record, _Turn(MachineState.GONE, why), now, fields)
    return Change(_changed(record, fields), end, why if end == "given-up" else None)


def unseen(record: MachineRecord, deed: Deed | None, now: datetime) -> Change | None:
    """What a cloud that does not answer makes of a machine: what was last seen stays, until it is too old to believe.

    None when nothing changes. It never makes `stopped` or `gone` of anything.
    """
    if record.is_gone or record.state is MachineState.UNKNOWN or (deed is not None and deed.what != "start"):
        return None
    if (now - (record.seen_at or record.created_at)).total_seconds() < UNKNOWN_AFTER_S:
        return None
    fields: dict[str, Any] = {}
    _word(record, _Turn(MachineState.UNKNOWN, "Its cloud does not answer."), now, fields)
    return Change(_changed(record, fields))


# What a deed needs


def next_act(record: MachineRecord, deed: Deed, now: datetime, *, orphan: bool) -> Act:
    """What is to be done now. `orphan`: whoever wished it is no longer there to wait for it."""
    due = deed.next_at is None or now >= deed.next_at
    match deed.what:
        case "create":
            if deed.step == "intended":
                return Act.CANCEL if orphan else Act.WAIT
            return Act.CANCEL if orphan and was_never_there(record, now) else Act.WAIT
        case "start":
            if deed.step == "intended" and orphan:
                return Act.CANCEL
            began = deed.begun_at if deed.step == "intended" else deed.tried_at or deed.begun_at
            if (now - began).total_seconds() >= START_LIMIT_S:
                return Act.GIVE_UP
            return Act.SEND if deed.step == "intended" and _can_start(record, due) else Act.WAIT
        case "stop" | "destroy":
            return Act.SEND if due and record.cloud_id is not None else Act.WAIT
        case _:
            assert_never(deed.what)


def _can_start(record: MachineRecord, due: bool) -> bool:
    """A start over a stop that is under way waits for the stop: the two would be done in any order."""
    state = record.reading.state if record.reading is not None else State.UNKNOWN
    return (
        record.cloud_id is not None and state is not State.STOPPING and (due or state in (State.STOPPED, State.OUTBID))
    )


def was_never_there(record: MachineRecord, now: datetime, limit_s: float = NEVER_SEEN_S) -> bool:
    """Whether an order whose answer was lost made nothing: no list had its label, again and again."""
    if record.cloud_id is not None or record.missing < GONE_READINGS or record.missing_since is None:
        return False
    return (now - record.missing_since).total_seconds() >= limit_s


def pause_s(tries: int, chance: float) -> float:
    """How long to wait after one more try in vain: doubling, with a quarter of chance either way."""
    return min(LONGEST_PAUSE_S, PAUSE_S * 2.0 ** min(max(tries - 1, 0), 10)) * (0.75 + 0.5 * chance)


def is_overdue(deed: Deed, now: datetime) -> bool:
    """Whether the user has to be told (again) that there is no proof yet."""
    begun_s = (now - deed.begun_at).total_seconds()
    if begun_s < (ALARM_S if deed.what in ("stop", "destroy") else SLOW_S):
        return False
    if deed.alarmed_at is None:
        return True
    told_s = (now - deed.alarmed_at).total_seconds()
    return told_s >= min((deed.alarmed_at - deed.begun_at).total_seconds(), ALARM_PAUSE_S)
