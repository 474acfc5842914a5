"""Noticing sleep, with clocks that the test moves."""

from __future__ import annotations

import asyncio

import pytest

from console.links.wake import Cause, Reading, Wake, compare, local_address_towards, read_clocks
from tests.conftest import run

BEFORE = Reading(100.0, 1000.0, 5000.0)


@pytest.mark.parametrize(
    ("after", "cause"),
    [
        (Reading(101.0, 1001.0, 5001.0), None),
        (Reading(104.0, 1004.0, 5004.0), None),  # a busy moment
        (Reading(101.0, 1091.0, 5091.0), "sleep"),  # the monotonic clock stood still
        (Reading(190.0, 1090.0, 5090.0), "stopped"),  # nothing ran, but all clocks did
        (Reading(101.0, 1001.0, 9001.0), None),  # somebody set the wall clock: the boot-time clock knows better
        (Reading(101.0, 1001.0, 4001.0), None),
    ],
)
def test_clocks_tell_what_happened(after: Reading, cause: Cause | None) -> None:
    assert compare(BEFORE, after) == cause


@pytest.mark.parametrize(("wall", "cause"), [(5001.0, None), (5091.0, "clock"), (4000.0, None)])
def test_without_a_boot_time_clock_the_wall_clock_has_to_do(wall: float, cause: Cause | None) -> None:
    before, after = Reading(100.0, None, 5000.0), Reading(101.0, None, wall)

    assert compare(before, after) == cause


def test_each_tick_is_compared_with_the_one_before() -> None:
    readings = [BEFORE, Reading(101.0, 1001.0, 5001.0), Reading(102.0, 1092.0, 5092.0), Reading(103.0, 1093.0, 5093.0)]
    woken: list[Cause] = []
    ticks: list[int] = []
    wake = Wake(woken.append, lambda: ticks.append(1), lambda: readings.pop(0))

    for _ in range(3):
        wake.look()

    assert woken == ["sleep"]
    assert len(ticks) == 3


def test_it_ticks_by_itself_until_it_is_stopped() -> None:
    async def body() -> None:
        ticked = asyncio.Event()
        wake = Wake(lambda _: None, ticked.set)
        wake.start()
        async with asyncio.timeout(30):
            await ticked.wait()
        wake.stop()
        wake.stop()

    run(body())


def test_the_real_clocks_agree_with_themselves() -> None:
    assert compare(read_clocks(), read_clocks()) is None


def test_the_way_to_a_machine_on_loopback_is_loopback() -> None:
    assert local_address_towards(("127.0.0.1", 22)) == "127.0.0.1"
