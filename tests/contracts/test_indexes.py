"""What every index of vectors promises, asked of each: chromadb in a folder, a real chroma server, the exact scan."""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rag.documents import Build
from rag.index import VectorIndex
from rag.index_chroma import ChromaIndex
from rag.index_chroma_server import ChromaServerIndex
from rag.index_exact import ExactIndex, exact
from rag.index_sized import SizedIndex

if TYPE_CHECKING:
    from rag.embedder import Vectors

DIMENSION = 16
Opened = Callable[[], VectorIndex]


def build(number: int = 1, stamp: str = "0a1b2c3d") -> Build:
    return Build(number, 1, "hash/16", DIMENSION, "rules", stamp)


def vectors(count: int, seed: int = 0) -> Vectors:
    made = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    lengths: Any = np.linalg.norm(made, axis=1, keepdims=True)
    return np.asarray(made / lengths, np.float32)


def samples(matrix: Vectors, ids: list[int]) -> list[tuple[int, Vectors]]:
    return [(ids[row], matrix[row]) for row in range(0, len(ids), max(1, len(ids) // 8))]


@pytest.fixture(scope="module")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`chroma run` on loopback, for all tests of this file that are run by one process."""
    with chroma_run(tmp_path_factory.mktemp("chroma")) as url:
        yield url


@contextmanager
def chroma_run(folder: Path) -> Iterator[str]:
    with socket.socket() as free:  # the server does not tell which port it was given for 0
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("chroma")), "run", "--path", str(folder), "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder
    )
    assert server.stdout is not None
    said = ""
    while "listening on address" not in said:
        line = server.stdout.readline()
        assert line, f"the chroma server does not start: {said}"
        said += line
    reading = threading.Thread(target=server.stdout.read)
    reading.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
        reading.join()
        server.stdout.close()


@pytest.fixture(params=["embedded", "server", "exact", "sized"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Opens the index of this test; a second call, after closing, finds what the first left."""
    match request.param:
        case "embedded":
            return lambda: ChromaIndex(tmp_path / "index")
        case "server":
            url = request.getfixturevalue("chroma_server")
            library = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:10]
            return lambda: ChromaServerIndex(url, library)
        case "exact":
            return lambda: ExactIndex(tmp_path / "index")
        case _:
            return lambda: sized(tmp_path, most=250)


def sized(folder: Path, most: int) -> SizedIndex:
    return SizedIndex(ChromaIndex(folder / "index"), ExactIndex(folder / "exact"), most)


@pytest.fixture
def index(opened: Opened) -> Iterator[VectorIndex]:
    made = opened()
    yield made
    made.close()


def test_it_finds_what_is_nearest(index: VectorIndex) -> None:
    matrix = vectors(400)
    question = vectors(1, seed=7)[0]
    index.add(build(), list(range(1, 401)), matrix)

    found = index.nearest(build(), question, 10)

    cosines = matrix @ question
    best = (np.argsort(-cosines)[:10] + 1).tolist()
    assert [number for number, _ in found] == best
    assert [cosine for _, cosine in found] == pytest.approx(cosines[np.array(best) - 1].tolist(), abs=1e-4)


def test_an_empty_one_answers_nothing_and_has_no_fault(index: VectorIndex) -> None:
    assert index.nearest(build(), vectors(1)[0], 5) == []
    assert index.size(build()) == 0
    assert index.fault(build(), 0, []) is None
    index.remove(build(), [1, 2])
    index.drop(9)


def test_what_is_said_twice_counts_once(index: VectorIndex) -> None:
    matrix = vectors(20)
    index.add(build(), list(range(20)), matrix)
    index.add(build(), list(range(10, 20)), matrix[10:])
    index.remove(build(), [3, 4])
    index.remove(build(), [3, 4, 99])

    assert index.size(build()) == 18
    assert index.nearest(build(), matrix[3], 1)[0][0] != 3
    assert index.nearest(build(), matrix[15], 1)[0][0] == 15


def test_a_vector_that_changed_is_found_by_what_it_is(index: VectorIndex) -> None:
    old, fresh = vectors(20), vectors(20, seed=3)
    index.add(build(), list(range(20)), old)

    index.add(build(), [5], fresh[5:6])

    ((number, cosine),) = index.nearest(build(), fresh[5], 1)
    assert number == 5
    assert cosine == pytest.approx(1, abs=1e-4)
    assert index.nearest(build(), old[5], 1)[0][1] < 0.99


def test_builds_do_not_see_each_other(index: VectorIndex) -> None:
    matrix = vectors(20)
    index.add(build(1), list(range(10)), matrix[:10])
    index.add(build(2, "ffff"), list(range(10, 20)), matrix[10:])

    assert {number for number, _ in index.nearest(build(1), matrix[12], 20)} == set(range(10))
    index.drop(1)
    assert (index.size(build(1)), index.size(build(2, "ffff"))) == (0, 10)
    assert index.nearest(build(2, "ffff"), matrix[12], 1)[0][0] == 12


def test_a_build_of_the_same_number_and_another_stamp_is_another(index: VectorIndex) -> None:
    index.add(build(1, "aaaa"), [1, 2], vectors(2))

    assert index.size(build(1, "bbbb")) == 0
    assert index.fault(build(1, "bbbb"), 2, []) is not None


def test_it_is_there_when_it_is_opened_again(opened: Opened) -> None:
    matrix = vectors(300)
    first = opened()
    first.add(build(), list(range(300)), matrix)
    first.remove(build(), [7])
    first.close()

    second = opened()

    assert second.size(build()) == 299
    assert second.fault(build(), 299, samples(matrix, list(range(300)))[1:]) is None
    second.close()


def test_a_wrong_count_and_strange_vectors_are_faults(index: VectorIndex) -> None:
    matrix = vectors(40)
    index.add(build(), list(range(40)), matrix)

    assert index.fault(build(), 40, samples(matrix, list(range(40)))) is None
    assert "40 vectors where 41" in (index.fault(build(), 41, []) or "")
    assert "does not find" in (index.fault(build(), 40, samples(vectors(40, seed=5), list(range(40)))) or "")


def test_questions_are_answered_while_vectors_come_in(index: VectorIndex) -> None:
    matrix = vectors(600)
    index.add(build(), [0], matrix[:1])
    failed: list[BaseException] = []

    def add(first: int) -> None:
        try:
            for start in range(first, 600, 100):
                ids = list(range(start, min(start + 50, 600)))
                index.add(build(), ids, matrix[start : start + 50])
        except BaseException as error:
            failed.append(error)

    adding = [threading.Thread(target=add, args=(first,)) for first in (0, 50)]
    for thread in adding:
        thread.start()
    while any(thread.is_alive() for thread in adding):
        assert index.nearest(build(), matrix[0], 1)[0][0] == 0
    for thread in adding:
        thread.join()

    assert not failed
    lost = [row for row in range(600) if index.nearest(build(), matrix[row], 1)[0][0] != row]
    assert (index.size(build()), lost) == (600, [])


def test_vectors_of_another_size_are_a_mistake(index: VectorIndex) -> None:
    with pytest.raises(ValueError, match="are not 2 vectors of 16"):
        index.add(build(), [1, 2], vectors(2)[:, :8])


def test_the_scan_of_what_is_stored_agrees_with_the_index(index: VectorIndex) -> None:
    matrix = vectors(300)
    index.add(build(), list(range(300)), matrix)
    with closing(stored(matrix)) as connection:
        found = exact(connection, [build()], matrix[42], 10)

    theirs = index.nearest(build(), matrix[42], 10)
    assert [number for number, _ in found] == [number for number, _ in theirs]
    assert [cosine for _, cosine in found] == pytest.approx([cosine for _, cosine in theirs], abs=1e-4)


@pytest.mark.parametrize("only", [[7, 42, 100_042], [100_042], []])
def test_the_scan_looks_at_the_given_chunks_alone(only: list[int]) -> None:
    matrix = vectors(50)
    with closing(stored(matrix)) as connection:
        found = exact(connection, [build()], matrix[42], 10, only)

    assert [number for number, _ in found] == [number for number in (42, 7) if number in only]


def stored(matrix: Vectors) -> sqlite3.Connection:
    """A store with these vectors as chunks 0, 1, … of build 1, and as many of another build."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        "CREATE TABLE chunks (id INTEGER PRIMARY KEY, build_id INTEGER);"
        "CREATE TABLE vectors (chunk_id INTEGER PRIMARY KEY, vector BLOB);"
    )
    for row, vector in enumerate(matrix):
        for number, build_id in ((row, 1), (row + 100_000, 2)):
            connection.execute("INSERT INTO chunks VALUES (?, ?)", (number, build_id))
            connection.execute("INSERT INTO vectors VALUES (?, ?)", (number, vector.tobytes()))
    return connection


def test_a_build_too_large_for_memory_moves_to_the_scan_and_stays(tmp_path: Path) -> None:
    matrix = vectors(400)
    index = sized(tmp_path, most=250)
    index.add(build(), list(range(200)), matrix[:200])
    before = index.kind_of(build())
    index.add(build(), list(range(200, 400)), matrix[200:])

    assert (before, index.kind_of(build())) == ("chromadb", "exact scan")
    assert index.fault(build(), 400, samples(matrix, list(range(400)))) is None
    index.remove(build(), list(range(300)))
    assert index.fault(build(), 100, samples(matrix[300:], list(range(300, 400)))) is None
    index.close()
    again = sized(tmp_path, most=250)
    assert (again.kind_of(build()), again.size(build())) == ("exact scan", 100)
    again.drop(1)
    assert again.size(build()) == 0
    again.close()


def test_a_scan_gives_back_the_room_of_what_went(tmp_path: Path) -> None:
    matrix = vectors(3_000)
    index = ExactIndex(tmp_path / "index")
    index.add(build(), list(range(3_000)), matrix)
    full = sum(file.stat().st_size for file in tmp_path.rglob("vectors"))

    index.remove(build(), list(range(2_000)))

    assert sum(file.stat().st_size for file in tmp_path.rglob("vectors")) < full / 2
    assert index.fault(build(), 1_000, [(2_500, matrix[2_500])]) is None
    index.add(build(), [9], matrix[9:10])
    assert index.nearest(build(), matrix[9], 1)[0][0] == 9
    index.close()


def test_a_scan_that_was_cut_short_says_so(tmp_path: Path) -> None:
    index = ExactIndex(tmp_path / "index")
    index.add(build(), list(range(100)), vectors(100))
    index.close()
    (file,) = tmp_path.rglob("vectors")
    os.truncate(file, file.stat().st_size // 2 + 3)

    index = ExactIndex(tmp_path / "index")

    assert index.fault(build(), 100, []) == "It holds 50 vectors where 100 are stored."
    index.close()
