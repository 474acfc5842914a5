"""The physics all simulated clouds share: time, stock, bids, money and bills, without any HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.simulated.clouds.account import Account
from providers.simulated.clouds.billing import Bill, ChargeKind
from providers.simulated.clouds.hosts import RTX_4090, Host, with_stock
from providers.simulated.clouds.limits import MinimumInterval, Window, Windows
from providers.simulated.clouds.market import Market, NoGpuError
from providers.simulated.clouds.rental import Order, Phase, Rental, Timings
from providers.simulated.clouds.timeline import Timeline
from tests.providers.twin_kit import START, HandClock

DISK = Decimal("0.01")
GPU = Decimal("0.40")
TIMINGS = Timings(provision_s=5, pull_s=20, boot_s=5, ssh_s=3, service_s=4, stop_s=10, destroy_s=5)
UP_S = 30


def tariff(rental: Rental) -> Mapping[ChargeKind, Decimal]:
    rates = {ChargeKind.DISK: DISK}
    if rental.holds_gpu:
        rates[ChargeKind.GPU] = rental.usd_per_hour
    return rates


class Lab:
    """One host with two GPUs, and an account."""

    def __init__(self, *, balance: str = "100", has_card: bool = False, **host: Any) -> None:
        self.clock = HandClock()
        self.host = Host(1, RTX_4090, 2, GPU, Decimal("0.20"), **host)
        grace = timedelta(hours=24)
        self.account = Account(START, Decimal(balance), key="k", has_card=has_card, grace=grace)
        numbers = count(1)
        self.market = Market(
            self.clock, [self.host], self.account, tariff, timings=TIMINGS, new_id=lambda: f"m{next(numbers)}"
        )

    def rent(self, **more: Any) -> Rental:
        self.market.advance()
        order = Order(self.host, more.pop("gpus", 1), "image", more.pop("usd", GPU), Decimal(10), **more)
        return self.market.rent(order)

    def rent_running(self, **more: Any) -> Rental:
        rental = self.rent(**more)
        self.forward(UP_S)
        return rental

    def forward(self, seconds: float = 0, **more: float) -> None:
        self.clock.forward(seconds, **more)
        self.market.advance()


def test_deeds_happen_in_their_order_at_their_moment() -> None:
    clock = HandClock()
    timeline = Timeline(clock)
    seen: list[tuple[str, float]] = []

    def note(name: str) -> None:
        seen.append((name, (timeline.now - START).total_seconds()))

    def first() -> None:
        note("first")
        timeline.after(5, lambda: note("third"))

    timeline.after(10, first)
    timeline.after(12, lambda: note("second"))
    clock.forward(11)
    timeline.advance()
    clock.forward(60)
    timeline.advance()

    assert seen == [("first", 10), ("second", 12), ("third", 15)]
    assert timeline.now == clock.now()
    assert timeline.next_at is None


def test_clock_that_is_set_back_undoes_nothing() -> None:
    clock = HandClock()
    timeline = Timeline(clock)
    clock.forward(100)
    timeline.advance()
    clock.forward(-50)
    timeline.advance()

    assert timeline.now == START + timedelta(seconds=100)


def test_machine_passes_through_its_phases_in_time() -> None:
    lab = Lab()
    rental = lab.rent()
    phases = [rental.phase]
    for seconds in (5, 20, 5, 3, 4):
        lab.forward(seconds)
        phases.append(rental.phase)

    assert phases == [
        Phase.PROVISIONING,
        Phase.PULLING,
        Phase.BOOTING,
        Phase.RUNNING,
        Phase.RUNNING,
        Phase.RUNNING,
    ]
    assert (rental.ssh_up, rental.keys_up, rental.service_up) == (True, True, True)
    assert rental.started_at == START + timedelta(seconds=UP_S)


def test_ssh_and_service_come_after_the_word_running() -> None:
    lab = Lab()
    rental = lab.rent_running()
    seen = [(rental.ssh_up, rental.service_up)]
    for seconds in (3, 4):
        lab.forward(seconds)
        seen.append((rental.ssh_up, rental.service_up))

    assert seen == [(False, False), (True, False), (True, True)]


def test_image_is_pulled_once_at_the_speed_of_the_line() -> None:
    lab = Lab(down_mbit_per_s=400.0)
    lab.market.timings = TIMINGS._replace(pull_s=None)
    rental = lab.rent()  # 4 GB at 50 MB/s
    lab.forward(5 + 79)
    first = rental.phase
    lab.forward(1 + 5)
    running = rental.phase
    lab.market.stop(rental)
    lab.forward(10)
    lab.market.start(rental)
    lab.forward(5 + 5)

    assert (first, running, rental.phase) == (Phase.PULLING, Phase.RUNNING, Phase.RUNNING)


def test_stop_is_done_after_a_while_and_frees_the_gpu() -> None:
    lab = Lab()
    rental = lab.rent_running(gpus=2)
    lab.market.stop(rental)
    before = rental.phase, lab.market.free_gpus(lab.host)
    lab.forward(10)

    assert before == (Phase.STOPPING, 0)
    assert (rental.phase, lab.market.free_gpus(lab.host)) == (Phase.STOPPED, 2)


def test_gpu_is_taken_while_stopped_and_given_back_later() -> None:
    lab = Lab()
    rental = lab.rent_running(gpus=2)
    lab.market.strangers_take_after_s = 0
    lab.market.stop(rental)
    lab.forward(10)

    with pytest.raises(NoGpuError):
        lab.market.start(rental)
    is_started = lab.market.start(rental, queues=True)
    queued = rental.phase
    lab.forward(hours=7)
    lab.market.give_back(lab.host, 2)
    lab.forward(UP_S)

    assert not is_started
    assert queued is Phase.QUEUED
    assert rental.phase is Phase.RUNNING


def test_stop_cancels_a_queued_start() -> None:
    lab = Lab()
    rental = lab.rent_running()
    lab.market.stop(rental)
    lab.forward(10)
    lab.market.take(lab.host, 2)
    lab.market.start(rental, queues=True)
    lab.market.stop(rental)
    lab.market.give_back(lab.host, 2)
    lab.forward(hours=1)

    assert rental.phase is Phase.STOPPED
    assert rental.starts == 1


def test_who_bids_too_little_is_outbid_and_looks_stopped() -> None:
    lab = Lab()
    low = lab.rent_running(bid=Decimal("0.25"), usd=Decimal("0.25"))
    high = lab.rent_running(bid=Decimal("0.35"), usd=Decimal("0.35"))
    lab.market.set_min_bid(lab.host, Decimal("0.30"))
    lab.forward(10)

    assert (low.phase, low.is_outbid, low.wants_to_run) == (Phase.STOPPED, True, False)
    assert (high.phase, high.is_outbid) == (Phase.RUNNING, False)


def test_price_that_moves_by_plan_outbids_while_nobody_looks() -> None:
    lab = Lab()
    rental = lab.rent_running(bid=Decimal("0.25"), usd=Decimal("0.25"))
    lab.market.at(START + timedelta(hours=3), lambda: lab.market.set_min_bid(lab.host, Decimal("0.30")))
    lab.forward(hours=9)

    assert rental.is_outbid
    assert rental.stopped_at == START + timedelta(hours=3, seconds=10)


def test_full_price_displaces_the_lowest_bid() -> None:
    lab = Lab()
    low = lab.rent_running(bid=Decimal("0.25"), usd=Decimal("0.25"))
    high = lab.rent_running(bid=Decimal("0.35"), usd=Decimal("0.35"))
    ours = lab.rent()

    assert (low.phase, high.phase, ours.phase) == (Phase.STOPPED, Phase.RUNNING, Phase.PROVISIONING)
    assert low.is_outbid


def test_prices_wander_the_same_way_for_the_same_seed() -> None:
    ends = []
    for _ in range(2):
        lab = Lab()
        lab.market.wander(lab.host, every_s=600)
        lab.forward(days=7)
        ends.append((lab.host.usd_per_gpu_hour, lab.host.min_bid_per_gpu_hour))

    assert ends[0] == ends[1]
    assert ends[0] != (GPU, Decimal("0.20"))


def test_host_that_is_away_gives_no_gpu_until_it_is_back() -> None:
    lab = Lab()
    lab.market.lose_host(lab.host)
    with pytest.raises(NoGpuError):
        lab.rent()
    lab.market.find_host(lab.host)

    assert lab.rent().phase is Phase.PROVISIONING


def test_contract_ends_stops_the_machine_and_clears_it_away() -> None:
    lab = Lab(ends_at=START + timedelta(hours=5))
    rental = lab.rent_running()
    lab.forward(hours=5)
    after_end = rental.phase, lab.market.is_expired(rental)
    lab.forward(hours=48)

    assert after_end == (Phase.STOPPED, True)
    assert rental.is_gone


def test_money_that_runs_out_stops_everything_and_destroys_after_a_grace() -> None:
    lab = Lab(balance="0.82")
    rental = lab.rent_running()
    lab.forward(hours=1, minutes=59)
    before = rental.phase
    lab.forward(minutes=2)
    after = rental.phase
    lab.forward(hours=25)

    assert (before, after) == (Phase.RUNNING, Phase.STOPPED)
    assert rental.is_gone
    assert lab.market.balance_usd < 0


def test_money_paid_in_time_saves_the_machine() -> None:
    lab = Lab(balance="0.82")
    rental = lab.rent_running()
    lab.forward(hours=1)
    lab.market.pay_in(Decimal(5))
    lab.forward(hours=8)

    assert rental.phase is Phase.RUNNING


def test_card_keeps_the_disk_when_money_is_gone() -> None:
    lab = Lab(balance="0.82", has_card=True)
    rental = lab.rent_running()
    lab.forward(days=5)

    assert rental.phase is Phase.STOPPED


def test_bill_is_exact_and_adds_up_to_what_left_the_account() -> None:
    lab = Lab()
    rental = lab.rent()
    lab.forward(7_200)
    lab.market.stop(rental)
    lab.forward(3_600)
    lab.market.destroy(rental)
    lab.forward(3_600)

    gpu = GPU * (7_200 + 10) / 3_600
    disk = DISK * (7_200 + 3_600 + 5) / 3_600
    assert abs(lab.market.billed(rental.id) - gpu - disk) < Decimal("1e-15")
    assert lab.market.billed(rental.id) == sum(charge.usd for charge in lab.market.invoice())
    assert lab.market.balance_usd == 100 - lab.market.billed(rental.id)


def test_bill_by_the_minute_rounds_each_stretch_up() -> None:
    bill = Bill("m1", timedelta(minutes=1))
    bill.charge_at(START, {ChargeKind.GPU: Decimal(6)})
    bill.charge_at(START + timedelta(seconds=61), {})

    assert bill.total(START + timedelta(hours=1)) == Decimal("0.2")


def test_bill_of_a_day_is_a_part_of_the_whole() -> None:
    bill = Bill("m1")
    bill.charge_at(START, {ChargeKind.GPU: Decimal(1), ChargeKind.DISK: Decimal(2)})
    bill.charge_at(START + timedelta(hours=30), {ChargeKind.DISK: Decimal(2)})
    bill.charge_once(START + timedelta(hours=31), ChargeKind.UPLOAD, Decimal(7))
    now = START + timedelta(hours=40)
    day = timedelta(days=1)

    assert bill.between(START, START + day, now) == {ChargeKind.GPU: 24, ChargeKind.DISK: 48}
    assert bill.between(START + day, START + 2 * day, now) == {
        ChargeKind.GPU: 6,
        ChargeKind.DISK: 32,
        ChargeKind.UPLOAD: 7,
    }


def test_transfer_is_charged_per_gigabyte() -> None:
    lab = Lab(download_usd_per_gb=Decimal("0.01"), upload_usd_per_gb=Decimal("0.02"))
    rental = lab.rent_running()
    lab.market.transfer(rental, down_gb=Decimal(40), up_gb=Decimal(5))
    kinds = {charge.kind: charge.usd for charge in lab.market.invoice() if charge.usd_per_hour is None}

    assert kinds == {ChargeKind.DOWNLOAD: Decimal("0.40"), ChargeKind.UPLOAD: Decimal("0.10")}


def test_price_raised_on_a_rental_is_charged_from_then_on() -> None:
    lab = Lab()
    rental = lab.rent()
    lab.forward(hours=1)
    lab.market.raise_price(rental, Decimal("0.80"))
    lab.forward(hours=1)
    gpu = [charge.usd for charge in lab.market.invoice() if charge.kind is ChargeKind.GPU]

    assert gpu == [GPU, Decimal("0.80")]


def test_stock_leaves_so_many_gpus_free() -> None:
    hosts = with_stock([Host(1, RTX_4090, 8, GPU), Host(2, RTX_4090, 1, GPU)], 2)

    assert [host.gpus - host.taken for host in hosts] == [2, 1]


def test_least_interval_holds_per_caller_and_endpoint() -> None:
    intervals = MinimumInterval()
    now = START
    waits = [
        intervals.wait_s(who, what, 2, now)
        for who, what in (("a", "list"), ("a", "list"), ("b", "list"), ("a", "show"))
    ]
    later = intervals.wait_s("a", "list", 2, now + timedelta(seconds=2))

    assert waits == [0, 2, 0, 0]
    assert later == 0


def test_penalty_makes_who_does_not_wait_wait_longer() -> None:
    intervals = MinimumInterval()
    intervals.wait_s("a", "create", 4.5, START, penalty_s=12)
    early = intervals.wait_s("a", "create", 4.5, START + timedelta(seconds=1), penalty_s=12)

    assert early == 12


def test_windows_fill_up_and_begin_anew() -> None:
    windows = Windows([Window("minute", 2, 60), Window("hour", 3, 3_600)])
    first = [windows.take("a", START) for _ in range(3)]
    later = START + timedelta(minutes=1)
    second = [windows.take("a", later) for _ in range(2)]

    assert [full and full.name for full in first] == [None, None, "minute"]
    assert [full and full.name for full in second] == [None, "hour"]
    assert windows.take("b", START) is None


DEEDS = ("start", "stop", "destroy", "rent", "take", "give_back", "outbid", "lose", "find", "restart")


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 3), st.integers(0, 20_000)), max_size=25))
def test_whatever_happens_gpus_are_never_rented_twice_and_the_books_are_right(
    history: list[tuple[str, int, int]],
) -> None:
    lab = Lab(balance="1000")
    host, market = lab.host, lab.market
    lab.rent(bid=Decimal("0.25"), usd=Decimal("0.25"))
    for deed, which, seconds in history:
        rentals = list(market.rentals.values())
        rental = rentals[which % len(rentals)]
        match deed:
            case "start" if not rental.is_gone and rental.phase is not Phase.DESTROYING:
                market.start(rental, queues=True)
            case "stop":
                market.stop(rental)
            case "destroy":
                market.destroy(rental)
            case "rent" if market.can_hold(host, 1):
                lab.rent()
            case "take":
                market.take(host, which % 2 + 1)
            case "give_back":
                market.give_back(host, which % 2 + 1)
            case "outbid":
                market.set_min_bid(host, Decimal("0.15") + Decimal("0.05") * which)
            case "lose":
                market.lose_host(host)
            case "find":
                market.find_host(host)
            case "restart" if rental.phase is Phase.RUNNING:
                market.restart(rental)
        held = sum(rental.gpus for rental in market.alive() if rental.holds_gpu)
        assert held <= host.gpus
        lab.forward(seconds)

    assert market.balance_usd == 1_000 - sum(charge.usd for charge in market.invoice())
    assert all(not rental.bill.usd_per_hour for rental in market.rentals.values() if rental.is_gone)
    assert all(ChargeKind.DISK in rental.bill.rates() for rental in market.alive())


def test_new_price_is_for_new_rentals_only() -> None:
    lab = Lab()
    rental = lab.rent()
    lab.market.set_price(lab.host, Decimal("0.90"))
    lab.forward(hours=1)
    gpu = [charge.usd for charge in lab.market.invoice() if charge.kind is ChargeKind.GPU]

    assert (lab.host.usd_per_gpu_hour, rental.usd_per_hour, gpu) == (Decimal("0.90"), GPU, [GPU])
