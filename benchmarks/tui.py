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
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.pty_drive import NotSeen, PtyProgram, plain, readable
from benchmarks.tui_homes import LAST_WORDS, fill, forget_frame, home, long_answer, long_chat, many_chats, services
from benchmarks.tui_peers import Peer, peers

ROOT = Path(__file__).parents[1]
APP = (sys.executable, "-c", "from console.cli import entry; entry()")
PASS = (sys.executable, "-c", "import os; os.write(1, b'passed')")
SMALLEST = (
    sys.executable,
    "-c",
    "from textual.app import App\nfrom textual.widgets import Static\n"
    "class Smallest(App):\n    def compose(self):\n        yield Static('ready')\nSmallest().run()",
)
READY = b"New line"
"""In the footer of the app's own first frame, and not in what is painted before."""
EARLY = b"\x1b[?1049h"
QUIT, CHATS, DOWN, ENTER = b"\x11", b"\x07", b"\x1b[B", b"\r"
MARKS = "αβγδεζηθικλμνξοπρστυφχψω" * 20
"""Letters that nobody else writes: seen on the terminal, they are the echo of a key."""
QUIET_S = 0.5
WATCH_S = 6.0
LONGEST_TOKENS = 50_000


class Row(NamedTuple):
    part: str
    measure: str
    figure: float
    unit: str
    most: float | None = None
    beside: str = ""
    """The floor, or what it was compared with."""

    @property
    def is_ok(self) -> bool:
        return self.most is None or self.figure <= self.most


class Bench:
    """What every part needs: where to put homes, how often to measure, and who else is measured."""

    def __init__(self, folder: Path, rounds: int, *, with_peers: bool) -> None:
        self.folder = folder
        self.rounds = rounds
        self.with_peers = with_peers
        self._homes = 0

    def new_home(self, base_url: str = "http://127.0.0.1:9") -> dict[str, str]:
        self._homes += 1
        return home(self.folder / f"home-{self._homes}", base_url)

    def peers(self, base_url: str) -> list[Peer]:
        return peers(self.folder / "peers", base_url) if self.with_peers else []


@contextmanager
def app(environment: Mapping[str, str], size: tuple[int, int] = (120, 40)) -> Iterator[PtyProgram]:
    """The app, ready."""
    with PtyProgram(APP, size=size, environment=environment, folder=ROOT) as program:
        program.wait_for(READY)
        program.wait_until_quiet(QUIET_S)
        yield program


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
    with services(0) as base_url:
        for peer in bench.peers(base_url):
            times = [time_to(peer.command, peer.environment, peer.ready) for _ in range(max(2, bench.rounds // 3))]
            yield Row(part, f"{peer.name}: full frame", median(times), "ms")


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
        for peer in bench.peers(base_url):
            with peer_at_rest(peer) as program:
                yield Row(part, f"{peer.name}: at start", program.memory_mib(), "MiB")


# ---- at rest


def idle(bench: Bench) -> Iterator[Row]:
    part = "idle"
    with app(bench.new_home()) as program:
        program.wait_until_quiet(2.0)
        yield Row(part, "at rest", busy(program), "% of a core", 0.3)
    with services(0, first_token_ms=60_000) as base_url, app(bench.new_home(base_url)) as program:
        ask(program, "hello")
        program.wait_until_quiet(1.5, 5)
        yield Row(part, "while an answer is waited for", busy(program), "% of a core", 0.5)
    with services(0) as base_url:
        for peer in bench.peers(base_url):
            with peer_at_rest(peer) as program:
                yield Row(part, f"{peer.name}: at rest", busy(program), "% of a core")


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
    with services(100) as base_url:
        for peer in bench.peers(base_url):
            yield from peer_stream(part, peer)


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
    with services(0) as base_url:
        for peer in bench.peers(base_url):
            with peer_in_chat(peer) as program:
                yield Row(part, f"{peer.name}: at rest, median", median(echoes(program, 20)), "ms")


def echoes(program: PtyProgram, count: int = 60) -> list[float]:
    """Milliseconds from a key to its letter on screen, at moments that have nothing to do with frames."""
    times = []
    for number, letter in enumerate(MARKS[:count]):
        time.sleep(0.05 + 0.0137 * (number % 7))
        times.append(program.press(letter.encode(), letter.encode()) * 1000)
    return times


# ---- chats


def chats(bench: Bench) -> Iterator[Row]:
    part = "chats"
    environment = bench.new_home()
    fill(environment, iter([("The long one", long_chat(5_000)), ("A short one", long_chat(2))]))
    opened = []
    for _ in range(bench.rounds):
        with app(environment) as program:
            open_chat(program, "long")
            opened.append(open_shown(program))
    yield Row(part, "open a chat of 5,000 messages", median(opened), "ms", 80)
    environment = bench.new_home()
    fill(environment, many_chats(100_000))
    shown, moved, one_letter, more = [], [], [], []
    with app(environment) as program:
        for _ in range(bench.rounds):
            shown.append(after_key(program, CHATS))
            moved += [after_key(program, DOWN) for _ in range(5)]
            one_letter.append(after_key(program, b"c"))
            more += [after_key(program, letter) for letter in (b"r", b"a", b"n")]
            program.send(b"\x1b")
            program.wait_until_quiet(QUIET_S)
    yield Row(part, "100,000 chats: show", median(shown), "ms", 30)
    yield Row(part, "100,000 chats: move", median(moved), "ms", 8)
    yield Row(part, "100,000 chats: filter, one letter", median(one_letter), "ms", 60)
    yield Row(part, "100,000 chats: filter, each letter more", median(more), "ms", 25)


def open_chat(program: PtyProgram, words: str) -> None:
    """The list of chats, at the one whose title has these words."""
    program.press(CHATS)
    program.wait_until_quiet(QUIET_S)
    program.send(words.encode())
    program.wait_until_quiet(QUIET_S)


def open_shown(program: PtyProgram) -> float:
    return program.press(ENTER, LAST_WORDS.encode()) * 1000


def after_key(program: PtyProgram, key: bytes) -> float:
    """Milliseconds from a key until the screen is what it leads to: until nothing more comes."""
    pressed_s = time.perf_counter() - program.started
    before = program.mark()
    program.send(key)
    program.wait_for(lambda came: bool(came), since=before, raw=True)
    return (program.wait_until_quiet(0.15) - pressed_s) * 1000


# ---- what parts share


def ask(program: PtyProgram, question: str) -> None:
    """Type a question and send it."""
    program.send(question.encode())
    program.wait_until_quiet(0.2)
    program.send(ENTER)


def settle_into_stream() -> None:
    """A stream is measured once it is on its way and the screen is full of it."""
    time.sleep(4.0)


def busy(program: PtyProgram) -> float:
    """How much of a core it takes for a while, in per cent."""
    before, began = program.cpu_s(), time.perf_counter()
    time.sleep(WATCH_S)
    return 100 * (program.cpu_s() - before) / (time.perf_counter() - began)


def leave(program: PtyProgram) -> None:
    program.send(QUIT)
    program.ended()


@contextmanager
def peer_at_rest(peer: Peer) -> Iterator[PtyProgram]:
    with PtyProgram(peer.command, environment=peer.environment) as program:
        program.wait_for(peer.ready, limit_s=90)
        program.wait_until_quiet(3.0, 60)
        yield program


@contextmanager
def peer_in_chat(peer: Peer) -> Iterator[PtyProgram]:
    with peer_at_rest(peer) as program:
        for keys, brings in peer.to_chat:
            before = program.mark()
            program.send(keys)
            program.wait_for(brings, since=before)
            program.wait_until_quiet(1.0)
        yield program


def peer_stream(part: str, peer: Peer) -> Iterator[Row]:
    with peer_in_chat(peer) as program:
        program.send(b"say 3000 tokens")
        program.wait_until_quiet(0.5)
        before = program.mark()
        program.send(peer.send)
        time.sleep(10)  # some load what they ask with only then
        came = len(plain(program.output[before:]))
        if came < 500:
            raise NotSeen(f"{peer.name} does not answer: {readable(program.output[before:], 300)}")
        yield Row(part, f"{peer.name}: 100 tokens/s", busy(program), "% of a core")
        times = echoes(program, 20)
        yield Row(part, f"{peer.name}: key while streaming, median", median(times), "ms")


def median(figures: Sequence[float]) -> float:
    return statistics.median(figures)


def percentile(figures: Sequence[float], share: float) -> float:
    return sorted(figures)[min(len(figures) - 1, int(len(figures) * share / 100))]


def ratio(ours: Sequence[float], floor: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, floor, strict=True))


PARTS: Mapping[str, Callable[[Bench], Iterator[Row]]] = {
    "first-frame": first_frame,
    "memory": memory,
    "idle": idle,
    "stream": stream,
    "long-before": long_before,
    "echo": echo,
    "chats": chats,
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
    parts = options.only.split(",") if options.only else list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {min(unknown)!r}")
    rows = []
    with tempfile.TemporaryDirectory(prefix="hawser-bench-") as folder:
        bench = Bench(Path(folder), options.rounds, with_peers=not options.no_peers)
        for part in parts:
            for row in measure(bench, part):
                rows.append(row)
                if not options.json:
                    print(line(row), flush=True)
    if options.json:
        print(json.dumps([{**row._asdict(), "ok": row.is_ok} for row in rows], indent=2))
    return 0 if all(row.is_ok for row in rows) else 1


def line(row: Row) -> str:
    limit = "" if row.most is None else f"at most {row.most:g}"
    verdict = "" if row.most is None else "ok" if row.is_ok else "MISSED"
    return (
        f"{row.part:12} {row.measure:48} {row.figure:9.2f} {row.unit:12} {limit:14} {verdict:7} {row.beside}".rstrip()
    )


if __name__ == "__main__":
    sys.exit(main())
