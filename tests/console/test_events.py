import asyncio
from collections.abc import Hashable
from dataclasses import dataclass

from console.events import Bus, Event
from tests.conftest import run


@dataclass(frozen=True, slots=True)
class Spent(Event):
    cents: int


@dataclass(frozen=True, slots=True)
class Load(Event):
    gpu: int
    percent: int

    @property
    def key(self) -> Hashable:
        return self.gpu


def test_facts_all_arrive_in_order() -> None:
    async def body() -> list[Event]:
        bus = Bus()
        with bus.subscribe() as events:
            for cents in range(3):
                bus.publish(Spent(cents))
            bus.close()
            return [event async for event in events]

    assert run(body()) == [Spent(0), Spent(1), Spent(2)]


def test_of_samples_only_the_last_of_each_key_arrives() -> None:
    async def body() -> list[Event]:
        bus = Bus()
        with bus.subscribe() as events:
            for percent in range(100):
                bus.publish(Load(0, percent))
            bus.publish(Load(1, 7))
            bus.close()
            return [event async for event in events]

    assert run(body()) == [Load(0, 99), Load(1, 7)]


def test_a_fact_between_samples_keeps_its_place() -> None:
    async def body() -> list[Event]:
        bus = Bus()
        with bus.subscribe() as events:
            bus.publish(Load(0, 1))
            bus.publish(Spent(5))
            bus.publish(Load(0, 2))
            bus.close()
            return [event async for event in events]

    assert run(body()) == [Load(0, 2), Spent(5)]


def test_a_waiting_reader_wakes_for_an_event_and_for_the_end() -> None:
    async def body() -> list[Event]:
        bus = Bus()
        seen: list[Event] = []
        with bus.subscribe() as events:

            async def read() -> None:
                async for event in events:
                    seen.append(event)

            reader = asyncio.create_task(read())
            await asyncio.sleep(0)
            bus.publish(Spent(1))
            await asyncio.sleep(0)
            bus.close()
            await reader
        return seen

    assert run(body()) == [Spent(1)]


def test_a_reader_that_left_gets_nothing_more() -> None:
    bus = Bus()
    with bus.subscribe() as events:
        pass

    bus.publish(Spent(1))

    assert len(events) == 0
