"""Reserve, then settle: nobody gets a dollar twice, and nothing free waits."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.errors import BudgetReached, PriceUnknown
from console.history.store import Store
from console.money.budget import Budget, Estimate, estimate_cost, output_tokens_within, usd
from console.money.ledger import LedgerEntry
from console.money.prices import OWN, Price
from console.paths import find_paths
from console.settings import BudgetSettings
from tests.conftest import run

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PRICE = Price(Decimal(2), Decimal(10), "settings")


class StillClock:
    def __init__(self, now: datetime = NOON) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def limits(day: str = "5", month: str = "50", **more: Any) -> BudgetSettings:
    return BudgetSettings(day_usd=Decimal(day), month_usd=Decimal(month), **more)


def estimate(amount: str, least: str = "0") -> Estimate:
    return Estimate(Decimal(least), Decimal(amount))


def entry(cost: str | None, at: datetime = NOON, **more: Any) -> LedgerEntry:
    return LedgerEntry(
        at,
        "chat",
        "prompt",
        "host",
        "openai",
        "m",
        "complete",
        cost_usd=None if cost is None else Decimal(cost),
        **more,
    )


def with_store(home: Path, body: Callable[[Store, StillClock], Awaitable[None]], now: datetime = NOON) -> None:
    async def opened() -> None:
        clock = StillClock(now)
        store = await Store.open(find_paths({"HAWSER_HOME": str(home)}), clock)
        try:
            await body(store, clock)
        finally:
            await store.close()

    run(opened())


def test_free_call_never_touches_the_store() -> None:
    class NoStore:
        async def run(self, work: object, *, write: bool = False) -> Any:
            raise AssertionError("the store was asked")

    async def body() -> None:
        budget = Budget(limits(), NoStore(), StillClock())
        async with await budget.allow(estimate_cost(OWN, 10_000)) as reservation:
            assert reservation.amount_usd == 0

    run(body())


def test_what_is_set_aside_counts_until_the_call_is_booked(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        budget = Budget(limits("1"), store, clock, zone=UTC)
        first = await budget.allow(estimate("0.7"))
        with pytest.raises(BudgetReached):
            await budget.allow(estimate("0.4"))

        await first.settle(entry("0.05"))

        (_, spent, _), _ = await budget.spent()
        assert (spent.known_usd, spent.reserved_usd) == (Decimal("0.05"), Decimal(0))
        assert (await budget.allow(estimate("0.4"))).amount_usd == Decimal("0.4")

    with_store(tmp_path, body)


def test_refusal_tells_the_figures_and_what_to_do(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        await store.book(entry("5.02"))
        budget = Budget(limits(), store, clock, zone=UTC)
        await store.reserve(Decimal("0.1"), "another call")

        with pytest.raises(BudgetReached) as caught:
            await budget.allow(estimate("0.25"))

        assert caught.value.text == (
            "Today's budget has no room: $5.02 of $5.00 today, reserved $0.10; this call may cost $0.25."
        )
        assert caught.value.hint is not None
        assert "day_usd" in caught.value.hint
        assert "21 Nov 00:00" in caught.value.hint

    with_store(tmp_path, body)


def test_month_is_a_limit_of_its_own(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        await store.book(entry("49.90", NOON - timedelta(days=10)))
        budget = Budget(limits(), store, clock, zone=UTC)

        with pytest.raises(BudgetReached, match=r"month's budget has no room: \$49.90 of \$50.00 this month"):
            await budget.allow(estimate("0.2"))

    with_store(tmp_path, body)


def test_call_that_fails_gives_its_money_back(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        budget = Budget(limits("1"), store, clock, zone=UTC)
        with pytest.raises(ZeroDivisionError):
            async with await budget.allow(estimate("0.9")):
                raise ZeroDivisionError

        (_, spent, _), _ = await budget.spent()
        assert spent.known_usd == 0

    with_store(tmp_path, body)


def test_each_warning_comes_once_as_its_level_is_passed(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        budget = Budget(limits(), store, clock, zone=UTC)
        told = []
        for _ in range(5):
            async with await budget.allow(estimate("0.9")) as reservation:
                told.append(await reservation.settle(entry("0.9")))

        assert told[0] == told[1] == told[3] == ()
        assert told[2] == ("50 % of today's budget is spent: $2.70 of $5.00 today.",)
        assert told[4] == ("80 % of today's budget is spent: $4.50 of $5.00 today.",)

    with_store(tmp_path, body)


def test_budget_that_only_warns_lets_the_call_pass_and_says_so(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        await store.book(entry("6"))
        budget = Budget(limits(at_limit="warn"), store, clock, zone=UTC)

        async with await budget.allow(estimate("0.5")) as reservation:
            assert reservation.notices == ("Today's budget does not cover this call: $6.00 of $5.00 today.",)
        async with await budget.allow(None, "m") as reservation:
            assert "not known" in reservation.notices[0]

    with_store(tmp_path, body)


def test_unknown_price_is_refused_unless_allowed(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        budget = Budget(limits(), store, clock, zone=UTC)
        with pytest.raises(PriceUnknown, match="budget"):
            await budget.allow(None, "host/m")
        with pytest.raises(PriceUnknown, match="cap"):
            await budget.allow(None, "host/m", max_cost_usd=Decimal(1))

        async with await budget.allow(None, "host/m", allow_unknown_price=True) as reservation:
            assert await reservation.settle(entry(None)) == ()

        (_, spent, _), _ = await budget.spent()
        assert (spent.known_usd, spent.unknown_calls) == (Decimal(0), 1)
        await store.book(entry("5"))
        with pytest.raises(BudgetReached):
            await budget.allow(None, "host/m", allow_unknown_price=True)

    with_store(tmp_path, body)


def test_cap_on_a_call_limits_what_is_set_aside(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        budget = Budget(limits(), store, clock, zone=UTC)

        async with await budget.allow(estimate("0.5", "0.01"), max_cost_usd=Decimal("0.02")) as reservation:
            assert reservation.amount_usd == Decimal("0.02")
        with pytest.raises(BudgetReached, match=r"question alone costs \$0.03, and the cap is \$0.02"):
            await budget.allow(estimate("0.5", "0.03"), max_cost_usd=Decimal("0.02"))

    with_store(tmp_path, body)


def test_estimate_takes_the_longest_answer_allowed() -> None:
    assert estimate_cost(PRICE, 1_000, 100) == (Decimal("0.002"), Decimal("0.003"))
    assert estimate_cost(PRICE, 1_000) == (Decimal("0.002"), Decimal("0.022"))
    assert estimate_cost(None, 1_000) is None


@given(
    st.decimals(0, 2, places=4),
    st.integers(0, 300_000),
    st.sampled_from(
        [PRICE, Price(Decimal("0.1"), Decimal("0.5"), "x", None, None, None, 100_000, Decimal(5), Decimal(5))]
    ),
)
def test_answer_is_stopped_before_it_passes_the_cap(cap: Decimal, asked: int, price: Price) -> None:
    tokens = output_tokens_within(cap, price, asked)

    assert tokens is not None
    at_stop, one_more = estimate_cost(price, asked, tokens), estimate_cost(price, asked, tokens + 1)
    assert at_stop is not None
    assert one_more is not None
    assert at_stop.likely_usd <= max(cap, at_stop.least_usd)
    assert one_more.likely_usd > cap - Decimal("0.000001")


def test_free_answer_has_no_stop() -> None:
    assert output_tokens_within(Decimal(1), OWN, 100) is None
    assert output_tokens_within(Decimal(1), None, 100) is None


@pytest.mark.parametrize(
    ("now", "begins", "ends"),
    [
        ("2026-11-20T12:00", "2026-11-19T23:00", "2026-11-20T23:00"),
        ("2026-11-20T23:30", "2026-11-20T23:00", "2026-11-21T23:00"),
        ("2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),  # 25 hours: summer time ends
        ("2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),  # 23 hours
    ],
)
def test_day_is_the_users_own(now: str, begins: str, ends: str) -> None:
    clock = StillClock(datetime.fromisoformat(now).replace(tzinfo=UTC))
    day, month = Budget(limits(), _unused(), clock, zone=ZoneInfo("Europe/Berlin")).spans()

    assert f"{day.since:%Y-%m-%dT%H:%M}" == begins
    assert f"{day.until:%Y-%m-%dT%H:%M}" == ends
    assert month.since <= day.since < day.until <= month.until


def test_month_ends_with_the_year() -> None:
    clock = StillClock(datetime(2026, 12, 31, 12, tzinfo=UTC))
    _, month = Budget(limits(), _unused(), clock, zone=UTC).spans()

    assert (month.since.month, month.until.year, month.until.month) == (12, 2027, 1)


def test_without_a_zone_the_computers_is_taken() -> None:
    day, _ = Budget(limits(), _unused(), StillClock()).spans()

    assert day.since <= NOON < day.until


def _unused() -> Any:
    return object()


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 900_000),
            st.integers(0, 1_200_000),
            st.sampled_from(["settle", "fail", "leave"]),
        ),
        max_size=25,
    )
)
def test_sum_of_the_ledger_is_the_spend(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[int, int, str]]
) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        budget = Budget(limits("3"), store, clock, zone=UTC)
        truly = open_usd = Decimal(0)
        for asked, cost, fate in calls:
            amount, paid = Decimal(asked).scaleb(-6), Decimal(cost).scaleb(-6)
            try:
                reservation = await budget.allow(Estimate(Decimal(0), amount))
            except BudgetReached:
                assert truly + open_usd + amount > 3
                continue
            assert truly + open_usd + amount <= 3 or amount == 0
            if fate == "settle":
                await reservation.settle(entry(str(paid)))
                truly += paid
            elif fate == "fail":
                await reservation.give_back()
            else:
                open_usd += reservation.amount_usd

        (_, spent, _), _ = await budget.spent()
        booked = await store.entries(NOON - timedelta(days=1), NOON + timedelta(days=1))
        assert sum((line.cost_usd or Decimal(0) for line in booked), Decimal(0)) == truly
        assert spent.known_usd == truly + open_usd
        assert spent.reserved_usd == open_usd

    with_store(tmp_path_factory.mktemp("home"), body)


_SPENDER = """
import asyncio, json, sys
from datetime import UTC, datetime
from decimal import Decimal
from console.clock import SystemClock
from console.errors import BudgetReached
from console.history.store import Store
from console.money.budget import Budget, Estimate
from console.money.ledger import LedgerEntry
from console.paths import find_paths
from console.settings import BudgetSettings

async def main():
    store = await Store.open(find_paths({"HAWSER_HOME": sys.argv[1]}), SystemClock())
    limits = BudgetSettings(day_usd=Decimal(1), month_usd=Decimal(9))
    budget = Budget(limits, store, SystemClock())
    allowed = []
    for number in range(20):
        try:
            held = await budget.allow(Estimate(Decimal(0), Decimal("0.07")))
        except BudgetReached:
            break
        allowed.append(held)
        if number % 3 == 0:
            now = datetime.now(UTC)
            line = LedgerEntry(now, "chat", "prompt", "h", "openai", "m", "complete", cost_usd=Decimal("0.07"))
            await held.settle(line)
    print(json.dumps(len(allowed)), flush=True)
    await asyncio.to_thread(sys.stdin.readline)  # what is set aside counts only while its process lives
    await store.close()

asyncio.run(main())
"""


def test_processes_together_never_pass_the_budget(tmp_path: Path) -> None:
    spenders = [
        subprocess.Popen([sys.executable, "-c", _SPENDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    allowed = []
    for spender in spenders:
        assert spender.stdout is not None
        allowed.append(json.loads(spender.stdout.readline()))
    for spender in spenders:
        spender.communicate(b"\n")

    assert [spender.returncode for spender in spenders] == [0, 0, 0]
    assert sum(allowed) == 14  # fourteen times seven cents fit into a dollar


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("5", "$5.00"),
        ("0.1", "$0.10"),
        ("0.123456", "$0.123456"),
        ("0.0025", "$0.0025"),
        ("12.345678", "$12.35"),
        ("0", "$0.00"),
    ],
)
def test_amounts_show_what_is_there(amount: str, shown: str) -> None:
    assert usd(Decimal(amount)) == shown


def test_two_calls_at_once_in_one_process_share_the_rest(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        budget = Budget(limits("1"), store, clock, zone=UTC)
        answers = await asyncio.gather(*(budget.allow(estimate("0.3")) for _ in range(6)), return_exceptions=True)

        assert sum(not isinstance(answer, BaseException) for answer in answers) == 3

    with_store(tmp_path, body)
