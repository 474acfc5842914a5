"""Search finds titles, questions, answers and attachments, newest first, whatever is typed."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from console.history import schema, search
from console.history.messages import StoredAttachment
from tests.console.store_kit import SetClock, opened, say


def test_everything_is_found_newest_first(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            chat = await store.add_chat("Mooring a barge", client="test")
            paper = StoredAttachment("barge.pdf", "application/pdf", b"pdf", "A barge of forty tons.")
            question = await store.add_question(chat.id, None, "Where is my barge?", attachments=[paper])
            answer = await store.begin_answer(chat.id, question, model=None, endpoint=None)
            await store.append_answer(answer, "The barge lies")
            assert [hit.kind for hit in await store.search("barge lies")] == [], "not while it arrives"
            await store.end_answer(answer, state="stopped", text=" at the quay.")

            hits = await store.search("barge")

            assert [(hit.kind, hit.role, hit.message_id) for hit in hits] == [
                ("message", "assistant", answer),
                ("message", "user", question),
                ("attachment", "user", question),
                ("title", None, None),
            ]
            assert [hit.excerpt for hit in hits] == [
                "The barge lies at the quay.",
                "Where is my barge?",
                "A barge of forty tons.",
                "Mooring a barge",
            ]
            assert hits[0].excerpt[slice(*hits[0].marks[0])] == "barge"
            assert hits[2].name == "barge.pdf"
            assert {hit.chat_title for hit in hits} == {"Mooring a barge"}
            assert len(await store.search("barge", limit=2)) == 2

    asyncio.run(body())


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("cafe", True),
        ("CAFÉ", True),
        ("cafe\u0301", True),
        ("crème caf", True),
        ("caf crème ", False),
        ("caf* crème", False),
        ("caf*", True),
        ('"creme au"', True),
        ('"au creme"', False),
        ('"crème', True),
        ("well-known", True),
        ("known-well", False),
        ("well known", True),
        ("don't", True),
        ("creme AND cafe", False),
        ("creme OR nothing", False),
        ("NEAR(creme cafe)", False),
        ("text:creme", False),
        ("c", False),
        ("", False),
        ("*", False),
        ('""', False),
        ("(-^+", False),
        ("\0", False),
    ],
)
def test_what_is_typed_is_words(tmp_path: Path, query: str, is_found: bool) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            await say(store, "I don't know: a well-known Crème au café", "yes")

            hits = await store.search(query)

            assert bool(hits) == is_found

    asyncio.run(body())


def test_changes_reach_the_index(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            chat_id = await say(store, "anchor", "chain")
            await store.rename_chat(chat_id, "windlass")
            assert [hit.kind for hit in await store.search("windlass")] == ["title"]
            assert await store.search("About") == []
            await store.run(lambda c: c.execute("UPDATE messages SET text = 'swivel' WHERE text = 'chain'"), write=True)
            assert await store.search("chain") == []
            assert len(await store.search("swivel")) == 1
            await store.delete_chat(chat_id)
            assert await store.search("windlass") == await store.search("anchor") == []

            for index in ("message_search", "chat_search", "attachment_search"):
                check = f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)"
                await store.run(lambda c, check=check: c.execute(check), write=True)  # type: ignore[misc]

    asyncio.run(body())


def test_search_within_one_chat(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            one = await say(store, "rope one", "a")
            two = await say(store, "rope two", "b")
            await say(store, "rope three", "c", one)

            assert [hit.excerpt for hit in await store.search("rope", chat=one)] == ["rope three", "rope one"]
            assert [hit.excerpt for hit in await store.search("rope", chat=two)] == ["rope two"]
            assert await store.search("rope", chat="nowhere") == []

    asyncio.run(body())


def test_what_is_older_stands_lower_however_late_it_came(tmp_path: Path) -> None:
    clock = SetClock()

    async def body() -> None:
        async with opened(tmp_path, clock=clock) as store:
            await say(store, "rope of today", "a")
            clock.at = datetime(2020, 1, 1, tzinfo=UTC)
            await say(store, "rope of old", "a")

            hits = [hit.excerpt for hit in await store.search("rope") if hit.kind == "message"]

            assert hits == ["rope of today", "rope of old"]

    asyncio.run(body())


def test_an_excerpt_is_one_line_around_the_first_word() -> None:
    words = search.parse("Häwser")
    text = "before " * 50 + "\nthe\thawser, HAWSERS\n" + "after " * 100

    line, marks = search.excerpt(text, words)

    assert line.startswith("…before ")
    assert "the hawser, HAWSERS after" in line
    assert line.endswith("…")
    assert len(line) < 230
    assert [line[start:end] for start, end in marks] == ["hawser", "HAWSERS"]


@settings(max_examples=300, deadline=None)
@given(some.text(max_size=30), some.text(max_size=60))
def test_no_query_is_a_mistake(query: str, text: str) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        schema.create(connection, 0)
        stored = "x" + text.encode("utf-8", "replace").decode()
        connection.execute(
            "INSERT INTO chats (seq, id, title, client, created_at, updated_at) VALUES (1, 'c', ?, '', 0, 0)", (stored,)
        )
        hits = search.search(connection, query.encode("utf-8", "replace").decode())
    finally:
        connection.close()

    assert all(hit.kind == "title" for hit in hits)
    for hit in hits:
        assert all(0 <= start < end <= len(hit.excerpt) for start, end in hit.marks)


@settings(max_examples=200, deadline=None)
@given(some.text())
def test_folding_keeps_the_length(text: str) -> None:
    assert len(search.fold(text)) == len(text)
