"""The list of chats as a person looks at it: pinned ones first, then the ones that changed last, also filtered.

A long list is read in two steps. The order of all chats comes as their row numbers, from an index alone; what a row
shows is read for the rows that are in sight. A filter is bounded: it takes the newest that match, which is what
somebody who still types wants to see.
"""

from __future__ import annotations

import json
import re
import sqlite3
from array import array
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from console.history import search
from console.history.rows import from_ms, to_ms

MOST_FOUND = 1000
"""How many chats a filter finds at most, newest first."""
_TEXT_SHOWN = 4000
"""Characters of a message that a preview can show."""


class ChatRow(NamedTuple):
    """What a list shows of a chat."""

    seq: int
    id: str
    title: str
    model: str | None
    """Who gave the latest answer, or who is to give the first one."""
    message_count: int
    tags: tuple[str, ...]
    pinned: bool
    updated_at: datetime
    deleted_at: datetime | None


class Said(NamedTuple):
    """A message as a preview shows it."""

    id: str
    role: str
    model: str | None
    state: str
    text: str
    """Its beginning."""


class Tag(NamedTuple):
    name: str
    chats: int


def count(connection: sqlite3.Connection, *, deleted: bool = False) -> int:
    where = "deleted_at IS NOT NULL"
    (put_away,) = connection.execute(f"SELECT count(*) FROM chats WHERE {where}").fetchone()  # noqa: S608
    if deleted:
        return int(put_away)
    (every,) = connection.execute("SELECT count(*) FROM chats").fetchone()
    return int(every) - int(put_away)


def top(connection: sqlite3.Connection, limit: int, *, deleted: bool = False) -> array[int]:
    """The beginning of `order`, in a fraction of its time. Of deleted chats, the latest deleted come first."""
    if deleted:
        return _numbers(
            connection.execute(
                "SELECT seq FROM chats WHERE deleted_at IS NOT NULL ORDER BY deleted_at DESC, seq DESC LIMIT ?",
                (limit,),
            )
        )
    found = _pinned(connection)
    found.extend(
        _numbers(
            connection.execute(
                "SELECT seq FROM chats INDEXED BY chats_by_update WHERE deleted_at IS NULL AND pinned_at IS NULL"
                " ORDER BY updated_at DESC, seq DESC LIMIT ?",
                (max(limit - len(found), 0),),
            )
        )
    )
    return found


def order(connection: sqlite3.Connection) -> array[int]:
    """The row numbers of all chats as the list has them."""
    found = _pinned(connection)
    # Without a condition the index alone has the answer; the few exceptions are left out afterwards.
    (every,) = connection.execute(
        "SELECT group_concat(seq) FROM (SELECT seq FROM chats ORDER BY updated_at DESC, seq DESC)"
    ).fetchone()
    if every is None:
        return found
    left_out = set(found)
    left_out.update(seq for (seq,) in connection.execute("SELECT seq FROM chats WHERE deleted_at IS NOT NULL"))
    numbers = map(int, every.split(","))
    found.extend((seq for seq in numbers if seq not in left_out) if left_out else numbers)
    return found


def rows(connection: sqlite3.Connection, numbers: Sequence[int]) -> list[ChatRow]:
    """These chats, in this order; those that are gone meanwhile are left out."""
    found = {
        row[0]: ChatRow(
            seq=row[0],
            id=row[1],
            title=row[2],
            model=row[3],
            message_count=row[4],
            tags=tuple(json.loads(row[5])),
            pinned=bool(row[6]),
            updated_at=from_ms(row[7]),
            deleted_at=None if row[8] is None else from_ms(row[8]),
        )
        for row in connection.execute(
            "SELECT seq, id, title, coalesce((SELECT model FROM messages WHERE chat_id = chats.id AND model IS NOT NULL"
            " ORDER BY seq DESC LIMIT 1), model), (SELECT count(*) FROM messages WHERE chat_id = chats.id),"
            " (SELECT json_group_array(tag) FROM (SELECT tag FROM chat_tags WHERE chat_id = chats.id ORDER BY tag)),"
            " pinned_at IS NOT NULL, updated_at, deleted_at"
            " FROM chats WHERE seq IN (SELECT value FROM json_each(?))",
            (json.dumps(list(numbers)),),
        )
    }
    return [found[seq] for seq in numbers if seq in found]


def row_of(connection: sqlite3.Connection, chat_id: str) -> ChatRow | None:
    row = connection.execute("SELECT seq FROM chats WHERE id = ?", (chat_id,)).fetchone()
    found = rows(connection, row) if row else []
    return found[0] if found else None


def named(connection: sqlite3.Connection, query: str, *, deleted: bool = False) -> array[int]:
    """The chats whose names a filter fits, at most `MOST_FOUND`; found in a few milliseconds.

    All its words must begin words of the title, or begin tags; `#tag` must begin a tag.
    """
    tags, words = parted(query)
    if deleted:
        found = {seq for seq, title in _put_away(connection) if words and _begin_words(title, words)}
    else:
        found = _by_title(connection, words)
    if words:
        found |= _by_tags(connection, words)
    if tags:
        with_tags = _by_tags(connection, tags)
        found = found & with_tags if words else with_tags
    return _sorted(connection, found, deleted)[:MOST_FOUND]


def told(connection: sqlite3.Connection, query: str) -> array[int]:
    """The chats in which all words of a filter were said in one message; the last may be begun, from two letters on."""
    tags, words = parted(query)
    found = _by_content(connection, " ".join(words))
    if tags:
        found &= _by_tags(connection, tags)
    return _sorted(connection, found, deleted=False)


def containing(connection: sqlite3.Connection, query: str, *, deleted: bool = False) -> array[int]:
    """The chats in whose titles the query stands as it is, anywhere: the last resort, which reads every title."""
    return _sorted(connection, _by_part_of_title(connection, query), deleted)


def tail(connection: sqlite3.Connection, chat_id: str, limit: int, leaf: str | None = None) -> list[Said]:
    """The last messages on the way to `leaf`, or of the branch that was looked at last; also of a deleted chat."""
    found = connection.execute(
        "WITH RECURSIVE up (id, parent_id, height) AS ("
        " SELECT id, parent_id, 0 FROM messages WHERE chat_id = ?1 AND id = coalesce(?2,"
        "  (SELECT active_leaf FROM chats WHERE id = ?1),"
        "  (SELECT id FROM messages WHERE chat_id = ?1 ORDER BY seq DESC LIMIT 1))"
        " UNION ALL SELECT m.id, m.parent_id, up.height + 1 FROM up JOIN messages m ON m.id = up.parent_id LIMIT ?3)"
        " SELECT m.id, m.role, m.model, m.state, substr(m.text, 1, ?4) || CASE WHEN m.state <> 'streaming' THEN ''"
        "  ELSE coalesce((SELECT group_concat(text, '') FROM (SELECT text FROM parts WHERE message_id = m.id"
        "  ORDER BY seq LIMIT 400)), '') END"
        " FROM up JOIN messages m ON m.id = up.id ORDER BY up.height DESC",
        (chat_id, leaf, limit, _TEXT_SHOWN),
    )
    return [Said(row[0], row[1], row[2], row[3], row[4][:_TEXT_SHOWN]) for row in found]


def tags(connection: sqlite3.Connection) -> list[Tag]:
    """Every tag, the most used first."""
    return [
        Tag(*row)
        for row in connection.execute(
            "SELECT tag, count(*) FROM chat_tags JOIN chats ON chats.id = chat_id WHERE deleted_at IS NULL"
            " GROUP BY tag ORDER BY count(*) DESC, tag"
        )
    ]


def _numbers(found: Iterable[tuple[int]]) -> array[int]:
    return array("q", [seq for (seq,) in found])


def _pinned(connection: sqlite3.Connection) -> array[int]:
    return _numbers(
        connection.execute(
            "SELECT seq FROM chats INDEXED BY chats_pinned WHERE pinned_at IS NOT NULL AND deleted_at IS NULL"
            " ORDER BY updated_at DESC, seq DESC"
        )
    )


def _put_away(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    return connection.execute("SELECT seq, title FROM chats WHERE deleted_at IS NOT NULL").fetchall()


def parted(query: str) -> tuple[list[str], list[str]]:
    """The tags asked for with #, and the words, of a filter."""
    tags, words = [], []
    for chunk in query.split():
        if chunk.startswith("#"):
            tags += [chunk[1:]] if len(chunk) > 1 else []
        else:
            words += re.findall(r"[^\W_]+", chunk)
    return tags, words


def marks(text: str, query: str) -> list[tuple[int, int]]:
    """Where in a text the words of a filter begin words, to be drawn as found."""
    _, words = parted(query)
    folded = search.fold(text)
    return [
        match.span() for word in words for match in re.finditer(r"(?<![^\W_])" + re.escape(search.fold(word)), folded)
    ]


def _by_title(connection: sqlite3.Connection, words: Sequence[str]) -> set[int]:
    if not words:
        return set()
    match = " AND ".join(f'"{word}"*' for word in words)
    found = connection.execute(
        "SELECT rowid FROM chat_search WHERE chat_search MATCH ? ORDER BY rowid DESC LIMIT ?", (match, MOST_FOUND + 1)
    )
    newest = {seq for (seq,) in found}
    if len(newest) > MOST_FOUND:
        # Pinned chats stand on top, however old they are.
        pinned = connection.execute("SELECT seq, title FROM chats WHERE pinned_at IS NOT NULL")
        newest.update(seq for seq, title in pinned if _begin_words(title, words))
    return newest


def _begin_words(title: str, words: Sequence[str]) -> bool:
    there = re.findall(r"[^\W_]+", search.fold(title))
    return all(any(each.startswith(search.fold(word)) for each in there) for word in words)


def _by_content(connection: sqlite3.Connection, query: str) -> set[int]:
    words = search.parse(query)
    if len(query) < 2 or not words.phrases:
        return set()
    found = connection.execute(
        "SELECT c.seq FROM message_search AS found CROSS JOIN messages AS m ON m.seq = found.rowid"
        " CROSS JOIN chats AS c ON c.id = m.chat_id WHERE message_search MATCH ? ORDER BY found.rowid DESC LIMIT ?",
        (words.match, MOST_FOUND),
    )
    return {seq for (seq,) in found}


def _by_tags(connection: sqlite3.Connection, beginnings: Sequence[str]) -> set[int]:
    """The chats with, for each of these, a tag that begins like it."""
    names = [name for (name,) in connection.execute("SELECT DISTINCT tag FROM chat_tags")]
    found: set[int] | None = None
    for beginning in beginnings:
        begun = [name for name in names if search.fold(name).startswith(search.fold(beginning))]
        with_it = {
            seq
            for (seq,) in connection.execute(
                "SELECT chats.seq FROM chat_tags JOIN chats ON chats.id = chat_id"
                " WHERE tag IN (SELECT value FROM json_each(?))",
                (json.dumps(begun),),
            )
        }
        found = with_it if found is None else found & with_it
    return found or set()


def _by_part_of_title(connection: sqlite3.Connection, query: str) -> set[int]:
    part = re.sub(r"([%_\\])", r"\\\1", query.strip())
    found = connection.execute(
        r"SELECT seq FROM chats WHERE title LIKE ? ESCAPE '\' ORDER BY seq DESC LIMIT ?", (f"%{part}%", MOST_FOUND)
    )
    return {seq for (seq,) in found}


def _sorted(connection: sqlite3.Connection, found: set[int], deleted: bool) -> array[int]:
    where, first = ("NOT NULL", "deleted_at DESC") if deleted else ("NULL", "pinned_at IS NULL")
    return _numbers(
        connection.execute(
            "SELECT seq FROM chats WHERE seq IN (SELECT value FROM json_each(?))"  # noqa: S608
            f" AND deleted_at IS {where} ORDER BY {first}, updated_at DESC, seq DESC",
            (json.dumps(list(found)),),
        )
    )


def deleted_before(connection: sqlite3.Connection, moment: datetime) -> bool:
    """Whether something was deleted before this time."""
    row = connection.execute("SELECT 1 FROM chats WHERE deleted_at < ? LIMIT 1", (to_ms(moment),)).fetchone()
    return row is not None
