"""Documents in an engine: what is added is found, what changes changes, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path

from rag.documents import Wanted
from tests.rag.kit import HashEmbedder, MemoryIndex, engine_in, settle, write


def test_added_file_is_found_by_words_and_vectors(tmp_path: Path) -> None:
    embedder, index = HashEmbedder(), MemoryIndex()
    paths = write(tmp_path / "notes", ships="A hawser holds a ship to its berth.", tea="Tea is made with hot water.")

    with engine_in(tmp_path / "home", embedder, index=index) as engine:
        added = engine.add([str(path) for path in paths], "notes")
        settle(engine)
        found = engine.retrieve(Wanted("what holds a ship", ("notes",)))

    assert len(added.document_ids) == added.waiting == 2
    assert found.method == "hybrid"
    assert found.passages[0].document == "ships.txt"
    assert found.passages[0].vector_rank == 1
    assert len(embedder.passages) == 2
    assert sum(map(len, index.builds.values())) == 2
