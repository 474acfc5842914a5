"""A guard over a fleet on a cloud in memory, with looks at machines that a test decides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from console.errors import LinkUnreachable
from console.links.remote import Connect
from console.machines.guard import Guard, Role
from console.machines.leases import Leases
from console.machines.records import MachineState
from console.machines.signals import Look, Signals
from console.machines.watch import Watch
from console.money.budget import Budget
from console.money.meter import Meter
from console.notify import Alerts
from console.settings import load_settings
from tests.console.fake_cloud import FakeCloud
from tests.console.fleet_kit import PLAN, World, world
from tests.console.store_kit import paths_in

IDLE = [Look(kind, active=False, detail="") for kind in ("gpu", "ssh", "jobs")]


def busy(kind: str, detail: str = "at work") -> list[Look]:
    return [Look(look.kind, active=look.kind == kind, detail=detail if look.kind == kind else "") for look in IDLE]


class Berth:
    """A world with a guard in it."""

    def __init__(self, the_world: World, leases: Leases, signals: Signals, alerts: Alerts, guard: Guard) -> None:
        self.world, self.leases, self.signals, self.alerts, self.guard = the_world, leases, signals, alerts, guard
        self.looks: dict[str, list[Look] | None] = {}
        """What there is to see on a machine; None for one that cannot be reached."""
        self.left: list[str] = []
        """Machines whose link was let go."""

    async def read(self, connect: Connect, machine: str) -> list[Look]:
        looks = self.looks.get(machine, IDLE)
        if looks is None:
            raise LinkUnreachable(f"{machine} does not answer.")
        return looks

    async def leave(self, name: str) -> None:
        self.left.append(name)

    async def launch(self, name: str = "gpu1", **changes: Any) -> None:
        """Rent a machine, and wait until it is reached."""
        await self.world.fleet.launch(name, PLAN._replace(**changes), why="a test")
        await self.world.rounds(40)
        await self.world.fleet.reached(name, MachineState.REACHABLE)

    async def pass_time(self, minutes: float, *, step_s: float = 60.0) -> None:
        """Time passes, and the guard does its rounds."""
        until = self.world.clock.monotonic() + minutes * 60
        while self.world.clock.monotonic() < until:
            self.world.clock.advance(step_s)
            await self.guard.once()

    async def subjects(self) -> list[str]:
        """The alerts that stand."""
        return sorted(alert.subject for alert in await self.alerts.open())


def _connect(_: str) -> Connect:
    async def never() -> Any:
        raise AssertionError("the looks of a test connect to nothing")

    return never


@asynccontextmanager
async def berth(
    folder: Path,
    cloud: FakeCloud | None = None,
    *,
    config: str = "",
    owner: str | None = None,
    **more: Any,
) -> AsyncIterator[Berth]:
    async with world(folder, cloud, config=config, hooks=(Meter(),), **more) as the_world:
        clock, store, bus = the_world.clock, the_world.store, the_world.bus
        settings = load_settings(paths_in(folder), {}, discover=False)
        leases = Leases(settings, store, clock)

        async def the_store() -> Any:
            return store

        signals = Signals(the_store, clock)
        alerts = Alerts(store, [], clock, bus)
        found: list[Berth] = []
        watch = Watch(
            _connect,
            lambda name: found[0].leave(name),
            lambda connect, name: found[0].read(connect, name),
            signals,
            clock,
            reached=lambda name: the_world.fleet.reached(name, MachineState.REACHABLE),
        )
        role = Role(store, clock, owner=owner)
        budget = Budget(settings.budget, store, clock)
        guard = Guard(store, the_world.fleet, leases, budget, alerts, watch, clock, bus, role=role)
        found.append(Berth(the_world, leases, signals, alerts, guard))
        yield found[0]
