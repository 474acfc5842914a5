"""Whatever happens to machines, the ledger says what their cloud billed.

Random histories over HTTP at the simulated clouds, with a clock moved by hand. Two ways of reading: every fifteen
seconds, where each change at the cloud may be missed by as much; and on both sides of every change, where nothing is.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.errors import ConsoleError
from console.events import Bus
from console.history import meters
from console.history.store import Store
from console.machines.fleet import Fleet, LaunchPlan
from console.money.meter import Meter
from console.paths import Paths
from console.settings import load_settings
from providers.clouds.base import Cloud, CloudHost, Search
from providers.errors import ProviderError
from providers.registry import cloud as adapter_of
from providers.simulated.clouds.billing import Charge, hours
from providers.simulated.clouds.rental import Phase, Rental
from providers.simulated.clouds.twin import CloudTwin
from tests.clocks import START, EagerClock
from tests.console.fleet_histories import Rows, empty_tables
from tests.flows.week_kit import KEYS, OUR_KEY, TWINS

INTERVAL_S = 15
ROUNDING_USD = Decimal("0.00001")
"""Six places on each line of the ledger, and on the prices that clouds tell."""
LONGEST = timedelta(hours=30)

EVENTS = (
    "launch", "launch spot", "start", "stop", "destroy", "stop there", "start there", "destroy there", "outbid",
    "cheap again", "host lost", "host back", "dearer", "died", "nothing",
)  # fmt: skip
Histories = list[tuple[str, int]]


def histories(most_s: int, most: int) -> st.SearchStrategy[Histories]:
    pauses = st.integers(min_value=1, max_value=most_s)
    first = st.tuples(st.sampled_from(EVENTS[:2]), pauses)
    others = st.lists(st.tuples(st.sampled_from(EVENTS), pauses), min_size=2, max_size=most)
    return st.tuples(first, others).map(lambda both: [both[0], *both[1]])


class HastyClock:
    """What an adapter is given so that it never waits for its turn: the limits of clouds are tried elsewhere."""

    def __init__(self, clock: EagerClock) -> None:
        self.now = clock.now
        self._calls = 0

    def monotonic(self) -> float:
        self._calls += 1
        return self._calls * 1000.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class History:
    def __init__(self, name: str, twin: CloudTwin, cloud: Cloud, clock: EagerClock) -> None:
        self.name, self.twin, self.cloud, self.clock = name, twin, cloud, clock
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.deserialize(_tables())
        self.fleet = Fleet(
            load_settings(Paths(*[Path("/nowhere")] * 4), {}, discover=False),
            cast("Store", Rows(self.connection)),
            lambda _: cloud,
            clock,
            Bus(),
            hooks=(Meter(zone=UTC),),
            public_key=lambda: OUR_KEY,
            accounts=lambda: [name],
        )

    # What happens

    async def happens(self, event: str) -> None:
        with suppress(ConsoleError, ProviderError):
            await self._wished(event)
        for rental in self.twin.market.alive():
            self._there(event, rental)

    async def _wished(self, event: str) -> None:
        is_there = any(record.name == "box" for record in await self.fleet.machines())
        if event in ("launch", "launch spot") and not is_there:
            offers = await self.cloud.offers(Search(spot=event == "launch spot", limit=4))
            if offers:
                bid = offers[0].usd_per_hour * 2 if event == "launch spot" else None
                plan = LaunchPlan(self.name, offers[0], at_end="destroy", bid_usd_per_hour=bid)
                await self.fleet.launch("box", plan, why="asked for")
        elif is_there and event == "start":
            await self.fleet.start("box", why="asked for")
        elif is_there and event == "stop":
            await self.fleet.stop("box", why="asked for")
        elif is_there and event == "destroy":
            await self.fleet.destroy("box", why="asked for")

    def _there(self, event: str, rental: Rental) -> None:
        market, host = self.twin.market, rental.host
        can_stop = self.name != "lambda"
        match event:
            case "stop there" if can_stop and rental.phase is not Phase.DESTROYING:
                market.stop(rental)
            case "start there" if can_stop and rental.phase is Phase.STOPPED and market.can_hold(host, rental.gpus):
                market.start(rental, queues=True)
            case "destroy there":
                market.destroy(rental)
            case "outbid" if host.min_bid_per_gpu_hour is not None:
                market.set_min_bid(host, Decimal(9))
            case "cheap again" if host.min_bid_per_gpu_hour is not None:
                market.set_min_bid(host, Decimal("0.05"))
            case "host lost" if self.name == "vast":
                market.lose_host(host)
            case "host back":
                market.find_host(host)
            case "dearer" if not rental.is_spot and self.name == "vast":
                market.raise_price(rental, rental.usd_per_hour + Decimal("0.07"))
            case "died" if can_stop:
                market.kill_container(rental)
            case _:
                pass

    # Readings

    async def read(self) -> None:
        trouble = await self.fleet.poll.read(self.name)
        assert trouble is None, trouble

    async def pass_in_steps(self, seconds: int) -> None:
        for _ in range(-(-seconds // INTERVAL_S)):
            self.clock.advance(INTERVAL_S)
            await self.read()

    async def pass_around_changes(self, seconds: int) -> None:
        """A reading a millisecond before each thing that happens, and one as soon as it has."""
        end = self.clock.now() + timedelta(seconds=seconds)
        self.clock.advance(0.001)
        await self.read()
        while self.clock.now() < end:
            due = self.twin.market.timeline.next_at
            moment = end if due is None else max(min(due, end), self.clock.now() + timedelta(milliseconds=2))
            self._move(moment - timedelta(milliseconds=1))
            await self.read()
            self._move(moment)
            await self.read()

    def _move(self, moment: object) -> None:
        self.clock.advance(max((moment - self.clock.now()).total_seconds(), 0.0))  # type: ignore[operator]

    # Money

    def booked(self) -> Decimal:
        rows = self.connection.execute("SELECT cost_usd FROM ledger").fetchall()
        assert all(usd is not None for (usd,) in rows), "a line has no price"
        waiting = sum((row.unbooked for row, _, _ in meters.opened(self.connection)), Decimal(0))
        return sum((Decimal(usd) for (usd,) in rows), Decimal(0)) + meters.in_usd(waiting)

    def charges(self) -> list[Charge]:
        return self.twin.invoice()

    def billed(self) -> Decimal:
        return sum((charge.usd for charge in self.charges()), Decimal(0))

    def off_at_most(self, seconds: float) -> Decimal:
        """What may be missed, or counted too much, when each stretch's ends are known to within so many seconds."""
        step = self.twin.bills_by or timedelta(0)
        edge = hours(timedelta(seconds=2 * seconds) + step)
        return sum(
            ((charge.usd_per_hour or Decimal(0)) * edge + ROUNDING_USD for charge in self.charges()), ROUNDING_USD
        )

    def ending(self) -> Decimal:
        """What may be charged while machines are being destroyed: nothing confirms it, and it is not booked."""
        lasts = hours(timedelta(seconds=self.twin.market.timings.destroy_s))
        return sum((rental.usd_per_hour * lasts for rental in self.twin.rentals.values()), Decimal(0))


@cache
def _tables() -> bytes:
    return empty_tables()


def live(name: str, events: Histories, way: Callable[[History, int], object], off_s: float) -> None:
    async def body() -> None:
        clock = EagerClock()
        async with TWINS[name](clock=clock, balance_usd=Decimal(5_000), limits=False) as twin:
            key = KEYS.get(name, "{key}").format(key=twin.key)
            cloud = adapter_of(name, CloudHost(name, twin.base_url, key), HastyClock(clock))
            history = History(name, twin, cloud, clock)
            try:
                for event, seconds in events:
                    await history.happens(event)
                    await way(history, seconds)  # type: ignore[misc]
                    booked, billed, off = history.booked(), history.billed(), history.off_at_most(off_s)
                    assert booked <= billed + off, f"{booked} booked, {billed} billed, at most {off} apart"
                    off += history.ending()
                    assert booked >= billed - off, f"{booked} booked, {billed} billed, at most {off} apart"
            finally:
                history.connection.close()
                await cloud.close()

    asyncio.run(body())


@pytest.mark.parametrize("name", list(TWINS))
def test_books_are_the_bills_to_within_one_interval_of_each_change(name: str) -> None:
    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(histories(most_s=240, most=6))
    def lived(events: Histories) -> None:
        live(name, events, History.pass_in_steps, INTERVAL_S)

    lived()


@pytest.mark.parametrize("name", list(TWINS))
def test_books_are_the_bills_where_every_change_is_seen(name: str) -> None:
    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(histories(most_s=LONGEST // timedelta(seconds=1), most=10))
    def lived(events: Histories) -> None:
        live(name, events, History.pass_around_changes, 0.002)

    lived()


def test_a_long_day_is_booked_to_the_millionth() -> None:
    events = [("launch", 7), ("nothing", 86_400), ("stop", 3_600), ("start", 5_000), ("destroy", 600)]
    assert START.tzinfo is not None
    for name in TWINS:
        live(name, events, History.pass_around_changes, 0.002)
