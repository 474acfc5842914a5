"""Homes for the benchmarks of documents: libraries of every size, their worker, and the model that is kept ready."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.retrieval import vocabulary
from console.errors import NoWorker, WorkerFailed
from console.library.once import ask_once
from console.library.place import holder, worker_place
from console.paths import Paths, find_paths
from rag import rows, writes
from rag.chunks import Rules
from rag.documents import Build, Chunk, Span
from rag.embedder import DEFAULT
from rag.layout import pack
from rag.minilm import DIMENSION
from rag.model_files import model_folder, ready_model
from rag.readers import DocumentText
from rag.store import DocumentStore

if TYPE_CHECKING:
    from rag.embedder import Vectors

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache"
COLLECTION = "manuals"
CHUNKS_IN_DOCUMENT = 100
LONGEST_WAIT_S = 1800.0


def model() -> Path:
    """The built-in model, converted from installed weights at the first call and kept in `.cache`."""
    return ready_model(CACHE / "embedders")


def home(folder: Path, settings: str = "") -> dict[str, str]:
    """The environment of a user who has the built-in model and these settings."""
    environment = {
        "HAWSER_HOME": str(folder),
        "HAWSER_ISOLATED": "1",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
    }
    paths = find_paths(environment)
    paths.config.mkdir(parents=True, exist_ok=True)
    paths.config_file.write_text(settings)
    shutil.copytree(model(), model_folder(paths.embedders), dirs_exist_ok=True)
    return environment


# ---- libraries


def fill(
    paths: Paths, count: int, *, words_in_chunk: int = 130, made: Callable[[Build, Any, Vectors], None] | None = None
) -> None:
    """So many chunks of words that are as frequent as in a language, with made-up vectors near each other in groups.
    The index has yet to be told of them, unless `made` tells it."""
    import numpy as np

    chance, numbers = random.Random(2), np.random.default_rng(2)
    words, often = vocabulary()
    middles = numbers.standard_normal((256, DIMENSION), np.float32)
    store = DocumentStore.open(paths.documents_file)
    with closing(store):
        store.connection.execute("PRAGMA cache_size = -200000")
        with store.write() as connection:
            collection_id = writes.add_collection(connection, COLLECTION, 0)
            chunking = f"{Rules().name} {DEFAULT}"
            build = writes.add_build(connection, collection_id, DEFAULT, DIMENSION, chunking, 0)
            connection.execute("UPDATE collections SET live_build = ? WHERE id = ?", (build.id, collection_id))
        for first in range(0, count, CHUNKS_IN_DOCUMENT):
            size = min(CHUNKS_IN_DOCUMENT, count - first)
            matter = chance.sample(words[300:], 40)
            drawn = iter(chance.choices(words, cum_weights=often, k=size * (words_in_chunk - 20)))
            texts = [
                " ".join([*(next(drawn) for _ in range(words_in_chunk - 20)), *chance.choices(matter, k=20)])
                for _ in range(size)
            ]
            vectors = middles[numbers.integers(0, 256, size)] + numbers.standard_normal((size, DIMENSION), np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            with store.write() as connection:
                connection.execute("PRAGMA defer_foreign_keys = ON")
                ids = _document(connection, collection_id, build, first // CHUNKS_IN_DOCUMENT, texts)
                writes.write_vectors(
                    connection, zip(ids, (vector.astype("<f4").tobytes() for vector in vectors), strict=True)
                )
                if made is not None:
                    made(build, ids, vectors)
                    connection.executemany("UPDATE chunks SET indexed = 1 WHERE id = ?", [(each,) for each in ids])


def _document(
    connection: sqlite3.Connection, collection_id: int, build: Build, number: int, texts: list[str]
) -> list[int]:
    name = f"{number}.txt"
    text = "\n\n".join(texts)
    row = connection.execute(
        "INSERT INTO documents (collection_id, path, name, media_type, size_bytes, modified_ns, characters, state, "
        "was_ready, added_at, read_at) VALUES (?, ?, ?, 'text/plain', ?, 0, ?, 'ready', 1, 0, 0)",
        (collection_id, f"/manuals/{number % 50}/{name}", name, len(text), len(text)),
    )
    assert row.lastrowid is not None
    writes.write_text(connection, row.lastrowid, pack(DocumentText(name, "text/plain", text, (), ())))
    chunks, start = [], 0
    for at, one in enumerate(texts):
        span = Span(start, start + len(one), 2 * at + 1, 2 * at + 1)
        chunks.append(Chunk(one, (), span, 250, blake2b(one.encode(), digest_size=16).digest()))
        start += len(one) + 2
    # Without `write_chunks`, which looks for equal chunks elsewhere: there are none.
    before = connection.execute("SELECT coalesce(max(id), 0) FROM chunks").fetchone()[0]
    connection.executemany(
        "INSERT INTO chunks (build_id, document_id, text, headings, hash, position, char_from, char_to, line_from, "
        "line_to, page_from, page_to, tokens) VALUES (?, ?, ?, '', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (build.id, row.lastrowid, each.text, each.hash, at, *each.span, each.tokens)
            for at, each in enumerate(chunks)
        ],
    )
    return list(range(before + 1, before + 1 + len(chunks)))


def questions(count: int, seed: int = 3) -> list[str]:
    """Of two to eight words, rare ones and common ones."""
    chance = random.Random(seed)
    words, often = vocabulary()
    return [
        " ".join(chance.choices(words[100:], cum_weights=often[100:], k=chance.randint(2, 8))) for _ in range(count)
    ]


def real_chunks(count: int, tokens: int) -> list[str]:
    """Pieces of so many tokens of this project's own pages and sources, all different: round after round through
    them, each from another place."""
    from rag.minilm import WordPieces

    pieces = WordPieces(model() / "tokenizer.json", DEFAULT)
    text = " ".join(
        " ".join(re.findall(r"\S+", page.read_text()))
        for page in sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("console/**/*.py"), *ROOT.glob("rag/**/*.py")])
    )
    places = pieces.offsets(text)
    found: list[str] = []
    shift = 0
    while len(found) < count:
        for first in range(shift, len(places) - tokens, tokens):
            found.append(text[places[first][0] : places[first + tokens - 1][1]])
        shift += 37
    return found[:count]


# ---- the worker


@contextmanager
def worker(environment: Mapping[str, str]) -> Iterator[Callable[..., Any]]:
    """A real one, until the end of the block; gives what asks it."""
    paths = find_paths(dict(environment))
    command = [sys.executable, "-m", "console.library.worker"]
    subprocess.run(
        command, env=dict(environment), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True
    )

    def ask(do: str, limit_s: float = 600.0, **arguments: Any) -> Any:
        return ask_once(paths, do, arguments, limit_s)

    try:
        yield ask
    finally:
        leave(paths, ask)


def leave(paths: Paths, ask: Callable[..., Any]) -> None:
    pid = holder(worker_place(paths))[0]
    try:
        ask("leave", 10.0)
    except (NoWorker, WorkerFailed):
        pass  # it went by itself
    while pid is not None and Path(f"/proc/{pid}").exists():
        time.sleep(0.05)


def worker_pid(environment: Mapping[str, str]) -> int:
    pid = holder(worker_place(find_paths(dict(environment))))[0]
    assert pid is not None
    return pid


def wait_until_told(paths: Paths) -> None:
    """Until the index knows every vector and every chunk has one."""
    until = time.monotonic() + LONGEST_WAIT_S
    with closing(sqlite3.connect(f"file:{paths.documents_file}?mode=ro", uri=True)) as connection:
        while connection.execute(
            "SELECT EXISTS (SELECT 1 FROM chunks WHERE indexed = 0)"
            " OR EXISTS (SELECT 1 FROM documents WHERE state IN ('waiting', 'reading', 'lexical'))"
        ).fetchone()[0]:
            if time.monotonic() > until:
                raise TimeoutError("the index was not told of everything")
            time.sleep(0.1)


def builds(paths: Paths) -> list[Build]:
    with closing(DocumentStore.open(paths.documents_file, read_only=True)) as store, store.read() as connection:
        return rows.builds(connection, "")
