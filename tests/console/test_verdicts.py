"""Budgets over calls and machines together: what is refused, what is stopped, and until when the money lasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from console.errors import BudgetReached, PriceUnknown
from console.history.store import Store
from console.machines.records import Desired
from console.money.budget import Budget
from console.money.forecast import clock_time, next_morning, projected_month, reached_at, sentences
from console.money.meter import Meter
from console.money.reconcile_books import Correction, Reconciled, Reconciler
from console.money.watch import MoneyWatch, correction_findings
from console.settings import BudgetSettings
from providers.clouds.base import Bills
from tests.console.money_kit import NOON, StillClock, add_machine, call, reading, record, with_store

HOUR = timedelta(hours=1)


def budget(store: Store, clock: StillClock, day: str = "5", month: str = "50", **more: Any) -> Budget:
    at_limit = more.pop("at_limit", "stop")
    limits = BudgetSettings(day_usd=Decimal(day), month_usd=Decimal(month), at_limit=at_limit)
    return Budget(limits, store, clock, zone=UTC, **more)


async def run_machines(store: Store, clock: StillClock, hours: float, *machines: Any, since: datetime = NOON) -> None:
    """Machines that ran for some hours, seen every ten minutes."""
    meter = Meter(zone=UTC)

    def work(connection: Any) -> None:
        for machine in machines:
            add_machine(connection, machine)
            at = since
            while at <= since + hours * HOUR:
                price = {"usd_per_hour": machine.usd_per_hour}
                meter(connection, machine, reading(Bills.EVERYTHING, **price), at)
                at += timedelta(minutes=10)

    await store.run(work, write=True)
    clock.at = since + hours * HOUR


def test_machines_and_calls_fill_one_budget(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        money = budget(store, clock, any_machine_usd=Decimal(10))
        await store.book(call("1.50"))
        await run_machines(store, clock, 2, record(usd_per_hour=Decimal("0.75")))

        day, month, machine = await money.verdict()

        assert (day.subject, day.spent_usd, day.passed, day.level) == (
            "budget:day",
            Decimal(3),
            Decimal("0.5"),
            "warning",
        )
        assert day.text == "60 % of today's budget is spent: $3.00 of $5.00 today. It reaches $5.00 at 16:40."
        assert (day.stop, day.block) == ((), False)
        assert (month.passed, month.level) == (Decimal(0), "info")
        assert machine.machine == "gpu1"

    with_store(tmp_path, body)


def test_a_spent_budget_names_rented_machines_first_the_dearest_first(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        lab = {"origin": "settings", "at_end": "stop"}
        await run_machines(
            store,
            clock,
            2,
            record("cheap", 1, usd_per_hour=Decimal("0.20")),
            record("dear", 2, usd_per_hour=Decimal("2.00")),
            record("ending", 3, desired=Desired.STOPPED),
            record("lab", 4, usd_per_hour=Decimal("3.00"), **lab),
            record("shed", 5, usd_per_hour=Decimal("3.00"), origin="settings", at_end="nothing"),
        )

        day, *_ = await budget(store, clock).verdict()

        assert (day.stop, day.block, day.level) == (("dear", "cheap", "lab"), True, "alarm")
        assert day.text.endswith("To be stopped: dear, cheap, lab.")

    with_store(tmp_path, body)


def test_with_at_limit_warn_nothing_is_stopped(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        await run_machines(store, clock, 2, record(usd_per_hour=Decimal(3)))
        money = budget(store, clock, at_limit="warn")

        day, *_ = await money.verdict()

        assert (day.passed, day.stop, day.block) == (Decimal(1), (), False)
        assert await money.allow_machine(Decimal(1)) == (
            "Today's budget has no room: $6.00 of $5.00 today; the machine costs $1.00 an hour.",
        )

    with_store(tmp_path, body)


def test_a_machine_over_its_own_limit_is_stopped_alone(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        money = budget(
            store,
            clock,
            "50",
            machine_limits={"small": Decimal(1)},
            any_machine_usd=Decimal(10),
            any_machine_alarm_usd=Decimal(5),
        )
        await run_machines(
            store,
            clock,
            3,
            record("small", 1, usd_per_hour=Decimal("0.40")),
            record("large", 2, usd_per_hour=Decimal("2.00")),
        )

        verdicts = {verdict.machine: verdict for verdict in await money.verdict()}

        assert (verdicts["small"].stop, verdicts["small"].block) == (("small",), False)
        assert (verdicts["large"].stop, verdicts["large"].passed, verdicts["large"].level) == (
            (),
            Decimal("0.5"),
            "alarm",
        )

    with_store(tmp_path, body)


def test_what_is_paid_by_the_month_blocks_nothing(tmp_path: Path) -> None:
    from console.settings import Machine

    async def body(store: Store, clock: StillClock) -> None:
        lab = record("lab", origin="settings")
        meter = Meter({"lab": Machine(name="lab", cloud="ssh", host="me@lab", usd_per_month=Decimal(3000))}, zone=UTC)

        def work(connection: Any) -> None:
            add_machine(connection, lab)
            for hours in (-6, -3, 0):
                meter(connection, lab, None, NOON + hours * HOUR)

        await store.run(work, write=True)
        verdicts = await budget(store, clock).verdict()

        assert [verdict.passed for verdict in verdicts] == [0, 0]
        assert await budget(store, clock).allow_machine(Decimal(1)) == ()

    with_store(tmp_path, body)


def test_a_launch_that_does_not_fit_is_refused_with_the_figures(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        money = budget(store, clock)
        await store.book(call("4.80"))

        assert await money.allow_machine(Decimal("0.20")) == ()
        with pytest.raises(BudgetReached) as caught:
            await money.allow_machine(Decimal("0.40"))

        assert caught.value.text == (
            "Today's budget has no room: $4.80 of $5.00 today; the machine costs $0.40 an hour."
        )
        assert "day_usd" in (caught.value.hint or "")

    with_store(tmp_path, body)


def test_of_a_day_only_the_hours_left_in_it_count(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        money = budget(store, clock)
        clock.at = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
        await store.book(call("4.80", clock.at))

        assert await money.allow_machine(Decimal("0.40"), Decimal(8)) == ()
        with pytest.raises(BudgetReached):
            await money.allow_machine(Decimal("0.41"), Decimal(8))

    with_store(tmp_path, body)


def test_a_start_beyond_the_machines_own_limit_is_refused(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        await run_machines(store, clock, 2, record(usd_per_hour=Decimal("0.40")))
        money = budget(store, clock, machine_limits={"gpu1": Decimal(1)})

        with pytest.raises(BudgetReached, match=r"'gpu1' has no room in its budget: \$0\.80 of \$1\.00 today"):
            await money.allow_machine(Decimal("0.40"), machine="gpu1")
        assert await money.allow_machine(Decimal("0.40"), machine="gpu2") == ()

    with_store(tmp_path, body)


def test_a_machine_without_a_price_is_refused_and_a_free_one_is_not(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        with pytest.raises(PriceUnknown):
            await budget(store, clock).allow_machine(None)
        assert len(await budget(store, clock, at_limit="warn").allow_machine(None)) == 1
        await store.book(call("9"))
        assert await budget(store, clock).allow_machine(Decimal(0)) == ()

    with_store(tmp_path, body)


def test_a_spent_budget_refuses_paid_calls_for_what_machines_cost(tmp_path: Path) -> None:
    from console.money.budget import Estimate

    async def body(store: Store, clock: StillClock) -> None:
        await run_machines(store, clock, 2, record(usd_per_hour=Decimal("2.49")))

        with pytest.raises(BudgetReached, match=r"\$4\.98 of \$5\.00 today"):
            await budget(store, clock).allow(Estimate(Decimal(0), Decimal("0.03")))

    with_store(tmp_path, body)


def test_forecast_tells_the_hour_at_which_the_money_is_gone(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        await run_machines(store, clock, 2, record(usd_per_hour=Decimal("0.60")))
        await store.book(call("1.00"))

        def account(connection: Any) -> None:
            connection.execute(
                "INSERT INTO accounts (cloud, balance_usd, usd_per_hour, balance_at) VALUES ('first', '3.00', NULL, ?)",
                (int(clock.at.timestamp() * 1000),),
            )

        await store.run(account, write=True)
        forecast = await budget(store, clock).forecast()

        assert sentences(forecast, clock.at, UTC) == [
            "Machines cost $0.60 an hour now.",
            "Today reaches $5.00 at 18:40.",
            "This month reaches $50.00 at 21:40 on 23 Nov.",
            "Until 09:00 tomorrow that is $11.40 more.",
            "The balance of first ($3.00) is empty at 19:00.",
        ]

    with_store(tmp_path, body)


def test_a_budget_that_lasts_longer_than_its_day_is_not_forecast(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        await run_machines(store, clock, 1, record(usd_per_hour=Decimal("0.10")))

        forecast = await budget(store, clock).forecast()

        assert forecast.reaching == ()
        assert forecast.usd_per_hour == Decimal("0.10")

    with_store(tmp_path, body)


@pytest.mark.parametrize(
    ("left", "rate", "at"),
    [
        ("1", "0.5", NOON + 2 * HOUR),
        ("0", "0.5", NOON),
        ("-1", "0", NOON),
        ("1", "0", None),
        ("100000", "0.01", None),
    ],
)
def test_when_an_amount_is_used_up(left: str, rate: str, at: datetime | None) -> None:
    assert reached_at(Decimal(left), Decimal(rate), NOON) == at


def test_the_next_morning_is_the_users_own() -> None:
    zone = ZoneInfo("Asia/Tokyo")

    assert next_morning(datetime(2026, 11, 20, 23, 59, tzinfo=UTC), zone) == datetime(2026, 11, 21, tzinfo=UTC)
    assert next_morning(datetime(2026, 11, 21, 0, 0, tzinfo=UTC), zone) == datetime(2026, 11, 22, tzinfo=UTC)


def test_times_are_said_as_people_say_them() -> None:
    assert clock_time(NOON + 9 * HOUR, NOON, UTC) == "21:00"
    assert clock_time(NOON + 13 * HOUR, NOON, UTC) == "01:00 tomorrow"
    assert clock_time(NOON + 100 * HOUR, NOON, UTC) == "16:00 on 24 Nov"


def test_a_month_is_projected_from_how_it_began() -> None:
    since, until = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)

    assert projected_month(Decimal(10), since + timedelta(days=10), since, until) == Decimal("30.00")
    assert projected_month(Decimal(10), since + timedelta(minutes=1), since, until) is None
    assert projected_month(Decimal(10), until, since, until) is None


class Ear:
    """Hears what is raised and cleared."""

    def __init__(self) -> None:
        self.standing: dict[str, str] = {}

    async def raise_(self, subject: str, level: str, text: str) -> bool:
        self.standing[subject] = f"{level}: {text}"
        return True

    async def clear(self, subject: str, text: str = "") -> bool:
        return self.standing.pop(subject, None) is not None


def test_a_balance_that_ends_soon_is_told(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        ear = Ear()
        await run_machines(store, clock, 1, record(usd_per_hour=Decimal(1)))

        def account(connection: Any, balance: str) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO accounts (cloud, balance_usd, balance_at) VALUES ('first', ?, ?)",
                (balance, int(clock.at.timestamp() * 1000)),
            )

        async def accounts() -> list[str]:
            return []

        def cloud(name: str) -> Any:
            raise AssertionError("there is no account to ask")

        keeper = Reconciler(store, cloud, clock, Meter(zone=UTC))
        watch = MoneyWatch(budget(store, clock, "90", "900"), keeper, accounts, ear, clock, zone=UTC)
        for balance, level in (("13", None), ("12", "warning"), ("1.5", "alarm")):
            await store.run(partial(account, balance=balance), write=True)
            await watch.round()
            assert ear.standing.get("balance:first", "").partition(":")[0] == (level or "")

    with_store(tmp_path, body)


@pytest.mark.parametrize(
    ("counted", "charged", "level"),
    [("5", "7", "warning"), ("5", "5.9", None), ("50", "52", None), ("50", "44", "warning")],
)
def test_books_that_are_far_from_the_clouds_are_told(counted: str, charged: str, level: str | None) -> None:
    correction = Correction("gpu1", "gpu", Decimal(counted), Decimal(charged))
    outcome = Reconciled("first", "charges", NOON, NOON, Decimal(counted), Decimal(charged), (correction,))

    (finding,) = correction_findings([outcome, Reconciled("second", "count")])

    assert (finding.subject, finding.level) == ("books:first", level)
