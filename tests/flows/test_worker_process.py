"""Documents in a process of their own with chromadb: killed, shared, damaged; nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from console.library.client import WorkerClient, connect
from console.library.documents_engine import open_index
from console.paths import Paths, find_paths
from rag import rows
from rag.documents import Retrieved, Wanted
from rag.index_chroma import ChromaIndex
from rag.wire import from_json, to_json
from tests.conftest import run
from tests.console.documents_kit import COMMAND, MANY, SMALL, FieldEmbedder, small_embedder
from tests.console.test_worker_client import end_worker, gone
from tests.rag.kit import PATIENCE_S, engine_at, engine_in, settle, write


@pytest.fixture
def paths() -> Iterator[Paths]:
    made = find_paths()
    yield made
    end_worker(made)


MANY_FILES, MANY_CHUNKS = 12, 500


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


def test_twelve_thousand_vectors_of_two_clients_are_all_found_by_themselves(paths: Paths, tmp_path: Path) -> None:
    async def add(client: WorkerClient, name: str) -> list[int]:
        files = {
            f"{name}{number}": "\n\n".join(
                f"The {name} {number} of line {line} holds {number * 1000 + line} ships." for line in range(MANY_CHUNKS)
            )
            for number in range(MANY_FILES)
        }
        written = [str(path) for path in write(tmp_path / name, **files)]
        documents: list[int] = []
        for start in range(0, MANY_FILES, 4):
            added = await client.call("add", paths=written[start : start + 4], collection="ropes")
            documents += added["document_ids"]
        return documents

    async def body() -> None:
        one, other = await asyncio.gather(connect(paths, command=MANY), connect(paths, command=MANY))
        both = await asyncio.gather(add(one, "hemp"), add(other, "sisal"))
        assert await one.call("wait", documents=[*both[0], *both[1]], until="ready", seconds=120)
        await end(one, signal.SIGTERM)
        await one.close()
        await other.close()

    run(body())
    index = open_index(paths, None, None)
    with engine_in(paths.documents, FieldEmbedder(), index=index, rules=SMALL) as engine:
        settle(engine)
        with closing(sqlite3.connect(paths.documents_file)) as connection:
            (build,) = rows.builds(connection, "WHERE embedder IS NOT NULL")
            stored = connection.execute("SELECT chunk_id, vector FROM vectors ORDER BY chunk_id").fetchall()
        assert index.size(build) == len(stored) == 2 * MANY_FILES * MANY_CHUNKS == 12_000
    lost: list[int] = []
    chroma = ChromaIndex(paths.documents / "index")
    _, collection = chroma._collection(build)
    for start in range(0, len(stored), 500):
        numbers = [str(number) for number, _ in stored[start : start + 500]]
        matrix = np.frombuffer(b"".join(vector for _, vector in stored[start : start + 500]), "<f4")
        found = collection.query(query_embeddings=matrix.reshape(len(numbers), -1), n_results=3, include=[])
        lost += [int(number) for number, near in zip(numbers, found["ids"], strict=True) if number not in near]
    chroma.close()

    assert lost == []


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


def of_chroma(paths: Paths) -> Path:
    (folder,) = (paths.documents / "index").glob("chroma-*")
    return folder


def garbage(paths: Paths) -> None:
    (of_chroma(paths) / "chroma.sqlite3").write_bytes(b"garbage" * 1000)


def cut_short(paths: Paths) -> None:
    os.truncate(of_chroma(paths) / "chroma.sqlite3", 9_000)


def deleted(paths: Paths) -> None:
    shutil.rmtree(paths.documents / "index")


def another_version(paths: Paths) -> None:
    made = of_chroma(paths)
    made.rename(made.with_name(f"chroma-1.0.0-{made.name.split('-', 2)[2]}"))


@pytest.mark.parametrize("damage", [garbage, cut_short, deleted, another_version])
def test_a_damaged_index_is_made_anew_and_answers_meanwhile(
    paths: Paths, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Paths], None]
) -> None:
    with engine_in(paths.documents, small_embedder(), index=open_index(paths, None, None)) as engine:
        engine.add(texts(tmp_path / "a", "hemp", 30), "ropes")
        settle(engine)
    damage(paths)

    engine = engine_at(paths.documents, small_embedder(), index=open_index(paths, None, None))
    before = engine.retrieve(Wanted("hemp7", ("ropes",)))
    engine.start()
    assert engine.wait_until(lambda: "made anew" in caplog.text, PATIENCE_S)
    settle(engine)
    after = engine.retrieve(Wanted("hemp7", ("ropes",)))
    engine.stop()

    assert any("hemp7" in passage.text for passage in before.passages)
    assert any("hemp7" in passage.text for passage in after.passages)
    assert look_at_what_is_left(paths) == (30, [])
