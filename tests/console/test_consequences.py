"""What follows from renting, stopping and destroying is said before, with the figures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from console.machines.consequences import ends_by_itself, of_destroying, of_stopping
from console.machines.lease import Limits
from providers.clouds.base import Bills, Capability, Reading, State
from tests.console.money_kit import record

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
RUNNING = Reading("1", "hawser-gpu1", State.RUNNING, Bills.EVERYTHING, disk_gb=Decimal(40))


def test_a_stop_says_what_ends_costing_and_what_goes_on() -> None:
    told = list(of_stopping(record(reading=RUNNING), {Capability.STOP, Capability.STOP_FREES_GPU}))

    assert told == [
        "$0.39/h for the GPU ends once the stop is proved.",
        "Its disk goes on costing $0.01/h, $0.24 a day, until it is destroyed: hawser vm destroy gpu1",
        "Its GPU is free for others then. If somebody takes it, it cannot be started until they leave.",
    ]


def test_a_stop_does_not_invent_a_price_for_the_disk() -> None:
    told = " ".join(of_stopping(record(reading=RUNNING, usd_per_hour_stopped=None), {Capability.STOP}))

    assert "Nobody says what its disk costs" in told
    assert "free for others" not in told


def test_a_container_and_a_bid_have_their_own_risks() -> None:
    spot = RUNNING._replace(spot=True)

    told = " ".join(of_stopping(record(reading=spot), {Capability.STOP, Capability.IMAGE}))

    assert "keep only its volume" in told
    assert "has to outbid the others" in told


def test_destroying_says_what_is_lost_and_that_the_costs_end() -> None:
    running = list(of_destroying(record(reading=RUNNING)))
    stopped = list(of_destroying(record(reading=RUNNING._replace(bills=Bills.DISK))))
    unseen = list(of_destroying(record()))

    assert "40 GB disk is lost for good" in running[0]
    assert running[1].startswith("$0.40/h ends")
    assert stopped[1].startswith("$0.01/h ends")
    assert unseen[1].startswith("What it costs, up to $0.40/h, ends")


def test_what_ends_a_machine_by_itself_is_said_with_the_time() -> None:
    half, twelve = timedelta(minutes=30), timedelta(hours=12)

    assert ends_by_itself(Limits(half, twelve, "stop"), NOW).startswith(
        "It is stopped after 30 min without work, and at "
    )
    assert "DESTROYED with all that is on it" in ends_by_itself(Limits(None, twelve, "destroy"), NOW)
    assert "unless its lease is extended" in ends_by_itself(Limits(None, twelve, "destroy"), NOW)
    assert ends_by_itself(Limits(half, twelve, "nothing"), NOW) == "Nothing ends it but you."
