"""The worker of the documents in a process of its own: the real engine over an embedder of tests; and an app over it.

`python -m tests.screens.library_worker` is that process; `with_library` makes the app of a test use it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from console import __version__
from console.library import client
from console.library import worker as worker_process
from console.runtime import Runtime
from screens.app import HawserApp
from tests.screens.kit import running

COMMAND = (sys.executable, "-m", "tests.screens.library_worker")
SETTINGS = """
[chat]
model = "box/llama3.1:8b"
[endpoints.box]
wire = "ollama"
base_url = "http://127.0.0.1:9"
"""


@asynccontextmanager
async def with_library(
    home: Path, monkeypatch: Any, settings: str = SETTINGS, **more: Any
) -> AsyncIterator[tuple[HawserApp, Pilot[int]]]:
    """The app; a worker is started when it is first needed, and is told to leave at the end."""
    monkeypatch.setenv("HAWSER_HOME", str(home))
    async with running(home, settings, before=use_worker, **more) as (app, pilot):
        try:
            yield app, pilot
        finally:
            end_worker(app)


def use_worker(runtime: Runtime) -> None:
    """This process is the one that is started when the documents are first needed."""
    runtime.library._connect = partial(client.connect, command=COMMAND)


def end_worker(app: HawserApp) -> None:
    worker = app.runtime.library._client
    if worker is not None and worker.worker_pid:
        os.kill(worker.worker_pid, signal.SIGTERM)


async def live(held: worker_process.Held) -> None:
    from tests.rag.kit import HashEmbedder, MemoryIndex, engine_at

    folder, index = held.paths.documents, MemoryIndex()
    await worker_process.serve(
        held,
        lambda tell: engine_at(folder, HashEmbedder(), index=index, on_progress=tell, secret_in=_secret_in),
        version=__version__,
        idle_s=30.0,
    )


def _secret_in(path: str, text: str | None) -> str | None:
    from console.secret_marks import secret_in

    return secret_in(Path(path).read_text(errors="replace") if text is None else text)


if __name__ == "__main__":
    worker_process.main(live)
