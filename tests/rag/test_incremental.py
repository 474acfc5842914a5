"""Whatever happened to the files before: what is indexed is what a fresh index of them would be."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.chunks import Rules
from rag.store import DocumentStore
from tests.rag.kit import HashEmbedder, MemoryIndex, engine_in, settle, write

NAMES = ("one", "two", "three")
RULES = Rules(chunk_tokens=16)
Kind: TypeAlias = Literal["write", "append", "delete", "rename", "restart", "again"]


class Edit(NamedTuple):
    kind: Kind
    name: str
    other: str
    words: tuple[int, ...]


class State(NamedTuple):
    documents: dict[str, str | None]
    """State by path; copies aside."""
    chunks: Counter[tuple[object, ...]]
    vectors: dict[bytes, bytes]
    """By the hash of the chunk."""
    found: Counter[str]


edits = st.builds(
    Edit,
    st.sampled_from(["write", "append", "delete", "rename", "restart", "again"]),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    st.lists(st.integers(0, 12), min_size=1, max_size=12).map(tuple),
)


def text_of(words: Sequence[int]) -> str:
    return "\n\n".join(
        f"Paragraph {word} of words{word} tells what word{word * 7} is about, at length." for word in words
    )


@settings(max_examples=15, deadline=None)
@given(st.lists(edits, min_size=1, max_size=7))
def test_incremental_index_is_a_fresh_one(history: list[Edit]) -> None:
    with tempfile.TemporaryDirectory() as root:
        files = Path(root) / "files"
        files.mkdir()
        old, index = HashEmbedder(), MemoryIndex()
        remaining = list(history)
        while remaining:
            with engine_in(Path(root) / "home", old, index=index, rules=RULES) as engine:
                engine.create("all")
                while remaining:
                    edit = remaining.pop(0)
                    if edit.kind == "restart":
                        break
                    _do(files, edit)
                    _follow(engine, Path(root) / "home", files)
                    if edit.kind != "again":
                        settle(engine)
                settle(engine)
        new = HashEmbedder()
        with engine_in(Path(root) / "fresh", new, index=MemoryIndex(), rules=RULES) as engine:
            engine.create("all")
            _follow(engine, Path(root) / "fresh", files)
            settle(engine)

        assert _state(Path(root) / "home") == _state(Path(root) / "fresh")


def _do(files: Path, edit: Edit) -> None:
    path, other = files / f"{edit.name}.txt", files / f"{edit.other}.txt"
    match edit.kind:
        case "write":
            write(files, **{edit.name: text_of(edit.words)})
            path.touch()
        case "append":
            before = path.read_text() if path.exists() else ""
            write(files, **{edit.name: f"{before}\n\n{text_of(edit.words)}"})
            path.touch()
        case "delete":
            path.unlink(missing_ok=True)
        case "rename" if path.exists():
            path.rename(other)
        case _:
            pass


def _follow(engine: object, home: Path, files: Path) -> None:
    """What a watched folder does."""
    from rag.engine import Engine

    assert isinstance(engine, Engine)
    engine.add([str(files)], "all")
    store = DocumentStore.open(home / "documents.db", read_only=True)
    try:
        gone = [document.id for document in store.documents("all") if not Path(document.path).exists()]
    finally:
        store.close()
    if gone:
        engine.remove("all", gone)


def _state(home: Path) -> State:
    store = DocumentStore.open(home / "documents.db", read_only=True)
    try:
        connection = store.connection
        documents = {Path(each.path).name: each.sha256 for each in store.documents("all")}
        chunks = Counter(
            connection.execute(
                "SELECT d.sha256, position, c.text, headings, char_from, char_to, line_from, line_to, tokens, hash "
                "FROM chunks c JOIN documents d ON d.id = c.document_id"
            ).fetchall()
        )
        vectors = dict(connection.execute("SELECT hash, vector FROM chunks JOIN vectors ON chunk_id = id").fetchall())
        found = Counter(
            row[0]
            for row in connection.execute(
                "SELECT c.text FROM words JOIN chunks c ON c.id = words.rowid WHERE words MATCH 'paragraph'"
            )
        )
        assert len(vectors) == len({row[-1] for row in chunks})
    finally:
        store.close()
    return State(dict(documents), chunks, vectors, found)
