"""The phases of a boot: what is expected, what is learned, and when a phase is stalled."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from console.events import Bus, Event
from console.machines.boot import (
    BootPhaseEnded,
    BootProgress,
    BootStalled,
    Expected,
    Phase,
    Timeline,
    expected,
    expected_total_s,
    is_stalled,
    learn,
)
from tests.conftest import run
from tests.console.scripted import HandClock
from tests.console.store_kit import opened

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USUAL = {phase: Expected(100.0, 3) for phase in Phase}


def test_the_nearest_history_tells_what_to_expect(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:

            def fill(connection: sqlite3.Connection) -> None:
                for number, seconds in enumerate((10, 20, 900)):
                    at = NOW + timedelta(hours=number)
                    learn(connection, "vast", "41", "ollama/ollama", Phase.IMAGE, seconds, at)
                learn(connection, "vast", "42", "ollama/ollama", Phase.IMAGE, 500, NOW)
                learn(connection, "vast", "41", "other", Phase.IMAGE, 70, NOW)

            await store.run(fill, write=True)

            async def told(host: str, image: str, cloud: str = "vast") -> Expected:
                return (await store.run(lambda c: expected(c, cloud, host, image)))[Phase.IMAGE]

            assert await told("41", "ollama/ollama") == Expected(20, 3)  # a median: one bad day is not the rule
            assert await told("41", "never") == Expected(45, 4)
            assert await told("99", "ollama/ollama") == Expected(260, 4)
            assert await told("", "") == Expected(70, 5)
            guess = await told("1", "x", "runpod")
            assert (guess.boots, guess.seconds > 0) == (0, True)

    run(body())


def test_only_the_newest_boots_count(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:

            def fill(connection: sqlite3.Connection) -> None:
                for number in range(30):
                    seconds = 1000.0 if number < 20 else 10.0
                    learn(connection, "vast", "41", "i", Phase.SSH, seconds, NOW + timedelta(hours=number))

            await store.run(fill, write=True)
            found = await store.run(lambda c: expected(c, "vast", "41", "i"))
            assert found[Phase.SSH] == Expected(10, 10)

    run(body())


def timeline(clock: HandClock) -> tuple[Timeline, list[Event]]:
    events: list[Event] = []

    class Listening(Bus):
        def publish(self, event: Event) -> None:
            events.append(event)

    return Timeline("gpu1", USUAL, clock, Listening()), events


def test_each_phase_ends_where_the_next_begins() -> None:
    clock = HandClock()
    boot, events = timeline(clock)

    boot.enter(Phase.RENTED)
    clock.advance(5)
    boot.enter(Phase.SSH)
    clock.advance(7)
    boot.enter(Phase.SSH, "no answer yet")
    boot.end()

    assert [(passed.phase, passed.seconds, passed.is_over) for passed in boot.phases()] == [
        (Phase.RENTED, 5, True),
        (Phase.SSH, 7, True),
    ]
    assert [event.phase for event in events if isinstance(event, BootPhaseEnded)] == [Phase.RENTED, Phase.SSH]
    assert [event.detail for event in events if isinstance(event, BootProgress)] == ["", "", "no answer yet"]
    assert (boot.elapsed_s, boot.phase) == (12, None)


def test_a_stall_is_told_once() -> None:
    clock = HandClock()
    boot, events = timeline(clock)
    boot.enter(Phase.IMAGE)

    for _ in range(5):
        clock.advance(99)
        boot.tick()

    stalls = [event for event in events if isinstance(event, BootStalled)]
    assert [(stall.phase, stall.elapsed_s) for stall in stalls] == [(Phase.IMAGE, 396)]
    assert boot.phases()[-1].is_stalled


def test_short_phases_get_their_minute_before_they_count_as_stalled() -> None:
    assert not is_stalled(59, Expected(1, 5))
    assert is_stalled(62, Expected(1, 5))
    assert not is_stalled(290, Expected(100, 5))


def test_what_is_left_shrinks_and_never_below_what_must_follow() -> None:
    clock = HandClock()
    boot, _ = timeline(clock)
    assert boot.remaining_s() == expected_total_s(USUAL) == 600

    boot.enter(Phase.SERVICE)
    assert boot.remaining_s() == 300
    clock.advance(40)
    assert boot.remaining_s() == 260
    clock.advance(1000)
    assert boot.remaining_s() == 200
    assert boot.remaining_s(until=Phase.SERVICE) == 0
