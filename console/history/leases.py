"""The rows of leases, and of the signals of work that renew them.

Plain functions on a connection; the caller's transaction holds them together.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from console.history.rows import from_ms, storable, to_ms
from console.machines.lease import Lease, Signal

LONGEST_DETAIL = 300

_LEASE = "machine, began_at, hard_until, ended_at, pinned_until, pin_why, on_machine, elsewhere"


def get(connection: sqlite3.Connection, machine: int) -> Lease | None:
    row = connection.execute(f"SELECT {_LEASE} FROM leases WHERE machine = ?", (machine,)).fetchone()  # noqa: S608
    return None if row is None else _lease(row)


def every(connection: sqlite3.Connection) -> dict[int, Lease]:
    """All of machines that are not gone, by the machine."""
    rows = connection.execute(
        f"SELECT {_LEASE} FROM leases WHERE machine IN (SELECT seq FROM machines WHERE gone_at IS NULL)"  # noqa: S608
    )
    return {row[0]: _lease(row) for row in rows}


def begin(connection: sqlite3.Connection, machine: int, began_at: datetime, hard_until: datetime) -> None:
    """A lease for a new run of a machine. What is known of its other stoppers stays; a pin was for the run before."""
    connection.execute(
        "INSERT INTO leases (machine, began_at, hard_until) VALUES (?1, ?2, ?3) ON CONFLICT (machine) DO UPDATE"
        " SET began_at = ?2, hard_until = ?3, ended_at = NULL, pinned_until = NULL, pin_why = NULL",
        (machine, to_ms(began_at), to_ms(hard_until)),
    )


def change(connection: sqlite3.Connection, machine: int, **values: Any) -> None:
    """Change fields of a lease, by their names."""
    columns = ", ".join(f"{name} = ?" for name in values)
    connection.execute(
        f"UPDATE leases SET {columns} WHERE machine = ?",  # noqa: S608 - names of fields
        (*map(_stored, values.values()), machine),
    )


def signals(connection: sqlite3.Connection, machine: int) -> dict[str, Signal]:
    rows = connection.execute(
        "SELECT kind, active_at, seen_at, seen_from, detail FROM signals WHERE machine = ? ORDER BY kind", (machine,)
    )
    return {row[0]: _signal(row) for row in rows}


def all_signals(connection: sqlite3.Connection) -> dict[int, dict[str, Signal]]:
    """Of machines that are not gone."""
    found: dict[int, dict[str, Signal]] = {}
    for machine, *row in connection.execute(
        "SELECT machine, kind, active_at, seen_at, seen_from, detail FROM signals"
        " WHERE machine IN (SELECT seq FROM machines WHERE gone_at IS NULL) ORDER BY machine, kind"
    ):
        found.setdefault(machine, {})[row[0]] = _signal(row)
    return found


def note(
    connection: sqlite3.Connection,
    machine: int,
    kind: str,
    now: datetime,
    detail: str,
    *,
    active: bool,
    unbroken: timedelta,
) -> None:
    """Somebody looked and saw work, or none. A look within `unbroken` of the one before goes on with its stretch."""
    now_ms = to_ms(now)
    row = connection.execute(
        "SELECT seen_at, seen_from FROM signals WHERE machine = ? AND kind = ?", (machine, kind)
    ).fetchone()
    seen_from = now_ms
    if row is not None and 0 <= now_ms - row[0] <= unbroken // timedelta(milliseconds=1):
        seen_from = row[1]
    connection.execute(
        "INSERT INTO signals (machine, kind, active_at, seen_at, seen_from, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        " ON CONFLICT (machine, kind) DO UPDATE"
        " SET active_at = coalesce(?3, active_at), seen_at = ?4, seen_from = ?5, detail = ?6",
        (machine, kind, now_ms if active else None, now_ms, seen_from, storable(detail[:LONGEST_DETAIL])),
    )


def stoppers(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    """The hosts of the user's that end machines too, with the accounts whose keys they have."""
    rows = connection.execute("SELECT host, clouds FROM stoppers ORDER BY seq")
    return {host: tuple(json.loads(clouds)) for host, clouds in rows}


def add_stopper(connection: sqlite3.Connection, host: str, clouds: Sequence[str], now: datetime) -> None:
    connection.execute(
        "INSERT INTO stoppers (host, clouds, installed_at) VALUES (?1, ?2, ?3)"
        " ON CONFLICT (host) DO UPDATE SET clouds = ?2, installed_at = ?3",
        (host, json.dumps(list(clouds)), to_ms(now)),
    )


def remove_stopper(connection: sqlite3.Connection, host: str) -> bool:
    """False if there was none; with it goes what was known of it."""
    connection.execute("UPDATE leases SET elsewhere = NULL WHERE json_extract(elsewhere, '$.where') = ?", (host,))
    return connection.execute("DELETE FROM stoppers WHERE host = ?", (host,)).rowcount > 0


def ended_elsewhere(connection: sqlite3.Connection, host: str) -> list[tuple[int, str]]:
    """Machines that are off or gone, and the name by which a host still has their key."""
    rows = connection.execute(
        "SELECT leases.machine, json_extract(elsewhere, '$.id') FROM leases"
        " JOIN machines ON machines.seq = leases.machine"
        " WHERE json_extract(elsewhere, '$.where') = ? AND json_extract(elsewhere, '$.id') IS NOT NULL"
        " AND (machines.gone_at IS NOT NULL OR machines.state = 'stopped')",
        (host,),
    )
    return [(machine, str(name)) for machine, name in rows]


def machine_named(connection: sqlite3.Connection, name: str) -> int | None:
    row = connection.execute("SELECT seq FROM machines WHERE name = ? AND gone_at IS NULL", (name,)).fetchone()
    return None if row is None else int(row[0])


def last_starts(connection: sqlite3.Connection) -> dict[int, datetime]:
    """When each machine that is not gone was last ordered or started by us."""
    rows = connection.execute(
        "SELECT machine, max(begun_at) FROM deeds WHERE what IN ('create', 'start')"
        " AND machine IN (SELECT seq FROM machines WHERE gone_at IS NULL) GROUP BY machine"
    )
    return {machine: from_ms(begun_at) for machine, begun_at in rows}


def _stored(value: object) -> object:
    match value:
        case datetime():
            return to_ms(value)
        case str():
            return storable(value)
        case Mapping():
            return json.dumps(value)
        case _:
            return value


def _moment(value: int | None) -> datetime | None:
    return None if value is None else from_ms(value)


def _lease(row: Any) -> Lease:
    machine, began_at, hard_until, ended_at, pinned_until, pin_why, on_machine, elsewhere = row
    return Lease(
        machine,
        from_ms(began_at),
        from_ms(hard_until),
        _moment(ended_at),
        _moment(pinned_until),
        pin_why or "",
        json.loads(on_machine) if on_machine else {},
        json.loads(elsewhere) if elsewhere else {},
    )


def _signal(row: Any) -> Signal:
    kind, active_at, seen_at, seen_from, detail = row
    return Signal(kind, _moment(active_at), from_ms(seen_at), from_ms(seen_from), detail)
