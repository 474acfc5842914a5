"""The machines at a glance: what a list of them shows, read on a plain connection.

Lists are asked for at every shell prompt and in every status bar, so nothing is loaded here that a list does not need:
no event loop, no adapters, none of the values that the fleet works with. Who acts on a machine reads its record.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from console.history import schema
from console.history.rows import from_ms, to_ms


class Doing(NamedTuple):
    """What is being done to a machine."""

    what: str
    why: str
    step: str
    tries: int
    begun_at: datetime
    error: str


class Glance(NamedTuple):
    seq: int
    name: str
    cloud: str
    cloud_id: str | None
    label: str
    origin: str
    desired: str
    state: str
    state_at: datetime
    state_why: str
    seen_at: datetime | None
    missing: int
    at_end: str
    created_at: datetime
    started_at: datetime | None
    gone_at: datetime | None
    gpu: str
    gpu_count: int
    vram_gb: Decimal | None
    region: str
    seen_state: str
    """What the cloud says, in the words of `providers.clouds.base.State`; empty before anything was seen."""
    bills: str
    """nothing, disk, everything or unknown."""
    usd_per_hour: Decimal | None
    """While it runs."""
    usd_per_hour_stopped: Decimal | None
    spot: bool
    bid_usd_per_hour: Decimal | None
    market_usd_per_hour: Decimal | None
    recipe: str | None
    models: tuple[str, ...]
    today_usd: Decimal
    doing: Doing | None
    hard_until: datetime | None = None
    """When its lease ends whatever it does; None while it has none."""
    pinned_until: datetime | None = None

    @property
    def usd_per_hour_now(self) -> Decimal | None:
        """What it costs at this moment; None where nobody knows."""
        match self.bills:
            case "nothing":
                return Decimal(0)
            case "disk":
                return self.usd_per_hour_stopped
            case "everything":
                return self.usd_per_hour
            case _:
                return None


class Seen(NamedTuple):
    """How an account stands."""

    cloud: str
    read_at: datetime | None
    """When the newest list of it was asked for."""
    error: str | None
    """Why the last try to read it failed."""


class View(NamedTuple):
    machines: list[Glance]
    accounts: list[Seen]


_COLUMNS = (
    "seq, name, cloud, cloud_id, label, origin, desired, state, state_at, state_why, seen_at, missing, at_end,"
    " created_at, started_at, gone_at, reading, wanted, usd_per_hour, usd_per_hour_stopped"
)
_MILLIONTHS = "CAST(replace(cost_usd, '.', '') AS INTEGER)"
_MS_PER_HOUR = 3_600_000


def look(connection: sqlite3.Connection, today: datetime, *, gone: bool = False) -> View:
    """All machines, the first rented first; `today` is when the user's day began."""
    where = "" if gone else " WHERE gone_at IS NULL"
    doing = {
        machine: Doing(what, why, step, tries, from_ms(begun_at), error or "")
        for machine, what, why, step, tries, begun_at, error in connection.execute(
            "SELECT machine, what, why, step, tries, begun_at, error FROM deeds WHERE ended_at IS NULL"
        )
    }
    costs = _costs(connection, today)
    leases = {
        machine: (from_ms(hard_until), _moment(pinned_until))
        for machine, hard_until, pinned_until in connection.execute(
            "SELECT machine, hard_until, pinned_until FROM leases WHERE ended_at IS NULL"
        )
    }
    rows = connection.execute(f"SELECT {_COLUMNS} FROM machines{where} ORDER BY seq")  # noqa: S608
    accounts = connection.execute("SELECT cloud, read_at, error FROM accounts ORDER BY cloud")
    return View(
        [
            _machine(row, costs.get(row[1], Decimal(0)), doing.get(row[0]), leases.get(row[0], (None, None)))
            for row in rows
        ],
        [Seen(cloud, _moment(read_at), error) for cloud, read_at, error in accounts],
    )


def look_into(file: Path, today: datetime, *, gone: bool = False) -> View | None:
    """The same from the file of a store that nobody here has open, read only. None where that cannot be done at once:
    it is of another format, or somebody holds it; the store itself says what is the matter, or brings it up to date."""
    connection = None
    try:
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=0.2)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return look(connection, today, gone=gone) if version == schema.VERSION else None
    except sqlite3.Error:
        return None
    finally:
        if connection is not None:
            connection.close()


def names(file: Path) -> list[str]:
    """The names of the machines in a store that nobody here has open; none where they cannot be read at once."""
    connection = None
    try:
        connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=0.2)
        return [name for (name,) in connection.execute("SELECT name FROM machines WHERE gone_at IS NULL ORDER BY seq")]
    except sqlite3.Error:
        return []
    finally:
        if connection is not None:
            connection.close()


def _costs(connection: sqlite3.Connection, today: datetime) -> dict[str, Decimal]:
    """What each machine cost since a moment, as `books.spent_on_machines` tells it, without loading the books."""
    since = (to_ms(today),)
    booked = connection.execute(
        f"SELECT machine, sum({_MILLIONTHS}) FROM ledger WHERE span_from IS NOT NULL AND task <> 'month'"  # noqa: S608
        " AND cost_usd IS NOT NULL AND at >= ? GROUP BY machine",
        since,
    )
    costs = {machine: Decimal(millionths).scaleb(-6) for machine, millionths in booked}
    open_spans = connection.execute(
        "SELECT machines.name, meters.unbooked FROM meters JOIN machines ON machines.seq = meters.machine"
        " WHERE open_from >= ? AND kind <> 'month'",
        since,
    )
    for machine, unbooked in open_spans:
        costs[machine] = costs.get(machine, Decimal(0)) + Decimal(unbooked) / _MS_PER_HOUR
    return costs


def _machine(
    row: tuple[Any, ...],
    today_usd: Decimal,
    doing: Doing | None,
    lease: tuple[datetime | None, datetime | None],
) -> Glance:
    known, (reading, wanted, price, stopped) = row[:16], row[16:]
    seen: dict[str, Any] = {} if reading is None else json.loads(reading)
    order: dict[str, Any] = json.loads(wanted)
    (seq, name, cloud, cloud_id, label, origin, desired, state, state_at, why) = known[:10]
    seen_at, missing, at_end, created_at, started_at, gone_at = known[10:]
    return Glance(
        seq,
        name,
        cloud,
        cloud_id,
        label,
        origin,
        desired,
        state,
        from_ms(state_at),
        why,
        _moment(seen_at),
        missing,
        at_end,
        from_ms(created_at),
        _moment(started_at),
        _moment(gone_at),
        seen.get("gpu") or order.get("gpu") or "",
        seen.get("gpu_count") or order.get("count") or 0,
        _money(seen.get("vram_gb") or order.get("vram_gb")),
        seen.get("region") or order.get("region") or "",
        seen.get("state", ""),
        "nothing" if gone_at is not None else seen.get("bills", "unknown"),
        _money(price),
        _money(stopped),
        bool(seen.get("spot") or order.get("spot")),
        _money(seen.get("bid_usd_per_hour") or order.get("bid_usd_per_hour")),
        _money(seen.get("market_usd_per_hour")),
        order.get("recipe"),
        tuple(order.get("models") or ()),
        today_usd.quantize(Decimal("0.000001")),
        doing,
        *lease,
    )


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else from_ms(milliseconds)


def _money(amount: Any) -> Decimal | None:
    return None if amount is None else Decimal(str(amount))
