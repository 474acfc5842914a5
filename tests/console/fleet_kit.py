"""A fleet over a cloud in memory, with a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from console.events import Bus, Event
from console.history import machines
from console.history.store import Store
from console.machines.fleet import Fleet, LaunchPlan
from console.machines.records import Deed
from console.settings import load_settings
from tests.clocks import EagerClock
from tests.console.fake_cloud import OFFER, FakeCloud
from tests.console.store_kit import paths_in

E = TypeVar("E", bound=Event)
PLAN = LaunchPlan("cloud", OFFER, ceiling_usd_per_hour=Decimal("0.45"))


class Heard(Bus):
    """Keeps what was published."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    def publish(self, event: Event) -> None:
        self.events.append(event)
        super().publish(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


class World:
    def __init__(self, store: Store, clock: EagerClock, cloud: FakeCloud, bus: Heard, fleet: Fleet) -> None:
        self.store, self.clock, self.cloud, self.bus, self.fleet = store, clock, cloud, bus, fleet

    async def deeds(self, name: str) -> list[Deed]:
        """Of the machine that has this name or had it last, the oldest first."""

        def work(connection: Any) -> list[Deed]:
            record = machines.last_named(connection, name)
            assert record is not None
            return machines.deeds(connection, record.seq)[::-1]

        return await self.store.run(work)

    async def rounds(self, seconds: float, step_s: float = 5.0) -> None:
        """Time passes, and the fleet looks after its machines."""
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            self.clock.advance(step_s)
            await self.fleet.reconcile()


@asynccontextmanager
async def world(
    folder: Path,
    cloud: FakeCloud | None = None,
    *,
    config: str = "",
    accounts: Sequence[str] = ("cloud",),
    checkpoint: Callable[[str], None] | None = None,
    **more: Any,
) -> AsyncIterator[World]:
    paths = paths_in(folder)
    paths.config.mkdir(parents=True, exist_ok=True)
    paths.config_file.write_text(config)
    clock = cloud.clock if cloud is not None else EagerClock()
    cloud = cloud or FakeCloud(clock)
    settings = load_settings(paths, {}, discover=False)
    store = await Store.open(paths, clock)
    bus = Heard()
    fleet = Fleet(
        settings,
        store,
        dict.fromkeys((*accounts, "ssh"), cloud).__getitem__,
        clock,
        bus,
        public_key=lambda: "ssh-ed25519 AAAA test",
        accounts=lambda: list(accounts),
        checkpoint=checkpoint,
        **more,
    )
    try:
        yield World(store, clock, cloud, bus, fleet)
    finally:
        await store.close()
