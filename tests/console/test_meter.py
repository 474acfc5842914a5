"""The meter: confirmed time becomes money, exactly, and nothing else does."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.history import books, meters, schema
from console.machines.records import MachineRecord, MachineState
from console.money.ledger import LedgerEntry
from console.money.meter import FAR_APART, LINE, Meter
from console.settings import Machine
from providers.clouds.base import Bills
from tests.conftest import unmeasured
from tests.console.money_kit import NOON, add_machine, lines, reading, record

ROOT = Path(__file__).parents[2]
RUNNING, DISK, FREE, UNSURE = Bills.EVERYTHING, Bills.DISK, Bills.NOTHING, Bills.UNKNOWN


class Desk:
    """A meter over a store in memory, and one machine."""

    def __init__(self, machine: MachineRecord | None = None, own: Machine | None = None, zone: Any = UTC) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        schema.create(self.connection, 0)
        self.machine = add_machine(self.connection, machine or record())
        self.meter = Meter({self.machine.name: own} if own is not None else {}, zone=zone)
        self.at = NOON

    def see(self, bills: Bills | None, *, minutes: float = 0, seconds: float = 0, **changes: Any) -> None:
        """A reading, some time after the last one; None for a machine that the answer does not have."""
        self.at += timedelta(minutes=minutes, seconds=seconds)
        prices = {name: changes.pop(name) for name in list(changes) if name.startswith("usd_per")}
        seen = None if bills is None else reading(bills, **prices)
        self.meter(self.connection, self.machine._replace(**changes), seen, self.at)

    def lines(self, task: str | None = None) -> list[LedgerEntry]:
        return [line for line in lines(self.connection) if task in (None, line.task)]

    def total(self) -> Decimal:
        """What the books say, booked or not."""
        booked = sum((line.cost_usd or Decimal(0) for line in self.lines()), Decimal(0))
        every = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))
        return booked + meters.unbooked_usd(self.connection, *every)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    with closing(made.connection):
        yield made


def test_time_between_two_readings_that_agree_is_paid_for(desk: Desk) -> None:
    desk.see(RUNNING)
    for _ in range(60):
        desk.see(RUNNING, minutes=1)

    assert desk.total() == Decimal("0.40")
    assert [line.task for line in desk.lines()] == ["gpu", "disk"] * 4
    gpu, disk = desk.lines("gpu")[0], desk.lines("disk")[0]
    assert (gpu.usd_per_hour, disk.usd_per_hour) == (Decimal("0.39"), Decimal("0.01"))
    assert (gpu.span_from, gpu.span_to) == (NOON, NOON + LINE)
    assert (gpu.machine, gpu.endpoint, gpu.wire, gpu.price_source, gpu.price_dated) == (
        "gpu1",
        "gpu1",
        "first",
        "launch",
        NOON.date(),
    )
    assert not gpu.estimated


def test_unbooked_time_is_visible_to_the_budget_at_once(desk: Desk) -> None:
    desk.see(RUNNING)
    desk.see(RUNNING, minutes=6)

    day = (datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))
    assert desk.lines() == []
    assert books.spent(desk.connection, *day).known_usd == Decimal("0.04")
    assert books.spent_on_machines(desk.connection, *day) == {"gpu1": Decimal("0.04")}


def test_a_stopped_machine_costs_its_disk_alone(desk: Desk) -> None:
    desk.see(RUNNING)
    desk.see(DISK, minutes=1)
    desk.see(DISK, minutes=60)

    assert [(line.task, line.cost_usd) for line in desk.lines()] == [
        ("disk", Decimal("0.000166")),
        ("disk", Decimal("0.010000")),
    ]


def test_time_before_a_stop_that_only_the_earlier_reading_proves_is_left_to_the_cloud(desk: Desk) -> None:
    desk.see(RUNNING)
    desk.see(RUNNING, minutes=5)
    desk.see(DISK, minutes=5)

    (gpu,) = desk.lines("gpu")
    assert (gpu.span_to, gpu.cost_usd) == (NOON + timedelta(minutes=5), Decimal("0.0325"))


def test_time_since_a_start_that_the_cloud_tells_is_paid_for(desk: Desk) -> None:
    desk.see(DISK)
    started_at = NOON + timedelta(minutes=2)
    desk.see(RUNNING, minutes=10, started_at=started_at)
    desk.see(DISK, minutes=10)

    (gpu,) = desk.lines("gpu")
    assert (gpu.span_from, gpu.span_to) == (started_at, NOON + timedelta(minutes=10))


@pytest.mark.parametrize("started_at", [None, NOON - timedelta(hours=1), NOON + timedelta(days=1)])
def test_a_start_that_lies_elsewhere_proves_nothing(desk: Desk, started_at: datetime | None) -> None:
    desk.see(DISK)
    desk.see(RUNNING, minutes=10, started_at=started_at)
    desk.see(DISK, minutes=1)

    assert desk.lines("gpu") == []


def test_the_first_reading_pays_from_the_start_but_not_from_before_it_was_ours(desk: Desk) -> None:
    launched: dict[str, Any] = {"created_at": NOON - timedelta(minutes=9)}
    desk.see(RUNNING, started_at=NOON - timedelta(minutes=6), **launched)
    desk.see(FREE, minutes=1)
    assert desk.lines("gpu")[0].span_from == NOON - timedelta(minutes=6)

    adopted = Desk(record(seq=2, name="adopted"))
    adopted.see(RUNNING, started_at=NOON - timedelta(days=6), **launched)
    adopted.see(FREE, minutes=1)
    assert adopted.lines("gpu") == []


def test_an_outage_between_readings_that_agree_is_paid_for_and_marked(desk: Desk) -> None:
    desk.see(RUNNING)
    desk.see(None, minutes=1)
    desk.see(UNSURE, minutes=1)
    desk.see(RUNNING, minutes=58)
    desk.see(RUNNING, minutes=1)
    desk.see(DISK, minutes=1)

    (outage, after) = desk.lines("gpu")
    assert (outage.estimated, outage.cost_usd) == (True, Decimal("0.39"))
    assert (after.estimated, after.span_to) == (False, NOON + timedelta(minutes=61))


def test_a_laptop_that_slept_makes_an_estimate(desk: Desk) -> None:
    desk.see(RUNNING)
    desk.see(RUNNING, minutes=FAR_APART / timedelta(minutes=1) + 1)

    assert [line.estimated for line in desk.lines("gpu")] == [True]


def test_a_restart_during_an_outage_ends_what_is_proved(desk: Desk) -> None:
    desk.see(RUNNING)
    desk.see(RUNNING, minutes=600, started_at=NOON + timedelta(minutes=570))

    (gpu,) = desk.lines("gpu")
    assert (gpu.span_from, gpu.estimated) == (NOON + timedelta(minutes=570), False)


def test_a_night_is_split_at_the_users_midnight() -> None:
    zone = ZoneInfo("America/New_York")
    desk = Desk(zone=zone)
    desk.at = datetime(2026, 11, 20, 22, tzinfo=zone).astimezone(UTC)
    with closing(desk.connection):
        desk.see(RUNNING)
        desk.see(RUNNING, minutes=600)

        midnight = datetime(2026, 11, 21, tzinfo=zone).astimezone(UTC)
        first, second = desk.lines("gpu")
        assert (first.cost_usd, second.cost_usd) == (Decimal("0.78"), Decimal("3.12"))
        assert first.at < midnight <= second.at
        assert books.spent(desk.connection, midnight, midnight + timedelta(days=1)).known_usd == Decimal("3.2")


def test_another_price_begins_another_line(desk: Desk) -> None:
    desk.see(RUNNING, usd_per_hour=Decimal("0.40"))
    desk.see(RUNNING, minutes=6, usd_per_hour=Decimal("0.46"))
    desk.see(DISK, minutes=6)
    desk.see(RUNNING, minutes=6, usd_per_hour=Decimal("0.46"))
    desk.see(RUNNING, minutes=6, usd_per_hour=Decimal("0.46"))
    desk.see(FREE, minutes=1)

    assert [(line.usd_per_hour, line.price_source) for line in desk.lines("gpu")] == [
        (Decimal("0.39"), "cloud"),
        (Decimal("0.45"), "cloud"),
    ]


def test_unknown_price_is_unknown_and_not_nothing() -> None:
    desk = Desk(record(usd_per_hour=None, usd_per_hour_stopped=None))
    with closing(desk.connection):
        desk.see(RUNNING)
        for _ in range(10):
            desk.see(RUNNING, minutes=10)
        desk.see(FREE, minutes=1)

        (gpu,) = desk.lines("gpu")
        assert (gpu.cost_usd, gpu.usd_per_hour) == (None, None)


def test_readings_out_of_order_are_paid_for_once(desk: Desk) -> None:
    desk.see(RUNNING)
    desk.see(RUNNING, minutes=6)
    desk.see(RUNNING, minutes=-3)
    desk.see(RUNNING, minutes=3)
    desk.see(RUNNING)

    assert desk.total() == Decimal("0.04")


def test_a_clock_that_is_set_back_begins_again_from_there(desk: Desk) -> None:
    desk.see(RUNNING)
    desk.see(RUNNING, minutes=-120)
    desk.see(RUNNING, minutes=6)

    assert desk.total() == Decimal("0.04")


def test_a_machine_that_is_gone_is_settled(desk: Desk) -> None:
    desk.see(RUNNING)
    desk.see(RUNNING, minutes=1)
    desk.see(None, minutes=1, state=MachineState.GONE, gone_at=NOON)
    desk.see(None, minutes=1, state=MachineState.GONE, gone_at=NOON)

    assert {line.task for line in desk.lines()} == {"gpu", "disk"}
    assert meters.opened(desk.connection) == []
    assert meters.running(desk.connection) == []


def own(**values: Any) -> Machine:
    return Machine(name="lab", cloud="ssh", host="me@lab", **values)


def test_an_own_machine_costs_by_the_hour_while_it_runs() -> None:
    desk = Desk(
        record("lab", origin="settings", usd_per_hour=None, usd_per_hour_stopped=None),
        own(usd_per_hour=Decimal("0.10")),
    )
    with closing(desk.connection):
        desk.see(RUNNING)
        desk.see(RUNNING, minutes=12)
        desk.see(FREE, minutes=1)

        assert [(line.task, line.cost_usd, line.price_source) for line in desk.lines()] == [
            ("gpu", Decimal("0.02"), "settings")
        ]


def test_an_own_machine_without_a_price_is_not_counted() -> None:
    desk = Desk(record("lab", origin="settings", usd_per_hour=None), own())
    with closing(desk.connection):
        desk.see(RUNNING)
        desk.see(RUNNING, minutes=60)

        assert desk.total() == 0
        assert desk.lines() == []


def test_a_month_comes_to_its_price_whatever_the_state() -> None:
    zone = ZoneInfo("Europe/Berlin")  # November has 30 days, and October in this zone an hour more than 31
    desk = Desk(record("lab", origin="settings"), own(usd_per_month=Decimal(100)), zone)
    desk.at = datetime(2026, 10, 1, tzinfo=zone).astimezone(UTC)
    november = datetime(2026, 11, 1, tzinfo=zone).astimezone(UTC)
    december = datetime(2026, 12, 1, tzinfo=zone).astimezone(UTC)
    with closing(desk.connection):
        desk.see(None)
        while desk.at < december + timedelta(hours=1):
            desk.see(None if desk.at.hour % 2 else RUNNING, minutes=437)

        months = [
            sum((line.cost_usd or Decimal(0) for line in desk.lines() if begin <= line.at < end), Decimal(0))
            for begin, end in ((NOON - timedelta(days=90), november), (november, december))
        ]
        assert all(abs(month - 100) <= Decimal("0.000001") for month in months)
        assert {line.task for line in desk.lines()} == {"month"}
        assert books.spent(desk.connection, november, december).known_usd == 0  # no refusal would save any of it


STATES = st.sampled_from([RUNNING, DISK, FREE, UNSURE, None])


@settings(max_examples=150, deadline=None)
@given(
    price=st.decimals("0.0001", "50", places=7),
    disk=st.decimals("0.0000001", "0.0001", places=9),
    steps=st.lists(st.tuples(STATES, st.integers(1, 4_000_000)), min_size=1, max_size=40),
)
def test_the_books_are_the_exact_sum_of_what_was_confirmed(
    price: Decimal, disk: Decimal, steps: list[tuple[Bills | None, int]]
) -> None:
    desk = Desk(record(usd_per_hour=price, usd_per_hour_stopped=disk))
    owed = Decimal(0)
    before: tuple[Bills, datetime] | None = None
    with closing(desk.connection):
        for bills, milliseconds in steps:
            desk.see(bills, seconds=milliseconds / 1000)
            if bills is None or bills is UNSURE:
                continue
            if before is not None:
                span = Decimal((desk.at - before[1]) // timedelta(milliseconds=1))
                if before[0] is bills is RUNNING:
                    owed += (price - disk) * span
                if FREE not in (before[0], bills):
                    owed += disk * span
            before = bills, desk.at
        desk.meter.close_lines(desk.connection)

        rest = sum(
            (Decimal(row) for (row,) in desk.connection.execute("SELECT unbooked FROM meters")),
            Decimal(0),
        )
        booked = sum((line.cost_usd or Decimal(0) for line in desk.lines()), Decimal(0))
        assert booked * 3_600_000 + rest == owed
        assert rest < 2 * Decimal("3.6")  # less than a millionth of a dollar for each of the two meters


def test_a_month_of_a_machine_is_thousands_of_lines(desk: Desk) -> None:
    desk.see(RUNNING)
    for _ in range(2 * 24 * 60):
        desk.see(RUNNING, minutes=1)

    assert len(desk.lines()) * 15 <= 6000
    assert desk.total() == Decimal("19.2")


KILLED = """
import os, shutil, sqlite3, sys
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from console.history import schema
from console.money.meter import Meter
from providers.clouds.base import Bills
from tests.conftest import unmeasured
from tests.console.money_kit import NOON, add_machine, lines, reading, record

MINUTES = range(0, 40, 4)

def opened(path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")  # the computer goes on; only the process ends
    return closing(connection)

def go_on(connection, machine):
    (seen,) = connection.execute("SELECT coalesce(max(seen_at), -1) FROM machines").fetchone()
    for minute in MINUTES:
        if minute > seen:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE machines SET seen_at = ?", (minute,))
            Meter()(connection, machine, reading(Bills.EVERYTHING), NOON + timedelta(minutes=minute))
            connection.execute("COMMIT")

def doomed(path, machine, last):
    with opened(path) as connection:
        statements = 0
        def count(statement):
            nonlocal statements
            statements += 1
            if statements == last:
                os.kill(os.getpid(), 9)
        connection.set_trace_callback(count)
        go_on(connection, machine)

killed, sums = 0, set()
fresh = Path(sys.argv[1]) / "fresh.db"
with opened(fresh) as connection:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN")
    schema.create(connection, 0)
    machine = add_machine(connection, record())
    connection.execute("COMMIT")
for last in range(1, 10_000):
    path = Path(sys.argv[1]) / f"{last}.db"
    shutil.copy(fresh, path)
    child = os.fork()
    if not child:
        doomed(path, machine, last)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    with opened(path) as connection:
        go_on(connection, machine)
        Meter().close_lines(connection)
        sums.add(sum((line.cost_usd for line in lines(connection)), Decimal(0)))
    if not os.WIFSIGNALED(status):
        break
    killed += 1
print(killed, *sums)
"""


def test_a_kill_at_any_statement_loses_and_doubles_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, env=unmeasured()
    )

    killed, *sums = done.stdout.split()
    assert int(killed) > 60, done.stderr
    assert sums == ["0.240000"]
