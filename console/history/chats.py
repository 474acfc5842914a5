"""Chats: the list of them, and finding one by its id, the beginning of its id, or as the latest."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import NamedTuple

from console.errors import NotFound
from console.history.rows import free_seq, from_ms, new_id, storable


class Chat(NamedTuple):
    id: str
    title: str
    system: str | None
    client: str
    """Which face began it: prompt, app, gateway, import."""
    active_leaf: str | None
    """The message at the end of the branch that was looked at last."""
    created_at: datetime
    updated_at: datetime
    origin: str | None = None
    """Where an imported chat came from, so that it is imported once."""


class ChatSummary(NamedTuple):
    id: str
    title: str
    client: str
    model: str | None
    """Who gave the latest answer."""
    message_count: int
    created_at: datetime
    updated_at: datetime


_COLUMNS = "id, title, system, client, active_leaf, created_at, updated_at, origin"


def _chat(row: tuple[str, str, str | None, str, str | None, int, int, str | None]) -> Chat:
    return Chat(*row[:5], from_ms(row[5]), from_ms(row[6]), row[7])


def add(
    connection: sqlite3.Connection,
    now_ms: int,
    title: str = "",
    *,
    system: str | None = None,
    client: str,
    origin: str | None = None,
) -> Chat:
    chat_id = new_id(now_ms)
    title = storable(title)
    system = None if system is None else storable(system)
    connection.execute(
        "INSERT INTO chats (seq, id, title, system, client, created_at, updated_at, origin)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (free_seq(connection, "chats", now_ms), chat_id, title, system, client, now_ms, now_ms, origin),
    )
    return Chat(chat_id, title, system, client, None, from_ms(now_ms), from_ms(now_ms), origin)


def get(connection: sqlite3.Connection, id_or_prefix: str) -> Chat:
    """The one chat whose id begins like this; `NotFound` when there is none, or more than one."""
    wanted = id_or_prefix.strip().lower()
    # "~" sorts after every character of an id.
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM chats WHERE id >= ? AND id < ? ORDER BY id LIMIT 6",  # noqa: S608
        (wanted, wanted + "~"),
    ).fetchall()
    if not wanted or not rows:
        raise NotFound(f"There is no chat {id_or_prefix!r}.", hint="hawser chat ls shows what is there.")
    if len(rows) > 1:
        names = ", ".join(f"{row[0]} ({row[1] or 'untitled'})" for row in rows[:5])
        more = " and more" if len(rows) > 5 else ""
        raise NotFound(f"{id_or_prefix!r} could be any of {names}{more}.", hint="Give more of the id.")
    return _chat(rows[0])


def latest(connection: sqlite3.Connection, now_ms: int) -> Chat | None:
    """The chat in which something was said last; one put into the future by a wrong clock only for want of others."""
    order = "ORDER BY updated_at DESC, seq DESC LIMIT 1"
    for condition in (f"WHERE updated_at <= {now_ms:d} {order}", order):
        row = connection.execute(f"SELECT {_COLUMNS} FROM chats {condition}").fetchone()  # noqa: S608
        if row:
            return _chat(row)
    return None


def find(connection: sqlite3.Connection, chat_id: str, origin: str | None) -> str | None:
    """The id of a chat by exactly this id, or of the one that was imported from the same place."""
    row = connection.execute(
        "SELECT id FROM chats WHERE id = ? UNION ALL SELECT id FROM chats WHERE origin = ?", (chat_id, origin)
    ).fetchone()
    return row[0] if row else None


def every_id(connection: sqlite3.Connection) -> list[str]:
    """Oldest first, the order in which an export reads best."""
    return [chat_id for (chat_id,) in connection.execute("SELECT id FROM chats ORDER BY seq")]


def summaries(connection: sqlite3.Connection, limit: int | None = None) -> list[ChatSummary]:
    """The chats that changed last come first."""
    rows = connection.execute(
        "SELECT id, title, client,"
        " (SELECT model FROM messages WHERE chat_id = chats.id AND model IS NOT NULL ORDER BY seq DESC LIMIT 1),"
        " (SELECT count(*) FROM messages WHERE chat_id = chats.id), created_at, updated_at"
        " FROM chats ORDER BY updated_at DESC, seq DESC LIMIT ?",
        (-1 if limit is None else limit,),
    )
    return [
        ChatSummary(chat_id, title, client, model, count, from_ms(created), from_ms(updated))
        for chat_id, title, client, model, count, created, updated in rows
    ]


def rename(connection: sqlite3.Connection, chat_id: str, title: str) -> None:
    _changed(connection.execute("UPDATE chats SET title = ? WHERE id = ?", (storable(title), chat_id)), chat_id)


def set_system(connection: sqlite3.Connection, chat_id: str, system: str | None) -> None:
    stored = None if system is None else storable(system)
    _changed(connection.execute("UPDATE chats SET system = ? WHERE id = ?", (stored, chat_id)), chat_id)


def delete(connection: sqlite3.Connection, chat_id: str) -> int:
    """Remove a chat with its messages and every attachment nobody else shows; returns how many messages went.

    What it cost stays in the ledger.
    """
    (count,) = connection.execute("SELECT count(*) FROM messages WHERE chat_id = ?", (chat_id,)).fetchone()
    shown = [
        sha256
        for (sha256,) in connection.execute(
            "SELECT DISTINCT sha256 FROM message_attachments"
            " WHERE message_id IN (SELECT id FROM messages WHERE chat_id = ?)",
            (chat_id,),
        )
    ]
    # Emptied first: as a cascade each message would be looked up once more as somebody's parent.
    connection.execute("DELETE FROM messages WHERE chat_id = ?", (chat_id,))
    _changed(connection.execute("DELETE FROM chats WHERE id = ?", (chat_id,)), chat_id)
    for sha256 in shown:
        connection.execute(
            "DELETE FROM attachments WHERE sha256 = ?"
            " AND NOT EXISTS (SELECT 1 FROM message_attachments WHERE sha256 = ?)",
            (sha256, sha256),
        )
    return int(count)


def _changed(cursor: sqlite3.Cursor, chat_id: str) -> None:
    if cursor.rowcount == 0:
        raise NotFound(f"There is no chat {chat_id!r}.")
