"""The rows of machines, of what is being done to them, of what happened to them, and of the accounts they are on.

Plain functions on a connection; the caller's transaction holds them together. Only `console/machines/fleet.py` and what
it is made of write here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

from console.history.rows import from_ms, storable, to_ms
from console.machines.records import Deed, DeedEnd, DeedKind, Desired, MachineRecord, MachineState
from providers.clouds.base import Address, Bills, Reading, State

LONGEST_TEXT = 2000
"""Sentences from clouds are cut there."""

# Readings are kept as JSON without the raw answer: who needs that has it at hand when the reading comes.

_MONEY = (
    "usd_per_hour",
    "usd_per_hour_stopped",
    "vram_gb",
    "disk_gb",
    "bid_usd_per_hour",
    "market_usd_per_hour",
    "usd_per_gb_up",
    "usd_per_gb_down",
)
_MOMENTS = ("created_at", "ends_at")


def write_reading(reading: Reading) -> str:
    values = {name: value for name, value in reading._asdict().items() if value not in (None, "", ())}
    values.pop("raw", None)
    values["label"] = storable(reading.label)  # which a machine of somebody else may have none of
    for name in _MONEY:
        if name in values:
            values[name] = str(values[name])
    for name in _MOMENTS:
        if name in values:
            values[name] = to_ms(values[name])
    for name in ("words", "message"):
        if name in values:
            values[name] = storable(values[name][:LONGEST_TEXT])
    return json.dumps(values)


def read_reading(written: str) -> Reading:
    values = json.loads(written)
    for name in _MONEY:
        if name in values:
            values[name] = Decimal(values[name])
    for name in _MOMENTS:
        if name in values:
            values[name] = from_ms(values[name])
    values["addresses"] = tuple(Address(*address) for address in values.get("addresses", ()))
    return Reading(**{**values, "state": State(values["state"]), "bills": Bills(values["bills"])})


def _maybe(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


_READ: dict[str, Callable[[Any], Any]] = {
    "desired": Desired,
    "state": MachineState,
    "reading": _maybe(read_reading),
    "order": json.loads,
    "usd_per_hour": _maybe(Decimal),
    "usd_per_hour_stopped": _maybe(Decimal),
    "ceiling_usd_per_hour": _maybe(Decimal),
    **dict.fromkeys(
        ("state_at", "seen_at", "created_at", "started_at", "gone_at", "missing_since"),
        _maybe(from_ms),
    ),
    **dict.fromkeys(("begun_at", "tried_at", "next_at", "alarmed_at", "ended_at"), _maybe(from_ms)),
}
_COLUMN = {"order": "wanted", "end": "ended_how"}
"""Where a column cannot have, or has not, the name of the field."""


def _columns(fields: tuple[str, ...]) -> str:
    return ", ".join(_COLUMN.get(name, name) for name in fields)


_MACHINE_COLUMNS, _DEED_COLUMNS = _columns(MachineRecord._fields), _columns(Deed._fields)


def _stored(value: object) -> object:
    match value:
        case datetime():
            return to_ms(value)
        case Decimal() | Enum():
            return str(value)
        case Reading():
            return write_reading(value)
        case str():
            return storable(value)
        case Mapping():
            return json.dumps(value)
        case _:
            return value


def _values(
    fields: tuple[str, ...], readers: Mapping[str, Callable[[Any], Any]], row: tuple[Any, ...]
) -> Iterator[Any]:
    for name, value in zip(fields, row, strict=True):
        yield readers[name](value) if name in readers else value


def _read_machine(row: tuple[Any, ...]) -> MachineRecord:
    return MachineRecord(*_values(MachineRecord._fields, _READ, row))


def _read_deed(row: tuple[Any, ...]) -> Deed:
    return Deed(*_values(Deed._fields, _READ, row))


def _write(connection: sqlite3.Connection, table: str, seq: int, values: Mapping[str, object]) -> None:
    if values:
        columns = ", ".join(f"{_COLUMN.get(name, name)} = ?" for name in values)
        connection.execute(
            f"UPDATE {table} SET {columns} WHERE seq = ?",  # noqa: S608 - names of fields
            (*map(_stored, values.values()), seq),
        )


# Machines


def add(connection: sqlite3.Connection, machine: MachineRecord) -> MachineRecord:
    """Write a machine down; its `seq` is given here."""
    fields = MachineRecord._fields[1:]
    cursor = connection.execute(
        f"INSERT INTO machines ({_columns(fields)}) VALUES ({', '.join('?' * len(fields))})",  # noqa: S608
        tuple(map(_stored, machine[1:])),
    )
    assert cursor.lastrowid is not None
    return machine._replace(seq=cursor.lastrowid)


def every(connection: sqlite3.Connection, *, gone: bool = False) -> list[MachineRecord]:
    """All machines, the first rented first; with `gone` also those that are no more."""
    where = "" if gone else "WHERE gone_at IS NULL"
    rows = connection.execute(f"SELECT {_MACHINE_COLUMNS} FROM machines {where} ORDER BY seq")  # noqa: S608
    return [_read_machine(row) for row in rows]


def _one(connection: sqlite3.Connection, where: str, *values: object) -> MachineRecord | None:
    row = connection.execute(f"SELECT {_MACHINE_COLUMNS} FROM machines WHERE {where}", values).fetchone()  # noqa: S608
    return None if row is None else _read_machine(row)


def get(connection: sqlite3.Connection, name: str) -> MachineRecord | None:
    """The machine of this name that is not gone."""
    return _one(connection, "name = ? AND gone_at IS NULL", name)


def by_seq(connection: sqlite3.Connection, seq: int) -> MachineRecord:
    machine = _one(connection, "seq = ?", seq)
    assert machine is not None, "machines are never deleted"
    return machine


def last_named(connection: sqlite3.Connection, name: str) -> MachineRecord | None:
    """The machine that has this name or was the last to have it."""
    return _one(connection, "name = ? ORDER BY gone_at IS NULL DESC, seq DESC LIMIT 1", name)


def of_cloud(connection: sqlite3.Connection, cloud: str, *, gone: bool = False) -> list[MachineRecord]:
    where = "" if gone else "AND gone_at IS NULL"
    rows = connection.execute(
        f"SELECT {_MACHINE_COLUMNS} FROM machines WHERE cloud = ? {where} ORDER BY seq",  # noqa: S608
        (cloud,),
    )
    return [_read_machine(row) for row in rows]


def by_cloud_id(connection: sqlite3.Connection, cloud: str, cloud_id: str) -> MachineRecord | None:
    return _one(connection, "cloud = ? AND cloud_id = ?", cloud, cloud_id)


def by_label(connection: sqlite3.Connection, cloud: str, label: str) -> MachineRecord | None:
    return _one(connection, "cloud = ? AND label = ?", cloud, storable(label))


def has_label(connection: sqlite3.Connection, label: str) -> bool:
    return connection.execute("SELECT 1 FROM machines WHERE label = ?", (storable(label),)).fetchone() is not None


def change(connection: sqlite3.Connection, seq: int, **values: object) -> None:
    """Change fields of a machine, by their names."""
    _write(connection, "machines", seq, values)


# Deeds


def open_deed(
    connection: sqlite3.Connection, machine: int, what: DeedKind, why: str, owner: str, now: datetime
) -> Deed:
    """Write down what is wanted; fails while another deed of the machine is open."""
    cursor = connection.execute(
        "INSERT INTO deeds (machine, what, why, step, owner, begun_at) VALUES (?, ?, ?, 'intended', ?, ?)",
        (machine, what, storable(why), owner, to_ms(now)),
    )
    assert cursor.lastrowid is not None
    return Deed(
        cursor.lastrowid, machine, what, why, "intended", owner, 0, now, None, None, None, None, None, None
    )  # fmt: skip


def deed(connection: sqlite3.Connection, seq: int) -> Deed:
    row = connection.execute(f"SELECT {_DEED_COLUMNS} FROM deeds WHERE seq = ?", (seq,)).fetchone()  # noqa: S608
    return _read_deed(row)


def deed_of(connection: sqlite3.Connection, machine: int) -> Deed | None:
    """The open deed of a machine."""
    row = connection.execute(
        f"SELECT {_DEED_COLUMNS} FROM deeds WHERE machine = ? AND ended_at IS NULL",  # noqa: S608
        (machine,),
    ).fetchone()
    return None if row is None else _read_deed(row)


def open_deeds(connection: sqlite3.Connection) -> dict[int, Deed]:
    """All open deeds by their machine."""
    rows = connection.execute(f"SELECT {_DEED_COLUMNS} FROM deeds WHERE ended_at IS NULL")  # noqa: S608
    return {deed.machine: deed for deed in map(_read_deed, rows)}


def deeds(connection: sqlite3.Connection, machine: int, *, limit: int = 20) -> list[Deed]:
    """Of one machine, the newest first."""
    rows = connection.execute(
        f"SELECT {_DEED_COLUMNS} FROM deeds WHERE machine = ? ORDER BY seq DESC LIMIT ?",  # noqa: S608
        (machine, limit),
    )
    return [_read_deed(row) for row in rows]


def step_deed(connection: sqlite3.Connection, seq: int, **values: object) -> bool:
    """Change fields of an open deed; False, and nothing done, if it has ended."""
    if connection.execute("SELECT 1 FROM deeds WHERE seq = ? AND ended_at IS NULL", (seq,)).fetchone() is None:
        return False
    _write(connection, "deeds", seq, values)
    return True


def end_deed(connection: sqlite3.Connection, seq: int, how: DeedEnd, now: datetime, error: str | None = None) -> None:
    connection.execute(
        "UPDATE deeds SET ended_at = ?, ended_how = ?, error = coalesce(?, error) WHERE seq = ? AND ended_at IS NULL",
        (to_ms(now), how, None if error is None else storable(error[:LONGEST_TEXT]), seq),
    )


# What happened


class LogLine(NamedTuple):
    at: datetime
    what: str
    text: str


def note(connection: sqlite3.Connection, machine: int, now: datetime, what: str, text: str) -> None:
    connection.execute(
        "INSERT INTO machine_log (machine, at, what, text) VALUES (?, ?, ?, ?)",
        (machine, to_ms(now), what, storable(text[:LONGEST_TEXT])),
    )


def log_of(connection: sqlite3.Connection, machine: int, *, limit: int = 200) -> list[LogLine]:
    """The newest lines, the oldest of them first."""
    rows = connection.execute(
        "SELECT at, what, text FROM machine_log WHERE machine = ? ORDER BY seq DESC LIMIT ?", (machine, limit)
    ).fetchall()
    return [LogLine(from_ms(at), what, text) for at, what, text in reversed(rows)]


# Accounts


class AccountRow(NamedTuple):
    cloud: str
    read_at: datetime | None = None
    """When the last list that came was asked for."""
    failed_at: datetime | None = None
    error: str | None = None
    """None again after a list that came."""
    balance_usd: Decimal | None = None
    usd_per_hour: Decimal | None = None
    balance_at: datetime | None = None
    reconciled_to: datetime | None = None
    failures: int = 0
    """In a row."""
    next_at: datetime | None = None
    """Not asked again before this, unless somebody wants to know."""


_ACCOUNT_READ: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("read_at", "failed_at", "balance_at", "reconciled_to", "next_at"), _maybe(from_ms)),
    **dict.fromkeys(("balance_usd", "usd_per_hour"), _maybe(Decimal)),
}
_ACCOUNT_COLUMNS = ", ".join(AccountRow._fields)


def _read_account(row: tuple[Any, ...]) -> AccountRow:
    return AccountRow(*_values(AccountRow._fields, _ACCOUNT_READ, row))


def account(connection: sqlite3.Connection, cloud: str) -> AccountRow:
    row = connection.execute(
        f"SELECT {_ACCOUNT_COLUMNS} FROM accounts WHERE cloud = ?",  # noqa: S608
        (cloud,),
    ).fetchone()
    return AccountRow(cloud) if row is None else _read_account(row)


def accounts(connection: sqlite3.Connection) -> dict[str, AccountRow]:
    rows = connection.execute(f"SELECT {_ACCOUNT_COLUMNS} FROM accounts ORDER BY cloud")  # noqa: S608
    return {row.cloud: row for row in map(_read_account, rows)}


def change_account(connection: sqlite3.Connection, cloud: str, **values: object) -> None:
    connection.execute("INSERT OR IGNORE INTO accounts (cloud) VALUES (?)", (cloud,))
    columns = ", ".join(f"{name} = ?" for name in values)
    connection.execute(
        f"UPDATE accounts SET {columns} WHERE cloud = ?",  # noqa: S608 - names of fields
        (*map(_stored, values.values()), cloud),
    )
