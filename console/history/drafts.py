"""What was written and not sent, one for each chat, and the prompts that were sent or put away."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from console.history.rows import free_seq, storable

MOST_PROMPTS = 5_000
LONGEST_PROMPT = 100_000


def draft(connection: sqlite3.Connection, chat_key: str) -> tuple[str, list[Any]] | None:
    row = connection.execute("SELECT text, chips FROM drafts WHERE chat_key = ?", (chat_key,)).fetchone()
    if row is None:
        return None
    try:
        chips = json.loads(row[1])
    except ValueError:
        chips = []
    return str(row[0]), chips if isinstance(chips, list) else []


def put_draft(
    connection: sqlite3.Connection,
    now_ms: int,
    chat_key: str,
    text: str,
    chips: Sequence[dict[str, str]],
    *,
    same_chips: bool = False,
) -> None:
    """Keep a draft in place of the one before; an empty one leaves no row. `same_chips` spares writing them again."""
    if not text and not chips:
        connection.execute("DELETE FROM drafts WHERE chat_key = ?", (chat_key,))
        return
    if same_chips:
        changed = connection.execute(
            "UPDATE drafts SET text = ?, updated_at = ? WHERE chat_key = ?", (storable(text), now_ms, chat_key)
        )
        if changed.rowcount:
            return
    connection.execute(
        "INSERT INTO drafts (chat_key, text, chips, updated_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (chat_key) DO UPDATE SET text = excluded.text, chips = excluded.chips,"
        " updated_at = excluded.updated_at",
        (chat_key, storable(text), json.dumps(list(chips)), now_ms),
    )


def add_prompt(connection: sqlite3.Connection, now_ms: int, text: str) -> None:
    """Keep a prompt as the newest; the same text further back goes, and so does what is beyond the bound."""
    kept = storable(text)[:LONGEST_PROMPT]
    connection.execute("DELETE FROM prompts WHERE text = ?", (kept,))
    newest = connection.execute("SELECT coalesce(max(seq), 0) FROM prompts").fetchone()[0]
    seq = free_seq(connection, "prompts", max(now_ms, newest + 1))
    connection.execute("INSERT INTO prompts (seq, text, at) VALUES (?, ?, ?)", (seq, kept, now_ms))
    connection.execute(
        "DELETE FROM prompts WHERE seq <= (SELECT seq FROM prompts ORDER BY seq DESC LIMIT 1 OFFSET ?)",
        (MOST_PROMPTS,),
    )


def prompts(connection: sqlite3.Connection, words: Sequence[str], limit: int) -> list[str]:
    """Newest first, those that hold every word, whatever their case."""
    connection.create_function("folded", 1, str.casefold, deterministic=True)  # SQLite's lower() knows only ASCII
    conditions = " AND ".join("instr(folded(text), ?)" for _ in words) or "1"
    rows = connection.execute(
        f"SELECT text FROM prompts WHERE {conditions} ORDER BY seq DESC LIMIT ?",  # noqa: S608
        (*(word.casefold() for word in words), limit),
    )
    return [str(text) for (text,) in rows]
