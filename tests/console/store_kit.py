"""What the tests of the store share."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from console.clock import SystemClock
from console.history.store import Store
from console.paths import Paths

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"


class SetClock(SystemClock):
    """Shows the time it is set to; waits for real, which only the tests of locks do."""

    def __init__(self, at: datetime = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)) -> None:
        self.at = at

    def now(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at


def paths_in(folder: Path) -> Paths:
    return Paths(folder / "config", folder / "data", folder / "state", folder / "cache")


@asynccontextmanager
async def opened(folder: Path, *, wait_s: float = 5, clock: SystemClock | None = None) -> AsyncIterator[Store]:
    store = await Store.open(paths_in(folder), clock or SetClock(), wait_s=wait_s)
    try:
        yield store
    finally:
        await store.close()


async def say(store: Store, question: str, answer: str, chat_id: str | None = None, parent: str | None = None) -> str:
    """One whole turn; returns the chat's id."""
    turn = await store.begin_turn(chat_id, parent, question, client="test", title="About rope")
    await store.append_answer(turn.answer_id, answer)
    await store.end_answer(turn.answer_id, state="complete", finish="stop")
    return turn.chat_id


def fill(folder: Path, turns: int, *, words: str = "hawser") -> None:
    """A store with many one-turn chats, each text of about a kilobyte."""

    async def body() -> None:
        async with opened(folder) as store:
            for number in range(turns):
                await say(store, f"question {number} {words}", f"answer {number} " + "some rope " * 100)

    asyncio.run(body())


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def in_process(code: str, *arguments: object, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Run Python code in a process of its own, with its output in a pipe."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *(str(argument) for argument in arguments)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
