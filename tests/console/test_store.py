"""Chats, messages and books in the store; other processes beside it; files that cannot be used."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from console.errors import NotFound, StoreError, StoreFull, StoreLocked, StoreReadOnly, StoreTooNew
from console.history import owner
from console.history.books import Limit
from console.history.messages import StoredAttachment
from console.history.models_seen import SeenModel
from console.history.rows import free_seq, from_ms, new_id, to_ms
from console.history.store import Store
from console.money.ledger import LedgerEntry
from tests.conftest import unmeasured
from tests.console.store_kit import SetClock, count, in_process, opened, paths_in, say

DAY = datetime(2026, 2, 3, tzinfo=UTC)


def entry(cost: str | None, at: datetime = DAY, **more: object) -> LedgerEntry:
    return LedgerEntry(
        at=at,
        task="chat",
        client="prompt",
        endpoint="openai",
        wire="openai",
        model="gpt-4.1",
        outcome="complete",
        cost_usd=None if cost is None else Decimal(cost),
        **more,  # type: ignore[arg-type]
    )


def test_a_turn_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            chat = await store.add_chat("Ropes", system="Be brief.", client="prompt")
            note = StoredAttachment("näme.txt", "text/plain", b"content", "content")
            question = await store.add_question(chat.id, None, "How thick?\0 \ud83d", attachments=[note])
            answer = await store.begin_answer(chat.id, question, model="m", endpoint="e", machine="box")
            await store.append_answer(answer, "Five ", "hm")
            await store.append_answer(answer, "inches")
            await store.end_answer(
                answer,
                state="complete",
                text=".",
                finish="stop",
                model="m2",
                input_tokens=3,
                output_tokens=4,
                estimated=True,
                cost_usd=Decimal("0.1"),
                first_token_ms=1.5,
                total_ms=20,
                notes={"tried": ["x"]},
            )

            first, last = await store.path(chat.id)

            assert (first.role, first.text, first.state) == ("user", "How thick?\0 \ufffd", "complete")
            assert first.attachments[0][:4] == note[:4]
            assert (last.text, last.thinking, last.state) == ("Five inches.", "hm", "complete")
            assert (last.model, last.endpoint, last.machine) == ("m2", "e", "box")
            assert last.cost_usd == Decimal("0.1")
            assert str(last.cost_usd) == "0.100000"
            assert (last.input_tokens, last.output_tokens, last.estimated) == (3, 4, True)
            assert last.notes == {"tried": ["x"]}
            assert (await store.chat(chat.id)).system == "Be brief."

    asyncio.run(body())


def test_editing_and_regenerating_make_siblings(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            first = await store.begin_turn(None, None, "one", client="test")
            await store.end_answer(first.answer_id, state="complete", text="1")
            again = await store.begin_answer(first.chat_id, first.question_id, model=None, endpoint=None)
            await store.end_answer(again, state="stopped", text="1b")
            edited = await store.begin_turn(first.chat_id, None, "two", client="test")
            await store.end_answer(edited.answer_id, state="complete", text="2")

            assert [m.text for m in await store.path(first.chat_id)] == ["two", "2"]
            assert [m.text for m in await store.path(first.chat_id, again)] == ["one", "1b"]
            assert await store.siblings(first.answer_id) == [first.answer_id, again]
            assert await store.siblings(edited.question_id) == [first.question_id, edited.question_id]
            assert await store.show_branch(first.chat_id, first.question_id) == again
            assert [m.text for m in await store.path(first.chat_id)] == ["one", "1b"]
            assert len(await store.tree(first.chat_id)) == 5

    asyncio.run(body())


def test_a_chat_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            assert await store.latest_chat() is None
            one = await store.add_chat("one", client="test")
            two = await store.add_chat("two", client="test")

            assert (await store.chat(one.id[:12].upper())).title == "one"
            latest = await store.latest_chat()
            assert latest is not None
            assert latest.id == two.id
            with pytest.raises(NotFound, match=r"(?s)any of .*one.*two"):
                await store.chat(one.id[:4])
            for wrong in ("zzz", "", "%"):
                with pytest.raises(NotFound, match="no chat"):
                    await store.chat(wrong)

    asyncio.run(body())


def test_a_message_cannot_hang_on_another_chat(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            turn = await store.begin_turn(None, None, "one", client="test")
            other = await store.add_chat(client="test")

            with pytest.raises(NotFound):
                await store.add_question(other.id, turn.question_id, "two")
            with pytest.raises(NotFound):
                await store.add_question("nowhere", None, "two")
            with pytest.raises(NotFound):
                await store.end_answer("nowhere", state="failed")

    asyncio.run(body())


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            with pytest.raises(NotFound):
                await store.begin_turn("nowhere", None, "x", client="test")

            assert await store.chats() == []
            assert await store.run(lambda c: c.in_transaction) is True
            await say(store, "q", "a")
            assert len(await store.chats()) == 1

    asyncio.run(body())


def test_deleting_a_chat_keeps_the_books_and_what_others_show(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            shared = StoredAttachment("a", "text/plain", b"shared", "shared anchor")
            own = StoredAttachment("b", "text/plain", b"own", "lonely anchor")
            one = await store.begin_turn(None, None, "q", client="test", attachments=[shared, own])
            await store.end_answer(
                one.answer_id, state="complete", text="deep rope", entry=entry("1", chat_id=one.chat_id)
            )
            two = await store.begin_turn(None, None, "q", client="test", attachments=[shared])

            assert await store.delete_chat(one.chat_id) == 2

            assert [hit.message_id for hit in await store.search("anchor")] == [two.question_id]
            assert await store.search("rope") == []
            assert [line.chat_id for line in await store.entries(DAY, DAY + timedelta(1))] == [one.chat_id]
            with pytest.raises(NotFound):
                await store.chat(one.chat_id)
            with pytest.raises(NotFound):
                await store.delete_chat(one.chat_id)
        assert count(store.paths.store_file, "attachments") == 1

    asyncio.run(body())


def test_a_chat_of_5000_messages_in_one_line_opens_and_goes(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            chat = await store.add_chat(client="test")

            def many(connection: sqlite3.Connection) -> None:
                connection.executemany(
                    "INSERT INTO messages (seq, id, chat_id, parent_id, role, state, text, thinking, created_at)"
                    " VALUES (?, ?, ?, ?, 'user', 'complete', 'x', '', ?)",
                    [
                        (number, number, chat.id, str(number - 1) if number > 1 else None, number)
                        for number in range(1, 5001)
                    ],
                )

            await store.run(many, write=True)

            assert len(await store.path(chat.id)) == 5000
            assert await store.delete_chat(chat.id) == 5000

    asyncio.run(body())


def test_the_ledger_only_grows_and_adds_up_exactly(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            for cost in ("0.000001", "0.1", "12345.678901", None):
                await store.book(entry(cost))
            await store.book(entry("7", DAY - timedelta(1), price_input=Decimal("0.0000001"), price_source="table"))

            spent = await store.spent(DAY, DAY + timedelta(1))

            assert (spent.known_usd, spent.unknown_calls) == (Decimal("12345.778902"), 1)
            before = await store.entries(DAY - timedelta(2), DAY)
            assert before == [entry("7.000000", DAY - timedelta(1), price_input=Decimal("1E-7"), price_source="table")]
            for change in ("DELETE FROM ledger", "UPDATE ledger SET cost_usd = '0'"):
                with pytest.raises(StoreError, match="only grows"):
                    await store.run(lambda c, change=change: c.execute(change), write=True)  # type: ignore[misc]
        assert count(store.paths.store_file, "ledger") == 5

    asyncio.run(body())


def test_money_set_aside_counts_until_settled_or_its_process_is_gone(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            limit = Limit(DAY, DAY + timedelta(1), Decimal(5))
            one = await store.reserve_within(Decimal(3), "chat", [limit])
            assert one is not None
            assert await store.reserve_within(Decimal(3), "chat", [limit]) is None
            assert (await store.spent(DAY, DAY + timedelta(1))).known_usd == 3
            await store.settle(one)
            await store.settle(one)
            assert (await store.spent(DAY, DAY + timedelta(1))).known_usd == 0

            await store.reserve(Decimal(4), "image")
            gone = "UPDATE reservations SET owner = '999999999:1'"
            await store.run(lambda c: c.execute(gone), write=True)

            assert (await store.spent(DAY, DAY + timedelta(1))).reserved_usd == 0
            assert await store.reserve_within(Decimal(5), "chat", [limit]) is not None

    asyncio.run(body())


def test_breakers_and_models_are_shared(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            assert await store.note_failure("box", DAY, None) == 1
            assert await store.note_failure("box", DAY, DAY + timedelta(minutes=1)) == 2
            await store.remember_models("box", [SeenModel("old")])
            model = SeenModel("qwen3:8b", size_bytes=5, sees_images=False, price_input_usd_per_million=Decimal("0.1"))
            await store.remember_models("box", [model, model])
            await store.remember_models("cloud", [SeenModel("gpt")])

        async with opened(tmp_path) as store:
            assert (await store.breakers())["box"] == ("box", 2, DAY, DAY + timedelta(minutes=1))
            await store.note_success("box")
            assert await store.breakers() == {}
            (seen,) = await store.models_seen("box")
            assert seen._replace(endpoint="", seen_at=None) == model
            assert [m.name for m in await store.models_seen()] == ["qwen3:8b", "gpt"]

    asyncio.run(body())


def test_ids_sort_by_time_and_equal_times_find_a_row() -> None:
    ids = [new_id(to_ms(DAY) + step) for step in range(200)]
    assert ids == sorted(set(ids))
    assert {len(one) for one in ids} == {26}
    assert from_ms(to_ms(DAY)) == DAY

    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (seq INTEGER PRIMARY KEY)")
        for _ in range(2000):
            connection.execute("INSERT INTO t VALUES (?)", (free_seq(connection, "t", 0),))
        assert connection.execute("SELECT count(*), min(seq) FROM t").fetchone() == (2000, 0)


def test_owner_is_alive_only_with_its_start_time() -> None:
    pid, started = owner.this_process().split(":")

    assert owner.is_alive(f"{pid}:{started}")
    assert not owner.is_alive(f"{pid}:1")
    assert not owner.is_alive("999999999:1")
    assert not owner.is_alive(f"{10**30}:1")
    assert not owner.is_alive(None)
    assert owner.is_alive(f"{pid}:?")


WRITER = """
import asyncio, sys
from pathlib import Path
from console.clock import SystemClock
from console.history.store import Store
from tests.console.store_kit import paths_in

async def main():
    store = await Store.open(paths_in(Path(sys.argv[1])), SystemClock())
    turn = await store.begin_turn(None, None, "tell me", client="test", title="story")
    for number in range(50):
        await store.append_answer(turn.answer_id, f"word{number} ", "hm ")
    print(turn.answer_id, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_the_answer_of_a_killed_process_is_kept(tmp_path: Path) -> None:
    writer = in_process(WRITER, tmp_path)
    assert writer.stdout is not None
    answer = writer.stdout.readline().strip()

    async def body() -> None:
        async with opened(tmp_path) as store:
            assert await store.recover() == [], "its process still lives"
            assert (await store.message(answer)).state == "streaming"
            assert (await store.message(answer)).text.startswith("word0 word1 ")

            writer.send_signal(signal.SIGKILL)
            writer.communicate()

            assert [recovered.id for recovered in await store.recover()] == [answer]
            message = await store.message(answer)
            assert message.state == "failed"
            assert message.text == "".join(f"word{number} " for number in range(50))
            assert message.thinking == "hm " * 50
            assert message.error
            assert await store.recover() == []
            assert [hit.message_id for hit in await store.search("word49")] == [answer]

    asyncio.run(body())


MANY = """
import asyncio, sys
from pathlib import Path
from console.clock import SystemClock
from console.history.store import Store
from tests.console.store_kit import paths_in, say

async def main():
    store = await Store.open(paths_in(Path(sys.argv[1])), SystemClock())
    sys.stdin.readline()
    for number in range(30):
        await say(store, f"{sys.argv[2]} {number}", "answer")
    await store.close()

asyncio.run(main())
"""


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    writers = [in_process(MANY, tmp_path, name) for name in "abcd"]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()

    for writer in writers:
        writer.communicate()

    assert [writer.returncode for writer in writers] == [0] * 4
    file = paths_in(tmp_path).store_file
    assert (count(file, "chats"), count(file, "messages"), count(file, "parts")) == (120, 240, 0)


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


def test_a_locked_store_is_waited_for_and_its_holder_named(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, wait_s=0.2) as store, opened(tmp_path, wait_s=20) as patient:
            await say(store, "before", "it")
            holder = in_process(HOLDER, store.paths.store_file)
            assert holder.stdout is not None
            await asyncio.to_thread(holder.stdout.readline)

            with pytest.raises(StoreLocked) as refusal:
                await say(store, "during", "it")
            assert f"Process {holder.pid}" in refusal.value.text or sys.platform == "darwin"
            assert len(await store.chats()) == 1, "reading goes on"

            waiting = asyncio.ensure_future(say(patient, "after", "it"))
            await asyncio.sleep(0)
            await asyncio.to_thread(holder.communicate, "go\n")
            await waiting
            assert len(await store.chats()) == 2

    asyncio.run(body())


def test_waiting_writers_of_one_process_keep_their_order(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, wait_s=20) as store:
            turn = await store.begin_turn(None, None, "q", client="test")
            holder = in_process(HOLDER, store.paths.store_file)
            assert holder.stdout is not None
            await asyncio.to_thread(holder.stdout.readline)

            parts = [asyncio.ensure_future(store.append_answer(turn.answer_id, str(n))) for n in range(10)]
            await asyncio.to_thread(holder.communicate, "go\n")
            await asyncio.gather(*parts)

            assert (await store.message(turn.answer_id)).text == "0123456789"

    asyncio.run(body())


def test_a_full_disk_keeps_what_was_stored(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            chat_id = await say(store, "before", "it")
            (pages,) = await store.run(lambda c: c.execute("PRAGMA page_count").fetchone())
            await store.run(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone())
            turn = await store.begin_turn(chat_id, None, "small", client="test")

            with pytest.raises(StoreFull, match="no room"):
                await store.append_answer(turn.answer_id, "x" * 100_000)

            await store.run(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchone())
            await store.append_answer(turn.answer_id, "y")
            assert (await store.message(turn.answer_id)).text == "y"
            assert [m.text for m in await store.path(chat_id, (await store.siblings(turn.question_id))[0])] == [
                "before"
            ]

    asyncio.run(body())


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from console.errors import StoreError
from tests.console.store_kit import opened, say

async def main():
    async with opened(Path(sys.argv[1])) as store:
        await say(store, "before", "it")
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        try:
            await say(store, "during", "x" * 2_000_000)
        except StoreError as error:
            print(type(error).__name__)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await say(store, "after", "it")
        print(len(await store.chats()))

asyncio.run(main())
"""


def test_a_file_that_may_not_grow_is_an_error_and_nothing_worse(tmp_path: Path) -> None:
    output, _ = in_process(LIMITED, tmp_path).communicate()

    # The system says "file too large" where a full disk says "no space"; SQLite calls the one a disk error.
    name, chats = output.split()
    assert name in ("StoreError", "StoreFull")
    assert int(chats) >= 2
    with closing(sqlite3.connect(paths_in(tmp_path).store_file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


AS_NOBODY = """
import asyncio, os, sys
from pathlib import Path
from console.errors import StoreError
from console.history import backups, books, search, trouble
from tests.console.store_kit import opened, say
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)

async def main():
    try:
        async with opened(Path(sys.argv[1])) as store:
            print((await store.chats())[0].title, len(await store.search("q")), store.read_only)
            await say(store, "q", "a")
    except StoreError as error:
        print(type(error).__name__)

asyncio.run(main())
"""


@pytest.mark.parametrize("lying", ["alone", "with its log"])
def test_a_store_that_cannot_be_written_can_be_read(lying: str) -> None:
    async def body(home: Path) -> None:
        async with opened(home) as store:
            await store.rename_chat(await say(store, "q", "rope"), "alone")

    # Not in `tmp_path`, whose parents are closed to the user that this becomes when the tests run as root.
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        asyncio.run(body(home))
        data = paths_in(home).data
        with closing(sqlite3.connect(data / "hawser.db")) as connection:
            if lying == "with its log":
                connection.execute("UPDATE chats SET title = 'with its log'")
                connection.commit()
            for file in data.glob("hawser.db*"):
                file.chmod(0o444)
            data.chmod(0o555)
            for parent in (Path(folder), home):
                parent.chmod(0o755)

            output, _ = in_process(AS_NOBODY, home).communicate()

        data.chmod(0o700)
    assert output == f"{lying} 1 True\nStoreReadOnly\n"


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    paths_in(tmp_path).store_file.mkdir(parents=True)

    async def body() -> None:
        with pytest.raises(StoreReadOnly, match="cannot be opened"):
            await Store.open(paths_in(tmp_path), SetClock())

    asyncio.run(body())


def test_a_later_format_is_refused_untouched(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            await say(store, "q", "a")
        file = store.paths.store_file
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA user_version = 99")
        before = file.read_bytes()

        with pytest.raises(StoreTooNew, match="later version"):
            await Store.open(store.paths, SetClock())

        assert file.read_bytes() == before

    asyncio.run(body())


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    paths.data.mkdir(parents=True)
    with closing(sqlite3.connect(paths.store_file)) as connection:
        connection.execute("CREATE TABLE theirs (a)")

    async def body() -> None:
        with pytest.raises(StoreError, match="not a history"):
            await Store.open(paths, SetClock())

    asyncio.run(body())


def test_the_files_are_private(tmp_path: Path) -> None:
    os.umask(0o022)

    async def body() -> None:
        async with opened(tmp_path) as store:
            await say(store, "q", "a")
            await store.back_up_if_due()

            for file in [*store.paths.data.glob("hawser.db*"), *store.paths.backups.iterdir()]:
                assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
            assert stat.S_IMODE(store.paths.data.stat().st_mode) == 0o700
            assert stat.S_IMODE(store.paths.backups.stat().st_mode) == 0o700

    asyncio.run(body())


def test_the_usual_path_loads_nothing_heavy() -> None:
    code = "import sys; import console.history.store; print(*sys.modules)"
    output, _ = in_process(code, environment=unmeasured()).communicate()

    heavy = {"sqlite_utils", "click", "hashlib", "console.history.rescue", "console.history.migrations"}
    assert heavy.isdisjoint(output.split())
