"""Roles that one of all processes has at a time: who guards, who asks a cloud. A row with a heartbeat.

A role is free when nobody has it, when its owner is no longer there, or when its owner's heartbeat is older than the
taker allows.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from console.history.owner import is_alive
from console.history.rows import from_ms, to_ms


def holder(connection: sqlite3.Connection, name: str) -> tuple[str, datetime] | None:
    """Who has a role, and when they last said so."""
    row = connection.execute("SELECT owner, beat_at FROM roles WHERE name = ?", (name,)).fetchone()
    return None if row is None else (row[0], from_ms(row[1]))


def take(connection: sqlite3.Connection, name: str, owner: str, now: datetime, *, stale: timedelta) -> bool:
    """Take a role, or go on with it; False while somebody else has it."""
    there = holder(connection, name)
    # A heartbeat from the future is from before the clock was set back, and says nothing.
    if there is not None and there[0] != owner and abs(now - there[1]) < stale and is_alive(there[0]):
        return False
    connection.execute(
        "INSERT INTO roles (name, owner, beat_at) VALUES (?1, ?2, ?3)"
        " ON CONFLICT (name) DO UPDATE SET owner = ?2, beat_at = ?3",
        (name, owner, to_ms(now)),
    )
    return True


def give_back(connection: sqlite3.Connection, name: str, owner: str) -> None:
    connection.execute("DELETE FROM roles WHERE name = ? AND owner = ?", (name, owner))
