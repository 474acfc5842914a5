"""What the tests of money share: a machine as the fleet hands it over, and a store with a clock that stands still."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from console.history import books
from console.history.rows import to_ms
from console.history.store import Store
from console.machines.records import Desired, MachineRecord, MachineState
from console.money.ledger import LedgerEntry
from console.paths import find_paths
from providers.clouds.base import Bills, Reading, State

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class StillClock:
    """Moves only when it is told to, or slept on."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    def move(self, **span: float) -> datetime:
        self.at += timedelta(**span)
        return self.at


def record(name: str = "gpu1", seq: int = 1, **changes: Any) -> MachineRecord:
    values: dict[str, Any] = {
        "seq": seq,
        "name": name,
        "cloud": "first",
        "cloud_id": f"id-{seq}",
        "label": f"hawser-{name}-{seq}",
        "origin": "launched",
        "desired": Desired.RUNNING,
        "state": MachineState.READY,
        "state_at": NOON,
        "state_why": "",
        "reading": None,
        "seen_at": None,
        "missing": 0,
        "order": {},
        "usd_per_hour": Decimal("0.40"),
        "usd_per_hour_stopped": Decimal("0.01"),
        "ceiling_usd_per_hour": None,
        "at_end": "stop",
        "created_at": NOON - timedelta(days=30),
        "started_at": None,
        "gone_at": None,
    }
    return MachineRecord(**{**values, **changes})


def reading(bills: Bills = Bills.EVERYTHING, **changes: Any) -> Reading:
    return Reading("id-1", "hawser-gpu1-1", State.RUNNING, bills, **changes)


def add_machine(connection: sqlite3.Connection, machine: MachineRecord) -> MachineRecord:
    """The row that the fleet keeps of it, as far as money looks at it."""
    connection.execute(
        "INSERT INTO machines (seq, name, cloud, cloud_id, label, origin, desired, state, state_at, at_end, created_at,"
        " usd_per_hour) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            machine.seq,
            machine.name,
            machine.cloud,
            machine.cloud_id,
            machine.label,
            machine.origin,
            machine.desired.value,
            machine.state.value,
            to_ms(machine.state_at),
            machine.at_end,
            to_ms(machine.created_at),
            str(machine.usd_per_hour),
        ),
    )
    return machine


def with_store(home: Path, body: Callable[[Store, StillClock], Awaitable[None]], now: datetime = NOON) -> None:
    async def opened() -> None:
        clock = StillClock(now)
        store = await Store.open(find_paths({"HAWSER_HOME": str(home)}), clock)
        try:
            await body(store, clock)
        finally:
            await store.close()

    asyncio.run(opened())


def lines(connection: sqlite3.Connection) -> list[LedgerEntry]:
    return books.entries(connection, datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))


def call(usd: str | None, at: datetime = NOON, **more: Any) -> LedgerEntry:
    """A paid call."""
    values: dict[str, Any] = {
        "task": "chat",
        "client": "prompt",
        "endpoint": "openai",
        "wire": "openai",
        "model": "gpt-4.1",
        "outcome": "complete",
        "cost_usd": None if usd is None else Decimal(usd),
    }
    return LedgerEntry(at, **{**values, **more})
