"""The terminal app on a terminal of its own: how fast it is there, what it takes, how soon it answers a key.

    python -m benchmarks.tui                        every part, against floors and peers of the same run
    python -m benchmarks.tui --only first-frame,idle --rounds 5 --no-peers

Floors are `python -c pass` and the smallest Textual app. Every round runs each case once, in turn, so that a busy
moment hits all of them; figures are medians, and limits that are shares of a floor compare within a round. Answers
come from the simulated Ollama in a process of its own; the peers ask the same one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path

from benchmarks.pty_drive import NotSeen, PtyProgram
from benchmarks.tui_beside import beside
from benchmarks.tui_homes import LAST_WORDS, ROOT, fill, forget_frame, long_answer, long_chat, services
from benchmarks.tui_lists import chats
from benchmarks.tui_rows import (
    APP,
    MARKS,
    QUIET_S,
    READY,
    Bench,
    Row,
    app,
    ask,
    busy,
    echoes,
    median,
    percentile,
    ratio,
)

PASS = (sys.executable, "-c", "import os; os.write(1, b'passed')")
SMALLEST = (
    sys.executable,
    "-c",
    "from textual.app import App\nfrom textual.widgets import Static\n"
    "class Smallest(App):\n    def compose(self):\n        yield Static('ready')\nSmallest().run()",
)
EARLY = b"\x1b[?1049h"
QUIT = b"\x11"
LONGEST_TOKENS = 50_000


# ---- the first frame


def first_frame(bench: Bench) -> Iterator[Row]:
    environment = bench.new_home()
    with app(environment) as program:
        leave(program)
    forget_frame(environment)
    early, floor_pass, full, keys, smallest = [], [], [], [], []
    for _ in range(bench.rounds):
        floor_pass.append(time_to(PASS, environment, b"passed"))
        smallest.append(time_to(SMALLEST, environment, b"ready"))
        forget_frame(environment)
        with PtyProgram(APP, environment=environment, folder=ROOT) as program:
            early.append(program.wait_for(EARLY, raw=True) * 1000)
            program.send(MARKS[0].encode())
            full.append(program.wait_for(READY) * 1000)
            keys.append(program.wait_for(MARKS[0].encode()) * 1000)
    passed, floor = f"{median(floor_pass):.0f} ms python -c pass", f"{median(smallest):.0f} ms the smallest app"
    part = "first-frame"
    yield Row(part, "first paint", median(early), "ms", beside=passed)
    yield Row(part, "  in python -c pass", ratio(early, floor_pass), "×", 2.5)
    yield Row(part, "full frame", median(full), "ms", beside=floor)
    yield Row(part, "a key typed at the first paint is echoed", median(keys), "ms")
    whole = [max(pair) for pair in zip(full, keys, strict=True)]
    yield Row(part, "  both, in the smallest app", ratio(whole, smallest), "×", 1.5)


def time_to(command: Sequence[str], environment: Mapping[str, str], what: bytes) -> float:
    """Milliseconds from the start until something is on screen."""
    with PtyProgram(command, environment=environment) as program:
        return program.wait_for(what, limit_s=90) * 1000


# ---- memory


def memory(bench: Bench) -> Iterator[Row]:
    part = "memory"
    with PtyProgram(SMALLEST, environment=bench.new_home()) as program:
        program.wait_for(b"ready")
        program.wait_until_quiet(QUIET_S)
        floor = program.memory_mib()
    beside = f"{floor:.0f} MiB the smallest app"
    with app(bench.new_home()) as program:
        at_start = program.memory_mib()
    yield Row(part, "at start", at_start, "MiB", beside=beside)
    yield Row(part, "  in the smallest app", at_start / floor, "×", 1.4)
    environment = bench.new_home()
    fill(environment, iter([("The long one", long_chat(5_000))]))
    with app(environment) as program:
        program.wait_for(LAST_WORDS.encode())
        program.wait_until_quiet(QUIET_S)
        with_chat = program.memory_mib()
    yield Row(part, "with a chat of 5,000 messages", with_chat, "MiB")
    yield Row(part, "  in the smallest app", with_chat / floor, "×", 1.5)
    with services(0) as base_url:
        with app(bench.new_home(base_url)) as program:
            ask(program, f"say {LONGEST_TOKENS} tokens")
            program.wait_until_quiet(2.0, 120)
            streamed = program.memory_mib()
        yield Row(part, f"after {LONGEST_TOKENS:,} streamed tokens", streamed, "MiB")
        yield Row(part, "  in the smallest app", streamed / floor, "×", 1.7)


# ---- at rest


def idle(bench: Bench) -> Iterator[Row]:
    part = "idle"
    with app(bench.new_home()) as program:
        program.wait_until_quiet(2.0)
        yield Row(part, "at rest", busy(program), "% of a core", 0.3)
    with services(0, first_token_ms=60_000) as base_url, app(bench.new_home(base_url)) as program:
        ask(program, "hello")
        program.wait_for(b"waiting for the first word")
        settle_into_stream()
        yield Row(part, "while an answer is waited for", busy(program), "% of a core", 0.5)


# ---- streams


def stream(bench: Bench) -> Iterator[Row]:
    part = "stream"
    for speed, most in ((100, 20), (1000, 35)):
        with services(speed) as base_url, app(bench.new_home(base_url)) as program:
            ask(program, f"say {speed * 30} tokens")
            program.wait_for(lambda _: program.last_s > 0, raw=True)
            settle_into_stream()
            yield Row(part, f"{speed:,} tokens/s", busy(program), "% of a core", most)
    with services(0) as base_url, app(bench.new_home(base_url)) as program:
        before = program.cpu_s()
        ask(program, f"say {LONGEST_TOKENS} tokens")
        program.wait_until_quiet(2.0, 120)
        yield Row(part, f"{LONGEST_TOKENS:,} tokens as fast as they come", program.cpu_s() - before, "CPU s", 1.0)


def long_before(bench: Bench) -> Iterator[Row]:
    """The same with much in the chat already."""
    part = "long-before"
    with services(100) as base_url:
        empty = stream_share(bench.new_home(base_url))
        for words, messages in (
            (f"{LONGEST_TOKENS:,} tokens", long_answer(LONGEST_TOKENS)),
            ("5,000 messages", long_chat(5_000)),
        ):
            environment = bench.new_home(base_url)
            fill(environment, iter([("The long one", messages)]))
            after = stream_share(environment, LAST_WORDS.encode())
            beside = f"{after:.1f} % and {empty:.1f} % of a core"
            yield Row(part, f"100 tokens/s after {words}, in an empty chat", after / empty, "×", 1.2, beside)


def stream_share(environment: Mapping[str, str], shown: bytes = b"") -> float:
    with app(environment) as program:
        program.wait_for(shown)
        ask(program, "say 3000 tokens")
        settle_into_stream()
        return busy(program)


# ---- keys


def echo(bench: Bench) -> Iterator[Row]:
    part = "echo"
    with app(bench.new_home()) as program:
        yield Row(part, "at rest, median", median(echoes(program)), "ms", 20)
    with services(100) as base_url, app(bench.new_home(base_url)) as program:
        ask(program, "say 5000 tokens")
        settle_into_stream()
        times = echoes(program)
        yield Row(part, "while 100 tokens/s stream, median", median(times), "ms", 30)
        yield Row(part, "while 100 tokens/s stream, 95 %", percentile(times, 95), "ms", 100)
    with app(bench.new_home()) as program:
        program.send(b"\x1b[200~" + b"All hands on deck, said the mate. \n" * 29_000 + b"\x1b[201~")
        program.wait_until_quiet(1.0, 60)
        yield Row(part, "after a paste of 1 MB, median", median(echoes(program)), "ms", 20)


# ---- what parts share


def settle_into_stream() -> None:
    """A stream is measured once it is on its way and the screen is full of it."""
    time.sleep(4.0)


def leave(program: PtyProgram) -> None:
    program.send(QUIT)
    program.ended()


PARTS: Mapping[str, Callable[[Bench], Iterator[Row]]] = {
    "first-frame": first_frame,
    "memory": memory,
    "idle": idle,
    "stream": stream,
    "long-before": long_before,
    "echo": echo,
    "chats": chats,
    "peers": beside,
}


def measure(bench: Bench, part: str) -> Iterator[Row]:
    """The rows of a part as they come. One that cannot go on says why, and the others are measured all the same."""
    try:
        yield from PARTS[part](bench)
    except NotSeen as problem:
        print(f"{part}: {problem}", file=sys.stderr, flush=True)
        yield Row(part, "could not be measured", float("nan"), "", 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PART,PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    parts = options.only.split(",") if options.only else [each for each in PARTS if each != "peers"]
    if not options.only and not options.no_peers:
        parts.append("peers")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {min(unknown)!r}")
    rows = []
    with tempfile.TemporaryDirectory(prefix="hawser-bench-") as folder:
        bench = Bench(Path(folder), options.rounds)
        for part in parts:
            for row in measure(bench, part):
                rows.append(row)
                if not options.json:
                    print(line(row), flush=True)
    if options.json:
        print(json.dumps([as_json(row) for row in rows], indent=2))
    return 0 if all(row.is_ok for row in rows) else 1


def as_json(row: Row) -> dict[str, object]:
    return {**row._asdict(), "figure": None if isnan(row.figure) else row.figure, "ok": row.is_ok}


def line(row: Row) -> str:
    limit = "" if row.most is None else f"at most {row.most:g}"
    figure = f"{row.figure:9.2f} {row.unit:12}"
    return f"{row.part:12} {row.measure:52} {figure} {limit:14} {row.verdict:9} {row.beside}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
