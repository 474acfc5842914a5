"""Homes for the terminal app's benchmarks: settings for the simulated services, and stores of every size."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from console.history import schema
from console.history.rows import new_id
from console.paths import find_paths
from providers.simulated.prose import markdown

ROOT = Path(__file__).parents[1]
FIRST_MS = 1_700_000_000_000
EVERY_MS = 61_000
MODEL = "llama3.1:8b"
LAST_WORDS = "Here the long chat ends."
"""The end of the last message of a chat that was made here: on screen once the chat is."""


class Message(NamedTuple):
    role: str
    text: str


@contextmanager
def services(tokens_per_s: float, first_token_ms: float = 0) -> Iterator[str]:
    """An Ollama server that writes at this speed, 0 for as fast as it can; its address."""
    words = [sys.executable, "-m", "providers.simulated", "--endpoints", "inference", "--clouds", "--machines"]
    words += ["--tokens-per-second", str(tokens_per_s), "--first-token-ms", str(first_token_ms), "--until-eof"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        world = json.loads(process.stdout.readline())
        yield world["endpoints"][0]["base_url"]
    finally:
        process.terminate()
        process.communicate()


def home(folder: Path, base_url: str = "http://127.0.0.1:9") -> dict[str, str]:
    """The environment of a user with one endpoint. Without an address it is one where nobody answers."""
    environment = {"HAWSER_HOME": str(folder), "HAWSER_ISOLATED": "1", "HOME": str(folder), "LANG": "C.UTF-8"}
    paths = find_paths(environment)
    paths.config.mkdir(parents=True, exist_ok=True)
    paths.config_file.write_text(
        f'[chat]\nmodel = "here/{MODEL}"\n[endpoints.here]\nwire = "ollama"\nbase_url = "{base_url}"\n'
    )
    return environment


def forget_frame(environment: dict[str, str]) -> None:
    """Begin with an outline, so that nothing of the app's own is on screen before the app."""
    find_paths(environment).last_screen.unlink(missing_ok=True)


def fill(environment: dict[str, str], chats: Iterator[tuple[str, Sequence[Message]]]) -> None:
    """Put chats into a store that does not exist yet, by bulk SQL; the last one given is the newest."""
    paths = find_paths(environment)
    paths.data.mkdir(parents=True)
    with closing(sqlite3.connect(paths.store_file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        schema.create(connection, FIRST_MS)
        at = FIRST_MS
        for title, messages in chats:
            chat, parent, began = new_id(at), None, at
            connection.execute(
                "INSERT INTO chats (seq, id, title, client, created_at, updated_at) VALUES (?, ?, ?, 'app', ?, ?)",
                (at, chat, title, began, began),
            )
            for message in messages:
                name = new_id(at)
                connection.execute(
                    "INSERT INTO messages"
                    " (seq, id, chat_id, parent_id, role, state, text, thinking, model, created_at, ended_at)"
                    " VALUES (?, ?, ?, ?, ?, 'complete', ?, '', ?, ?, ?)",
                    (at, name, chat, parent, message.role, message.text, MODEL, at, at),
                )
                parent, at = name, at + EVERY_MS
            connection.execute(
                "UPDATE chats SET active_leaf = ?, updated_at = ? WHERE id = ?",
                (parent, max(at - EVERY_MS, began), chat),
            )
            at += EVERY_MS
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def long_chat(count: int) -> Sequence[Message]:
    """A chat of so many messages: short questions, answers of Markdown."""
    say = prose()
    messages = [
        Message("user", f"Question {n // 2} about the harbour?") if n % 2 == 0 else Message("assistant", say(120))
        for n in range(count)
    ]
    return [*messages[:-1], Message("assistant", f"{say(60)}\n\n{LAST_WORDS}")]


def long_answer(tokens: int) -> Sequence[Message]:
    """A chat with one answer of so many tokens."""
    return [Message("user", "Tell me everything."), Message("assistant", f"{prose()(tokens)}\n\n{LAST_WORDS}")]


def prose() -> Callable[[int], str]:
    """Markdown of about so many tokens, another one each time, always the same in all."""
    number = 0

    def say(tokens: int) -> str:
        nonlocal number
        text = ""
        while len(text) < tokens * 4:
            number += 1
            text += f"{markdown(f'benchmark {number}', seed=number, voice='benchmark')}\n\n"
        return text[: tokens * 4]

    return say


def many_chats(count: int) -> Iterator[tuple[str, Sequence[Message]]]:
    """Chats of two short messages, with titles of words that are frequent, rare and in one only."""
    for n in range(count):
        title = f"Chat {n} about {'cranes' if n % 10 == 0 else 'ropes'} and {WORDS[n % len(WORDS)]}"
        yield title, [Message("user", title), Message("assistant", f"Of {WORDS[n % len(WORDS)]} there is much to say.")]


WORDS = [f"{first}{last}" for first in ("anchor", "bollard", "capstan", "davit", "fender") for last in "abcdefghij"]
