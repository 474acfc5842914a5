"""Documents in a process of their own with chromadb: killed, shared, damaged; nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from console.library.client import WorkerClient, connect
from console.library.documents_engine import open_index
from console.paths import Paths, find_paths
from rag import rows
from rag.documents import Retrieved, Wanted
from rag.wire import from_json, to_json
from tests.conftest import run
from tests.console.documents_kit import COMMAND, small_embedder
from tests.console.test_worker_client import end_worker, gone
from tests.rag.kit import engine_at, engine_in, settle, write


@pytest.fixture
def paths() -> Iterator[Paths]:
    made = find_paths()
    yield made
    end_worker(made)


def texts(folder: Path, name: str, count: int) -> list[str]:
    """Files with a word each that no other has."""
    return [
        str(path)
        for path in write(
            folder, **{f"{name}{n}": f"The {name} number{n} of the ropes is {name}{n}." for n in range(count)}
        )
    ]


async def ask(client: WorkerClient, text: str) -> Retrieved:
    return from_json(Retrieved, await client.call("retrieve", wanted=to_json(Wanted(text))))


async def end(client: WorkerClient, number: signal.Signals) -> None:
    os.kill(client.worker_pid, number)
    await gone(client.worker_pid)


def look_at_what_is_left(paths: Paths) -> tuple[int, list[int]]:
    """How many documents are ready, once what is left was done, and chunks whose own vector does not find them."""
    index = open_index(paths, None, None)
    embedder = small_embedder()
    with engine_in(paths.documents, embedder, index=index) as engine:
        settle(engine)
        with closing(sqlite3.connect(paths.documents_file)) as connection:
            (build,) = rows.builds(connection, "WHERE embedder IS NOT NULL")
            stored = connection.execute("SELECT chunk_id, vector FROM vectors").fetchall()
            (ready,) = connection.execute("SELECT count(*) FROM documents WHERE state = 'ready'").fetchone()
        assert index.size(build) == len(stored) == ready
        lost = [
            number
            for number, vector in stored
            if number not in {found for found, _ in index.nearest(build, np.frombuffer(vector, "<f4"), 8)}
        ]
    return ready, lost


def test_two_clients_add_at_once_and_no_vector_is_lost(paths: Paths, tmp_path: Path) -> None:
    async def body() -> None:
        one, other = await asyncio.gather(connect(paths, command=COMMAND), connect(paths, command=COMMAND))
        both = await asyncio.gather(
            one.call("add", paths=texts(tmp_path / "a", "hemp", 60), collection="ropes"),
            other.call("add", paths=texts(tmp_path / "b", "sisal", 60), collection="ropes"),
        )
        documents = [number for added in both for number in added["document_ids"]]
        assert await one.call("wait", documents=documents, until="ready", seconds=40)
        found = await ask(other, "sisal17")
        assert found.method == "hybrid"
        assert any("sisal17" in passage.text for passage in found.passages)
        await end(one, signal.SIGTERM)
        await one.close()
        await other.close()

    run(body())

    assert look_at_what_is_left(paths) == (120, [])


def test_what_was_acknowledged_outlives_a_kill_at_any_time(paths: Paths, tmp_path: Path) -> None:
    async def body() -> None:
        client = await connect(paths, command=COMMAND)
        documents: list[int] = []
        for turn in range(3):
            added = await client.call("add", paths=texts(tmp_path / str(turn), f"t{turn}x", 50), collection="ropes")
            documents += added["document_ids"]
            if turn:
                await client.call("wait", documents=documents[-50:-25], until="lexical", seconds=40)
            if turn < 2:
                await end(client, signal.SIGKILL)
        assert await client.call("wait", documents=documents, until="ready", seconds=40)
        assert len(set(documents)) == 150
        await end(client, signal.SIGKILL)
        await client.close()

    run(body())

    assert look_at_what_is_left(paths) == (150, [])


def test_questions_really_go_through_chromadb(paths: Paths, tmp_path: Path) -> None:
    index = open_index(paths, None, None)
    with engine_in(paths.documents, small_embedder(), index=index) as engine:
        engine.add(texts(tmp_path / "a", "hemp", 20), "ropes")
        settle(engine)
        with closing(sqlite3.connect(paths.documents_file, timeout=10)) as connection:
            connection.execute("DELETE FROM vectors")  # nothing is left that could be looked at one by one
            connection.commit()

        found = engine.retrieve(Wanted("which rope is hemp7", ("ropes",)))

    assert found.method == "hybrid"
    assert found.passages[0].vector_rank is not None
    assert any(path.is_dir() for path in (paths.documents / "index").glob("chroma-*"))


def test_a_damaged_index_is_made_anew_and_answers_meanwhile(
    paths: Paths, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with engine_in(paths.documents, small_embedder(), index=open_index(paths, None, None)) as engine:
        engine.add(texts(tmp_path / "a", "hemp", 30), "ropes")
        settle(engine)
    for database in (paths.documents / "index").glob("chroma-*/chroma.sqlite3"):
        database.write_bytes(b"garbage" * 1000)

    engine = engine_at(paths.documents, small_embedder(), index=open_index(paths, None, None))
    before = engine.retrieve(Wanted("hemp7", ("ropes",)))
    engine.start()
    settle(engine)
    after = engine.retrieve(Wanted("hemp7", ("ropes",)))
    engine.stop()

    assert "made anew: The vector index was damaged: file is not a database." in caplog.text
    assert any("hemp7" in passage.text for passage in before.passages)
    assert any("hemp7" in passage.text for passage in after.passages)
    assert look_at_what_is_left(paths) == (30, [])
