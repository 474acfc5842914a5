"""What every process knows of an endpoint's health: how often it failed in a row, and until when to leave it alone."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import NamedTuple

from console.history.rows import from_ms, to_ms


class Breaker(NamedTuple):
    endpoint: str
    failures: int
    """In a row, by all processes."""
    failed_at: datetime
    open_until: datetime | None
    """None while it is tried as usual."""


def every(connection: sqlite3.Connection) -> dict[str, Breaker]:
    return {
        endpoint: Breaker(endpoint, failures, from_ms(failed_at), None if until is None else from_ms(until))
        for endpoint, failures, failed_at, until in connection.execute(
            "SELECT endpoint, failures, failed_at, open_until FROM breakers"
        )
    }


def note_failure(connection: sqlite3.Connection, endpoint: str, at: datetime, until: datetime | None) -> int:
    """Count a failure; returns how many there were in a row."""
    row = connection.execute(
        "INSERT INTO breakers (endpoint, failures, failed_at, open_until) VALUES (?, 1, ?, ?)"
        " ON CONFLICT (endpoint) DO UPDATE SET failures = failures + 1, failed_at = excluded.failed_at,"
        " open_until = excluded.open_until"
        " RETURNING failures",
        (endpoint, to_ms(at), None if until is None else to_ms(until)),
    ).fetchone()
    return int(row[0])


def note_success(connection: sqlite3.Connection, endpoint: str) -> None:
    connection.execute("DELETE FROM breakers WHERE endpoint = ?", (endpoint,))
