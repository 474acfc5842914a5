"""Questions with the answers begun under them, each in one step, so that a crash leaves both or neither.

One question may have several answers at once (to compare models), a question that is there may be answered again, an
answer may be taken up where it stopped, and a branch may be cut off.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from console.errors import ConsoleError, NotFound
from console.history import chats, messages
from console.history.among import NO_DOCUMENTS, Among
from console.history.chats import NO_PARAMS, Chat
from console.history.messages import StoredAttachment, StoredMessage
from console.history.owner import this_process
from console.history.rows import to_ms


class NewChat(NamedTuple):
    """What a chat begins with."""

    title: str
    client: str
    system: str | None = None
    model: str | None = None
    params: Mapping[str, Any] = NO_PARAMS
    persona: str | None = None
    titled_by: chats.TitledBy = "words"
    among: Among = NO_DOCUMENTS


class BegunTurn(NamedTuple):
    chat: Chat
    question: StoredMessage
    """Without the contents of its attachments."""
    answers: tuple[StoredMessage, ...]


def begin(
    connection: sqlite3.Connection,
    now_ms: int,
    chat: str | NewChat,
    parent_id: str | None,
    text: str,
    *,
    attachments: Sequence[StoredAttachment] = (),
    attachments_of: str | None = None,
    answers: int = 1,
) -> BegunTurn:
    """A question below `parent_id` and empty answers to it; `attachments_of` gives it those of another message."""
    if isinstance(chat, str):
        chat_id = chat
    else:
        chat_id = chats.add(
            connection,
            now_ms,
            chat.title,
            system=chat.system,
            client=chat.client,
            model=chat.model,
            params=chat.params,
            persona=chat.persona,
            titled_by=chat.titled_by,
            among=chat.among,
        ).id
    question_id = messages.add_question(connection, now_ms, chat_id, parent_id, text, attachments=attachments)
    if attachments_of is not None:
        connection.execute(
            "INSERT INTO message_attachments (message_id, position, sha256, name)"
            " SELECT ?, position, sha256, name FROM message_attachments WHERE message_id = ?",
            (question_id, attachments_of),
        )
    return answer(connection, now_ms, chat_id, question_id, answers)


def answer(connection: sqlite3.Connection, now_ms: int, chat_id: str, question_id: str, answers: int = 1) -> BegunTurn:
    """Further answers, empty yet, to a question that is there; the first of them is shown."""
    begun = [
        messages.begin_answer(connection, now_ms, chat_id, question_id, model=None, endpoint=None)
        for _ in range(answers)
    ]
    connection.execute("UPDATE chats SET active_leaf = ? WHERE id = ?", (begun[0], chat_id))
    return BegunTurn(
        chats.get(connection, chat_id),
        messages.get(connection, question_id, contents=False),
        tuple(messages.get(connection, message_id, contents=False) for message_id in begun),
    )


def take_up(connection: sqlite3.Connection, message_id: str) -> StoredMessage:
    """Let an answer that has ended grow again; what it has stays whatever becomes of the rest."""
    cursor = connection.execute(
        "UPDATE messages SET state = 'streaming', owner = ? WHERE id = ? AND role = 'assistant'"
        " AND state <> 'streaming' AND chat_id IN (SELECT id FROM chats WHERE deleted_at IS NULL)",
        (this_process(), message_id),
    )
    message = messages.get(connection, message_id, contents=False)
    if cursor.rowcount == 0:
        raise ConsoleError("This message cannot be continued: it is no answer, or it is just arriving.")
    return message


def note_answerer(connection: sqlite3.Connection, message_id: str, model: str, endpoint: str) -> None:
    """Who is about to be asked; what a call that is lost with its process may have cost follows from it."""
    connection.execute("UPDATE messages SET model = ?, endpoint = ? WHERE id = ?", (model, endpoint, message_id))


def fill(connection: sqlite3.Connection, message: StoredMessage) -> None:
    """Give a begun answer the text and figures that `message` has, whatever was stored of it before."""
    assert message.state != "streaming"
    assert message.ended_at is not None
    messages.void_answer(connection, message.id)
    connection.execute("UPDATE messages SET text = '', thinking = '' WHERE id = ?", (message.id,))
    messages.end_answer(
        connection,
        to_ms(message.ended_at),
        message.id,
        state=message.state,
        text=message.text,
        thinking=message.thinking,
        finish=message.finish,
        error=message.error,
        model=message.model,
        endpoint=message.endpoint,
        machine=message.machine,
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
        estimated=message.estimated,
        cost_usd=message.cost_usd,
        first_token_ms=message.first_token_ms,
        total_ms=message.total_ms,
        notes=message.notes,
    )
    if message.sources:
        from console.history import sources

        sources.put(connection, message.id, message.sources)


def cut_branch(connection: sqlite3.Connection, chat_id: str, message_id: str) -> str | None:
    """Remove a message and all below it; returns the leaf that is shown then. What it cost stays in the ledger."""
    if messages.get(connection, message_id, contents=False).chat_id != chat_id:
        raise NotFound(f"There is no message {message_id!r} in this chat.")
    beside = [other for other in messages.siblings(connection, message_id) if other != message_id]
    (parent_id,) = connection.execute("SELECT parent_id FROM messages WHERE id = ?", (message_id,)).fetchone()
    below = [
        found
        for (found,) in connection.execute(
            "WITH RECURSIVE down (id) AS (VALUES (?) UNION ALL SELECT m.id FROM down JOIN messages m"
            " ON m.parent_id = down.id) SELECT id FROM down",
            (message_id,),
        )
    ]
    shown = {
        sha256
        for each in below
        for (sha256,) in connection.execute("SELECT sha256 FROM message_attachments WHERE message_id = ?", (each,))
    }
    connection.executemany("DELETE FROM messages WHERE id = ?", [(each,) for each in below])
    connection.executemany(
        "DELETE FROM attachments WHERE sha256 = ? AND sha256 NOT IN (SELECT sha256 FROM message_attachments)",
        [(each,) for each in shown],
    )
    (active,) = connection.execute("SELECT active_leaf FROM chats WHERE id = ?", (chat_id,)).fetchone()
    if active is not None and active not in below:
        return str(active)
    if beside:
        return messages.show_branch(connection, chat_id, beside[-1])
    connection.execute("UPDATE chats SET active_leaf = ? WHERE id = ?", (parent_id, chat_id))
    return None if parent_id is None else str(parent_id)


class Bone(NamedTuple):
    """A message without its text: enough to know the tree."""

    id: str
    parent_id: str | None
    role: str


class Mark(NamedTuple):
    """Two marks of a chat differ when messages came, went or ended between them."""

    messages: int
    newest: int
    updated_ms: int


def skeleton(connection: sqlite3.Connection, chat_id: str) -> tuple[Chat, list[Bone], Mark]:
    """The chat and the shape of its tree, oldest message first."""
    chat = chats.get(connection, chat_id)
    rows = connection.execute("SELECT id, parent_id, role FROM messages WHERE chat_id = ? ORDER BY seq", (chat.id,))
    # Each of a long chat's ids is held once, not as an id and as the parent of the next, and each role once in all.
    held: dict[str, str] = {}
    bones = [
        Bone(held.setdefault(message_id, message_id), held.get(parent_id, parent_id), held.setdefault(role, role))
        for message_id, parent_id, role in rows
    ]
    return chat, bones, mark(connection, chat.id)


def mark(connection: sqlite3.Connection, chat_id: str) -> Mark:
    return Mark(
        *connection.execute(
            "SELECT count(m.seq), coalesce(max(m.seq), 0), c.updated_at FROM chats c"
            " LEFT JOIN messages m ON m.chat_id = c.id WHERE c.id = ?",
            (chat_id,),
        ).fetchone()
    )
