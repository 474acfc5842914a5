"""Questions that wait for their turn in a chat, kept so that a crash does not lose them.

They stand among the drafts, under a key of their own, with the process that will ask them. Once that has died, whoever
opens the chat gets them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from console.history.owner import is_alive, this_process
from console.history.rows import storable


def _key(chat_id: str) -> str:
    return f"waiting:{chat_id}"


def put(connection: sqlite3.Connection, now_ms: int, chat_id: str, questions: Sequence[Any]) -> None:
    """Keep these, and no others, for a chat; they are JSON."""
    if not questions:
        connection.execute("DELETE FROM drafts WHERE chat_key = ?", (_key(chat_id),))
        return
    document = json.dumps({"owner": this_process(), "questions": questions})
    connection.execute(
        "INSERT INTO drafts (chat_key, text, chips, updated_at) VALUES (?, '', ?, ?) ON CONFLICT (chat_key)"
        " DO UPDATE SET chips = excluded.chips, updated_at = excluded.updated_at",
        (_key(chat_id), storable(document), now_ms),
    )


def left_behind(connection: sqlite3.Connection, chat_id: str) -> list[Any]:
    """The questions that a process which is gone left in a chat."""
    row = connection.execute("SELECT chips FROM drafts WHERE chat_key = ?", (_key(chat_id),)).fetchone()
    if row is None:
        return []
    document = json.loads(row[0])
    return [] if is_alive(document["owner"]) else list(document["questions"])
