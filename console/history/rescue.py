"""What can be read of a damaged store, brought into a fresh one; the damaged file itself is kept as it is.

The rows are read around what is broken. Where something could not be read, the newest good copy is asked for the rows
of that stretch. Is nothing readable at all, the copy takes the store's place. Whatever happens is told in a sentence.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from console.errors import StoreDamaged
from console.history import backups, files, schema
from console.history.rows import free_seq, new_id, to_ms
from console.paths import Paths
from console.text import plural

WAIT_S = 600.0

_TABLES = {
    "chats": "chat",
    "messages": "message",
    "parts": "part",
    "attachments": "attachment",
    "message_attachments": "link",
    "ledger": "ledger line",
    "reservations": "reservation",
    "breakers": "breaker",
    "models_seen": "model",
    "tunnels": "tunnel",
    "local_ports": "local port",
    "machines": "machine",
    "deeds": "deed",
    "machine_log": "machine log line",
    "accounts": "account",
    "roles": "role",
    "leases": "lease",
    "signals": "signal",
    "meters": "meter",
    "boots": "boot time",
    "alerts": "alert",
    "chat_tags": "tag",
    "drafts": "draft",
    "prompts": "prompt",
    "message_sources": "source",
}
_TOLD = ("chats", "messages", "attachments", "ledger", "machines")
_OF_MACHINES = ("deeds", "machine_log", "leases", "signals", "meters")

_PROBES = 2000
"""How many stretches that cannot be read are looked at more closely, per table."""

_EVERYTHING = (-(1 << 62), 1 << 62)

Span: TypeAlias = tuple[int, int]


def rescue(paths: Paths, now: datetime, known: tuple[int, int] | None) -> list[str]:
    """Replace the damaged store; sentences for the user. `known` is the number of the file that was seen to be damaged.

    Empty when another process has replaced it in the meantime; `Busy` while one is at it.
    """
    with files.alone(paths, wait_s=WAIT_S):
        stat = paths.store_file.stat()
        if known is not None and (stat.st_dev, stat.st_ino) != known:
            return []
        for leftover in paths.data.glob(".rescue-*"):  # of a process that was killed at it
            shutil.rmtree(leftover)
        work = Path(tempfile.mkdtemp(dir=paths.data, prefix=".rescue-"))
        try:
            with files.quiet(paths.store_file):
                damaged, fresh = work / "damaged.db", work / "fresh.db"
                for ending in ("", "-wal"):
                    if os.path.exists(f"{paths.store_file}{ending}"):  # noqa: PTH110
                        shutil.copyfile(f"{paths.store_file}{ending}", f"{damaged}{ending}")
                told = _fill(paths, damaged, fresh, now)
                kept = files.replace(paths, fresh, f"hawser-{files.stamp(now)}-damaged.db")
        finally:
            shutil.rmtree(work)
    return [f"The history was damaged. {told} The damaged file is kept as {str(kept)!r}."]


def _fill(paths: Paths, damaged: Path, fresh: Path, now: datetime) -> str:
    os.close(os.open(fresh, os.O_CREAT | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(fresh, isolation_level=None)) as target:
        target.execute("PRAGMA journal_mode = WAL")
        target.execute("BEGIN")
        schema.create(target, to_ms(now))
        if not _is_readable(damaged):
            _give_header(damaged)
        told = _salvage(paths, damaged, target, now) if _is_readable(damaged) else _from_copy(paths, target)
        target.execute("COMMIT")
        backups.check(target, fresh)
    return told


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    return connection


def _is_readable(path: Path) -> bool:
    """Whether at least the list of tables can be read."""
    with closing(_open(path)) as connection:
        try:
            found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.DatabaseError:
            return False
    return {"chats", "messages"} <= found


def _give_header(path: Path) -> None:
    """Write the 100 bytes that say how to read the file, which are the same in every store but for the counters."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA page_size = 4096")
        schema.create(connection, 0)
        header = bytearray(connection.serialize()[:100])
    header[18:20] = b"\x02\x02"  # it has a write-ahead log
    header[24:32] = (1).to_bytes(4) + (0).to_bytes(4)  # the size is what the file system says
    header[32:40] = bytes(8)  # free pages are left alone
    header[92:96] = bytes(4)  # and the size above is not valid
    with path.open("r+b") as file:
        file.write(header)


def _salvage(paths: Paths, damaged: Path, target: sqlite3.Connection, now: datetime) -> str:
    saved: dict[str, int] = {}
    lost: dict[str, int | None] = {}
    gaps: dict[str, list[Span]] = {}
    with closing(_open(damaged)) as source:
        for table in _TABLES:
            gaps[table] = []
            columns = _shared_columns(source, target, table)
            saved[table] = _copy(target, table, columns, _readable_rows(source, table, columns, gaps[table]))
            lost[table] = _missing(source, table, saved[table]) if gaps[table] else 0
    copy = _newest_good_copy(paths) if any(gaps.values()) else None
    brought_back = _from_gaps(copy, target, gaps) if copy else {}
    _mend(target, to_ms(now))

    sentences = [f"Saved from it: {_list(saved)}."]
    broken = {table: count for table, count in lost.items() if table in _TOLD and count != 0}
    if broken:
        counts = [
            plural(count, _TABLES[table]) if count else f"some {_TABLES[table]}s" for table, count in broken.items()
        ]
        sentences.append(f"Not readable: {', '.join(counts)}.")
        if copy:
            sentences.append(f"Of these, brought back from the copy of {copy.name}: {_list(brought_back)}.")
    return " ".join(sentences)


def _list(counts: dict[str, int]) -> str:
    told = [table for table in _TOLD if table != "machines" or counts.get(table)]  # many have none
    return ", ".join(plural(counts.get(table, 0), _TABLES[table]) for table in told)


def _shared_columns(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> list[str]:
    try:
        there = {row[1] for row in source.execute(f"PRAGMA table_info({table})")}
    except sqlite3.DatabaseError:
        there = set()
    return [row[1] for row in target.execute(f"PRAGMA table_info({table})") if row[1] in there]


def _readable_rows(
    source: sqlite3.Connection, table: str, columns: list[str], gaps: list[Span]
) -> Iterator[tuple[object, ...]]:
    """Every row that can be read: from the front, then from the back, then in what is left in between one by one.

    Which rows there are in between an index tells. If none can, the stretch is halved until it is read or tiny, the
    lower half first: above the last row there is nothing but numbers.
    """
    if not columns:
        return
    select = f"SELECT seq, {', '.join(columns)} FROM {table} NOT INDEXED WHERE seq > ? AND seq < ? ORDER BY seq"  # noqa: S608
    spans = [_EVERYTHING]
    probes = 0
    while spans:
        low, high = spans.pop()
        for direction in ("ASC", "DESC"):
            try:
                for seq, *row in source.execute(f"{select} {direction}", (low, high)):
                    yield tuple(row)
                    low, high = (seq, high) if direction == "ASC" else (low, seq)
                break
            except sqlite3.DatabaseError:
                continue
        else:
            probes += 1
            if high - low <= 2 or probes > _PROBES:
                gaps.append((low, high))
            elif (listed := _listed(source, table, low, high)) is not None:
                spans += [(seq - 1, seq + 1) for seq in listed]
            else:
                middle = (low + high) // 2
                spans += [(middle, high), (low, middle + 1)]


def _listed(source: sqlite3.Connection, table: str, low: int, high: int) -> list[int] | None:
    """The rows that an index knows between two others; None if no index can be read."""
    for _, index, _, _, is_partial in source.execute(f"PRAGMA index_list({table})").fetchall():
        if is_partial:
            continue
        query = f'SELECT seq FROM {table} INDEXED BY "{index}" WHERE seq > ? AND seq < ? ORDER BY seq'  # noqa: S608
        try:
            return [seq for (seq,) in source.execute(query, (low, high))]
        except sqlite3.DatabaseError:
            continue
    return None


def _copy(target: sqlite3.Connection, table: str, columns: list[str], rows: Iterator[tuple[object, ...]]) -> int:
    if not columns:
        return 0
    insert = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
    before = target.total_changes if table not in _INDEXED else _count(target, table)
    target.executemany(insert, rows)
    return (target.total_changes if table not in _INDEXED else _count(target, table)) - before


_INDEXED = ("chats", "messages", "attachments")
"""Tables whose triggers write to the search index, so that SQLite's own count of changes says too much."""


def _count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


def _missing(source: sqlite3.Connection, table: str, saved: int) -> int | None:
    """How many rows there were beyond those saved, if an index still tells."""
    try:
        return max(_count(source, table) - saved, 0) or None
    except sqlite3.DatabaseError:
        return None


def _newest_good_copy(paths: Paths) -> backups.Backup | None:
    for backup in backups.backups(paths):
        try:
            with closing(_open(backup.path)) as connection:
                backups.check(connection, backup.path)
        except (sqlite3.Error, StoreDamaged):
            continue
        return backup
    return None


def _from_gaps(copy: backups.Backup, target: sqlite3.Connection, gaps: dict[str, list[Span]]) -> dict[str, int]:
    """Only the stretches that could not be read: what was deleted elsewhere since the copy stays deleted."""
    counts = {}
    with closing(_open(copy.path)) as source:
        for table, spans in gaps.items():
            columns = _shared_columns(source, target, table)
            if not columns:
                continue
            counts[table] = 0
            select = f"SELECT {', '.join(columns)} FROM {table} WHERE seq > ? AND seq < ?"  # noqa: S608
            for span in spans:
                counts[table] += _copy(target, table, columns, source.execute(select, span))
    return counts


def _from_copy(paths: Paths, target: sqlite3.Connection) -> str:
    copy = _newest_good_copy(paths)
    if copy is None:
        return "Nothing in it could be read and there is no copy, so a new one was begun."
    counts = _from_gaps(copy, target, {table: [_EVERYTHING] for table in _TABLES})
    return (
        f"Nothing in it could be read; the copy of {copy.name} took its place with {_list(counts)}."
        " What was written after that is in the damaged file only."
    )


def _mend(target: sqlite3.Connection, now_ms: int) -> None:
    """Give every row that was saved the rows it refers to."""
    orphans = "SELECT DISTINCT message_id FROM parts WHERE message_id NOT IN (SELECT id FROM messages)"
    pieces = [message_id for (message_id,) in target.execute(orphans)]
    adopted = new_id(now_ms)
    for message_id in pieces:
        # Without an owner it is closed, with its text, by the next recovery.
        target.execute(
            "INSERT INTO messages (seq, id, chat_id, role, state, text, thinking, created_at)"
            " VALUES (?, ?, ?, 'assistant', 'streaming', '', '', ?)",
            (free_seq(target, "messages", now_ms), message_id, adopted, now_ms),
        )
    lost_chats = target.execute(
        "SELECT chat_id, min(created_at), max(created_at) FROM messages"
        " WHERE chat_id NOT IN (SELECT id FROM chats) GROUP BY chat_id"
    ).fetchall()
    for chat_id, first, last in lost_chats:
        target.execute(
            "INSERT INTO chats (seq, id, title, client, created_at, updated_at)"
            " VALUES (?, ?, 'Recovered', 'recovery', ?, ?)",
            (free_seq(target, "chats", first), chat_id, first, last),
        )
    target.execute("UPDATE messages SET parent_id = NULL WHERE parent_id NOT IN (SELECT id FROM messages)")
    target.execute("UPDATE chats SET active_leaf = NULL WHERE active_leaf NOT IN (SELECT id FROM messages)")
    target.execute("DELETE FROM chat_tags WHERE chat_id NOT IN (SELECT id FROM chats)")
    target.execute(
        "DELETE FROM message_attachments WHERE message_id NOT IN (SELECT id FROM messages)"
        " OR sha256 NOT IN (SELECT sha256 FROM attachments)"
    )
    target.execute("DELETE FROM message_sources WHERE message_id NOT IN (SELECT id FROM messages)")
    for table in _OF_MACHINES:  # a machine that was lost here is found again at its cloud, by its label
        target.execute(f"DELETE FROM {table} WHERE machine NOT IN (SELECT seq FROM machines)")  # noqa: S608
