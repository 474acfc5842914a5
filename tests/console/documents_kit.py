"""A documents' worker of its own process with a real engine and chromadb; only its embedder is a small one."""

from __future__ import annotations

import sys

from console.library import worker as worker_process
from console.library.documents_engine import open_index
from rag.readers import Reader
from tests.rag.kit import HashEmbedder, engine_at

COMMAND = (sys.executable, "-m", "tests.console.documents_kit")


def small_embedder() -> HashEmbedder:
    return HashEmbedder(dimension=384)


async def live(held: worker_process.Held) -> None:
    await worker_process.serve(
        held,
        lambda tell: engine_at(
            held.paths.documents,
            small_embedder(),
            index=open_index(held.paths, None, None),
            reader=Reader,
            on_progress=tell,
        ),
        version="0.1.0",
        idle_s=30,
    )


if __name__ == "__main__":
    worker_process.main(live)
