"""Alerts: told once for each trouble, again when it gets worse or stays, and never in anybody's way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from console.channels.base import Message
from console.errors import ChannelFailed, NotFound
from console.events import Bus
from console.history.store import Store
from console.notify import MOST_WAITING, AlertCleared, AlertRaised, Alerts, Outlet
from tests.console.money_kit import StillClock, with_store

AGAIN = {"alarm": timedelta(minutes=15), "warning": timedelta(hours=6)}


class Recording:
    """A channel that keeps what it gets; it can be held up, or fail."""

    def __init__(self, name: str = "one") -> None:
        self.name = name
        self.sent: list[list[Message]] = []
        self.fails = False
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.begun = asyncio.Event()
        self.closed = False

    async def send(self, messages: Sequence[Message]) -> None:
        self.begun.set()
        await self.goes_on.wait()
        if self.fails:
            raise ChannelFailed("It did not work.")
        self.sent.append(list(messages))

    async def close(self) -> None:
        self.closed = True

    @property
    def words(self) -> list[str]:
        return [message.words for messages in self.sent for message in messages]


def alerts_of(
    store: Store, clock: StillClock, *channels: Recording, bus: Bus | None = None, level: Any = "warning"
) -> Alerts:
    outlets = [Outlet(channel, level) for channel in channels]
    return Alerts(store, outlets, clock, bus or Bus(), again_after=AGAIN)  # type: ignore[arg-type]


def test_the_same_trouble_is_told_once(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        channel = Recording()
        alerts = alerts_of(store, clock, channel)

        assert await alerts.raise_("stop:gpu1", "alarm", "gpu1 may go on costing money.")
        clock.move(minutes=5)
        assert not await alerts.raise_("stop:gpu1", "alarm", "gpu1 may still go on.")
        await alerts.settle()

        assert channel.words == ["Alarm: gpu1 may go on costing money."]
        (alert,) = await alerts.open()
        assert (alert.text, alert.times, alert.last_at - alert.first_at) == (
            "gpu1 may still go on.",
            2,
            timedelta(minutes=5),
        )

    with_store(tmp_path, body)


def test_another_process_does_not_tell_it_again(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        first, second = Recording(), Recording()

        assert await alerts_of(store, clock, first).raise_("a", "alarm", "Trouble.")
        assert not await alerts_of(store, clock, second).raise_("a", "alarm", "Trouble.")

    with_store(tmp_path, body)


@pytest.mark.parametrize(
    ("level", "minutes", "told"),
    [("alarm", 14, False), ("alarm", 15, True), ("warning", 359, False), ("warning", 360, True), ("info", 9999, False)],
)
def test_what_still_stands_is_told_again_by_its_level(tmp_path: Path, level: Any, minutes: int, told: bool) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        alerts = alerts_of(store, clock)
        await alerts.raise_("a", level, "Trouble.")
        clock.move(minutes=minutes)

        assert await alerts.raise_("a", level, "Trouble.") is told

    with_store(tmp_path, body)


def test_what_gets_worse_is_told_at_once_and_what_gets_better_is_not(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        alerts = alerts_of(store, clock)

        told = [
            await alerts.raise_("a", level, "Trouble.") for level in ("info", "warning", "alarm", "warning", "alarm")
        ]

        assert told == [True, True, True, False, True]

    with_store(tmp_path, body)


def test_the_end_is_told_once_and_the_next_time_is_new(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        channel, bus = Recording(), Bus()
        alerts = alerts_of(store, clock, channel, bus=bus)
        with bus.subscribe() as events:
            await alerts.raise_("heat:gpu1", "warning", "GPU 0 is at 80 °C.")
            assert await alerts.clear("heat:gpu1", "GPU 0 is at 60 °C.")
            assert not await alerts.clear("heat:gpu1")
            assert not await alerts.clear("never")
            assert await alerts.raise_("heat:gpu1", "warning", "GPU 0 is at 81 °C.")
            bus.close()
            kinds = [type(event) async for event in events]
        await alerts.settle()

        assert channel.words == [
            "Warning: GPU 0 is at 80 °C.",
            "Over: GPU 0 is at 60 °C.",
            "Warning: GPU 0 is at 81 °C.",
        ]
        assert kinds == [AlertRaised, AlertCleared, AlertRaised]
        assert (await alerts.open())[0].times == 1

    with_store(tmp_path, body)


def test_channels_hear_from_their_level_on(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        channel = Recording()
        alerts = alerts_of(store, clock, channel, level="alarm")

        await alerts.raise_("a", "warning", "Small.")
        await alerts.raise_("b", "alarm", "Large.")
        await alerts.settle()

        assert channel.words == ["Alarm: Large."]
        assert [alert.subject for alert in await alerts.open()] == ["b", "a"]

    with_store(tmp_path, body)


def test_a_slow_channel_holds_up_nobody_and_gets_the_rest_as_one(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        slow, quick = Recording("slow"), Recording("quick")
        slow.goes_on.clear()
        alerts = alerts_of(store, clock, slow, quick)

        await alerts.raise_("first", "alarm", "0")
        await slow.begun.wait()
        for number in range(MOST_WAITING + 50):
            await alerts.raise_(f"{number}", "alarm", f"{number}")
        assert slow.sent == []
        slow.goes_on.set()
        await alerts.settle()

        assert [len(messages) for messages in slow.sent] == [1, MOST_WAITING]
        assert slow.sent[1][-1].text == f"{MOST_WAITING + 49}"
        assert len(quick.words) == MOST_WAITING + 51

    with_store(tmp_path, body)


def test_what_no_channel_delivered_is_told_again_soon(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        one, two = Recording("one"), Recording("two")
        alerts = alerts_of(store, clock, one, two)
        one.fails = two.fails = True
        await alerts.raise_("a", "alarm", "Trouble.")
        await alerts.settle()

        two.fails = False
        assert not await alerts.raise_("a", "alarm", "Trouble.")
        clock.move(minutes=1)
        assert await alerts.raise_("a", "alarm", "Trouble.")
        await alerts.settle()
        assert not await alerts.raise_("a", "alarm", "Trouble.")

        assert two.words == ["Alarm: Trouble."]

    with_store(tmp_path, body)


def test_closing_waits_for_what_is_under_way_but_not_for_ever(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        stuck, fine = Recording("stuck"), Recording("fine")
        stuck.goes_on.clear()
        alerts = alerts_of(store, clock, stuck, fine)
        await alerts.raise_("a", "alarm", "Trouble.")

        await alerts.close(limit_s=0.05)

        assert (stuck.sent, fine.words) == ([], ["Alarm: Trouble."])
        assert stuck.closed
        assert fine.closed

    with_store(tmp_path, body)


def test_a_trial_says_which_channel_failed(tmp_path: Path) -> None:
    async def body(store: Store, clock: StillClock) -> None:
        good, bad = Recording("good"), Recording("bad")
        bad.fails = True
        alerts = alerts_of(store, clock, good, bad)

        told = await alerts.test()
        assert [(one.channel, one.error and one.error.text) for one in told] == [
            ("good", None),
            ("bad", "It did not work."),
        ]
        assert [one.channel for one in await alerts.test("good")] == ["good"]
        with pytest.raises(NotFound, match="no channel 'nobody'"):
            await alerts.test("nobody")
        assert await alerts.open() == []

    with_store(tmp_path, body)
