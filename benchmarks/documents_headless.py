"""What documents add to `--prompt`: the same question with and without them, to the same server, in turn."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.documents_homes import COLLECTION, questions, wait_until_told, worker
from benchmarks.documents_rows import Bench, Row
from benchmarks.headless import Run, once, standin
from console.paths import find_paths

CHUNKS = 10_000
HAWSER = (sys.executable, "-c", "from console.cli import entry; entry()")


def headless(bench: Bench) -> Iterator[Row]:
    environment = bench.filled_home(CHUNKS)
    paths = find_paths(environment)
    with standin() as port:
        paths.config_file.write_text(
            f'[chat]\nmodel = "here/tokens-20"\n[endpoints.here]\nwire = "openai"\n'
            f'base_url = "http://127.0.0.1:{port}/v1"\n'
        )
        with worker(environment) as ask:
            wait_until_told(paths)
            for text in questions(20, seed=7):  # it looks whether the index is sound before it uses it
                ask("retrieve", wanted={"text": text, "collections": [COLLECTION]})
            yield from _added("worker up", environment, bench.rounds, 45)
        yield from _added("no worker", environment, bench.rounds, 400)


def _added(manner: str, environment: Mapping[str, str], rounds: int, most_ms: float) -> Iterator[Row]:
    without: list[Run] = []
    with_documents: list[Run] = []
    for text in questions(rounds + 1):
        plain: Sequence[str] = [*HAWSER, "--no-save", "--prompt", text]
        without.append(once(plain, environment, quiet=True))
        with_documents.append(once([*plain, "-r", COLLECTION], environment, quiet=True))
    pairs = list(zip(without[1:], with_documents[1:], strict=True))  # the first was to warm up
    added = [ours.wall_ms - floor.wall_ms for floor, ours in pairs]
    cpu = statistics.median(ours.cpu_ms - floor.cpu_ms for floor, ours in pairs)
    floor = statistics.median(floor.wall_ms for floor, _ in pairs)
    beside = f"{cpu:.0f} ms of CPU; {floor:.0f} ms without documents"
    yield Row(
        "headless", f"added by {CHUNKS:,} chunks, {manner}", statistics.median(added), "ms", most_ms, beside=beside
    )
