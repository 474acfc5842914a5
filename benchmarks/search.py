"""Search and opening with a million messages, against an empty store: `python benchmarks/search.py [MESSAGES]`.

The store is made once, by bulk SQL, and kept under `.cache/`. Words follow the frequencies of a language (Zipf): `w1`
stands in nearly every text, `w2` in most, and so on down to words that stand in a few.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from itertools import accumulate
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from console.clock import SystemClock  # noqa: E402
from console.history import schema  # noqa: E402
from console.history.rows import new_id  # noqa: E402
from console.history.store import Store  # noqa: E402
from console.paths import find_paths  # noqa: E402

WORDS = 20_000
CHAT_LENGTH = 20
FIRST_MS = 1_700_000_000_000
EVERY_MS = 61_000

QUERIES = {
    "two very common words": "w1 w2 ",
    "two common words": "w20 w30 ",
    "one common, one rare": "w1 w15000 ",
    "two rare words": "w15000 w16000 ",
    "common words that never meet": "onlyquestions onlyanswers ",
    "a phrase of common words": '"w1 w2"',
    "the beginning of a word": "w20 w1*",
    "a word that is nowhere": "w1 nowhere ",
}


def build(home: Path, count: int) -> None:
    paths = find_paths({"HAWSER_HOME": str(home)})
    paths.data.mkdir(parents=True)
    chance = random.Random(1)
    words = [f"w{rank}" for rank in range(1, WORDS + 1)]
    weights = list(accumulate(1 / rank for rank in range(1, WORDS + 1)))
    with closing(sqlite3.connect(paths.store_file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -400000")
        connection.execute("BEGIN")
        schema.create(connection, FIRST_MS)
        for trigger in ("message_found", "chat_found"):
            connection.execute(f"DROP TRIGGER {trigger}")
        chat, parent = "", None
        for number in range(count):
            at = FIRST_MS + number * EVERY_MS
            message = new_id(at)
            if number % CHAT_LENGTH == 0:
                chat, parent = new_id(at), None
                title = " ".join(chance.choices(words, cum_weights=weights, k=5))
                end = at + EVERY_MS * (CHAT_LENGTH - 1)
                connection.execute(
                    "INSERT INTO chats (seq, id, title, client, created_at, updated_at) VALUES (?, ?, ?, 'app', ?, ?)",
                    (at, chat, title, at, end),
                )
            is_question = number % 2 == 0
            text = " ".join(chance.choices(words, cum_weights=weights, k=15 if is_question else 60))
            text += " onlyquestions" if is_question else " onlyanswers"
            connection.execute(
                "INSERT INTO messages (seq, id, chat_id, parent_id, role, state, text, thinking, created_at, ended_at)"
                " VALUES (?, ?, ?, ?, ?, 'complete', ?, '', ?, ?)",
                (at, message, chat, parent, "user" if is_question else "assistant", text, at, at),
            )
            parent = message
        for index in ("message_search", "chat_search"):
            connection.execute(f"INSERT INTO {index} ({index}) VALUES ('rebuild')")
        for statement in schema.statements(schema.FRESH):
            if statement.lstrip().startswith(("CREATE TRIGGER message_found", "CREATE TRIGGER chat_found")):
                connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def median_ms(call: Callable[[], Awaitable[object]], times: int = 15) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


async def open_and_close(home: Path) -> None:
    store = await Store.open(find_paths({"HAWSER_HOME": str(home)}), SystemClock())
    await store.close()


def whole_process(home: Path, *words: str, times: int = 11) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from console.cli import entry; entry()", "chat", "search", *words],
            env=environment | {"HAWSER_HOME": str(home)},
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


async def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    full, empty = ROOT / ".cache" / f"search-{schema.VERSION}-{count}", ROOT / ".cache" / f"search-{schema.VERSION}-0"
    if not full.exists():
        began = time.perf_counter()
        build(full, count)
        print(f"built {count:,} messages in {time.perf_counter() - began:.0f} s")
    await open_and_close(empty)

    size = find_paths({"HAWSER_HOME": str(full)}).store_file.stat().st_size
    print(f"{count:,} messages, {size / 1e6:,.0f} MB, medians")
    for name, home in (("an empty store", empty), ("the full store", full)):
        print(f"{await median_ms(lambda home=home: open_and_close(home)):8.2f} ms  open and close {name}")  # type: ignore[misc]

    store = await Store.open(find_paths({"HAWSER_HOME": str(full)}), SystemClock())
    for name, query in QUERIES.items():
        found = await store.search(query)
        taken = await median_ms(lambda query=query: store.search(query))  # type: ignore[misc]
        print(f"{taken:8.2f} ms  search, {name}: {len(found)} found")
    await store.close()

    whole_process(full, "w1", times=1)  # writes the bytecode
    print(f"{whole_process(full, 'w1', 'w2'):8.2f} ms  hawser chat search, whole process")


if __name__ == "__main__":
    asyncio.run(main())
