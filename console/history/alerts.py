"""The alerts that stand, and those that did: one row for each subject."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from console.history.rows import from_ms, storable

if TYPE_CHECKING:
    from console.money.verdicts import Level

LOUDNESS: dict[str, int] = {"info": 0, "warning": 1, "alarm": 2}
_COLUMNS = "subject, level, text, first_at, last_at, times, told_at, cleared_at"


class Alert(NamedTuple):
    subject: str
    """What it is about, such as `budget:day:0.8` or `stop:gpu1`; the same subject is the same trouble."""
    level: Level
    text: str
    first_at: datetime
    last_at: datetime
    times: int
    """How often it was raised since `first_at`."""
    told_at: datetime | None
    cleared_at: datetime | None

    @property
    def is_open(self) -> bool:
        return self.cleared_at is None


def get(connection: sqlite3.Connection, subject: str) -> Alert | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM alerts WHERE subject = ?", (subject,)).fetchone()  # noqa: S608
    return None if row is None else _alert(row)


def every(connection: sqlite3.Connection, *, cleared: bool = False) -> list[Alert]:
    """The open ones, the loudest and then the newest first; with `cleared` also those that are over."""
    where = "" if cleared else "WHERE cleared_at IS NULL"
    rows = connection.execute(f"SELECT {_COLUMNS} FROM alerts {where} ORDER BY last_at DESC")  # noqa: S608
    found = [_alert(row) for row in rows]
    return sorted(found, key=lambda alert: (not alert.is_open, -LOUDNESS[alert.level]))


def put(
    connection: sqlite3.Connection, now_ms: int, subject: str, level: Level, text: str, again_after_ms: int | None
) -> bool:
    """Write an alert down; whether it is to be told: it is new, louder than before, or was told too long ago."""
    subject, text = storable(subject), storable(text)
    known = get(connection, subject)
    if known is None or not known.is_open:
        connection.execute(
            f"INSERT OR REPLACE INTO alerts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, 1, ?, NULL)",  # noqa: S608
            (subject, level, text, now_ms, now_ms, now_ms),
        )
        return True
    told_at = known.told_at
    is_due = told_at is None or (again_after_ms is not None and from_ms(now_ms - again_after_ms) >= told_at)
    tell = is_due or LOUDNESS[level] > LOUDNESS[known.level]
    connection.execute(
        "UPDATE alerts SET level = ?, text = ?, last_at = ?, times = times + 1,"
        " told_at = CASE WHEN ? THEN ? ELSE told_at END WHERE subject = ?",
        (level, text, now_ms, tell, now_ms, subject),
    )
    return tell


def clear(connection: sqlite3.Connection, now_ms: int, subject: str) -> Alert | None:
    """End an alert; returns it as it stood, or None if there was none open."""
    known = get(connection, subject)
    if known is None or not known.is_open:
        return None
    connection.execute("UPDATE alerts SET cleared_at = ? WHERE subject = ?", (now_ms, subject))
    return known


def untell(connection: sqlite3.Connection, subject: str, as_if_told_at_ms: int | None) -> None:
    """It reached nobody: put back when it was told, so that it is told again sooner."""
    connection.execute(
        "UPDATE alerts SET told_at = ? WHERE subject = ? AND cleared_at IS NULL", (as_if_told_at_ms, subject)
    )


def _alert(row: Any) -> Alert:
    subject, level, text, first_at, last_at, times, told_at, cleared_at = row
    return Alert(
        subject,
        level,
        text,
        from_ms(first_at),
        from_ms(last_at),
        times,
        None if told_at is None else from_ms(told_at),
        None if cleared_at is None else from_ms(cleared_at),
    )
