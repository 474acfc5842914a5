"""A store of every released format comes to the present one, and to the same tables as a fresh store."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from console.errors import StoreError, StoreReadOnly
from console.history import backups, migrations, schema
from console.history.among import Among
from tests.console.store_kit import DATA, SetClock, count, in_process, opened, paths_in

RELEASED = sorted(int(path.stem.rpartition("_")[2]) for path in DATA.glob("store_format_*.sql"))


def stored(home: Path, version: int) -> Path:
    paths = paths_in(home)
    paths.data.mkdir(parents=True)
    with closing(sqlite3.connect(paths.store_file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript((DATA / f"store_format_{version}.sql").read_text())
    return paths.store_file


def shape(file: Path) -> dict[str, Any]:
    """Everything that a schema says, apart from the way it is written down."""
    found: dict[str, Any] = {}
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        for kind, name, table, sql in rows:
            if kind == "table" and not name.startswith("sqlite_"):
                checks = sorted(re.findall(r"CHECK \(.*?\)\)|DEFERRABLE INITIALLY DEFERRED", sql or ""))
                found[name] = (
                    connection.execute(f"PRAGMA table_xinfo({name})").fetchall(),
                    connection.execute(f"PRAGMA foreign_key_list({name})").fetchall(),
                    checks,
                    sql if sql.startswith("CREATE VIRTUAL") else None,
                )
            elif kind == "index":
                listed = {row[1]: row[2:] for row in connection.execute(f"PRAGMA index_list({table})")}
                found[name] = (table, listed[name], connection.execute(f"PRAGMA index_xinfo({name!r})").fetchall())
            elif kind == "trigger":
                found[name] = (table, re.sub(r"\s+", " ", sql))
    return found


def open_once(home: Path) -> list[str]:
    async def body() -> list[str]:
        async with opened(home) as store:
            return store.notices

    return asyncio.run(body())


@pytest.mark.parametrize("version", RELEASED)
def test_an_upgraded_store_has_the_tables_of_a_fresh_one(tmp_path: Path, version: int) -> None:
    file = stored(tmp_path / "old", version)

    open_once(tmp_path / "old")
    open_once(tmp_path / "fresh")

    assert shape(file) == shape(paths_in(tmp_path / "fresh").store_file)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        ran = [version for (version,) in connection.execute("SELECT version FROM migrations ORDER BY version")]
        assert ran == list(range(version, schema.VERSION + 1))


def test_every_released_format_is_kept_and_has_a_step() -> None:
    assert list(range(1, schema.VERSION + 1)) == RELEASED
    assert list(migrations.STEPS) == list(range(1, schema.VERSION))


def test_what_a_format_1_store_held_is_there_and_found(tmp_path: Path) -> None:
    file = stored(tmp_path, 1)

    async def body() -> None:
        async with opened(tmp_path) as store:
            assert "from format 1 to 6" in store.notices[0]
            assert len(await store.recover()) == 1
            assert [hit.excerpt for hit in await store.search("thick hawser")] == [
                "How thick is a hawser, in mm?",
                "How thick is a hawser?",
            ]
            assert [hit.kind for hit in await store.search("uber moor")] == ["title"]
            (hit,) = await store.search("forty millimetres")
            path = await store.path(hit.chat_id)
            assert [message.state for message in path] == ["complete", "failed"]

    asyncio.run(body())
    (copy,) = [copy for copy in backups.backups(paths_in(tmp_path)) if "format-1" in copy.name]
    with closing(sqlite3.connect(copy.path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert (count(file, "ledger"), count(file, "messages")) == (2, 5)


def test_a_format_2_store_gets_room_for_tunnels(tmp_path: Path) -> None:
    file = stored(tmp_path, 2)

    assert "from format 2 to 6" in open_once(tmp_path)[0]

    assert (count(file, "tunnels"), count(file, "local_ports")) == (0, 0)
    assert (count(file, "messages"), count(file, "ledger"), count(file, "attachments")) == (5, 2, 1)


def test_a_format_3_store_gets_room_for_machines_and_keeps_its_books(tmp_path: Path) -> None:
    file = stored(tmp_path, 3)

    assert "from format 3 to 6" in open_once(tmp_path)[0]

    assert (count(file, "machines"), count(file, "deeds"), count(file, "leases")) == (0, 0, 0)
    assert (count(file, "ledger"), count(file, "tunnels")) == (2, 2)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT DISTINCT span_from, usd_per_hour FROM ledger").fetchall() == [(None, None)]


def test_a_format_4_store_keeps_its_chats_and_gets_room_for_what_is_said_of_them(tmp_path: Path) -> None:
    file = stored(tmp_path, 4)

    async def body() -> None:
        async with opened(tmp_path) as store:
            assert "from format 4 to 6" in store.notices[0]
            chats = [await store.chat(summary.id) for summary in await store.chats()]
            assert [(chat.model, dict(chat.params), chat.tags, chat.titled_by) for chat in chats] == [
                (None, {}, (), None)
            ] * 2
            trees = [await store.tree(chat.id) for chat in chats]
            assert not any(message.excluded for tree in trees for message in tree)

    asyncio.run(body())
    assert (count(file, "chat_tags"), count(file, "drafts"), count(file, "prompts")) == (0, 0, 0)
    assert (count(file, "machines"), count(file, "messages")) == (2, 5)


def test_a_format_5_store_gets_room_for_sources(tmp_path: Path) -> None:
    file = stored(tmp_path, 5)

    async def body() -> None:
        async with opened(tmp_path) as store:
            assert "from format 5 to 6" in store.notices[0]
            (summary,) = await store.chats()
            chat = await store.chat(summary.id)
            assert (chat.model, chat.among) == ("box/qwen3:8b", Among())
            assert not any(message.sources for message in await store.tree(chat.id))

    asyncio.run(body())
    assert (count(file, "message_sources"), count(file, "chat_tags"), count(file, "messages")) == (0, 1, 5)


def test_a_format_6_store_is_read_as_it_was_written(tmp_path: Path) -> None:
    stored(tmp_path, 6)

    async def body() -> None:
        async with opened(tmp_path) as store:
            assert store.notices == []
            (summary,) = await store.chats()
            chat = await store.chat(summary.id)
            assert (chat.model, chat.params, chat.persona, chat.tags, chat.titled_by, chat.among) == (
                "box/qwen3:8b",
                {"temperature": 0.2},
                "bosun",
                ("rope",),
                "person",
                Among(("manuals",), ()),
            )
            tree = await store.tree(chat.id)
            assert [message.excluded for message in tree] == [False, False, False, True, False]
            first, second = tree[1].sources
            assert (first.n, first.document, first.place, first.verdict) == (1, "ropes.pdf", "page 3", "exact")
            assert (first.headings, first.span.first_line, first.claims[0].where) == (
                ("Ropes", "Hawsers"),
                41,
                (24, 50),
            )
            assert (second.place, second.verdict, second.excluded) == ("line 1", None, True)
            assert await store.excluded_passages(chat.id) == (bytes.fromhex("ffeeddccbbaa99887766554433221100"),)

    asyncio.run(body())


OPENER = """
import asyncio, sys
from pathlib import Path
from tests.console.store_kit import opened

async def main():
    sys.stdin.readline()
    async with opened(Path(sys.argv[1]), wait_s=30) as store:
        print(len(store.notices), len(await store.chats()))

asyncio.run(main())
"""


def test_of_two_processes_one_upgrades_and_the_other_waits(tmp_path: Path) -> None:
    file = stored(tmp_path, 1)
    openers = [in_process(OPENER, tmp_path) for _ in range(3)]
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()

    outputs = sorted(opener.communicate()[0].strip() for opener in openers)

    assert outputs == ["0 2", "0 2", "1 2"]
    assert count(file, "migrations") == 6


def test_a_step_that_fails_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = stored(tmp_path, 1)
    before = shape(file)
    monkeypatch.setattr(migrations, "_FORMAT_2", migrations._FORMAT_2 + "CREATE TABLE chats (again);\n")

    with pytest.raises(StoreError, match="already exists"):
        open_once(tmp_path)

    assert shape(file) == before
    monkeypatch.undo()
    assert "from format 1 to 6" in open_once(tmp_path)[0]


def test_a_damaged_old_store_is_saved_into_a_fresh_one(tmp_path: Path) -> None:
    file = stored(tmp_path, 1)
    with closing(sqlite3.connect(file)) as connection:
        (page,) = connection.execute("SELECT pageno FROM dbstat WHERE name = 'ledger_by_time'").fetchone()
    with file.open("r+b") as stream:
        stream.seek((page - 1) * 4096)
        stream.write(b"\xa5" * 4096)

    notices = open_once(tmp_path)

    assert "Saved from it: 2 chats, 5 messages, 0 attachments, 2 ledger lines." in notices[0]
    assert shape(file)["chats_by_origin"]


def test_an_old_store_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path, 1)
    monkeypatch.setattr("os.access", lambda *_: False)

    with pytest.raises(StoreReadOnly, match="earlier format"):
        open_once(tmp_path)


def test_a_fresh_store_over_forgotten_copies_says_so(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)

    async def write() -> None:
        async with opened(tmp_path, clock=SetClock()) as store:
            await store.add_chat(client="test")

    asyncio.run(write())
    paths.store_file.unlink()

    assert "hawser doctor --restore" in open_once(tmp_path)[0]
    assert open_once(tmp_path) == []
