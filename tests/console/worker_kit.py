"""A documents' worker of its own process around a small engine, and what tests do to it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from console.library import worker as worker_process
from console.library.client import WorkerClient, connect
from console.paths import Paths
from rag.documents import Passage, Retrieved, Span, Wanted
from rag.errors import UnknownName
from rag.worker import Tell

COMMAND = (sys.executable, "-m", "tests.console.worker_kit")


class SmallProgress(NamedTuple):
    collection: str
    done: int


class SmallEngine:
    """Keeps what it was told in a file, so that a test sees what outlived a process."""

    def __init__(self, folder: Path, tell: Tell) -> None:
        self.folder = folder
        self._tell = tell
        self._gate = threading.Event()

    def start(self) -> None:
        with (self.folder / "starts").open("a") as file:
            file.write(f"{os.getpid()}\n")

    def stop(self) -> None:
        (self.folder / "stopped").write_text(str(os.getpid()))

    def is_busy(self) -> bool:
        return (self.folder / "work").exists()

    def status(self) -> SmallProgress:
        return SmallProgress("", 0)

    def add(self, paths: Sequence[str], collection: str, **more: Any) -> list[str]:
        with (self.folder / "added").open("a") as file:
            file.write("".join(f"{collection} {path}\n" for path in paths))
            os.fsync(file.fileno())
        for number in range(1_000):
            self._tell(SmallProgress(collection, number))
        self._tell(SmallProgress(collection, 1000))
        return list(paths)

    def remove(self, collection: str, documents: Sequence[int] | None = None) -> int:
        self._die_if_told()
        return 0

    def rename(self, collection: str, name: str) -> None:
        raise UnknownName(f"There is no collection {collection!r}.", hint="Ask for the list.")

    def reindex(self, collection: str, embedder: str | None = None) -> None:
        """A slow thing: until a test lets it end."""
        (self.folder / "reindexing").touch()
        self._gate.wait(30)

    def pause(self) -> None:
        self._gate.set()

    def wait(self, documents: Sequence[int], until: str, seconds: float) -> bool:
        return self._gate.wait(seconds)

    def retrieve(self, wanted: Wanted) -> Retrieved:
        text = "x" * (wanted.top_k * 1_000_000) if wanted.text == "much" else f"about {wanted.text}"
        if wanted.text == "die":
            self._die_if_told()
        span = Span(0, len(text), 1, 1)
        found = Passage("c", 1, "d", "/d", (), text, span, 3, 1.0, 1, 2.0, None, None, "", (b"\x01\xff",))
        return Retrieved((found,), notes=(str(os.getpid()),))

    def _die_if_told(self) -> None:
        """As often as the file says, it is ended without a word while it answers."""
        file = self.folder / "deaths"
        left = int(file.read_text()) if file.exists() else 0
        if left:
            file.write_text(str(left - 1))
            os.kill(os.getpid(), signal.SIGKILL)


def write_deaths(paths: Paths, count: int) -> None:
    paths.documents.mkdir(parents=True, exist_ok=True)
    (paths.documents / "deaths").write_text(str(count))


@asynccontextmanager
async def client_of(paths: Paths, **more: Any) -> AsyncIterator[WorkerClient]:
    client = await connect(paths, command=COMMAND, **more)
    try:
        yield client
    finally:
        await client.close()


def lines_of(paths: Paths, name: str) -> list[str]:
    file = paths.documents / name
    return file.read_text().splitlines() if file.exists() else []


async def live(held: worker_process.Held) -> None:
    await worker_process.serve(
        held,
        lambda tell: SmallEngine(held.paths.documents, tell),
        version=os.environ.get("SMALL_VERSION", "0.1.0"),
        idle_s=float(os.environ.get("SMALL_IDLE_S", "30")),
    )


if __name__ == "__main__":
    worker_process.main(live)
