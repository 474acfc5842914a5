from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.chat.breaker import Breakers, is_down, open_s
from console.errors import StoreLocked
from console.history.store import Store
from console.paths import find_paths
from providers.errors import KeyRefused, ProviderError, RateLimited, ServiceFailed, TimedOut, TlsFailed, Unreachable
from tests.conftest import run
from tests.console.scripted import HandClock

DOWN = Unreachable("Nothing answers there.")


class Kept(NamedTuple):
    failures: int
    open_until: datetime | None


class Shelf:
    """What processes share, in memory; told to, it is locked."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.times_written = 0
        self.is_locked = False

    async def get(self) -> Shelf:
        if self.is_locked:
            raise StoreLocked("Another process holds it.")
        return self

    async def breakers(self) -> dict[str, Kept]:
        return dict(self.kept)

    async def note_failure(self, endpoint: str, at: datetime, until: datetime | None) -> int:
        self.times_written += 1
        failures = self.kept[endpoint].failures + 1 if endpoint in self.kept else 1
        self.kept[endpoint] = Kept(failures, until)
        return failures

    async def note_success(self, endpoint: str) -> None:
        self.times_written += 1
        self.kept.pop(endpoint, None)


async def fail(breakers: Breakers, times: int) -> None:
    for _ in range(times):
        await breakers.failed("box", DOWN)


def test_two_failures_leave_it_closed_and_the_third_opens_it() -> None:
    async def body() -> None:
        breakers = Breakers(HandClock())
        await fail(breakers, 2)
        assert await breakers.open_for_s("box") == 0
        await fail(breakers, 1)
        assert await breakers.open_for_s("box") == 10
        assert await breakers.open_for_s("other") == 0

    run(body())


def test_an_answer_in_between_begins_the_count_anew() -> None:
    async def body() -> None:
        breakers = Breakers(HandClock())
        await fail(breakers, 2)
        await breakers.succeeded("box")
        await fail(breakers, 2)
        assert await breakers.open_for_s("box") == 0

    run(body())


def test_after_its_time_one_may_try_and_the_others_wait() -> None:
    async def body() -> None:
        clock = HandClock()
        breakers = Breakers(clock)
        await fail(breakers, 3)
        clock.seconds += 10
        assert await breakers.open_for_s("box") == 0
        assert await breakers.open_for_s("box") == 30
        clock.seconds += 31
        assert await breakers.open_for_s("box") == 0

    run(body())


def test_a_trial_that_fails_opens_it_for_longer_and_one_that_answers_closes_it() -> None:
    async def body() -> None:
        clock = HandClock()
        breakers = Breakers(clock)
        await fail(breakers, 3)
        clock.seconds += 10
        assert await breakers.open_for_s("box") == 0
        await fail(breakers, 1)
        assert await breakers.open_for_s("box") == 20
        await breakers.succeeded("box")
        assert await breakers.open_for_s("box") == 0

    run(body())


@given(st.integers(min_value=3, max_value=100_000))
def test_the_time_grows_to_five_minutes_and_no_further(failures: int) -> None:
    assert 10 <= open_s(failures) <= open_s(failures + 1) <= 300


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (DOWN, True),
        (TlsFailed("The certificate is not valid."), True),
        (TimedOut("Connecting took too long.", phase="connect", limit_s=5), True),
        (TimedOut("Nothing came.", phase="first_token", limit_s=60), False),
        (ServiceFailed("Bad gateway.", status=502), True),
        (ServiceFailed("An error in the stream."), False),
        (KeyRefused("The key is refused."), False),
        (RateLimited("Slow down."), False),
    ],
)
def test_only_failures_of_the_connection_count(error: ProviderError, counts: bool) -> None:
    assert is_down(error) is counts


def test_what_one_process_saw_another_knows() -> None:
    async def body() -> None:
        clock, shelf = HandClock(), Shelf()
        mine, theirs = Breakers(clock, shelf.get), Breakers(clock, shelf.get)
        await fail(mine, 3)
        assert await theirs.open_for_s("box") == 10
        await theirs.succeeded("box")
        clock.seconds += 3
        assert await mine.open_for_s("box") == 0

    run(body())


def test_an_answer_of_a_sound_endpoint_writes_nothing() -> None:
    async def body() -> None:
        shelf = Shelf()
        await Breakers(HandClock(), shelf.get).succeeded("box")
        assert shelf.times_written == 0

    run(body())


def test_a_locked_store_costs_only_the_sharing() -> None:
    async def body() -> None:
        shelf = Shelf()
        shelf.is_locked = True
        breakers = Breakers(HandClock(), shelf.get)
        await fail(breakers, 3)
        assert await breakers.open_for_s("box") == 10
        await breakers.succeeded("box")
        assert await breakers.open_for_s("box") == 0

    run(body())


def test_a_clock_that_jumped_back_does_not_keep_it_open_for_hours() -> None:
    async def body() -> None:
        clock, shelf = HandClock(), Shelf()
        shelf.kept["box"] = Kept(5, clock.now() + timedelta(hours=3))
        assert await Breakers(clock, shelf.get).open_for_s("box") == 0

    run(body())


def test_the_store_is_a_shelf(tmp_path: object) -> None:
    async def body() -> None:
        clock = HandClock()
        store = await Store.open(find_paths({"HAWSER_HOME": str(tmp_path)}), clock)

        async def shelf() -> Store:
            return store

        try:
            await fail(Breakers(clock, shelf), 3)
            assert await Breakers(clock, shelf).open_for_s("box") == 10
            await Breakers(clock, shelf).succeeded("box")
            assert await Breakers(clock, shelf).open_for_s("box") == 0
        finally:
            await store.close()

    run(body())
