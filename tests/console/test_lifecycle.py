"""The table of transitions by itself: what must hold for any machine, any reading and any deed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.machines import lifecycle
from console.machines.lifecycle import Act, Change, after, is_overdue, next_act, pause_s, unseen
from console.machines.records import Deed, DeedKind, DeedStep, Desired, MachineRecord, MachineState
from providers.clouds.base import Bills, Reading, State

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
UNPAID = (Bills.NOTHING, Bills.DISK)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def record(**fields: Any) -> MachineRecord:
    plain: dict[str, Any] = {
        "seq": 1, "name": "box", "cloud": "cloud", "cloud_id": "1", "label": "hawser-box-aaaaaaaa",
        "origin": "launched", "desired": Desired.RUNNING, "state": MachineState.BOOTING, "state_at": ago(100),
        "state_why": "", "reading": None, "seen_at": ago(5), "missing": 0, "order": {},
        "usd_per_hour": Decimal("0.4"), "usd_per_hour_stopped": None, "ceiling_usd_per_hour": None,
        "at_end": "stop", "created_at": ago(1000), "started_at": None, "gone_at": None,
    }  # fmt: skip
    return MachineRecord(**{**plain, **fields})


def reading(state: State, bills: Bills | None = None, **fields: Any) -> Reading:
    usual = Bills.EVERYTHING if state is State.RUNNING else Bills.DISK
    return Reading("1", "hawser-box-aaaaaaaa", state, bills or usual, **fields)


def deed(what: DeedKind, step: DeedStep = "accepted", **fields: Any) -> Deed:
    plain: dict[str, Any] = {
        "seq": 1, "machine": 1, "what": what, "why": "", "step": step, "owner": "1:1", "tries": 1, "begun_at": ago(60),
        "tried_at": ago(50) if step != "intended" else None, "next_at": None, "alarmed_at": None, "ended_at": None,
        "end": None, "error": None,
    }  # fmt: skip
    return Deed(**{**plain, **fields})


ages = st.sampled_from([0.0, 1.0, 29.0, 31.0, 61.0, 121.0, 200.0, 1000.0, 4000.0])
readings = st.builds(
    lambda state, bills, spot, price: reading(state, bills, spot=spot, usd_per_hour=price),
    st.sampled_from(State),
    st.sampled_from(Bills),
    st.booleans(),
    st.sampled_from([None, Decimal("0.4"), Decimal(2)]),
)
records = st.builds(
    lambda desired, state, age, missing, seen, last, cloud_id, gone, ceiling: record(
        desired=desired,
        state=MachineState.GONE if gone else state,
        state_at=ago(age),
        missing=missing,
        missing_since=ago(age) if missing else None,
        seen_at=ago(seen) if last is not None else None,
        reading=last,
        cloud_id=cloud_id,
        gone_at=ago(age) if gone else None,
        ceiling_usd_per_hour=ceiling,
    ),
    st.sampled_from(Desired),
    st.sampled_from([state for state in MachineState if state is not MachineState.GONE]),
    ages,
    st.integers(0, 4),
    ages,
    st.none() | readings,
    st.sampled_from(["1", None]),
    st.booleans(),
    st.sampled_from([None, Decimal(1)]),
)
deeds = st.none() | st.builds(
    lambda what, step, age: deed(what, step, begun_at=ago(age + 10), tried_at=ago(age) if step != "intended" else None),
    st.sampled_from(["create", "start", "stop", "destroy"]),
    st.sampled_from(["intended", "sent", "accepted"]),
    ages,
)


def changed(before: MachineRecord, change: Change) -> MachineRecord:
    return before._replace(**change.fields)


@settings(max_examples=3_000, deadline=None)
@given(records, st.none() | readings, deeds, ages, st.booleans(), st.booleans(), st.booleans())
def test_no_word_is_said_without_its_proof(
    before: MachineRecord,
    seen: Reading | None,
    under_way: Deed | None,
    asked_s: float,
    alone: bool,
    just_stopped: bool,
    ours: bool,
) -> None:
    asked_at = ago(asked_s)
    change = after(
        before, seen, under_way, NOW, asked_at=asked_at, alone=alone, just_stopped=just_stopped, stopped_by_us=ours
    )
    now = changed(before, change)

    if now.state is MachineState.STOPPED and "state" in change.fields:
        assert seen is not None
        assert seen.bills in UNPAID
        assert seen.state in (State.STOPPED, State.OUTBID)
    if under_way is not None and under_way.what == "stop" and change.end == "done":
        proved = seen is not None and (lifecycle.is_unpaid(seen) or seen.state is State.GONE)
        assert proved or now.is_gone
        if not now.is_gone:
            assert under_way.step == "accepted"
            assert under_way.tried_at is not None
            assert asked_at > under_way.tried_at
    if now.is_gone and not before.is_gone:
        named_gone = seen is not None and seen.state is State.GONE and seen.bills is not Bills.EVERYTHING
        assert named_gone or (seen is None and now.missing >= 3 and (alone or before.cloud_id is None))
        assert now.gone_at == NOW
    if change.end == "given-up" and under_way is not None and under_way.what == "start" and not now.is_gone:
        assert change.follow == "stop"
    if change.follow == "destroy":
        assert before.desired is Desired.GONE or (under_way is not None and under_way.what == "create")
    if change.follow is not None:
        assert under_way is None or change.end is not None
        assert now.desired is (Desired.GONE if change.follow == "destroy" else Desired.STOPPED)
    if under_way is not None and under_way.what in ("stop", "destroy") and change.end is None and not before.is_gone:
        unlisted = seen is None and before.seen_at is None
        assert unlisted or now.state in (MachineState.STOPPING, MachineState.DESTROYING)


@settings(max_examples=1_000, deadline=None)
@given(records, deeds)
def test_silence_makes_nothing_stopped_or_gone(before: MachineRecord, under_way: Deed | None) -> None:
    change = unseen(before, under_way, NOW)

    assert change is None or change.fields["state"] is MachineState.UNKNOWN


@settings(max_examples=1_000, deadline=None)
@given(records, deeds.filter(lambda one: one is not None), st.booleans())
def test_a_stop_is_never_given_up(before: MachineRecord, under_way: Deed, orphan: bool) -> None:
    act = next_act(before, under_way, NOW, orphan=orphan)

    if under_way.what in ("stop", "destroy"):
        assert act in (Act.SEND, Act.WAIT)
    if act is Act.SEND:
        assert under_way.what != "create"
        assert under_way.next_at is None or under_way.next_at <= NOW


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("bills", Bills)
def test_every_word_of_every_cloud_has_a_place(state: State, bills: Bills) -> None:
    change = after(record(state=MachineState.READY), reading(state, bills), None, NOW)

    word = changed(record(state=MachineState.READY), change).state
    expected = {
        State.STARTING: {MachineState.BOOTING},
        State.RUNNING: {MachineState.READY},
        State.STOPPING: {MachineState.STOPPING},
        State.STOPPED: {MachineState.STOPPED} if bills in UNPAID else {MachineState.STOPPING},
        State.QUEUED: {MachineState.REQUESTED},
        State.OUTBID: {MachineState.LOST},
        State.DIED: {MachineState.LOST},
        State.BROKEN: {MachineState.FAILED},
        State.LOST: {MachineState.LOST},
        State.DESTROYING: {MachineState.DESTROYING},
        State.GONE: {MachineState.DESTROYING} if bills is Bills.EVERYTHING else {MachineState.GONE},
        State.UNKNOWN: {MachineState.UNKNOWN},
    }
    assert word in expected[state]


def test_a_machine_is_missed_three_times_over_half_a_minute_and_then_asked_for_alone() -> None:
    machine = record()
    looks = []
    for second in (0, 5, 10, 40):
        change = after(machine, None, None, NOW + timedelta(seconds=second))
        machine = changed(machine, change)
        looks.append(change.look)
        assert machine.state is MachineState.LOST

    assert looks == [False, False, False, True]
    gone = changed(machine, after(machine, None, None, NOW + timedelta(seconds=41), alone=True))
    assert gone.state is MachineState.GONE


def test_one_reading_makes_up_for_all_that_were_missed() -> None:
    missed = record(missing=2, missing_since=ago(100), state=MachineState.LOST)

    seen = changed(missed, after(missed, reading(State.RUNNING), None, NOW))

    assert (seen.missing, seen.missing_since, seen.state) == (0, None, MachineState.BOOTING)


def test_a_death_is_believed_after_a_while() -> None:
    machine = record(state=MachineState.READY, reading=reading(State.RUNNING))
    words = []
    for second in (0, 15, 30, 45):
        change = after(machine, reading(State.DIED, Bills.EVERYTHING), None, NOW + timedelta(seconds=second))
        machine = changed(machine, change)
        words.append(machine.state)

    assert words == ["lost", "lost", "lost", "failed"]


@pytest.mark.parametrize(
    ("desired", "state", "wants", "why"),
    [
        (Desired.STOPPED, State.RUNNING, Desired.RUNNING, "It was started at its cloud, not here."),
        (Desired.RUNNING, State.STOPPED, Desired.STOPPED, "It was stopped at its cloud, not here."),
    ],
)
def test_what_others_do_is_taken_over(desired: Desired, state: State, wants: Desired, why: str) -> None:
    now = record(desired=desired)

    now = changed(now, after(now, reading(state), None, NOW))

    assert (now.desired, now.state_why) == (wants, why)


def test_a_new_price_and_a_new_name_are_taken_over_and_told() -> None:
    before = record(reading=reading(State.RUNNING), state=MachineState.READY)
    renamed = reading(State.RUNNING, usd_per_hour=Decimal("0.5"))._replace(label="mine")

    change = after(before, renamed, None, NOW)

    assert change.fields["usd_per_hour"] == Decimal("0.5")
    assert change.notes == (
        "The price changed from $0.4 to $0.5 an hour.",
        "It was renamed at its cloud, from 'hawser-box-aaaaaaaa' to 'mine'.",
    )


def test_alarms_come_after_two_minutes_and_then_further_and_further_apart() -> None:
    stop = deed("stop", begun_at=NOW)
    told = []
    for second in range(0, 6 * 3600, 10):
        now = NOW + timedelta(seconds=second)
        if is_overdue(stop, now):
            told.append(second)
            stop = stop._replace(alarmed_at=now)

    assert told == [120, 240, 480, 960, 1920, 3840, 7440, 11040, 14640, 18240]


def test_pauses_grow_and_are_never_the_same() -> None:
    assert [pause_s(tries, 0.5) for tries in (1, 2, 3, 7, 50)] == [5.0, 10.0, 20.0, 300.0, 300.0]
    assert pause_s(1, 0.0) < pause_s(1, 1.0)
