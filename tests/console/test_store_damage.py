"""Damaged files: what can be read is saved, the file is kept, and the user is told."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.errors import NotFound, StoreDamaged
from console.history import backups
from console.history.store import Store
from tests.console.store_kit import ROOT, SetClock, count, fill, in_process, opened, paths_in, say

PAGE = 4096


def file_of(home: Path) -> Path:
    return paths_in(home).store_file


def forget_copies(home: Path) -> None:
    for copy in paths_in(home).backups.glob("*"):
        copy.unlink()


def pages_of(file: Path, table: str) -> list[int]:
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute(
            "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path", (table,)
        )
        return [page for (page,) in rows]


def spoil(file: Path, page: int, content: bytes = b"\xa5" * PAGE) -> None:
    with file.open("r+b") as stream:
        stream.seek((page - 1) * PAGE)
        stream.write(content)


def after_repair(home: Path) -> tuple[list[str], list[str], dict[str, int]]:
    """Use the store in the ways that meet damage; its notices, the questions it holds, and some counts."""

    async def body() -> tuple[list[str], list[str], dict[str, int]]:
        async with opened(home) as store:
            texts = await store.run(
                lambda c: [text for (text,) in c.execute("SELECT text FROM messages NOT INDEXED WHERE role = 'user'")]
            )
            await store.run(lambda c: c.execute("SELECT sum(length(text)) FROM messages NOT INDEXED").fetchall())
            await say(store, "afterwards", "it works")
            assert await store.search("afterwards")
            assert await store.run(lambda c: c.execute("PRAGMA integrity_check").fetchall()) == [("ok",)]
            assert await store.run(lambda c: c.execute("PRAGMA foreign_key_check").fetchall()) == []
            counts = {table: count(store.paths.store_file, table) for table in ("chats", "messages", "ledger")}
            return store.notices, texts, counts

    return asyncio.run(body())


def kept_file(home: Path) -> Path:
    (kept,) = (paths_in(home).data / "kept").glob("*-damaged.db")
    return kept


def test_a_damaged_page_costs_only_its_own_rows(tmp_path: Path) -> None:
    fill(tmp_path, 300)
    forget_copies(tmp_path)
    leaves = pages_of(file_of(tmp_path), "messages")
    for page in (leaves[len(leaves) // 3], leaves[len(leaves) // 2], leaves[-1]):
        spoil(file_of(tmp_path), page)

    notices, questions, counts = after_repair(tmp_path)

    assert 280 <= len(questions) < 300
    assert questions[0] == "question 0 hawser"
    assert counts["messages"] >= 2 * 300 - 3 * 8, "a page holds fewer than eight"
    (notice,) = notices
    lost = 600 + 2 - counts["messages"]
    assert f"Saved from it: 300 chats, {600 - lost} messages" in notice
    assert f"Not readable: {lost} messages." in notice
    assert str(kept_file(tmp_path)) in notice
    assert pages_of(kept_file(tmp_path), "chats")


def test_the_lost_rows_come_back_from_the_newest_copy(tmp_path: Path) -> None:
    fill(tmp_path, 100)
    (copy,) = backups.backups(paths_in(tmp_path))

    async def make_copy_again() -> None:
        copy.path.unlink()
        async with opened(tmp_path) as store:
            gone = (await store.chats())[-1].id
            await store.back_up_if_due()
            await store.delete_chat(gone)
            await say(store, "since the copy", "yes")

    asyncio.run(make_copy_again())
    leaves = pages_of(file_of(tmp_path), "messages")
    spoil(file_of(tmp_path), leaves[len(leaves) // 2])

    notices, questions, counts = after_repair(tmp_path)

    assert len(questions) == 100
    assert "question 0 hawser" not in questions, "what was deleted since the copy stays deleted"
    assert "since the copy" in questions
    assert "brought back from the copy of 2026-02-03" in notices[0]
    assert counts == {"chats": 101, "messages": 202, "ledger": 0}


def test_a_damaged_header_loses_nothing(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    forget_copies(tmp_path)
    with file_of(tmp_path).open("r+b") as stream:
        stream.write(b"\0" * 100)

    notices, questions, _ = after_repair(tmp_path)

    assert len(questions) == 20
    assert "Saved from it: 20 chats, 40 messages" in notices[0]
    assert "Not readable" not in notices[0]


def test_a_file_of_rubbish_is_replaced_by_the_copy(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    rubbish = b"\x01rubbish" * 4096
    file_of(tmp_path).write_bytes(rubbish)

    notices, questions, _ = after_repair(tmp_path)

    assert len(questions) == 20
    assert "the copy of 2026-02-03 took its place" in notices[0]
    assert kept_file(tmp_path).read_bytes() == rubbish


def test_rubbish_without_a_copy_is_kept_and_told(tmp_path: Path) -> None:
    paths_in(tmp_path).data.mkdir(parents=True)
    file_of(tmp_path).write_bytes(b"rubbish" * 4096)

    notices, questions, _ = after_repair(tmp_path)

    assert questions == []
    assert "there is no copy, so a new one was begun" in notices[0]
    assert kept_file(tmp_path).read_bytes() == b"rubbish" * 4096


def test_a_cut_file_gives_what_is_left(tmp_path: Path) -> None:
    fill(tmp_path, 300)
    forget_copies(tmp_path)
    whole = file_of(tmp_path).read_bytes()
    file_of(tmp_path).write_bytes(whole[: len(whole) * 2 // 3 // PAGE * PAGE])

    notices, questions, _ = after_repair(tmp_path)

    assert 50 < len(questions) < 300
    assert "Not readable" in notices[0]


def test_rows_without_their_chat_are_adopted(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    forget_copies(tmp_path)
    spoil(file_of(tmp_path), pages_of(file_of(tmp_path), "chats")[0])

    notices, questions, counts = after_repair(tmp_path)

    assert len(questions) == 3
    assert counts["chats"] == 4
    assert "Saved from it: 0 chats, 6 messages" in notices[0]


@pytest.mark.parametrize("where", [0, 24, 32 + 24, -3000])
def test_a_damaged_log_costs_at_most_its_end(tmp_path: Path, where: int) -> None:
    fill(tmp_path, 5)
    code = (
        "import sys, os, sqlite3; c = sqlite3.connect(sys.argv[1]);"
        "[(c.execute('UPDATE chats SET title = title || ?', (str(n),)), c.commit()) for n in range(9)]; os._exit(0)"
    )
    in_process(code, file_of(tmp_path)).communicate()
    log = Path(f"{file_of(tmp_path)}-wal")
    content = bytearray(log.read_bytes())
    content[where] ^= 0xFF
    log.write_bytes(content)

    _, questions, counts = after_repair(tmp_path)

    assert len(questions) == 5
    assert counts["chats"] == 6


def test_a_damaged_index_is_made_again(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    with closing(sqlite3.connect(file_of(tmp_path))) as connection:
        connection.execute("UPDATE message_search_data SET block = x'00ff00ff00ff' WHERE id > 10")
        connection.commit()

    async def body() -> None:
        async with opened(tmp_path) as store:
            assert len(await store.search("question hawser")) == 3
            assert store.notices == ["The search index was damaged and has been made again; nothing is lost."]

    asyncio.run(body())


def test_an_open_store_goes_on_in_the_fresh_file(tmp_path: Path) -> None:
    """Another process finds the damage and replaces the file; this one loses nothing that it writes after."""

    async def body() -> None:
        async with opened(tmp_path) as bystander:
            chat_id = await say(bystander, "before", "it")

            await bystander.back_up_if_due()
            backups.restore(bystander.paths, None, datetime(2026, 2, 3, tzinfo=UTC))
            await say(bystander, "after", "it", chat_id)

            async with opened(tmp_path) as other:
                assert [message.text for message in await other.tree(chat_id)] == ["before", "it", "after", "it"]

    asyncio.run(body())


def test_damage_found_by_the_daily_copy_is_repaired_at_the_next_start(tmp_path: Path) -> None:
    fill(tmp_path, 100)
    forget_copies(tmp_path)
    spoil(file_of(tmp_path), pages_of(file_of(tmp_path), "messages")[5])

    async def write() -> None:
        async with opened(tmp_path) as store:
            await store.add_chat("touched", client="test")
            assert store.notices == []

    asyncio.run(write())
    assert backups.backups(paths_in(tmp_path)) == [], "a bad copy is no copy"

    async def read() -> None:
        async with opened(tmp_path) as store:
            assert "was damaged" in store.notices[0]
            assert "touched" in [chat.title for chat in await store.chats()]

    asyncio.run(read())


def test_seven_daily_copies_are_kept_and_each_can_be_brought_back(tmp_path: Path) -> None:
    clock = SetClock()

    async def body() -> None:
        for day in range(10):
            async with opened(tmp_path, clock=clock) as store:
                await say(store, f"day {day}", "answer")
            async with opened(tmp_path, clock=clock) as store:
                await say(store, f"later on day {day}", "answer")
            clock.at += timedelta(days=1)
        paths = paths_in(tmp_path)
        copies = backups.backups(paths)

        assert sorted(copy.name for copy in copies) == [f"2026-02-{day:02}" for day in range(6, 13)]
        with pytest.raises(NotFound, match="no copy"):
            backups.restore(paths, "2026-02-01", clock.now())
        told = backups.restore(paths, "2026-02-08", clock.now())

        assert "kept/" in told
        async with opened(tmp_path, clock=clock) as store:
            assert len(await store.chats()) == 11
            assert len(await store.search("day 5")) == 1
        (kept,) = (paths.data / "kept").glob("*-replaced.db")
        assert count(kept, "chats") == 20

    asyncio.run(body())


def test_reading_alone_makes_no_copy(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    forget_copies(tmp_path)

    async def body() -> None:
        async with opened(tmp_path) as store:
            await store.chats()

    asyncio.run(body())
    assert backups.backups(paths_in(tmp_path)) == []


def test_a_large_store_is_copied_by_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 3)
    forget_copies(tmp_path)
    monkeypatch.setattr("console.history.store.SMALL_BYTES", 0)
    asked: list[object] = []

    class Child:
        returncode: int | None = None

        def __init__(self, command: list[str], **_: object) -> None:
            asked.append(command)

    monkeypatch.setattr("subprocess.Popen", Child)

    async def body() -> None:
        async with opened(tmp_path) as store:
            await say(store, "q", "a")

    asyncio.run(body())
    (command,) = asked
    assert isinstance(command, list)
    monkeypatch.undo()
    subprocess.run(command, cwd=ROOT, check=True)

    (copy,) = backups.backups(paths_in(tmp_path))
    assert count(copy.path, "chats") == 4


def test_a_damaged_copy_is_not_brought_back(tmp_path: Path) -> None:
    fill(tmp_path, 50)
    forget_copies(tmp_path)
    paths = paths_in(tmp_path)
    backups.make(paths.store_file, paths.backups / "hawser-2026-02-03.db")
    spoil(paths.backups / "hawser-2026-02-03.db", 7)

    with pytest.raises(StoreDamaged):
        backups.restore(paths, None, datetime(2026, 2, 3, tzinfo=UTC))

    assert count(paths.store_file, "chats") == 50
    assert not (paths.data / "kept").exists()


def test_a_copy_that_cannot_be_made_harms_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = paths_in(tmp_path)
    paths.data.mkdir(parents=True)
    paths.backups.write_text("in the way")

    fill(tmp_path, 1)

    assert count(paths.store_file, "chats") == 1
    assert "daily copy" in caplog.text


def test_what_a_killed_copy_left_is_swept_away(tmp_path: Path) -> None:
    backups_folder = paths_in(tmp_path).backups
    backups_folder.mkdir(parents=True)
    (backups_folder / ".hawser-2026-01-01.db.123").write_text("half")

    fill(tmp_path, 1)

    assert [path.name for path in backups_folder.iterdir()] == ["hawser-2026-02-03.db"]


def _damage_twice(home: Path) -> Callable[[sqlite3.Connection], None]:
    def work(connection: sqlite3.Connection) -> None:
        error = sqlite3.DatabaseError("malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    return work


def test_damage_that_repair_does_not_end_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            await say(store, "q", "a")

            with pytest.raises(StoreDamaged, match="is damaged"):
                await store.run(_damage_twice(tmp_path))

            assert len(await store.chats()) == 1, "the first repair saved all there was"

    asyncio.run(body())


def test_a_marked_store_opens_as_fast_as_any_other_afterwards(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    (paths_in(tmp_path).data / "damage-found").touch()

    async def body() -> None:
        store = await Store.open(paths_in(tmp_path), SetClock())
        await store.close()
        assert len(store.notices) == 1
        again = await Store.open(paths_in(tmp_path), SetClock())
        await again.close()
        assert again.notices == []
        assert count(store.paths.store_file, "migrations") == 1

    asyncio.run(body())
