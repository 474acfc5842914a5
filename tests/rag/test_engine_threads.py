"""Threads that work on one engine at a time: what is told last, who waits for many, folders that are given up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from rag.documents import Progress, Wanted
from rag.embedder import Purpose
from rag.taking import hash_of
from tests.rag.kit import PATIENCE_S, HashEmbedder, engine_at, engine_in, opened, settle, write

if TYPE_CHECKING:
    from rag.embedder import Vectors


def test_state_that_is_told_last_is_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Progress] = []
    is_looking, may_tell = Event(), Event()
    engine = engine_at(tmp_path / "home", on_progress=told.append)
    look = engine.status

    def slow_look() -> Progress:
        seen = look()
        if threading.current_thread() is resuming:
            is_looking.set()
            may_tell.wait(PATIENCE_S)
        return seen

    monkeypatch.setattr(engine, "status", slow_look)
    resuming = Thread(target=engine.resume)
    pausing = Thread(target=engine.pause)

    resuming.start()
    assert is_looking.wait(PATIENCE_S)
    pausing.start()
    pausing.join(0.2)  # it waits for the first, or has told by then
    may_tell.set()
    resuming.join()
    pausing.join()

    assert [each.paused for each in told] == [False, True]
    engine.stop()


def test_work_goes_on_when_its_state_cannot_be_told(tmp_path: Path) -> None:
    told: list[Progress] = []
    engine = engine_at(tmp_path / "home", on_progress=told.append)
    file = tmp_path / "home" / "documents.db"
    file.rename(tmp_path / "aside.db")
    file.mkdir()  # what stands there by now cannot be opened

    engine.pause()

    assert not told
    engine.stop()


def test_waiting_for_many_looks_at_each_once(tmp_path: Path) -> None:
    texts = {f"note{number:03d}": f"the text of note {number}" for number in range(60)}
    paths = [str(path) for path in write(tmp_path / "files", **texts)]
    with engine_in(tmp_path / "home") as engine:
        engine.pause()
        ids = engine.add(paths, "notes").document_ids
        asked: list[str] = []
        engine._store.connection.set_trace_callback(asked.append)
        assert not engine.wait(ids, "lexical", 0)

        engine.resume()

        assert engine.wait(ids, "lexical", PATIENCE_S)
        engine._store.connection.set_trace_callback(None)
    looked_at = [each for each in asked if "AND state = 'waiting' AND id =" in each]
    assert 60 <= len(looked_at) <= 3 * 60


def test_document_that_is_waited_for_gets_its_vectors_first(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    texts = {f"note{number:03d}": f"the text of note {number}" for number in range(40)}
    paths = [str(path) for path in write(tmp_path / "files", **texts)]
    with engine_in(tmp_path / "home", embedder) as engine:
        engine.pause()
        ids = engine.add(paths, "notes").document_ids
        assert not engine.wait(ids[-1:], "ready", 0)

        engine.resume()
        settle(engine)

    assert "note 39" in embedder.passages[0]


def test_question_whose_vector_is_none_is_found_by_words(tmp_path: Path) -> None:
    class Strange(HashEmbedder):
        def embed(self, texts: Sequence[str], purpose: Purpose = "passage") -> Vectors:
            vectors = super().embed(texts, purpose)
            return vectors if purpose == "passage" else vectors[:, :3]

    paths = [str(path) for path in write(tmp_path / "files", one="the rope of the harbour")]
    with engine_in(tmp_path / "home", Strange()) as engine:
        engine.add(paths, "notes")
        settle(engine)

        found = engine.retrieve(Wanted("harbour rope"))

    assert [each.document for each in found.passages] == ["one.txt"]
    assert any("gave vectors of the shape (1, 3)" in note for note in found.notes)


def test_removed_collection_ends_the_watching_of_its_folders(tmp_path: Path) -> None:
    write(tmp_path / "files", one="a text")
    with engine_in(tmp_path / "home") as engine:
        folder = engine.watch("notes", str(tmp_path / "files"))
        [watching] = [each for each in threading.enumerate() if each.name == f"documents: folder {folder.id}"]

        engine.forget("notes")

        watching.join(PATIENCE_S)
        assert not watching.is_alive()


def test_moved_files_of_one_size_are_read_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    before = {f"note{number:02d}": f"the text of note {number:02d}" for number in range(12)}
    files = write(tmp_path / "files", **before)
    with engine_in(tmp_path / "home") as engine:
        engine.add([str(tmp_path / "files")], "notes")
        settle(engine)
        with opened(tmp_path) as store:
            ids = {document.id for document in store.documents("notes")}
        for file in files:
            file.rename(file.with_name(f"moved-{99 - int(file.stem[4:])}.txt"))

        def noted(file: str, stopped: Callable[[], bool]) -> str:
            hashed.append(file)
            return hash_of(file, stopped)

        monkeypatch.setattr("rag.adding.hash_of", noted)

        engine.add([str(tmp_path / "files")], "notes")

        with opened(tmp_path) as store:
            assert {document.id for document in store.documents("notes")} == ids
    assert len(hashed) == len(set(hashed)) <= 12
