"""The documents' worker killed again and again while it reads and embeds with the real model; what is lost?

    python -m benchmarks.killed_ingest [ROUNDS]

Each round adds files over the socket, and kills the worker with signal 9 at a random moment soon after. At the
end every document that was acknowledged must be ready, and every vector must be found by itself through chromadb.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

FILES_PER_ROUND = 6
PARAGRAPHS = 4
LONGEST_LIFE_S = 1.5
WORDS = ("hawser", "rope", "ship", "berth", "knot", "splice", "hemp", "sisal", "deck", "tide", "harbour", "anchor")


def text_of(number: int) -> str:
    chance = random.Random(number)
    return "\n\n".join(
        f"Paragraph {line} of document {number}: {' '.join(chance.choices(WORDS, k=120))}."
        for line in range(PARAGRAPHS)
    )


async def ingest(home: Path, rounds: int) -> tuple[list[int], list[float]]:
    """Returns the documents that were acknowledged, and how long each worker lived."""
    from console.library.client import connect
    from console.paths import find_paths

    paths = find_paths()
    chance = random.Random(6)
    acknowledged: list[int] = []
    lives: list[float] = []
    for turn in range(rounds):
        client = await connect(paths)
        files = []
        for number in range(turn * FILES_PER_ROUND, (turn + 1) * FILES_PER_ROUND):
            files.append(home / "files" / f"file{number}.txt")
            files[-1].write_text(text_of(number))
        acknowledged += (await client.call("add", paths=[str(each) for each in files], collection="ropes"))[
            "document_ids"
        ]
        lives.append(chance.uniform(0, LONGEST_LIFE_S))
        await asyncio.sleep(lives[-1])
        os.kill(client.worker_pid, signal.SIGKILL)
        await client.close()
    client = await connect(paths)
    while not await client.call("wait", documents=acknowledged, until="ready", seconds=60):
        left = (await client.call("status"))["waiting"]
        print(f"  {left} documents wait", flush=True)
    os.kill(client.worker_pid, signal.SIGTERM)
    await client.close()
    return acknowledged, lives


def look(acknowledged: list[int]) -> None:
    """The worker holds the index as long as it lives."""
    from console.library.documents_engine import open_index
    from console.library.place import worker_place
    from console.paths import find_paths
    from rag import rows

    paths = find_paths()
    with worker_place(paths).lock.open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    with closing(sqlite3.connect(paths.documents_file)) as connection:
        (build,) = rows.builds(connection, "WHERE embedder IS NOT NULL")
        stored = connection.execute("SELECT chunk_id, vector FROM vectors").fetchall()
        states = dict(connection.execute("SELECT state, count(*) FROM documents GROUP BY state").fetchall())
        here = {row[0] for row in connection.execute("SELECT id FROM documents")}
        (chunks,) = connection.execute("SELECT count(*) FROM chunks").fetchone()
        sound = connection.execute("PRAGMA integrity_check").fetchone()[0]
        errors = connection.execute("SELECT error FROM documents WHERE error IS NOT NULL").fetchall()
    index = open_index(paths, None, None)
    lost = [
        number
        for number, vector in stored
        if number not in {found for found, _ in index.nearest(build, np.frombuffer(vector, "<f4"), 8)}
    ]
    print(f"acknowledged {len(acknowledged)}, gone {len(set(acknowledged) - here)}, states {states}, {errors[:3]}")
    print(f"embedder {build.embedder}; chunks {chunks}, vectors {len(stored)}, in the index {index.size(build)}")
    print(f"vectors not found by themselves: {len(lost)}; integrity of the file: {sound}")
    index.close()


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="hw") as folder:
        home = Path(folder)
        (home / "files").mkdir()
        (home / "run").mkdir(mode=0o700)
        os.environ.update(HAWSER_HOME=str(home / "home"), XDG_RUNTIME_DIR=str(home / "run"), HAWSER_ISOLATED="1")
        began = time.perf_counter()
        acknowledged, lives = asyncio.run(ingest(home, rounds))
        took_s = time.perf_counter() - began
        print(f"killed {rounds} times after {min(lives):.2f} to {max(lives):.2f} s; {took_s:.0f} s in all")
        look(acknowledged)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
