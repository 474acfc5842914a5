"""What happens to chromadb's folder, and what is said about it: it never answers with less than is in it unnoticed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rag.documents import Build
from rag.errors import IndexBroken, IndexUnreachable
from rag.index_chroma import ChromaIndex
from rag.index_chroma_server import ChromaServerIndex

if TYPE_CHECKING:
    from rag.embedder import Vectors

DIMENSION = 16
COUNT = 2_100
"""More than chromadb keeps aside before it writes its graph."""
BUILD = Build(1, 1, "hash/16", DIMENSION, "rules", "0a1b2c3d")
Damage = Callable[[Path], object]


def vectors(count: int = COUNT, seed: int = 0) -> Vectors:
    made = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    lengths: Any = np.linalg.norm(made, axis=1, keepdims=True)
    return np.asarray(made / lengths, np.float32)


MATRIX = vectors()
SAMPLES = [(row, MATRIX[row]) for row in range(0, COUNT, COUNT // 12)]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "index"
    index = ChromaIndex(folder)
    index.add(BUILD, list(range(COUNT)), MATRIX)
    assert index.fault(BUILD, COUNT, SAMPLES) is None
    index.close()
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "index"))


@pytest.fixture
def index(folder: Path) -> Iterator[ChromaIndex]:
    made = ChromaIndex(folder)
    yield made
    made.close()


def of_build(folder: Path) -> Path:
    (path,) = folder.glob("chroma-*")
    return path


def graph(folder: Path) -> Path:
    (path,) = [each for each in of_build(folder).iterdir() if each.is_dir()]
    return path


def cut_in_half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def fill_with_garbage(file: Path) -> None:
    file.write_bytes(b"\x55garbage" * 1000)


DAMAGES: dict[str, Damage] = {
    "all of it deleted": shutil.rmtree,
    "the folder deleted": lambda folder: shutil.rmtree(of_build(folder)),
    "the graph deleted": lambda folder: shutil.rmtree(graph(folder)),
    "the vectors cut": lambda folder: cut_in_half(graph(folder) / "data_level0.bin"),
    "the list deleted": lambda folder: (graph(folder) / "index_metadata.pickle").unlink(),
    "the list garbage": lambda folder: fill_with_garbage(graph(folder) / "index_metadata.pickle"),
    "the header garbage": lambda folder: fill_with_garbage(graph(folder) / "header.bin"),
    "the database deleted": lambda folder: (of_build(folder) / "chroma.sqlite3").unlink(),
    "the database garbage": lambda folder: fill_with_garbage(of_build(folder) / "chroma.sqlite3"),
    "the database cut": lambda folder: cut_in_half(of_build(folder) / "chroma.sqlite3"),
}


LOOK = """
import sys
from pathlib import Path
from rag.index_chroma import ChromaIndex
from tests.rag.test_index_faults import BUILD, COUNT, SAMPLES
index = ChromaIndex(Path(sys.argv[1]))
print(index.fault(BUILD, COUNT, SAMPLES), flush=True)
index.close()
"""


def looked_at(folder: Path) -> str:
    """What a process of its own says of it; nothing when it ends instead, as chromadb does with some damaged files."""
    looking = [sys.executable, "-c", LOOK, str(folder)]
    return subprocess.run(looking, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True).stdout.strip()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_noticed_and_mended_from_the_vectors(folder: Path, damage: Damage) -> None:
    damage(folder)

    fault = looked_at(folder) or looked_at(folder)
    index = ChromaIndex(folder)
    index.drop(BUILD.id)
    index.add(BUILD, list(range(COUNT)), MATRIX)

    assert fault
    assert fault != "None"
    assert index.fault(BUILD, COUNT, SAMPLES) is None
    index.close()


ENDED = """
import os, sys
from pathlib import Path
from rag.index_chroma import ChromaIndex
from tests.rag.test_index_faults import BUILD, COUNT, SAMPLES
index = ChromaIndex(Path(sys.argv[1]))
index.nearest = lambda *asked: os.kill(os.getpid(), 9)
index.fault(BUILD, COUNT, SAMPLES)
"""


def test_files_that_end_the_process_are_not_looked_at_again(folder: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", ENDED, str(folder)], cwd=Path(__file__).parents[2])
    index = ChromaIndex(folder)

    fault = index.fault(BUILD, COUNT, SAMPLES)
    is_there = index.has(BUILD)
    index.add(BUILD, list(range(COUNT)), MATRIX)

    assert ended.returncode == -9
    assert fault == "A process ended while it looked at it."
    assert not is_there
    assert index.fault(BUILD, COUNT, SAMPLES) is None
    index.close()


LOCK = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(code: str, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the code until the end of the test, once it has said that it holds what it shall hold."""
    command = [sys.executable, "-c", code, str(path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        yield other
        other.kill()


def test_a_folder_that_somebody_holds_is_not_waited_for(folder: Path) -> None:
    index = ChromaIndex(folder, open_limit_s=0.3)
    with another_process(LOCK, of_build(folder) / "chroma.sqlite3"):
        with pytest.raises(IndexBroken, match=r"database is locked"):
            index.nearest(BUILD, MATRIX[0], 5)
        index.add(BUILD, list(range(COUNT)), MATRIX)

        assert index.fault(BUILD, COUNT, SAMPLES) is None
    index.close()


HOLD = """
import sys
from pathlib import Path
from rag.index_chroma import ChromaIndex
index = ChromaIndex(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_only_one_process_opens_it_and_a_killed_one_lets_it_go(folder: Path) -> None:
    with another_process(HOLD, folder) as other:
        with pytest.raises(IndexUnreachable, match="another process"):
            ChromaIndex(folder)
        other.kill()
        other.wait()

        index = ChromaIndex(folder)
        assert index.fault(BUILD, COUNT, SAMPLES) is None
        index.close()


def test_what_another_version_made_is_removed(folder: Path) -> None:
    of_build(folder).rename(folder / f"chroma-1.0.0-1-{BUILD.stamp}-0")

    index = ChromaIndex(folder)

    assert index.size(BUILD) == 0
    assert list(folder.glob("chroma-*")) == []
    index.close()


def test_another_librarys_under_our_name_is_not_asked(folder: Path) -> None:
    ours = BUILD._replace(stamp="ffff")
    of_build(folder).rename(folder / of_build(folder).name.replace(BUILD.stamp, "ffff"))
    index = ChromaIndex(folder)

    with pytest.raises(IndexBroken, match="another library's"):
        index.nearest(ours, MATRIX[0], 5)

    assert index.size(ours) == 0
    index.close()


def test_an_older_life_of_a_build_goes_when_the_next_one_comes(index: ChromaIndex, folder: Path) -> None:
    index.add(BUILD._replace(stamp="ffff"), [1], MATRIX[:1])

    assert [path.name.split("-")[3] for path in folder.glob("chroma-*")] == ["ffff"]


def test_dropping_gives_the_space_back(index: ChromaIndex, folder: Path) -> None:
    assert index.nearest(BUILD, MATRIX[3], 1)[0][0] == 3

    index.drop(BUILD.id)

    assert sorted(path.name for path in folder.iterdir()) == ["lock"]


def test_mostly_dead_space_is_a_fault(index: ChromaIndex) -> None:
    index.remove(BUILD, list(range(200, COUNT)))

    fault = index.fault(BUILD, 200, [(3, MATRIX[3])])

    assert fault == "It takes the room of 2,100 vectors for 200."


def test_more_builds_than_are_open_at_once_all_answer(index: ChromaIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.index_chroma.MOST_OPEN", 2)
    builds = [BUILD._replace(id=number, stamp=f"{number:x}") for number in range(2, 7)]
    for build in builds:
        index.add(build, [build.id], MATRIX[build.id : build.id + 1])

    found = [index.nearest(build, MATRIX[build.id], 1)[0][0] for build in builds]

    assert found == [2, 3, 4, 5, 6]
    assert len(index._open) == 2


def test_nothing_is_sent_anywhere_and_no_model_is_asked_for(index: ChromaIndex) -> None:
    index.nearest(BUILD, MATRIX[0], 1)

    _, client, collection = index._open[BUILD.stamp]
    assert client.get_settings().anonymized_telemetry is False
    assert collection._embedding_function is None


def test_a_server_that_is_not_there_is_said_to_be_away() -> None:
    index = ChromaServerIndex("http://127.0.0.1:1", "abc")

    with pytest.raises(IndexUnreachable, match=r"http://127\.0\.0\.1:1 cannot be used"):
        index.nearest(BUILD, MATRIX[0], 1)
    with pytest.raises(IndexUnreachable):
        index.fault(BUILD, 5, [])
    with pytest.raises(IndexUnreachable, match="no address"):
        ChromaServerIndex("chroma.example", "abc").size(BUILD)
