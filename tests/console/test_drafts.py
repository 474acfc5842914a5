"""Drafts and the history of prompts, over a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from console.chat.drafts import AttachedFile, Collection, Draft, Drafts, History, PastedText, chip_of, chip_row
from console.history import drafts as rows
from console.history.store import Store
from tests.conftest import run
from tests.console.store_kit import SetClock, opened

DRAFT = Draft("half a thought", (PastedText("a\nb"), AttachedFile("/tmp/a file.pdf"), Collection("papers")))


@asynccontextmanager
async def kept(folder: Path) -> AsyncIterator[tuple[Drafts, History, Store]]:
    async with opened(folder) as store:

        async def the_store() -> Store:
            return store

        yield Drafts(the_store, SetClock()), History(the_store, SetClock()), store


def test_a_draft_comes_back_in_another_process(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as (drafts, _history, _store):
            await drafts.put("chat-1", DRAFT)
            await drafts.put("chat-2", Draft("other"))
        async with kept(tmp_path) as (drafts, _history, _store):
            assert await drafts.get("chat-1") == DRAFT
            assert await drafts.get("chat-2") == Draft("other")
            assert await drafts.get("chat-3") == Draft()

    run(body())


def test_an_empty_draft_leaves_nothing_behind(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as (drafts, _history, store):
            await drafts.put("chat-1", DRAFT)
            await drafts.put("chat-1", Draft())

            assert await drafts.get("chat-1") == Draft()
            assert await store.run(lambda c: c.execute("SELECT count(*) FROM drafts").fetchone()) == (0,)

    run(body())


def test_the_same_draft_is_written_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as (drafts, _history, store):
            await drafts.put("chat-1", DRAFT)
            before = await store.run(lambda c: c.execute("SELECT updated_at FROM drafts").fetchone())
            await drafts.put("chat-1", DRAFT)

            assert await store.run(lambda c: c.execute("SELECT updated_at FROM drafts").fetchone()) == before

    run(body())


def test_words_beside_a_long_paste_are_kept_with_it_even_when_its_row_is_gone(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as (drafts, _history, store):
            await drafts.put("chat-1", DRAFT)
            await drafts.put("chat-1", DRAFT._replace(text="other words"))
            assert await drafts.get("chat-1") == DRAFT._replace(text="other words")

            await store.run(lambda c: c.execute("DELETE FROM drafts"), write=True)
            await drafts.put("chat-1", DRAFT)
            assert await drafts.get("chat-1") == DRAFT

    run(body())


def test_a_draft_follows_its_chat_when_that_gets_its_id(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as (drafts, _history, _store):
            await drafts.put("new", DRAFT)
            await drafts.move("new", "chat-1")

            assert await drafts.get("chat-1") == DRAFT
            assert await drafts.get("new") == Draft()

    run(body())


def test_broken_and_unknown_chips_are_left_out(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as (drafts, _history, store):
            kept_rows = [
                ("a", "{not json"),
                ("b", '{"file": "/x"}'),
                ("c", '[{"hologram": 1}, {"file": "/x"}, 3]'),
            ]
            insert = "INSERT INTO drafts (chat_key, text, chips, updated_at) VALUES (?, 'words', ?, 0)"
            await store.run(lambda c: c.executemany(insert, kept_rows), write=True)

            assert await drafts.get("a") == Draft("words")
            assert await drafts.get("b") == Draft("words")
            assert await drafts.get("c") == Draft("words", (AttachedFile("/x"),))

    run(body())


def test_every_kind_of_chip_is_kept_as_it_is() -> None:
    assert [chip_of(chip_row(chip)) for chip in DRAFT.chips] == list(DRAFT.chips)


def test_prompts_stand_newest_first_and_each_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as (_drafts, history, _store):
            for text in ("one", "two", "one", "  "):
                await history.add(Draft(text))
            assert [draft.text for draft in history.recent if draft.text.strip()] == ["one", "two"]
        async with kept(tmp_path) as (_drafts, history, _store):
            await history.load()
            assert [draft.text for draft in history.recent] == ["one", "two"]

    run(body())


def test_what_was_put_away_here_keeps_its_chips_when_the_list_is_loaded_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as (_drafts, history, _store):
            await history.add(DRAFT)
            await history.add(Draft("", DRAFT.chips))
            await history.add(Draft("later"))
            await history.load()

            assert list(history.recent) == [Draft("", DRAFT.chips), Draft("later"), DRAFT]

    run(body())


def test_the_search_wants_every_word_in_any_order_and_case(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as (_drafts, history, _store):
            for text in ("Knots and ropes", "ropes only", "100% rope_x", "Äpfel und Birnen"):
                await history.add(Draft(text))

            assert await history.search("ROPES knots") == ["Knots and ropes"]
            assert await history.search("rope") == ["100% rope_x", "ropes only", "Knots and ropes"]
            assert await history.search("%") == ["100% rope_x"]
            assert await history.search("birnen äpfel") == ["Äpfel und Birnen"]
            assert await history.search("", limit=1) == ["Äpfel und Birnen"]

    run(body())


def test_the_history_is_bounded(tmp_path: Path) -> None:
    async def body() -> None:
        async with kept(tmp_path) as (_drafts, history, store):

            def many(connection: object) -> None:
                import sqlite3

                assert isinstance(connection, sqlite3.Connection)
                connection.executemany(
                    "INSERT INTO prompts (seq, text, at) VALUES (?, ?, 0)",
                    [(number, f"prompt {number}") for number in range(1, rows.MOST_PROMPTS + 50)],
                )

            await store.run(many, write=True)
            await history.add(Draft("x" * 200_000))

            texts = await history.search("", limit=10_000)
            assert len(texts) == rows.MOST_PROMPTS
            assert len(texts[0]) == rows.LONGEST_PROMPT
            assert texts[1] == f"prompt {rows.MOST_PROMPTS + 49}"

    run(body())
