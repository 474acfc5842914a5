"""The daily comparison with a cloud's own books: its difference is booked, once, and labelled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.errors import NotFound
from console.history import books
from console.history.store import Store
from console.money.ledger import LedgerEntry
from console.money.meter import Meter
from console.money.reconcile_books import Reconciled, Reconciler, charged_by_kind, corrections_between, counted_by_kind
from providers.clouds.base import Account, Bills, Capability, Charge
from providers.errors import Unreachable
from tests.console.money_kit import NOON, StillClock, add_machine, call, lines, reading, record, with_store

DAY = datetime(2026, 11, 20, tzinfo=UTC)
NEXT = DAY + timedelta(days=1)
HOUR = timedelta(hours=1)


class Ledgers:
    """The money side of a cloud."""

    def __init__(self, *capabilities: Capability) -> None:
        self.capabilities = frozenset(capabilities)
        self.charged: list[Charge] = []
        self.balance = Decimal(20)
        self.asked: list[tuple[datetime, datetime]] = []
        self.is_away = False

    async def charges(self, since: datetime, until: datetime) -> list[Charge]:
        if self.is_away:
            raise Unreachable("first cannot be reached.")
        self.asked.append((since, until))
        return [charge for charge in self.charged if charge.until > since and charge.since < until]

    async def account(self) -> Account:
        return Account(self.balance)


def charge(usd: str, kind: Any = "gpu", machine: str | None = "id-1", since: datetime = DAY) -> Charge:
    return Charge(machine, kind, Decimal(usd), since, since + timedelta(days=1))


def reconciler(store: Store, clock: StillClock, ledgers: Ledgers) -> Reconciler:
    return Reconciler(store, lambda account: ledgers, clock, Meter(zone=UTC))


async def ran(store: Store, clock: StillClock, hours: float, since: datetime = NOON) -> None:
    """A machine at $0.40 an hour, one cent of it for its disk, that ran and was then destroyed."""
    meter, machine = Meter(zone=UTC), record(created_at=since)

    def work(connection: Any) -> None:
        add_machine(connection, machine)
        at = since
        while at <= since + hours * HOUR:
            meter(connection, machine, reading(), at)
            at += timedelta(minutes=10)
        meter(connection, machine, reading(Bills.NOTHING), at)

    await store.run(work, write=True)
    clock.at = since + hours * HOUR


async def spent(store: Store, since: datetime = DAY, until: datetime = NEXT) -> Decimal:
    return (await store.run(lambda connection: books.spent(connection, since, until))).known_usd


def test_the_difference_to_the_charges_is_booked_by_machine_and_kind(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        await ran(store, clock, 2)
        ledgers = Ledgers(Capability.CHARGES)
        ledgers.charged = [charge("0.80"), charge("0.02", "disk"), charge("0.05", "transfer"), charge("9", machine="x")]
        clock.at = NEXT + 3 * HOUR

        (outcome,) = await reconciler(store, clock, ledgers).run_due(["first"])

        assert outcome[:6] == Reconciled("first", "charges", DAY, NEXT, Decimal("0.8"), Decimal("0.87"))[:6]
        assert [(c.machine, c.kind, c.usd) for c in outcome.corrections] == [
            ("gpu1", "gpu", Decimal("0.02")),
            ("gpu1", "transfer", Decimal("0.05")),
        ]
        assert outcome.foreign_usd == 9
        booked = [line for line in await store.run(lines) if line.price_source in ("charges: gpu", "charges: transfer")]
        assert [(line.task, line.cost_usd, line.machine, line.at) for line in booked] == [
            ("correction", Decimal("0.02"), "gpu1", NEXT - timedelta(milliseconds=1)),
            ("transfer", Decimal("0.05"), "gpu1", NEXT - timedelta(milliseconds=1)),
        ]
        assert await spent(store) == Decimal("0.87")

    with_store(tmp_path, body)


def test_a_day_is_reconciled_once_and_only_when_its_books_are_closed(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        await ran(store, clock, 2)
        ledgers = Ledgers(Capability.CHARGES)
        ledgers.charged = [charge("0.80"), charge("0.02", "disk")]
        keeper = reconciler(store, clock, ledgers)

        clock.at = NEXT + HOUR
        assert await keeper.run_due(["first"]) == []
        clock.at = NEXT + 3 * HOUR
        assert len(await keeper.run_due(["first"])) == 1
        assert await keeper.run_due(["first"]) == []
        clock.at += timedelta(days=1)
        (second,) = await keeper.run_due(["first"])

        assert (second.since, second.corrections) == (NEXT, ())
        assert ledgers.asked == [(DAY, NEXT), (NEXT, NEXT + timedelta(days=1))]
        assert await spent(store) == Decimal("0.82")

    with_store(tmp_path, body)


def test_what_was_settled_is_not_counted_again_by_a_late_reading(tmp_path: Path) -> None:
    """The computer slept over midnight, and the books of the day were compared before a machine was read again."""

    async def body(store: Store, clock: StillClock) -> None:
        meter, machine = Meter(zone=UTC), record(created_at=NOON, started_at=NOON)

        def seen(connection: Any) -> None:
            add_machine(connection, machine)
            meter(connection, machine, reading(), NOON)
            meter(connection, machine, reading(), NOON + timedelta(minutes=10))

        await store.run(seen, write=True)
        ledgers = Ledgers(Capability.CHARGES)
        ledgers.charged = [charge("4.68", since=NOON), charge("0.12", "disk", since=NOON)]
        ledgers.charged = [one._replace(until=NEXT) for one in ledgers.charged]
        clock.at = NEXT + 3 * HOUR

        await reconciler(store, clock, ledgers).run_due(["first"])
        settled = await spent(store)
        await store.run(lambda c: meter(c, machine, reading(), clock.at), write=True)

        assert settled == Decimal("4.80")
        assert await spent(store) == settled
        assert await spent(store, NEXT, NEXT + timedelta(days=1)) == Decimal("1.20")  # the hours of the new day

    with_store(tmp_path, body)


def test_of_two_processes_one_books_the_difference(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        await ran(store, clock, 2)
        clock.at = NEXT + 3 * HOUR
        ledgers = Ledgers(Capability.CHARGES)
        ledgers.charged = [charge("0.80"), charge("0.02", "disk")]

        class Slow(Ledgers):
            """While it is asked, another process comes first."""

            async def charges(self, since: datetime, until: datetime) -> list[Charge]:
                assert len(await reconciler(store, clock, ledgers).run_due(["first"])) == 1
                return ledgers.charged

        assert await reconciler(store, clock, Slow(Capability.CHARGES)).run_due(["first"]) == []
        assert await spent(store) == Decimal("0.82")

    with_store(tmp_path, body)


def test_a_cloud_that_is_away_is_asked_again_for_all_its_days(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        await ran(store, clock, 2)
        ledgers = Ledgers(Capability.CHARGES)
        keeper = reconciler(store, clock, ledgers)
        clock.at = NEXT + 3 * HOUR
        ledgers.is_away = True
        (failed,) = await keeper.run_due(["first"])
        assert failed.note == "first could not be asked: first cannot be reached."

        ledgers.is_away = False
        clock.at += timedelta(days=3)
        await keeper.run_due(["first"])

        assert ledgers.asked == [(DAY + timedelta(days=day), NEXT + timedelta(days=day)) for day in range(4)]

    with_store(tmp_path, body)


def test_time_that_waits_for_its_line_is_booked_before_it_is_compared(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        meter, machine = Meter(zone=UTC), record(created_at=DAY, usd_per_hour_stopped=Decimal(0))

        def work(connection: Any) -> None:
            add_machine(connection, machine)
            meter(connection, machine, reading(), NOON)
            meter(connection, machine, reading(), NOON + timedelta(minutes=9))

        await store.run(work, write=True)
        clock.at = NEXT + 3 * HOUR
        ledgers = Ledgers(Capability.CHARGES)
        ledgers.charged = [charge("0.06")]

        (outcome,) = await reconciler(store, clock, ledgers).run_due(["first"])

        assert outcome.corrections == ()
        assert await spent(store) == Decimal("0.06")

    with_store(tmp_path, body)


def test_what_the_balance_lost_beyond_our_count_is_booked_for_the_account(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        ledgers = Ledgers(Capability.BALANCE)
        keeper = reconciler(store, clock, ledgers)
        clock.at = NOON - HOUR
        (begun,) = await keeper.run_due(["first"])
        assert begun.note == "The balance of first is watched from now."
        await ran(store, clock, 2)
        await store.book(call("1", clock.at))
        clock.at += timedelta(hours=20)
        ledgers.balance = Decimal("19.10")

        (outcome,) = await keeper.run_due(["first"])

        assert (outcome.counted_usd, outcome.charged_usd) == (Decimal("0.8"), Decimal("0.90"))
        (line,) = [line for line in await store.run(lines) if line.task == "correction"]
        assert (line.cost_usd, line.machine, line.endpoint, line.price_source) == (
            Decimal("0.1"),
            None,
            "first",
            "balance: all",
        )
        assert await keeper.run_due(["first"]) == []

    with_store(tmp_path, body)


def test_a_payment_into_the_account_corrects_nothing(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        ledgers = Ledgers(Capability.BALANCE)
        keeper = reconciler(store, clock, ledgers)
        clock.at = NOON - HOUR
        await keeper.run_due(["first"])
        await ran(store, clock, 2)
        clock.at += timedelta(hours=20)
        ledgers.balance = Decimal("44.20")

        (outcome,) = await keeper.run_due(["first"])
        assert (outcome.corrections, "paid in" in outcome.note) == ((), True)

        clock.at += timedelta(days=1)
        (after,) = await keeper.run_due(["first"])
        assert (after.counted_usd, after.charged_usd, after.corrections) == (Decimal(0), Decimal(0), ())

    with_store(tmp_path, body)


def test_a_cloud_without_books_goes_by_our_own_count(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        await ran(store, clock, 1)
        keeper = reconciler(store, clock, Ledgers())

        (outcome,) = await keeper.run_due(["first"])

        assert (outcome.by, "own count" in outcome.note) == ("count", True)
        assert await keeper.run_due(["first"]) == []
        (known,) = await store.run(lambda connection: books.reconciliations(connection, DAY, NEXT))
        assert (known.cloud, known.by) == ("first", "count")

    with_store(tmp_path, body)


def test_an_account_that_is_not_in_the_settings_any_more_holds_up_no_other(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        def cloud(account: str) -> Ledgers:
            if account == "removed":
                raise NotFound("There is no account 'removed' in the settings.")
            return Ledgers()

        keeper = Reconciler(store, cloud, clock, Meter(zone=UTC))

        removed, first = await keeper.run_due(["removed", "first"])

        assert removed.note == "removed could not be asked: There is no account 'removed' in the settings."
        assert first.cloud == "first"

    with_store(tmp_path, body)


def line(usd: str, since: datetime, until: datetime, task: str = "gpu") -> LedgerEntry:
    values = {"machine": "gpu1", "span_from": since, "span_to": until}
    return LedgerEntry(until, task, "meter", "gpu1", "first", "", "complete", cost_usd=Decimal(usd), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("since", "until", "counted"),
    [
        (DAY, NEXT, "1"),
        (DAY, DAY + 12 * HOUR, "0"),
        (DAY, DAY + 13 * HOUR, "0.25"),
        (DAY + 13 * HOUR, NEXT, "0.75"),
    ],
)
def test_of_a_line_over_the_edge_the_part_inside_counts(since: datetime, until: datetime, counted: str) -> None:
    found = counted_by_kind([line("1", NOON, NOON + 4 * HOUR)], since, until)

    assert found[("gpu1", "gpu")] == Decimal(counted)


@settings(max_examples=50, deadline=None)
@given(
    ours=st.lists(st.tuples(st.sampled_from(["gpu", "disk"]), st.decimals("0", "10", places=6)), max_size=8),
    theirs=st.lists(st.tuples(st.sampled_from(["gpu", "disk"]), st.decimals("0", "10", places=6)), max_size=8),
)
def test_after_its_corrections_our_sum_is_the_clouds(
    ours: list[tuple[str, Decimal]], theirs: list[tuple[str, Decimal]]
) -> None:
    booked = [line(str(usd), NOON, NOON + HOUR, kind) for kind, usd in ours]
    charges = [charge(str(usd), kind) for kind, usd in theirs]

    counted = counted_by_kind(booked, DAY, NEXT)
    charged, _ = charged_by_kind(charges, {"id-1": "gpu1"}, DAY, NEXT)
    corrections = corrections_between(counted, charged)

    total = sum((usd for _, usd in ours), Decimal(0)) + sum((one.usd for one in corrections), Decimal(0))
    assert total == sum((usd for _, usd in theirs), Decimal(0))


BILLED = {Bills.EVERYTHING: Decimal("0.40"), Bills.DISK: Decimal("0.01"), Bills.NOTHING: Decimal(0)}
TRUTHS = st.lists(st.tuples(st.sampled_from(list(BILLED)), st.integers(1, 30)), min_size=3, max_size=40)


@settings(max_examples=25, deadline=None)
@given(
    truth=TRUTHS, pauses=st.lists(st.sampled_from([1, 2, 10, 60, 600, 1500]), min_size=1, max_size=8), away=st.data()
)
def test_whatever_was_seen_of_it_the_books_end_up_at_the_clouds_invoice(
    tmp_path_factory: pytest.TempPathFactory,
    truth: list[tuple[Bills, int]],
    pauses: list[int],
    away: st.DataObject,
) -> None:
    """A machine changes by itself every few hours; it is looked at now and then; some answers do not come."""
    stays = [(bills, timedelta(hours=hours, minutes=7)) for bills, hours in truth]
    end = DAY + sum((stay for _, stay in stays), timedelta())
    machine = record(created_at=DAY, usd_per_hour_stopped=Decimal("0.01"))

    def bills_at(moment: datetime) -> Bills:
        begin = DAY
        for bills, stay in stays:
            begin += stay
            if moment < begin:
                return bills
        return Bills.NOTHING

    def invoice(kind: str, usd_per_hour: Decimal, charged: set[Bills]) -> list[Charge]:
        found, begin = [], DAY
        for bills, stay in stays:
            if bills in charged:
                hours = Decimal(stay // timedelta(minutes=1)) / 60
                found.append(Charge("id-1", kind, usd_per_hour * hours, begin, begin + stay))  # type: ignore[arg-type]
            begin += stay
        return found

    async def body(store: Store, clock: StillClock) -> None:
        meter = Meter(zone=UTC)
        ledgers = Ledgers(Capability.CHARGES)
        ledgers.charged = [
            *invoice("gpu", Decimal("0.39"), {Bills.EVERYTHING}),
            *invoice("disk", Decimal("0.01"), {Bills.EVERYTHING, Bills.DISK}),
        ]
        keeper = reconciler(store, clock, ledgers)
        await store.run(lambda connection: add_machine(connection, machine), write=True)
        clock.at, looks = DAY, 0
        while clock.at < end + timedelta(days=2):
            is_away = looks % 5 == 4 and away.draw(st.booleans())
            seen = None if is_away else reading(bills_at(clock.at))

            def look(connection: Any, seen: Any = seen, at: datetime = clock.at) -> None:
                meter(connection, machine, seen, at)

            await store.run(look, write=True)
            clock.move(minutes=pauses[looks % len(pauses)] * 10)
            looks += 1
            if looks % 50 == 0:
                await keeper.run_due(["first"])
        await keeper.run_due(["first"])

        owed = sum((charge.usd for charge in ledgers.charged), Decimal(0))
        booked = sum((line.cost_usd or Decimal(0) for line in await store.run(lines)), Decimal(0))
        assert abs(booked - owed) < Decimal("0.001")

    with_store(tmp_path_factory.mktemp("week"), body)
