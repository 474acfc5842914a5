"""What the terminal feels of documents that are taken in: the app on a terminal of its own, and a worker at work."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.documents_embedding import CHUNK_TOKENS
from benchmarks.documents_homes import real_chunks, worker
from benchmarks.documents_rows import Bench, Row
from benchmarks.tui_rows import app, busy, echoes, median

CHUNKS = 10_000
IN_FILE = 250
LIBRARY, CHAT = b"\x1bOS", b"\x1bOQ"
LIBRARY_SHOWN = b"terminal"
"""The name of the collection, which stands in the library's room."""
SETTLED_S = 3.0


def terminal(bench: Bench) -> Iterator[Row]:
    environment = bench.new_home(
        '[chat]\nmodel = "here/none"\n[endpoints.here]\nwire = "ollama"\nbase_url = "http://127.0.0.1:9"\n'
    )
    folder = bench.folder / "books"
    folder.mkdir()
    texts = real_chunks(CHUNKS, CHUNK_TOKENS)
    for first in range(0, CHUNKS, IN_FILE):
        (folder / f"{first}.txt").write_text("\n\n".join(texts[first : first + IN_FILE]))
    with app(environment) as program:
        still = median(echoes(program, 30))
    with worker(environment) as ask, app(environment) as program:
        ask("add", paths=[str(folder)], collection="terminal")
        program.send(LIBRARY)  # from here on it hears of the worker's progress
        program.wait_for(LIBRARY_SHOWN)
        program.wait_until_quiet(0.1, 60)
        room = busy(program)
        program.send(CHAT)
        time.sleep(SETTLED_S)
        before = ask("status")["to_embed"]
        echoed = median(echoes(program))
        time.sleep(SETTLED_S)
        taken = busy(program)
        left = ask("status")["to_embed"]
        assert left, "it was done before it was measured"
        ask("pause")
    beside = f"{still:.1f} ms without; {before:,} chunks were left, then {left:,}"
    yield Row("terminal", "a key is echoed while chunks are embedded", echoed, "ms", 25, beside=beside)
    yield Row("terminal", "the app meanwhile, in a chat", taken, "% of a core", 3)
    yield Row("terminal", "the app meanwhile, in the library", room, "% of a core")
