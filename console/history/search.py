"""Full-text search over titles, questions, answers and the text of attachments, newest first.

The index walks its lists backward by row number, which is time, and stops when it has enough; the excerpt is made here,
for the rows that are shown.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from datetime import datetime
from typing import NamedTuple

from console.history.rows import from_ms

_EXCERPT_BEFORE = 60
_EXCERPT_LENGTH = 200
_LOOKED_THROUGH = 1_000_000
"""Characters of one text that are searched for the place to show."""


class Hit(NamedTuple):
    kind: str
    """message, title or attachment."""
    chat_id: str
    chat_title: str
    message_id: str | None
    """None for a title."""
    role: str | None
    at: datetime
    excerpt: str
    """One line around the first place found; `marks` are the ranges in it that match."""
    marks: tuple[tuple[int, int], ...]
    name: str | None = None
    """Of the attachment."""


class Words(NamedTuple):
    """What the user looks for: phrases of one or more words, and whether the last may go on."""

    phrases: tuple[tuple[str, ...], ...]
    last_is_begun: bool

    @property
    def match(self) -> str:
        """As FTS5 wants it: every word in quotes, so that nothing in it is an operator."""
        quoted = ['"' + " ".join(phrase) + '"' for phrase in self.phrases]
        return " AND ".join(quoted) + ("*" if self.last_is_begun else "")


def parse(query: str) -> Words:
    """Words are ANDed, "phrases" stay together, as do the parts of a-word.

    A last word with nothing after it may be the beginning of one, from its second letter on: the index has lists for
    beginnings of two and three letters, and one letter says little.
    """
    phrases: list[tuple[str, ...]] = []
    last_is_begun = False
    for position, stretch in enumerate(unicodedata.normalize("NFC", query).split('"')):
        for chunk in [stretch] if position % 2 else stretch.split():
            if words := tuple(_words(chunk)):
                phrases.append(words)
                last_is_begun = position % 2 == 0 and chunk.endswith((words[-1], words[-1] + "*"))
        last_is_begun = last_is_begun and not (stretch and stretch[-1].isspace())
    return Words(tuple(phrases), last_is_begun and len(phrases[-1][-1]) > 1)


def search(connection: sqlite3.Connection, query: str, *, limit: int = 20, chat_id: str | None = None) -> list[Hit]:
    """The newest places where all words stand in one text. A query without a word finds nothing."""
    words = parse(query)
    if not words.phrases or limit < 1:
        return []
    hits = _in_messages(connection, words, limit, chat_id)
    hits += _in_attachments(connection, words, limit, chat_id)
    if chat_id is None:
        hits += _in_titles(connection, words, limit)
    hits.sort(key=lambda hit: hit.at, reverse=True)
    return hits[:limit]


def _in_messages(connection: sqlite3.Connection, words: Words, limit: int, chat_id: str | None) -> list[Hit]:
    first, last = 0, 1 << 62
    if chat_id is not None:
        # The span of the chat keeps the walk short; other chats of that time are left out below.
        first, last = connection.execute(
            "SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM messages WHERE chat_id = ?", (chat_id,)
        ).fetchone()
    rows = connection.execute(
        "SELECT c.id, c.title, m.id, m.role, m.created_at, m.text FROM message_search AS found"
        " CROSS JOIN messages AS m ON m.seq = found.rowid CROSS JOIN chats AS c ON c.id = m.chat_id"
        " WHERE message_search MATCH ? AND found.rowid BETWEEN ? AND ? AND (? IS NULL OR m.chat_id = ?)"
        " AND c.deleted_at IS NULL"
        " ORDER BY found.rowid DESC LIMIT ?",
        (words.match, first, last, chat_id, chat_id, limit),
    )
    return [
        Hit("message", chat, title, message, role, from_ms(at), *excerpt(text, words))
        for chat, title, message, role, at, text in rows
    ]


def _in_titles(connection: sqlite3.Connection, words: Words, limit: int) -> list[Hit]:
    rows = connection.execute(
        "SELECT c.id, c.title, c.created_at FROM chat_search AS found CROSS JOIN chats AS c ON c.seq = found.rowid"
        " WHERE chat_search MATCH ? AND c.deleted_at IS NULL ORDER BY found.rowid DESC LIMIT ?",
        (words.match, limit),
    )
    return [Hit("title", chat, title, None, None, from_ms(at), *excerpt(title, words)) for chat, title, at in rows]


def _in_attachments(connection: sqlite3.Connection, words: Words, limit: int, chat_id: str | None) -> list[Hit]:
    rows = connection.execute(
        "SELECT c.id, c.title, m.id, m.role, m.created_at, a.text, link.name FROM attachment_search AS found"
        " CROSS JOIN attachments AS a ON a.seq = found.rowid"
        " CROSS JOIN message_attachments AS link ON link.sha256 = a.sha256"
        " CROSS JOIN messages AS m ON m.id = link.message_id CROSS JOIN chats AS c ON c.id = m.chat_id"
        " WHERE attachment_search MATCH ? AND (? IS NULL OR m.chat_id = ?) AND c.deleted_at IS NULL"
        " ORDER BY found.rowid DESC LIMIT ?",
        (words.match, chat_id, chat_id, limit),
    )
    return [
        Hit("attachment", chat, title, message, role, from_ms(at), *excerpt(text, words), name)
        for chat, title, message, role, at, text, name in rows
    ]


def excerpt(text: str, words: Words) -> tuple[str, tuple[tuple[int, int], ...]]:
    """One line of `text` around the first word found, and where in that line the words stand."""
    folded = fold(text[:_LOOKED_THROUGH])
    first = min((match.start() for pattern in _patterns(words) if (match := pattern.search(folded))), default=0)
    start = max(first - _EXCERPT_BEFORE, 0)
    if start:  # begin with a whole word
        start = next((at + 1 for at in range(start, first) if text[at].isspace()), start)
    end = min(start + _EXCERPT_LENGTH, len(text))
    line = " ".join(text[start:end].split())
    line = ("…" if start else "") + line + ("…" if end < len(text) else "")
    folded_line = fold(line)
    marks = sorted({match.span() for pattern in _patterns(words) for match in pattern.finditer(folded_line)})
    return line, tuple(marks)


def fold(text: str) -> str:
    """Without case and diacritics, as the index sees it, and of the same length."""
    if text.isascii():
        return text.lower()
    return text.translate(_BARE)


class _Bare(dict[int, str]):
    """Each character's letter without its marks, found out once per character."""

    def __missing__(self, code: int) -> str:
        letter = unicodedata.normalize("NFD", chr(code))[0].lower()
        self[code] = bare = letter if len(letter) == 1 else chr(code)
        return bare


_BARE = _Bare()


def _patterns(words: Words) -> list[re.Pattern[str]]:
    last = len(words.phrases) - 1
    return [
        re.compile(
            r"(?<![^\W_])"
            + r"[\W_]+".join(re.escape(fold(word)) for word in phrase)
            + (r"[^\W_]*" if words.last_is_begun and number == last else r"(?![^\W_])")
        )
        for number, phrase in enumerate(words.phrases)
    ]


def _words(text: str) -> list[str]:
    """The words of a text as the index cuts them: letters, figures and marks that belong to them."""
    return re.findall(r"[^\W_]+", text)
