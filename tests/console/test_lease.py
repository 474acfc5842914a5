"""The rules of leases, by direct cases and by tens of thousands of random histories."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from console.machines.lease import CHECK, READ_KINDS, STALE, End, Keep, Lease, Limits, Signal, Verdict, Warn, verdict

START = datetime(2026, 9, 1, 10, tzinfo=UTC)
HALF_HOUR = Limits(timedelta(minutes=30), timedelta(hours=12), "stop")
OFF = HALF_HOUR._replace(idle=None)
LEASE = Lease(1, START, START + timedelta(hours=12))


def after(**span: float) -> datetime:
    return START + timedelta(**span)


def seen(now: datetime, active: dict[str, datetime] | None = None, *, since: datetime = START) -> dict[str, Signal]:
    """Everything that has to be read was read a moment ago, and showed work at these times."""
    active = active or {}
    return {
        kind: Signal(kind, active.get(kind), now, since, "work" if kind in active else "")
        for kind in dict.fromkeys((*READ_KINDS, *active))
    }


def ends_at(said: Verdict) -> datetime:
    assert isinstance(said, Keep | Warn)
    return said.until if isinstance(said, Keep) else said.at


def test_machine_is_ended_half_an_hour_after_its_last_work() -> None:
    worked = after(minutes=50)

    before = verdict(LEASE, seen(after(minutes=79), {"gpu": worked}), HALF_HOUR, after(minutes=79))
    then = verdict(LEASE, seen(after(minutes=80), {"gpu": worked}), HALF_HOUR, after(minutes=80))

    assert isinstance(before, Warn)
    assert before.at == after(minutes=80)
    assert isinstance(then, End)
    assert then.cause == "idle"
    assert "30 min" in then.why


def test_machine_that_was_just_started_counts_as_active_since_its_start() -> None:
    said = verdict(LEASE, seen(after(minutes=10)), HALF_HOUR, after(minutes=10))

    assert isinstance(said, Keep)
    assert said.until == after(minutes=30)


def test_long_boot_is_not_idleness() -> None:
    said = verdict(LEASE, seen(after(minutes=50)), HALF_HOUR, after(minutes=50), came_up=after(minutes=45))

    assert ends_at(said) == after(minutes=75)


def test_what_cannot_be_read_counts_as_work_up_to_the_hard_end() -> None:
    blind = {"gpu": Signal("gpu", START, after(hours=1), START, "busy")}

    at_six = verdict(LEASE, blind, HALF_HOUR, after(hours=6))
    at_twelve = verdict(LEASE, blind, HALF_HOUR, after(hours=12))

    assert isinstance(at_six, Keep)
    assert "not known" in at_six.why
    assert isinstance(at_twelve, End)
    assert at_twelve.cause == "hard"


def test_busy_machine_is_ended_at_its_hard_end_and_warned_of_it() -> None:
    def at(now: datetime) -> Verdict:
        return verdict(LEASE, seen(now, {"requests": now}), HALF_HOUR, now)

    assert isinstance(at(after(hours=11)), Keep)
    assert at(after(hours=11, minutes=56)) == Warn(after(hours=12), "hard", at(after(hours=11, minutes=56)).why)
    assert isinstance(at(after(hours=12)), End)


def test_off_never_ends_for_idleness_and_not_at_once() -> None:
    for hours in (0, 1, 6, 11):
        now = after(hours=hours)
        assert ends_at(verdict(LEASE, {}, OFF, now)) == LEASE.hard_until


def test_pin_keeps_an_idle_machine_until_it_expires() -> None:
    pinned = LEASE._replace(pinned_until=after(hours=3), pin_why="a download")

    during = verdict(pinned, seen(after(hours=2)), HALF_HOUR, after(hours=2))
    then = verdict(pinned, seen(after(hours=3)), HALF_HOUR, after(hours=3))

    assert ends_at(during) == after(hours=3)
    assert "a download" in during.why
    assert isinstance(then, End)


def test_pin_does_not_outlive_the_hard_end() -> None:
    pinned = LEASE._replace(pinned_until=after(hours=20), pin_why="a download")
    extended = pinned._replace(hard_until=after(hours=20))

    assert isinstance(verdict(pinned, seen(after(hours=12)), HALF_HOUR, after(hours=12)), End)
    assert isinstance(verdict(extended, seen(after(hours=12)), HALF_HOUR, after(hours=12)), Keep)


def test_sleep_of_the_computer_proves_nothing_until_the_machine_was_looked_at() -> None:
    asleep_from, awake = after(minutes=10), after(hours=8)
    before_the_look = seen(asleep_from)
    first_look = seen(awake, since=awake)
    second_look = seen(awake + CHECK, since=awake)

    assert isinstance(verdict(LEASE, before_the_look, HALF_HOUR, awake), Keep)
    assert isinstance(verdict(LEASE, first_look, HALF_HOUR, awake), Keep)
    assert isinstance(verdict(LEASE, second_look, HALF_HOUR, awake + CHECK), End)


def test_work_from_the_future_is_work_of_now() -> None:
    now = after(minutes=40)

    said = verdict(LEASE, seen(now, {"gpu": after(hours=9)}), HALF_HOUR, now)

    assert ends_at(said) == now + timedelta(minutes=30)


STEPS = ("look idle", "look busy", "look in part", "request", "wait", "sleep", "pin", "unpin", "extend", "back")
OFTEN = (8, 4, 1, 2, 4, 1, 1, 1, 1, 1)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_no_history_ends_a_machine_wrongly_or_leaves_it_running(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        _live(chance)


def _live(chance: random.Random) -> None:
    """One life of a machine, with everything that may happen to it; the rules are asked after each step."""
    idle_min, hard_h = chance.choice((None, 1, 10, 30, 240)), chance.choice((1, 2, 12))
    limits = Limits(None if idle_min is None else timedelta(minutes=idle_min), timedelta(hours=hard_h), "stop")
    lease = Lease(1, START, START + limits.hard)
    signals: dict[str, Signal] = {}
    now = worked = START

    def look(kind: str, *, active: bool) -> None:
        before = signals.get(kind)
        unbroken = before is not None and timedelta(0) <= now - before.seen_at <= STALE
        since = before.seen_from if before is not None and unbroken else now
        last = now if active else before.active_at if before is not None else None
        signals[kind] = Signal(kind, last, now, since)

    for what in chance.choices(STEPS, OFTEN, k=chance.randint(1, 30)):
        amount = chance.randint(1, 60)
        match what:
            case "look idle" | "look busy":
                for kind in READ_KINDS:
                    look(kind, active=what == "look busy" and kind == "gpu")
                worked = now if what == "look busy" else worked
                now += timedelta(minutes=1)
            case "look in part":
                look("gpu", active=False)
            case "request":
                look("requests", active=True)
                worked = now
            case "pin":
                lease = lease._replace(pinned_until=now + timedelta(minutes=10 * amount), pin_why="said")
            case "unpin":
                lease = lease._replace(pinned_until=None)
            case "extend":
                lease = lease._replace(hard_until=max(lease.hard_until, now) + timedelta(minutes=amount))
            case "sleep":
                now += timedelta(minutes=15 * amount)
            case "back":
                now -= timedelta(minutes=amount)
            case _:
                now += timedelta(minutes=amount)

        said = verdict(lease, signals, limits, now)

        is_over = now >= lease.hard_until
        assert isinstance(said, End) or not is_over, "it always ends by its hard end"
        if isinstance(said, End) and not is_over:
            assert limits.idle is not None, "off never ends for idleness"
            assert lease.pinned_until is None or lease.pinned_until <= now, "a pinned one is kept"
            assert now - worked >= limits.idle, "a busy one is kept"
            for kind in READ_KINDS:
                assert now - signals[kind].seen_at <= STALE, "what nobody has seen is kept"
                assert now - signals[kind].seen_from >= CHECK, "one look after a gap is not enough"
        elif not isinstance(said, End):
            assert now <= ends_at(said) <= lease.hard_until
