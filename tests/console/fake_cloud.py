"""A cloud in memory, with the habits and the faults of real ones, for tests that need tens of thousands of histories.

It implements the `Cloud` protocol and nothing else; the flows drive the HTTP twins. Time comes from a clock that is
moved by hand. What really is the case (`truth`) is kept apart from what is told (`machines`): lists may fail, lack a
machine, or come as they were a while ago, and a request may be carried out although its answer is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias

from providers.clouds.base import (
    Account,
    Bills,
    Capability,
    Charge,
    Created,
    NoCapacity,
    Offer,
    Order,
    Reading,
    Search,
    State,
)
from providers.errors import ServiceFailed, TimedOut, Unreachable
from tests.clocks import EagerClock

Fate: TypeAlias = Literal["well", "unsent", "lost", "refused", "queued", "leftover", "missing", "empty", "stale", "odd"]
"""What becomes of one call: done; never sent; done with its answer lost; refused; refused but queued; an order refused
that made something all the same; a list without one machine; an empty list; an old list; a list with odd words."""

EVERYTHING = frozenset(Capability)
OFFER = Offer("offer-1", "RTX 4090", 1, Decimal(24), Decimal("0.40"), disk_usd_per_hour=Decimal("0.01"))


@dataclass
class Truth:
    """One machine as it really is."""

    id: str
    label: str
    state: State
    until: float | None = None
    """When it passes on to `then`."""
    then: State = State.RUNNING
    plain_stop: bool = False
    """Stopped without giving the GPU back: the full price goes on."""
    unasked: bool = False
    """Started by somebody else than us, or not by any call."""
    missing: bool = False
    """No list has it, though it is there."""
    price: Decimal = Decimal("0.40")

    @property
    def bills(self) -> Bills:
        match self.state:
            case State.RUNNING | State.STOPPING | State.DIED:
                return Bills.EVERYTHING
            case State.STOPPED if self.plain_stop:
                return Bills.EVERYTHING
            case State.GONE | State.LOST:
                return Bills.NOTHING
            case _:
                return Bills.DISK


class FakeCloud:
    def __init__(
        self,
        clock: EagerClock,
        *,
        fate: Callable[[str], Fate] = lambda _: "well",
        boot_s: float = 20.0,
        stop_s: float = 8.0,
        capabilities: frozenset[Capability] = EVERYTHING,
        keeps_gone: bool = False,
    ) -> None:
        self.clock = clock
        self.fate = fate
        self.boot_s = boot_s
        self.stop_s = stop_s
        self.keeps_gone = keeps_gone
        """Whether lists go on naming what was destroyed."""
        self.plain_stops = False
        """Whether stops keep the GPU, and its price."""
        self.way_s: Callable[[], float] = lambda: 0.0
        """How long a request is on its way."""
        self.truth: dict[str, Truth] = {}
        self.calls: list[str] = []
        self.orders: list[Order] = []
        self._capabilities = capabilities
        self.lists: deque[list[Reading]] = deque(maxlen=3)
        self._numbers = iter(range(1, 1_000_000))

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self._capabilities

    def capabilities_of(self, id: str) -> frozenset[Capability]:  # noqa: A002
        return self._capabilities

    # What happens at the cloud

    def pass_time(self) -> None:
        for machine in self.truth.values():
            if machine.until is not None and self.clock.monotonic() >= machine.until:
                machine.state, machine.until = machine.then, None

    def put(self, label: str, state: State = State.RUNNING, *, id: str | None = None) -> Truth:  # noqa: A002
        machine = Truth(id or str(next(self._numbers)), label, state, unasked=True)
        self.truth[machine.id] = machine
        return machine

    def _towards(self, machine: Truth, now: State, then: State, seconds: float) -> None:
        machine.state, machine.then = now, then
        machine.until = self.clock.monotonic() + seconds

    def billing(self) -> list[Truth]:
        self.pass_time()
        return [machine for machine in self.truth.values() if machine.bills is Bills.EVERYTHING]

    # What it says

    def _reading(self, machine: Truth) -> Reading:
        return Reading(
            machine.id,
            machine.label,
            machine.state,
            machine.bills,
            words=machine.state.value,
            usd_per_hour=machine.price,
            usd_per_hour_stopped=Decimal("0.01"),
            gpu="RTX 4090",
            gpu_count=1,
        )

    def _named(self) -> list[Reading]:
        self.pass_time()
        return [
            self._reading(machine)
            for machine in self.truth.values()
            if not machine.missing and (machine.state is not State.GONE or self.keeps_gone)
        ]

    async def machines(self) -> list[Reading]:
        self.calls.append("list")
        readings = self._named()
        match self.fate("list"):
            case "unsent" | "lost" | "refused" | "queued" | "leftover":
                raise Unreachable("The cloud does not answer.")
            case "missing":
                readings = readings[1:]
            case "empty":
                readings = []
            case "stale" if self.lists:
                return self.lists[0]
            case "odd":
                return [
                    reading._replace(state=State.UNKNOWN, bills=Bills.UNKNOWN, words="levitating")
                    for reading in readings
                ]
            case _:
                pass
        self.lists.append(readings)
        return readings

    async def machine(self, id: str) -> Reading | None:  # noqa: A002
        self.calls.append(f"show {id}")
        self.pass_time()
        if self.fate("show") in ("unsent", "lost", "refused"):
            raise Unreachable("The cloud does not answer.")
        return next((reading for reading in self._named() if reading.id == id), None)

    async def offers(self, search: Search) -> list[Offer]:
        return [OFFER]

    # What it is asked

    async def create(self, order: Order) -> Created:
        if (way_s := self.way_s()) > 0:
            await self.clock.sleep(way_s)
        self.calls.append("create")
        fate = self.fate("create")
        if fate == "unsent":
            raise Unreachable("The cloud does not answer.")
        if fate in ("refused", "queued"):
            raise NoCapacity("The offer is taken.")
        self.orders.append(order)
        machine = Truth(str(next(self._numbers)), order.label, State.STARTING)
        self.truth[machine.id] = machine
        if fate == "leftover":
            machine.state = State.STOPPED
            raise NoCapacity("The bid is too low.", leftover=machine.id)
        self._towards(machine, State.STARTING, State.RUNNING, self.boot_s)
        if fate == "lost":
            raise TimedOut("The answer did not come.", phase="total", limit_s=60)
        return Created(machine.id)

    async def start(self, id: str) -> None:  # noqa: A002
        machine = await self._arrived("start", id)
        fate = self.fate("start")
        if fate == "unsent":
            raise Unreachable("The cloud does not answer.")
        if fate == "refused":
            raise NoCapacity("The GPU is taken.")
        if machine is not None and machine.state not in (State.RUNNING, State.STARTING, State.GONE, State.DESTROYING):
            if fate == "queued":
                self._towards(machine, State.QUEUED, State.RUNNING, 7200.0)
                machine.unasked = False
                raise NoCapacity("The start is queued.", queued=True)
            self._towards(machine, State.STARTING, State.RUNNING, self.boot_s)
            machine.unasked = False
        if fate == "lost":
            raise TimedOut("The answer did not come.", phase="total", limit_s=60)

    async def stop(self, id: str) -> None:  # noqa: A002
        machine = await self._arrived("stop", id)
        fate = self.fate("stop")
        if fate in ("unsent", "refused", "queued"):
            raise ServiceFailed("The cloud is broken.", status=500)
        if machine is not None and machine.state not in (State.GONE, State.STOPPED, State.STOPPING, State.DESTROYING):
            machine.plain_stop = self.plain_stops
            self._towards(machine, State.STOPPING, State.STOPPED, self.stop_s)
            machine.unasked = False
        elif machine is not None and machine.plain_stop and not self.plain_stops:
            machine.plain_stop = False
        if fate == "lost":
            raise TimedOut("The answer did not come.", phase="total", limit_s=60)

    async def destroy(self, id: str) -> None:  # noqa: A002
        machine = await self._arrived("destroy", id)
        fate = self.fate("destroy")
        if fate in ("unsent", "refused", "queued"):
            raise ServiceFailed("The cloud is broken.", status=500)
        if machine is not None and machine.state not in (State.GONE, State.DESTROYING):
            self._towards(machine, State.DESTROYING, State.GONE, self.stop_s)
        if fate == "lost":
            raise TimedOut("The answer did not come.", phase="total", limit_s=60)

    async def _arrived(self, what: str, id: str) -> Truth | None:  # noqa: A002
        if (way_s := self.way_s()) > 0:
            await self.clock.sleep(way_s)
        return self._asked(what, id)

    def _asked(self, what: str, id: str) -> Truth | None:  # noqa: A002
        self.calls.append(f"{what} {id}")
        self.pass_time()
        return self.truth.get(id)

    async def reboot(self, id: str) -> None:  # noqa: A002
        self._asked("reboot", id)

    async def bid(self, id: str, usd_per_hour: Decimal) -> None:  # noqa: A002
        self.calls.append(f"bid {id} {usd_per_hour}")

    async def attach_key(self, id: str, public_key: str) -> None:  # noqa: A002
        self._asked("attach_key", id)

    async def account(self) -> Account:
        rate = sum((machine.price for machine in self.billing()), Decimal(0))
        return Account(Decimal("12.50"), rate, "fake")

    async def charges(self, since: datetime, until: datetime) -> list[Charge]:
        return []

    def logs(self, id: str, *, lines: int = 200) -> AsyncIterator[str]:  # noqa: A002
        return _no_lines()

    async def close(self) -> None:
        pass


async def _no_lines() -> AsyncIterator[str]:
    lines: tuple[str, ...] = ()
    for line in lines:
        yield line


def fates(script: Sequence[tuple[str, Fate]]) -> Callable[[str], Fate]:
    """The fates of named calls in their order; all else goes well."""
    waiting = list(script)

    def fate(call: str) -> Fate:
        for number, (name, what) in enumerate(waiting):
            if name == call:
                del waiting[number]
                return what
        return "well"

    return fate


__all__ = ["EVERYTHING", "OFFER", "FakeCloud", "Fate", "Truth", "fates"]
