"""Chats: the list of them, and finding one by its id, the beginning of its id, or as the latest.

A chat that was deleted has a time of deletion and is nowhere to be found, but can be brought back until it is purged.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from console.errors import NotFound
from console.history.among import NO_DOCUMENTS, Among
from console.history.rows import free_seq, from_ms, new_id, storable

TitledBy: TypeAlias = Literal["words", "model", "person"]
"""Who gave a title: the first words of the first question, a model, or a person, whose title nobody else changes."""

LONGEST_TAG = 40
NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


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
    model: str | None = None
    """Who answers in it, as it would be named after -m; None means what the settings say."""
    params: Mapping[str, Any] = NO_PARAMS
    persona: str | None = None
    pinned_at: datetime | None = None
    titled_by: TitledBy | None = None
    """None for chats of earlier formats and imported ones."""
    tags: tuple[str, ...] = ()
    among: Among = NO_DOCUMENTS


class ChatSummary(NamedTuple):
    id: str
    title: str
    client: str
    model: str | None
    """Who gave the latest answer."""
    message_count: int
    created_at: datetime
    updated_at: datetime


_COLUMNS = (
    "id, title, system, client, active_leaf, created_at, updated_at, origin, model, params, persona, pinned_at,"
    " titled_by, (SELECT json_group_array(tag) FROM (SELECT tag FROM chat_tags WHERE chat_id = chats.id ORDER BY tag)),"
    " documents"
)


def _chat(row: tuple[Any, ...]) -> Chat:
    return Chat(
        id=row[0],
        title=row[1],
        system=row[2],
        client=row[3],
        active_leaf=row[4],
        created_at=from_ms(row[5]),
        updated_at=from_ms(row[6]),
        origin=row[7],
        model=row[8],
        params=json.loads(row[9]) if row[9] else NO_PARAMS,
        persona=row[10],
        pinned_at=None if row[11] is None else from_ms(row[11]),
        titled_by=cast("TitledBy | None", row[12]),
        tags=tuple(json.loads(row[13])),
        among=read_among(row[14]),
    )


def read_among(packed: str | None) -> Among:
    if packed is None:
        return NO_DOCUMENTS
    document = json.loads(packed)
    return Among(tuple(document["collections"]), tuple(document["documents"]))


def packed_among(among: Among) -> str | None:
    """None for no documents."""
    return json.dumps(among._asdict()) if among else None


def add(
    connection: sqlite3.Connection,
    now_ms: int,
    title: str = "",
    *,
    system: str | None = None,
    client: str,
    origin: str | None = None,
    model: str | None = None,
    params: Mapping[str, Any] = NO_PARAMS,
    persona: str | None = None,
    titled_by: TitledBy = "words",
    among: Among = NO_DOCUMENTS,
) -> Chat:
    chat_id = new_id(now_ms)
    title = storable(title)
    system = None if system is None else storable(system)
    connection.execute(
        "INSERT INTO chats (seq, id, title, system, client, created_at, updated_at, origin, model, params, persona,"
        " titled_by, documents) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            free_seq(connection, "chats", now_ms),
            chat_id,
            title,
            system,
            client,
            now_ms,
            now_ms,
            origin,
            model,
            _as_json(params),
            persona,
            titled_by,
            packed_among(among),
        ),
    )
    at = from_ms(now_ms)
    return Chat(
        chat_id,
        title,
        system,
        client,
        None,
        at,
        at,
        origin,
        model,
        params,
        persona,
        titled_by=titled_by,
        among=among,
    )


def _as_json(params: Mapping[str, Any]) -> str | None:
    return json.dumps(dict(params)) if params else None


def get(connection: sqlite3.Connection, id_or_prefix: str, *, deleted: bool = False) -> Chat:
    """The one chat whose id begins like this; `NotFound` when there is none, or more than one. With `deleted` also
    among those that were put away."""
    wanted = id_or_prefix.strip().lower()
    # "~" sorts after every character of an id.
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM chats WHERE id >= ? AND id < ? AND (? OR deleted_at IS NULL)"  # noqa: S608
        " ORDER BY id LIMIT 6",
        (wanted, wanted + "~", deleted),
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
    for condition in (f"AND updated_at <= {now_ms:d}", ""):
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM chats WHERE deleted_at IS NULL {condition}"  # noqa: S608
            " ORDER BY updated_at DESC, seq DESC LIMIT 1"
        ).fetchone()
        if row:
            return _chat(row)
    return None


def find(connection: sqlite3.Connection, chat_id: str, origin: str | None) -> str | None:
    """The id of a chat by exactly this id, or of the one that was imported from the same place; deleted ones too."""
    row = connection.execute(
        "SELECT id FROM chats WHERE id = ? UNION ALL SELECT id FROM chats WHERE origin = ?", (chat_id, origin)
    ).fetchone()
    return row[0] if row else None


def every_id(connection: sqlite3.Connection) -> list[str]:
    """Oldest first, the order in which an export reads best."""
    return [chat_id for (chat_id,) in connection.execute("SELECT id FROM chats WHERE deleted_at IS NULL ORDER BY seq")]


def summaries(connection: sqlite3.Connection, limit: int | None = None) -> list[ChatSummary]:
    """The chats that changed last come first."""
    rows = connection.execute(
        "SELECT id, title, client,"
        " (SELECT model FROM messages WHERE chat_id = chats.id AND model IS NOT NULL ORDER BY seq DESC LIMIT 1),"
        " (SELECT count(*) FROM messages WHERE chat_id = chats.id), created_at, updated_at"
        " FROM chats WHERE deleted_at IS NULL ORDER BY updated_at DESC, seq DESC LIMIT ?",
        (-1 if limit is None else limit,),
    )
    return [
        ChatSummary(chat_id, title, client, model, count, from_ms(created), from_ms(updated))
        for chat_id, title, client, model, count, created, updated in rows
    ]


def rename(connection: sqlite3.Connection, chat_id: str, title: str, by: TitledBy = "person") -> bool:
    """Give a title; False when it is not for `by` to change, because a person gave the present one."""
    where = "" if by == "person" else " AND titled_by IS NOT 'person'"
    cursor = connection.execute(
        f"UPDATE chats SET title = ?, titled_by = ? WHERE id = ?{where}",  # noqa: S608
        (storable(title), by, chat_id),
    )
    if cursor.rowcount == 0:
        get(connection, chat_id)
    return cursor.rowcount > 0


def set_system(connection: sqlite3.Connection, chat_id: str, system: str | None) -> None:
    stored = None if system is None else storable(system)
    _changed(connection.execute("UPDATE chats SET system = ? WHERE id = ?", (stored, chat_id)), chat_id)


def set_model(connection: sqlite3.Connection, chat_id: str, model: str | None) -> None:
    _changed(connection.execute("UPDATE chats SET model = ? WHERE id = ?", (model, chat_id)), chat_id)


def set_params(connection: sqlite3.Connection, chat_id: str, params: Mapping[str, Any]) -> None:
    _changed(connection.execute("UPDATE chats SET params = ? WHERE id = ?", (_as_json(params), chat_id)), chat_id)


def set_persona(connection: sqlite3.Connection, chat_id: str, persona: str | None) -> None:
    _changed(connection.execute("UPDATE chats SET persona = ? WHERE id = ?", (persona, chat_id)), chat_id)


def set_among(connection: sqlite3.Connection, chat_id: str, among: Among) -> None:
    packed = packed_among(among)
    _changed(connection.execute("UPDATE chats SET documents = ? WHERE id = ?", (packed, chat_id)), chat_id)


def pin(connection: sqlite3.Connection, now_ms: int, chat_id: str, pinned: bool) -> None:
    """Pinned chats stand above the others; pinning again changes nothing."""
    at = now_ms if pinned else None
    cursor = connection.execute(
        "UPDATE chats SET pinned_at = CASE WHEN ? IS NULL THEN NULL ELSE coalesce(pinned_at, ?) END WHERE id = ?",
        (at, at, chat_id),
    )
    _changed(cursor, chat_id)


def tag(connection: sqlite3.Connection, chat_id: str, tags: tuple[str, ...]) -> None:
    """Give a chat exactly these tags."""
    get(connection, chat_id)
    connection.execute("DELETE FROM chat_tags WHERE chat_id = ?", (chat_id,))
    kept = {" ".join(storable(each).split())[:LONGEST_TAG] for each in tags} - {""}
    connection.executemany(
        "INSERT INTO chat_tags (chat_id, tag) VALUES (?, ?)", [(chat_id, each) for each in sorted(kept)]
    )


def put_away(connection: sqlite3.Connection, now_ms: int, chat_id: str) -> None:
    """Delete a chat so that it can be brought back."""
    cursor = connection.execute(
        "UPDATE chats SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL", (now_ms, chat_id)
    )
    _changed(cursor, chat_id)


def bring_back(connection: sqlite3.Connection, chat_id: str) -> None:
    _changed(connection.execute("UPDATE chats SET deleted_at = NULL WHERE id = ?", (chat_id,)), chat_id)


def purge(connection: sqlite3.Connection, before_ms: int) -> int:
    """Remove for good what was deleted before a time; returns how many chats."""
    old = connection.execute("SELECT id FROM chats WHERE deleted_at < ?", (before_ms,)).fetchall()
    for (chat_id,) in old:
        delete(connection, chat_id)
    return len(old)


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
    connection.execute("DELETE FROM drafts WHERE chat_key IN (?, ?)", (chat_id, f"waiting:{chat_id}"))
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
