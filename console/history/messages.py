"""Messages: a tree per chat, and the life of an answer while it arrives.

An answer is begun (`streaming`, owned by this process), grows by appended parts, and ends `complete`, `stopped` or
`failed`, when the parts become its text. Should the process die in between, `recover` does the last step later.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from console.errors import NotFound
from console.history.owner import is_alive, this_process
from console.history.rows import free_seq, from_ms, new_id, storable

if TYPE_CHECKING:
    from console.history.sources import Source

State: TypeAlias = Literal["streaming", "complete", "stopped", "failed"]


class StoredAttachment(NamedTuple):
    name: str
    media_type: str
    content: bytes
    text: str = ""
    """What was read from it; searchable. Empty for an image."""
    sha256: str = ""
    """Filled in when it is read back; stored once however often it is attached."""


class StoredMessage(NamedTuple):
    id: str
    chat_id: str
    parent_id: str | None
    role: str
    state: State
    text: str
    thinking: str
    model: str | None
    endpoint: str | None
    machine: str | None
    finish: str | None
    error: str | None
    input_tokens: int | None
    output_tokens: int | None
    estimated: bool
    cost_usd: Decimal | None
    first_token_ms: float | None
    total_ms: float | None
    notes: Mapping[str, Any]
    created_at: datetime
    ended_at: datetime | None
    attachments: tuple[StoredAttachment, ...] = ()
    excluded: bool = False
    """Left out of what is sent, though it is shown."""
    sources: tuple[Source, ...] = ()
    """The passages that an answer was given to read."""


_COLUMNS = (
    "m.id, m.chat_id, m.parent_id, m.role, m.state, m.text, m.thinking, m.model, m.endpoint, m.machine, m.finish,"
    " m.error, m.input_tokens, m.output_tokens, m.estimated, m.cost_usd, m.first_token_ms, m.total_ms, m.notes,"
    " m.created_at, m.ended_at, m.excluded"
)


def add_question(
    connection: sqlite3.Connection,
    now_ms: int,
    chat_id: str,
    parent_id: str | None,
    text: str,
    *,
    attachments: Sequence[StoredAttachment] = (),
    role: str = "user",
) -> str:
    _check_parent(connection, chat_id, parent_id)
    message_id = new_id(now_ms)
    connection.execute(
        "INSERT INTO messages (seq, id, chat_id, parent_id, role, state, text, thinking, created_at, ended_at)"
        " VALUES (?, ?, ?, ?, ?, 'complete', ?, '', ?, ?)",
        (
            _seq_at_the_end(connection, now_ms, chat_id),
            message_id,
            chat_id,
            parent_id,
            role,
            storable(text),
            now_ms,
            now_ms,
        ),
    )
    for position, attachment in enumerate(attachments):
        attach(connection, now_ms, message_id, position, attachment)
    _touch(connection, now_ms, chat_id, message_id)
    return message_id


def attach(
    connection: sqlite3.Connection, now_ms: int, message_id: str, position: int, attachment: StoredAttachment
) -> None:
    from hashlib import sha256  # loads OpenSSL, which a prompt without attachments has no need of

    digest = sha256(attachment.content).hexdigest()
    if not connection.execute("SELECT 1 FROM attachments WHERE sha256 = ?", (digest,)).fetchone():
        connection.execute(
            "INSERT INTO attachments (seq, sha256, media_type, text, content) VALUES (?, ?, ?, ?, ?)",
            (
                free_seq(connection, "attachments", now_ms),
                digest,
                attachment.media_type,
                storable(attachment.text),
                attachment.content,
            ),
        )
    connection.execute(
        "INSERT INTO message_attachments (message_id, position, sha256, name) VALUES (?, ?, ?, ?)",
        (message_id, position, digest, storable(attachment.name)),
    )


def begin_answer(
    connection: sqlite3.Connection,
    now_ms: int,
    chat_id: str,
    parent_id: str | None,
    *,
    model: str | None,
    endpoint: str | None,
    machine: str | None = None,
) -> str:
    _check_parent(connection, chat_id, parent_id)
    message_id = new_id(now_ms)
    connection.execute(
        "INSERT INTO messages (seq, id, chat_id, parent_id, role, state, text, thinking, model, endpoint, machine,"
        " owner, created_at) VALUES (?, ?, ?, ?, 'assistant', 'streaming', '', '', ?, ?, ?, ?, ?)",
        (
            _seq_at_the_end(connection, now_ms, chat_id),
            message_id,
            chat_id,
            parent_id,
            model,
            endpoint,
            machine,
            this_process(),
            now_ms,
        ),
    )
    _touch(connection, now_ms, chat_id, message_id)
    return message_id


def append_answer(connection: sqlite3.Connection, message_id: str, text: str, thinking: str = "") -> None:
    connection.execute(
        "INSERT INTO parts (message_id, text, thinking) VALUES (?, ?, ?)",
        (message_id, storable(text), storable(thinking)),
    )


def void_answer(connection: sqlite3.Connection, message_id: str) -> None:
    """Forget what came of an answer so far: another begins in its place."""
    connection.execute("DELETE FROM parts WHERE message_id = ?", (message_id,))


def end_answer(
    connection: sqlite3.Connection,
    now_ms: int,
    message_id: str,
    *,
    state: Literal["complete", "stopped", "failed"],
    text: str = "",
    thinking: str = "",
    finish: str | None = None,
    error: str | None = None,
    model: str | None = None,
    endpoint: str | None = None,
    machine: str | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    estimated: bool = False,
    cost_usd: Decimal | None = None,
    first_token_ms: float | None = None,
    total_ms: float | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Close an answer: its parts, and `text` and `thinking` as the last of them, become its text.

    `model`, `endpoint` and `machine` replace what was said at the beginning if they are given, for another may have
    answered in the end.
    """
    row = connection.execute("SELECT chat_id, text, thinking FROM messages WHERE id = ?", (message_id,)).fetchone()
    if row is None:
        raise NotFound(f"There is no message {message_id!r}.")
    chat_id, had_text, had_thinking = row
    parts_text, parts_thinking = _parts(connection, message_id)
    connection.execute(
        "UPDATE messages SET state = ?, text = ?, thinking = ?, finish = ?, error = ?, model = coalesce(?, model),"
        " endpoint = coalesce(?, endpoint), machine = coalesce(?, machine), input_tokens = ?, output_tokens = ?,"
        " estimated = ?, cost_usd = ?, first_token_ms = ?, total_ms = ?, notes = ?, owner = NULL, ended_at = ?"
        " WHERE id = ?",
        (
            state,
            had_text + parts_text + storable(text),
            had_thinking + parts_thinking + storable(thinking),
            finish,
            None if error is None else storable(error),
            model,
            endpoint,
            machine,
            input_tokens,
            output_tokens,
            int(estimated),
            None if cost_usd is None else f"{cost_usd:.6f}",
            first_token_ms,
            total_ms,
            json.dumps(dict(notes)) if notes else None,
            now_ms,
            message_id,
        ),
    )
    connection.execute("DELETE FROM parts WHERE message_id = ?", (message_id,))
    connection.execute("UPDATE chats SET updated_at = ? WHERE id = ?", (now_ms, chat_id))


def unfinished(connection: sqlite3.Connection) -> list[str]:
    """Answers whose process is gone."""
    rows = connection.execute("SELECT id, owner FROM messages WHERE state = 'streaming'").fetchall()
    return [message_id for message_id, owner in rows if not is_alive(owner)]


def recover(connection: sqlite3.Connection, now_ms: int) -> list[StoredMessage]:
    """Give every answer that a dead process left behind its text and the state `failed`; returns them."""
    gone = unfinished(connection)
    for message_id in gone:
        parts_text, parts_thinking = _parts(connection, message_id)
        connection.execute(
            "UPDATE messages SET state = 'failed', text = text || ?, thinking = thinking || ?, owner = NULL,"
            " ended_at = ?, error = 'The program was ended while this answer arrived.' WHERE id = ?",
            (parts_text, parts_thinking, now_ms, message_id),
        )
        connection.execute("DELETE FROM parts WHERE message_id = ?", (message_id,))
    return [get(connection, message_id, contents=False) for message_id in gone]


def path(
    connection: sqlite3.Connection, chat_id: str, leaf: str | None = None, *, contents: bool = True
) -> list[StoredMessage]:
    """The messages from the first to `leaf`; without one, to the end of the branch that was looked at last."""
    if leaf is None:
        row = connection.execute("SELECT active_leaf FROM chats WHERE id = ?", (chat_id,)).fetchone()
        if row is None:
            raise NotFound(f"There is no chat {chat_id!r}.")
        leaf = row[0] or _newest(connection, chat_id)
        if leaf is None:
            return []
    rows = connection.execute(
        "WITH RECURSIVE up (id, parent_id, height) AS ("  # noqa: S608
        " SELECT id, parent_id, 0 FROM messages WHERE id = ? AND chat_id = ?"
        " UNION ALL SELECT m.id, m.parent_id, up.height + 1 FROM up JOIN messages m ON m.id = up.parent_id)"
        f" SELECT {_COLUMNS} FROM up JOIN messages m ON m.id = up.id ORDER BY up.height DESC",
        (leaf, chat_id),
    ).fetchall()
    if not rows:
        raise NotFound(f"There is no message {leaf!r} in this chat.")
    return _messages(connection, rows, contents)


def tree(connection: sqlite3.Connection, chat_id: str, *, contents: bool = True) -> list[StoredMessage]:
    """Every message of a chat, all branches, in the order in which they were made."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM messages m WHERE m.chat_id = ? ORDER BY m.seq",  # noqa: S608
        (chat_id,),
    ).fetchall()
    return _messages(connection, rows, contents)


def get(connection: sqlite3.Connection, message_id: str, *, contents: bool = True) -> StoredMessage:
    row = connection.execute(f"SELECT {_COLUMNS} FROM messages m WHERE m.id = ?", (message_id,)).fetchone()  # noqa: S608
    if row is None:
        raise NotFound(f"There is no message {message_id!r}.")
    return _messages(connection, [row], contents)[0]


def content(connection: sqlite3.Connection, sha256: str) -> bytes:
    """What an attachment holds."""
    row = connection.execute("SELECT content FROM attachments WHERE sha256 = ?", (sha256,)).fetchone()
    if row is None:
        raise NotFound("This attachment is no longer there.")
    return bytes(row[0])


def some(connection: sqlite3.Connection, chat_id: str, message_ids: Sequence[str]) -> list[StoredMessage]:
    """Those of these messages that are there, without the contents of their attachments, in the order of the ids."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM json_each(?) wanted JOIN messages m ON m.id = wanted.value AND m.chat_id = ?"  # noqa: S608
        " ORDER BY wanted.key",
        (json.dumps(list(message_ids)), chat_id),
    ).fetchall()
    return _messages(connection, rows, contents=False)


def texts(connection: sqlite3.Connection, chat_id: str, message_ids: Sequence[str]) -> Iterator[tuple[bool, str]]:
    """What these messages would send: their texts, and those of what is attached (where the first is false)."""
    return connection.execute(
        "SELECT 1, m.text FROM json_each(?1) wanted JOIN messages m ON m.id = wanted.value"
        " WHERE m.chat_id = ?2 AND NOT m.excluded AND m.text != ''"
        " UNION ALL SELECT 0, a.text FROM json_each(?1) wanted JOIN messages m ON m.id = wanted.value"
        " JOIN message_attachments link ON link.message_id = m.id JOIN attachments a USING (sha256)"
        " WHERE m.chat_id = ?2 AND NOT m.excluded AND m.text != ''",
        (json.dumps(list(message_ids)), chat_id),
    )


def siblings(connection: sqlite3.Connection, message_id: str) -> list[str]:
    """A message and those beside it, oldest first: the edits of a question, or the answers to one."""
    rows = connection.execute(
        "SELECT other.id FROM messages m JOIN messages other"
        " ON other.chat_id = m.chat_id AND other.parent_id IS m.parent_id AND other.role = m.role"
        " WHERE m.id = ? ORDER BY other.seq",
        (message_id,),
    )
    return [sibling for (sibling,) in rows]


def show_branch(connection: sqlite3.Connection, chat_id: str, message_id: str) -> str:
    """Make the branch through `message_id` the active one, down to its newest end; returns that leaf."""
    if get(connection, message_id, contents=False).chat_id != chat_id:
        raise NotFound(f"There is no message {message_id!r} in this chat.")
    leaf = message_id
    while row := connection.execute(
        "SELECT id FROM messages WHERE parent_id = ? ORDER BY seq DESC LIMIT 1", (leaf,)
    ).fetchone():
        leaf = row[0]
    connection.execute("UPDATE chats SET active_leaf = ? WHERE id = ?", (leaf, chat_id))
    return leaf


def exclude(connection: sqlite3.Connection, message_ids: Sequence[str], excluded: bool) -> None:
    for message_id in message_ids:
        cursor = connection.execute("UPDATE messages SET excluded = ? WHERE id = ?", (int(excluded), message_id))
        if cursor.rowcount == 0:
            raise NotFound(f"There is no message {message_id!r}.")


def _check_parent(connection: sqlite3.Connection, chat_id: str, parent_id: str | None) -> None:
    if not connection.execute("SELECT 1 FROM chats WHERE id = ? AND deleted_at IS NULL", (chat_id,)).fetchone():
        raise NotFound(f"There is no chat {chat_id!r}.")
    if parent_id is None:
        return
    if not connection.execute("SELECT 1 FROM messages WHERE id = ? AND chat_id = ?", (parent_id, chat_id)).fetchone():
        raise NotFound(f"There is no message {parent_id!r} in this chat.")


def _seq_at_the_end(connection: sqlite3.Connection, now_ms: int, chat_id: str) -> int:
    """A row number above all of the chat, also for messages of one millisecond: a chat is read in this order, and
    answers that were begun together keep their places."""
    (newest,) = connection.execute("SELECT max(seq) FROM messages WHERE chat_id = ?", (chat_id,)).fetchone()
    return free_seq(connection, "messages", now_ms if newest is None else max(now_ms, newest + 1))


def _touch(connection: sqlite3.Connection, now_ms: int, chat_id: str, leaf: str) -> None:
    connection.execute("UPDATE chats SET updated_at = ?, active_leaf = ? WHERE id = ?", (now_ms, leaf, chat_id))


def _newest(connection: sqlite3.Connection, chat_id: str) -> str | None:
    row = connection.execute(
        "SELECT id FROM messages WHERE chat_id = ? ORDER BY seq DESC LIMIT 1", (chat_id,)
    ).fetchone()
    return row[0] if row else None


def _parts(connection: sqlite3.Connection, message_id: str) -> tuple[str, str]:
    rows = connection.execute(
        "SELECT text, thinking FROM parts WHERE message_id = ? ORDER BY seq", (message_id,)
    ).fetchall()
    return "".join(text for text, _ in rows), "".join(thinking for _, thinking in rows)


def _messages(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]], contents: bool) -> list[StoredMessage]:
    ids = json.dumps([row[0] for row in rows])
    with_attachments = {
        message_id
        for (message_id,) in connection.execute(
            "SELECT message_id FROM message_attachments WHERE message_id IN (SELECT value FROM json_each(?))", (ids,)
        )
    }
    sources = _sources(connection, ids)
    messages = []
    for row in rows:
        text, thinking = row[5], row[6]
        if row[4] == "streaming":
            parts_text, parts_thinking = _parts(connection, row[0])
            text, thinking = text + parts_text, thinking + parts_thinking
        attached = _attachments(connection, row[0], contents) if row[0] in with_attachments else ()
        messages.append(
            StoredMessage._make(
                (
                    *row[:5],
                    text,
                    thinking,
                    *row[7:14],
                    bool(row[14]),
                    None if row[15] is None else Decimal(row[15]),
                    *row[16:18],
                    json.loads(row[18]) if row[18] else {},
                    from_ms(row[19]),
                    None if row[20] is None else from_ms(row[20]),
                    attached,
                    bool(row[21]),
                    sources.get(row[0], ()),
                )
            )
        )
    return messages


def _sources(connection: sqlite3.Connection, ids: str) -> Mapping[str, tuple[Source, ...]]:
    with_sources = [
        message_id
        for (message_id,) in connection.execute(
            "SELECT DISTINCT message_id FROM message_sources WHERE message_id IN (SELECT value FROM json_each(?))",
            (ids,),
        )
    ]
    if not with_sources:
        return {}
    from console.history import sources  # only for chats with documents

    return sources.of(connection, with_sources)


def _attachments(connection: sqlite3.Connection, message_id: str, contents: bool) -> tuple[StoredAttachment, ...]:
    rows = connection.execute(
        f"SELECT link.name, a.media_type, {'a.content' if contents else 'zeroblob(0)'}, a.text, sha256"  # noqa: S608
        " FROM message_attachments link JOIN attachments a USING (sha256)"
        " WHERE link.message_id = ? ORDER BY link.position",
        (message_id,),
    )
    return tuple(StoredAttachment(*row) for row in rows)
