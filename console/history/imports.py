"""Chats from elsewhere put into the store with their own ids and times, each message once however often it comes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Literal, TypeAlias

from console.history import chats, messages, sources
from console.history.chats import Chat
from console.history.messages import StoredMessage
from console.history.rows import free_seq, storable, to_ms

Outcome: TypeAlias = Literal["new", "grown", "known"]


def bring_in(connection: sqlite3.Connection, chat: Chat, tree: Sequence[StoredMessage]) -> Outcome:
    """Store a chat, or those of its messages that are missing; parents must be in `tree`, and in no circle.

    What is here already stays as it is. An answer that was arriving when it was exported counts as failed: nobody will
    ever finish it here.
    """
    known_chat = chats.find(connection, chat.id, chat.origin)
    if known_chat is None:
        _insert_chat(connection, chat)
        chat_id = chat.id
    else:
        chat_id = known_chat
        # Whoever imports a chat wants to see it, also one that was deleted a moment ago.
        connection.execute("UPDATE chats SET deleted_at = NULL WHERE id = ?", (chat_id,))
    fresh = [message for message in tree if not _is_known(connection, message.id)]
    seq = 0
    for message in sorted(fresh, key=lambda message: message.created_at):
        # Those of one time keep their order.
        seq = free_seq(connection, "messages", max(to_ms(message.created_at), seq + 1))
        _insert_message(connection, chat_id, seq, message)
    if known_chat is None:
        return "new"
    if not fresh:
        return "known"
    connection.execute(
        "UPDATE chats SET updated_at = max(updated_at, ?), active_leaf = coalesce(?, active_leaf) WHERE id = ?",
        (to_ms(chat.updated_at), chat.active_leaf, chat_id),
    )
    return "grown"


def _insert_chat(connection: sqlite3.Connection, chat: Chat) -> None:
    created_ms = to_ms(chat.created_at)
    connection.execute(
        "INSERT INTO chats (seq, id, title, system, client, active_leaf, created_at, updated_at, origin, model, params,"
        " persona, pinned_at, titled_by, documents) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            free_seq(connection, "chats", created_ms),
            chat.id,
            storable(chat.title),
            None if chat.system is None else storable(chat.system),
            storable(chat.client),
            chat.active_leaf,
            created_ms,
            to_ms(chat.updated_at),
            chat.origin,
            None if chat.model is None else storable(chat.model),
            json.dumps(dict(chat.params)) if chat.params else None,
            None if chat.persona is None else storable(chat.persona),
            None if chat.pinned_at is None else to_ms(chat.pinned_at),
            chat.titled_by,
            chats.packed_among(chat.among),
        ),
    )
    chats.tag(connection, chat.id, chat.tags)


def _is_known(connection: sqlite3.Connection, message_id: str) -> bool:
    return connection.execute("SELECT 1 FROM messages WHERE id = ?", (message_id,)).fetchone() is not None


def _insert_message(connection: sqlite3.Connection, chat_id: str, seq: int, message: StoredMessage) -> None:
    created_ms = to_ms(message.created_at)
    is_cut = message.state == "streaming"
    connection.execute(
        "INSERT INTO messages (seq, id, chat_id, parent_id, role, state, text, thinking, model, endpoint, machine,"
        " finish, error, input_tokens, output_tokens, estimated, cost_usd, first_token_ms, total_ms, notes,"
        " created_at, ended_at, excluded)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            seq,
            message.id,
            chat_id,
            message.parent_id,
            message.role,
            "failed" if is_cut else message.state,
            storable(message.text),
            storable(message.thinking),
            *(None if value is None else storable(value) for value in message[7:11]),
            "It was exported while it arrived." if is_cut else message.error and storable(message.error),
            message.input_tokens,
            message.output_tokens,
            int(message.estimated),
            None if message.cost_usd is None else f"{message.cost_usd:.6f}",
            message.first_token_ms,
            message.total_ms,
            json.dumps(dict(message.notes)) if message.notes else None,
            created_ms,
            None if message.ended_at is None else to_ms(message.ended_at),
            int(message.excluded),
        ),
    )
    for position, attachment in enumerate(message.attachments):
        messages.attach(connection, created_ms, message.id, position, attachment)
    if message.sources:
        sources.put(connection, message.id, message.sources)
