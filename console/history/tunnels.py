"""Tunnels that processes tell each other about, and the local port that each service had last.

A row says who holds which tunnel and when they last said so. Whether that is still true is for the reader to find out
(`console/links/shared.py`): a row outlives a process that was killed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias

from console.history.rows import storable

TunnelState: TypeAlias = Literal["starting", "up", "waiting", "blocked"]
"""Not listening yet; in use; holding new connections until the link is back; waiting for a person."""


class Published(NamedTuple):
    machine: str
    service: str
    remote_port: int
    local_port: int
    """0 while it is not bound."""
    owner: str
    """The process, as `console/history/owner.py` names it."""
    state: str
    beat_ms: int
    published_ms: int
    probed_ms: int | None
    probe_ms: float | None
    """The round trip of the last probe; None if it failed."""
    probe_error: str | None

    @property
    def pid(self) -> int:
        return int(self.owner.partition(":")[0])


class Note(NamedTuple):
    """What the owner tells with its next beat."""

    state: str | None = None
    probed_ms: int | None = None
    probe_ms: float | None = None
    probe_error: str | None = None


_COLUMNS = ", ".join(Published._fields).replace("beat_ms", "beat_at").replace("published_ms", "published_at")
_COLUMNS = _COLUMNS.replace("probed_ms", "probed_at")


def get(connection: sqlite3.Connection, machine: str, service: str) -> Published | None:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM tunnels WHERE machine = ? AND service = ?",  # noqa: S608
        (machine, service),
    ).fetchone()
    return None if row is None else Published(*row)


def every(connection: sqlite3.Connection) -> list[Published]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM tunnels ORDER BY machine, service")  # noqa: S608
    return [Published(*row) for row in rows]


def claim(connection: sqlite3.Connection, mine: Published, instead_of: Published | None) -> Published:
    """Make `mine` the row of its tunnel unless somebody has it; returns the row that is there then.

    `instead_of` is a row that the caller found to be dead. Of several who found that, the first gets it, for the
    others' finding no longer fits what is there.
    """
    there = get(connection, mine.machine, mine.service)
    if there is not None and there.owner != mine.owner and not _is_same_find(there, instead_of):
        return there
    if there is not None and there.owner == mine.owner:
        mine = mine._replace(
            published_ms=there.published_ms,
            probed_ms=there.probed_ms,
            probe_ms=there.probe_ms,
            probe_error=there.probe_error,
        )
    connection.execute(
        f"INSERT INTO tunnels ({_COLUMNS}) VALUES ({', '.join('?' * len(mine))}) ON CONFLICT (machine, service)"  # noqa: S608
        " DO UPDATE SET remote_port = excluded.remote_port, local_port = excluded.local_port, owner = excluded.owner,"
        " state = excluded.state, beat_at = excluded.beat_at, published_at = excluded.published_at,"
        " probed_at = excluded.probed_at, probe_ms = excluded.probe_ms, probe_error = excluded.probe_error",
        mine._replace(machine=storable(mine.machine), service=storable(mine.service)),
    )
    return mine


def _is_same_find(there: Published, found: Published | None) -> bool:
    return found is not None and (there.owner, there.beat_ms) == (found.owner, found.beat_ms)


def beat(
    connection: sqlite3.Connection, owner: str, now_ms: int, notes: Mapping[tuple[str, str], Note]
) -> set[tuple[str, str]]:
    """The owner lives; returns which tunnels are still its own."""
    connection.execute("UPDATE tunnels SET beat_at = ? WHERE owner = ?", (now_ms, owner))
    for (machine, service), note in notes.items():
        connection.execute(
            "UPDATE tunnels SET state = coalesce(?, state) WHERE machine = ? AND service = ? AND owner = ?",
            (note.state, machine, service, owner),
        )
        if note.probed_ms is not None:
            connection.execute(
                "UPDATE tunnels SET probed_at = ?, probe_ms = ?, probe_error = ?"
                " WHERE machine = ? AND service = ? AND owner = ?",
                (
                    note.probed_ms,
                    note.probe_ms,
                    note.probe_error and storable(note.probe_error),
                    machine,
                    service,
                    owner,
                ),
            )
    return set(connection.execute("SELECT machine, service FROM tunnels WHERE owner = ?", (owner,)))


def withdraw(
    connection: sqlite3.Connection, owner: str, machine: str | None = None, service: str | None = None
) -> None:
    """Take back one tunnel of this owner, all to a machine, or all."""
    connection.execute(
        "DELETE FROM tunnels WHERE owner = ? AND coalesce(?, machine) = machine AND coalesce(?, service) = service",
        (owner, machine, service),
    )


def remove(connection: sqlite3.Connection, ghosts: Iterable[Published]) -> int:
    """Delete rows that were found to be dead, unless somebody has touched them since."""
    return sum(
        connection.execute(
            "DELETE FROM tunnels WHERE machine = ? AND service = ? AND owner = ? AND beat_at = ?",
            (ghost.machine, ghost.service, ghost.owner, ghost.beat_ms),
        ).rowcount
        for ghost in ghosts
    )


def remember_port(connection: sqlite3.Connection, now_ms: int, machine: str, service: str, port: int) -> None:
    connection.execute(
        "INSERT INTO local_ports (machine, service, port, used_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (machine, service) DO UPDATE SET port = excluded.port, used_at = excluded.used_at",
        (storable(machine), storable(service), port, now_ms),
    )


def remembered_ports(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute("SELECT machine, service, port FROM local_ports")
    return {(machine, service): port for machine, service, port in rows}
