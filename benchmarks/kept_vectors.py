"""Vectors computed once: a benchmark that is tuned asks for the same ones a hundred times."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from rag.embedder import Embedder

if TYPE_CHECKING:
    from rag.embedder import Vectors

_BATCH = 512


class KeptVectors:
    """An embedder behind a file of what it has already said."""

    def __init__(self, file: Path, embedder: Embedder) -> None:
        self.embedder = embedder
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS vectors (hash BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID"
        )

    def of(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        hashes = [blake2b(f"{self.embedder.identity}\0{text}".encode(), digest_size=16).digest() for text in texts]
        self._compute({hash_: text for hash_, text in zip(hashes, texts, strict=True) if self._known(hash_) is None})
        known = [self._known(hash_) for hash_ in hashes]
        return np.frombuffer(b"".join(blob for blob in known if blob), "<f4").reshape(len(texts), -1)

    def _known(self, hash_: bytes) -> bytes | None:
        row = self._connection.execute("SELECT vector FROM vectors WHERE hash = ?", (hash_,)).fetchone()
        return None if row is None else row[0]

    def _compute(self, missing: dict[bytes, str]) -> None:
        if not missing:
            return
        began = time.monotonic()
        items = sorted(missing.items(), key=lambda item: len(item[1]))
        for first in range(0, len(items), _BATCH):
            batch = items[first : first + _BATCH]
            vectors = self.embedder.embed([text for _, text in batch])
            rows = [(hash_, vector.astype("<f4").tobytes()) for (hash_, _), vector in zip(batch, vectors, strict=True)]
            self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
            done = first + len(batch)
            rate = done / (time.monotonic() - began)
            print(f"  embedded {done:,} of {len(items):,}, {rate:.0f}/s", file=sys.stderr)
