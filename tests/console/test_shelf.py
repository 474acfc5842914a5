"""The shelf: lists, filters and searches over all chats, and what can be done to a chat."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from console.chat.news import ShelfChanged
from console.chat.shelf import PAGE, ChatList, Shelf, suggested_path
from console.errors import ConsoleError, NotFound, UsageError
from console.events import Bus
from console.history import listing
from console.history.store import Store
from providers.simulated.faults import FaultKind
from tests.conftest import run
from tests.console.desk_kit import box, place, q
from tests.console.store_kit import SetClock, opened, say


class Kit:
    def __init__(self, store: Store, shelf: Shelf, clock: SetClock, bus: Bus) -> None:
        self.store = store
        self.shelf = shelf
        self.clock = clock
        self.bus = bus

    async def chat(self, title: str, question: str = "why", answer: str = "because") -> str:
        chat_id = await say(self.store, question, answer)
        await self.store.rename_chat(chat_id, title)
        return chat_id

    async def chats(self, query: str = "", *, deleted: bool = False) -> ChatList:
        found = await self.shelf.chats(query, deleted=deleted)
        assert found is not None
        return found

    async def titles(self, query: str = "", *, deleted: bool = False) -> list[str]:
        found = await self.chats(query, deleted=deleted)
        await self.shelf.complete(found)
        if len(found):
            await self.shelf.fill(found, 0)
        return [row.title for row in found if row is not None]


@asynccontextmanager
async def shelf_in(folder: Path) -> AsyncIterator[Kit]:
    clock, bus = SetClock(), Bus()
    async with opened(folder, clock=clock) as store:

        async def there() -> Store:
            return store

        yield Kit(store, Shelf(there, clock, bus), clock, bus)


def test_pinned_chats_come_first_then_the_newest(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            first = await kit.chat("first")
            await kit.chat("second")
            await kit.chat("third")
            await kit.shelf.pin(first, True)

            assert await kit.titles() == ["first", "third", "second"]

            await kit.shelf.pin(first, False)
            assert await kit.titles() == ["third", "second", "first"]

    run(body())


def test_a_row_shows_model_count_tags_and_pin(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            turn = await kit.store.begin_turn(None, None, "q", client="test", title="rope", model="qwen3:8b")
            await kit.store.end_answer(turn.answer_id, state="complete")
            await kit.shelf.tag(turn.chat_id, ["work", "gpu"])
            await kit.shelf.pin(turn.chat_id, True)

            row = (await kit.chats())[0]

            assert row is not None
            assert (row.title, row.model, row.message_count, row.tags, row.pinned, row.deleted_at) == (
                "rope",
                "qwen3:8b",
                2,
                ("gpu", "work"),
                True,
                None,
            )

    run(body())


def test_a_long_list_knows_its_length_at_once_and_its_rows_when_asked(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            count = 3 * PAGE
            for number in range(count):
                await kit.store.add_chat(f"chat {number}", client="test")
            chats = await kit.chats()
            missed: list[int] = []
            chats.missed = missed.append

            assert len(chats) == count
            assert not chats.is_whole
            assert chats[0] is not None
            assert chats[count - 1] is None
            assert missed == [count - 1]

            await kit.shelf.fill(chats, count - 1)
            last = chats[count - 1]
            assert last is not None
            assert last.title == "chat 0"
            assert chats.place_of(last) == count - 1

    run(body())


def test_the_whole_order_is_read_again_when_something_was_said_meanwhile(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            for number in range(PAGE + 5):
                await kit.store.add_chat(f"chat {number}", client="test")
            chats = await kit.chats()
            fresh = await kit.store.add_chat("fresh", client="test")

            await kit.shelf.complete(chats)
            await kit.shelf.fill(chats, 0)

            assert len(chats) == PAGE + 6
            first = chats[0]
            assert first is not None
            assert first.id == fresh.id

    run(body())


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("hawser", ["Hawsers of steel"]),
        ("HAW st", ["Hawsers of steel"]),
        ("h", ["Hawsers of steel", "Anchor holds ★"]),  # one letter is looked for in titles and tags only
        ("steel hawser", ["Hawsers of steel"]),
        ("nickel", ["Anchor holds ★"]),  # said in the chat
        ("nick", ["Anchor holds ★"]),
        ("#work", ["Anchor holds ★"]),
        ("#wo", ["Anchor holds ★"]),
        ("work", ["Anchor holds ★"]),
        ("#work hawser", []),
        ("#work anchor", ["Anchor holds ★"]),
        ("wsers", ["Hawsers of steel"]),  # inside a word, where nothing else was found
        ("uber", ["Über Taue"]),
        ("nothing like it", []),
        ('"*() AND NOT', []),
        ("★", ["Anchor holds ★"]),
        ("!", []),
        ("#", ["Über Taue", "Hawsers of steel", "Anchor holds ★"]),
    ],
)
def test_filter_looks_into_titles_tags_and_content(tmp_path: Path, query: str, found: list[str]) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            anchor = await kit.chat("Anchor holds ★", "What is it made of?", "Of nickel.")
            await kit.chat("Hawsers of steel")
            await kit.chat("Über Taue")
            await kit.shelf.tag(anchor, ["work"])

            assert await kit.titles(query) == found

    run(body())


def test_chats_with_the_word_in_their_names_come_first_and_at_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            await kit.chat("Rope of old")
            await kit.chat("Cables", "and ropes", "and rope")
            await kit.chat("Anchors")

            chats = await kit.chats("rope")
            assert [row.title for row in chats if row] == ["Rope of old"]
            assert await kit.shelf.complete(chats)
            await kit.shelf.fill(chats, 0)
            assert [row.title for row in chats if row] == ["Rope of old", "Cables"]
            assert not await kit.shelf.complete(chats)

    run(body())


def test_filter_keeps_pinned_chats_on_top_and_deleted_ones_out(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            old = await kit.chat("rope old")
            gone = await kit.chat("rope gone")
            await kit.chat("rope new")
            await kit.shelf.pin(old, True)
            await kit.shelf.delete(gone)

            assert await kit.titles("rope") == ["rope old", "rope new"]
            assert await kit.titles("rope", deleted=True) == ["rope gone"]
            assert await kit.titles("xyz", deleted=True) == []

    run(body())


def test_filter_is_bounded_but_finds_old_pinned_chats(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            old = await kit.chat("rope of old")
            await kit.shelf.pin(old, True)

            def many(connection: sqlite3.Connection) -> None:
                connection.executemany(
                    "INSERT INTO chats (seq, id, title, client, created_at, updated_at) VALUES (?, ?, ?, 'x', ?, ?)",
                    [(n, f"{n:026}", "rope", n, n) for n in range(1 << 42, (1 << 42) + listing.MOST_FOUND + 50)],
                )

            await kit.store.run(many, write=True)
            chats = await kit.chats("rope")

            assert len(chats) == listing.MOST_FOUND
            assert chats.is_cut
            assert chats[0] is not None
            assert chats[0].id == old

    run(body())


def test_an_older_question_is_dropped_for_a_newer_one(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            await kit.chat("rope")

            answers = await asyncio.gather(kit.shelf.chats("r"), kit.shelf.chats("ro"), kit.shelf.chats("rop"))

            assert [answer is None for answer in answers] == [True, True, False]

    run(body())


def test_a_query_that_runs_is_ended_by_a_newer_one(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            runs = threading.Event()

            def endless(connection: sqlite3.Connection) -> int:
                runs.set()
                (count,) = connection.execute(
                    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
                ).fetchone()
                return int(count)

            older = asyncio.create_task(kit.shelf._latest("chats", endless))
            await asyncio.to_thread(runs.wait)

            assert await kit.titles() == []
            assert await older is None

    run(body())


def test_a_failing_query_is_an_error(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            await kit.store.run(lambda c: c.execute("DROP TABLE chat_tags"), write=True)

            with pytest.raises(ConsoleError):
                await kit.shelf.chats()
            with pytest.raises(ConsoleError):
                await kit.shelf.chats("rope")

    run(body())


def test_glimpse_shows_the_end_or_the_place_found(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            chat_id = await kit.chat("long", "question 0", "answer 0 about nickel")
            leaf = (await kit.store.path(chat_id))[-1].id
            for number in range(1, 5):
                await say(kit.store, f"question {number}", f"answer {number}", chat_id, leaf)
                leaf = (await kit.store.path(chat_id))[-1].id

            last = await kit.shelf.glimpse(chat_id, limit=3)
            found = await kit.shelf.glimpse(chat_id, "#work nickel", limit=3)
            title_only = await kit.shelf.glimpse(chat_id, "long", limit=1)

            assert last is not None
            assert [said.text for said in last.messages] == ["answer 3", "question 4", "answer 4"]
            assert found is not None
            assert found.is_hit
            assert [said.text for said in found.messages] == ["question 0", "answer 0 about nickel"]
            assert title_only is not None
            assert not title_only.is_hit
            assert [said.text for said in title_only.messages] == ["answer 4"]
            assert await kit.shelf.glimpse("gone") is None

    run(body())


def test_glimpse_shows_what_is_still_arriving(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            turn = await kit.store.begin_turn(None, None, "q", client="test")
            await kit.store.append_answer(turn.answer_id, "so ")
            await kit.store.append_answer(turn.answer_id, "far")

            glimpse = await kit.shelf.glimpse(turn.chat_id)

            assert glimpse is not None
            assert [(said.state, said.text) for said in glimpse.messages] == [
                ("complete", "q"),
                ("streaming", "so far"),
            ]

    run(body())


def test_delete_can_be_undone_also_after_a_restart(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            one = await kit.chat("one")
            two = await kit.chat("two")
            await kit.shelf.delete(two)
            await kit.shelf.delete(one)
            assert await kit.titles() == []
            assert await kit.titles(deleted=True) == ["one", "two"]
            assert await kit.shelf.search("because") == []

            row = await kit.shelf.undo()
            assert row is not None
            assert row.title == "one"
        async with shelf_in(tmp_path) as kit:
            row = await kit.shelf.undo()
            assert row is not None
            assert row.title == "two"
            assert await kit.shelf.undo() is None
            assert await kit.titles() == ["two", "one"]

    run(body())


def test_deleting_stops_what_still_arrives_at_the_other_side_too(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        ollama.faults.always(FaultKind.ENDLESS)
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await chat.ask(q("go on for ever"))
            await here.until(lambda: any(live.text for live in chat.lives.values()))
            assert chat.id is not None

            await here.runtime.shelf.delete(chat.id)
            await chat.settled()
            await ollama.until_idle()

            assert ollama.cancelled_requests == 1
            assert here.rows("SELECT state FROM messages WHERE role = 'assistant'") == [("stopped",)]
            assert here.rows("SELECT count(*) FROM chats") == [(1,)]
            await here.runtime.shelf.undo()
            glimpse = await here.runtime.shelf.glimpse(chat.id)
            assert glimpse is not None
            assert [said.state for said in glimpse.messages] == ["complete", "stopped"]

    run(body())


def test_what_was_deleted_a_week_ago_goes_for_good(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            await kit.shelf.delete(await kit.chat("old"))
            kit.clock.at += timedelta(days=6)
            await kit.shelf.delete(await kit.chat("recent"))
            assert await kit.shelf.clear_out() == 0
            kit.clock.at += timedelta(days=2)

            assert await kit.shelf.clear_out() == 1

            assert await kit.titles(deleted=True) == ["recent"]

    run(body())


def test_every_change_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            chat_id = await kit.chat("one")
            with kit.bus.subscribe() as events:
                await kit.shelf.rename(chat_id, "  other \n title ")
                await kit.shelf.pin(chat_id, True)
                await kit.shelf.tag(chat_id, ["a"])
                await kit.shelf.delete(chat_id)
                await kit.shelf.restore(chat_id)
                kit.bus.close()
                told = [event async for event in events if isinstance(event, ShelfChanged)]

            assert [event.what for event in told] == ["renamed", "pinned", "tagged", "deleted", "restored"]
            assert {event.chat_id for event in told} == {chat_id}
            assert await kit.titles() == ["other title"]

    run(body())


def test_a_chat_that_is_gone_is_said_so(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            chat_id = await kit.chat("one")
            await kit.store.delete_chat(chat_id)

            for deed in (
                kit.shelf.rename(chat_id, "x"),
                kit.shelf.pin(chat_id, True),
                kit.shelf.tag(chat_id, ["x"]),
                kit.shelf.delete(chat_id),
                kit.shelf.restore(chat_id),
            ):
                with pytest.raises(NotFound):
                    await deed
            assert await kit.shelf.row(chat_id) is None

    run(body())


def test_export_writes_a_private_file_and_never_over_another(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path / "home") as kit:
            chat_id = await kit.chat("A/../title: with\x1b codes", "q", "the \x1b[31manswer")
            path = suggested_path(tmp_path, "A/../title: with\x1b codes", chat_id)

            assert path == tmp_path / "a-title-with-codes.md"
            assert await kit.shelf.export(chat_id, path) == path
            text = path.read_text()
            assert "the ␛[31manswer" in text
            assert "\x1b" not in text
            assert path.stat().st_mode & 0o777 == 0o600
            with pytest.raises(UsageError) as told:
                await kit.shelf.export(chat_id, path)
            assert told.value.hint == "Choose another name."
            assert suggested_path(tmp_path, "A/../title: with\x1b codes", chat_id).name == "a-title-with-codes-2.md"
            as_json = await kit.shelf.export(chat_id, tmp_path / "chat.json")
            assert '"kind": "hawser-chats"' in as_json.read_text()
            with pytest.raises(ConsoleError):
                await kit.shelf.export(chat_id, tmp_path / "no" / "folder.md")

    run(body())


def test_tags_are_counted(tmp_path: Path) -> None:
    async def body() -> None:
        async with shelf_in(tmp_path) as kit:
            one, two = await kit.chat("one"), await kit.chat("two")
            gone = await kit.chat("gone")
            await kit.shelf.tag(one, ["work", "gpu"])
            await kit.shelf.tag(two, ["work"])
            await kit.shelf.tag(gone, ["work", "secret"])
            await kit.shelf.delete(gone)

            assert await kit.shelf.tags() == [listing.Tag("work", 2), listing.Tag("gpu", 1)]

    run(body())
