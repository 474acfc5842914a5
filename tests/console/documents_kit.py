"""A documents' worker of its own process with a real engine and chromadb; only its embedder is a small one."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

import numpy as np

from console.library import worker as worker_process
from console.library.documents_engine import open_index
from rag.chunks import Rules
from rag.readers import Reader
from tests.rag.kit import HashEmbedder, engine_at

if TYPE_CHECKING:
    from rag.embedder import Vectors

COMMAND = (sys.executable, "-m", "tests.console.documents_kit")
MANY = (*COMMAND, "many")
"""With small chunks, and vectors of which each is found by itself however many there are."""
SMALL = Rules(chunk_tokens=16)


def small_embedder() -> HashEmbedder:
    return HashEmbedder(dimension=384)


class FieldEmbedder(HashEmbedder):
    """Each text is a place in a small field, the same each time: no two are equal, and neighbours are near."""

    def __init__(self) -> None:
        super().__init__("field")
        chance = np.random.default_rng(6)
        self._waves = chance.normal(0, 4, (self.dimension, 3))
        self._phases = chance.uniform(0, 7, self.dimension)

    def vector(self, text: str) -> Vectors:
        place = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=12).digest(), "<u4") / 2**32
        made = np.cos(self._waves @ place + self._phases).astype(np.float32)
        found: Vectors = made / np.linalg.norm(made)
        return found


async def live(held: worker_process.Held) -> None:
    are_many = sys.argv[1:] == ["many"]
    await worker_process.serve(
        held,
        lambda tell: engine_at(
            held.paths.documents,
            FieldEmbedder() if are_many else small_embedder(),
            rules=SMALL if are_many else None,
            index=open_index(held.paths, None, None),
            reader=Reader,
            on_progress=tell,
        ),
        version="0.1.0",
        idle_s=30,
    )


if __name__ == "__main__":
    worker_process.main(live)
