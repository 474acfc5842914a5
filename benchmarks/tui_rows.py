"""What the terminal app's benchmarks measure with, and the rows that come of it."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.pty_drive import PtyProgram
from benchmarks.tui_homes import ROOT, home

APP = (sys.executable, "-c", "from console.cli import entry; entry()")
READY = b"New line"
"""In the footer of the app's own first frame, and not in what is painted before."""
ENTER = b"\r"
MARKS = "αβγδεζηθικλμνξοπρστυφχψω" * 20
"""Letters that nobody else writes: seen on the terminal, they are the echo of a key."""
QUIET_S = 0.5
WATCH_S = 6.0
AHEAD = 1.5
"""How many times as much another takes, for us to be clearly ahead of it."""


class Row(NamedTuple):
    part: str
    measure: str
    figure: float
    unit: str
    most: float | None = None
    beside: str = ""
    """The floor, or what it was compared with."""
    ahead: bool | None = None
    """Of a peer's figure: whether ours is clearly better. None where nothing is compared."""

    @property
    def is_ok(self) -> bool:
        return self.ahead is not False and (self.most is None or self.figure <= self.most)

    @property
    def verdict(self) -> str:
        if self.ahead is not None:
            return "ahead" if self.ahead else "NOT AHEAD"
        return "" if self.most is None else "ok" if self.is_ok else "MISSED"


class Bench:
    """What every part needs: where to put homes, and how often to measure."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self.folder = folder
        self.rounds = rounds
        self._homes = 0

    def new_home(self, base_url: str = "http://127.0.0.1:9") -> dict[str, str]:
        self._homes += 1
        return home(self.folder / f"home-{self._homes}", base_url)


@contextmanager
def app(environment: Mapping[str, str], size: tuple[int, int] = (120, 40)) -> Iterator[PtyProgram]:
    """The app, ready."""
    with PtyProgram(APP, size=size, environment=environment, folder=ROOT) as program:
        program.wait_for(READY)
        program.wait_until_quiet(QUIET_S)
        yield program


class Caused(NamedTuple):
    """What a key led to, in milliseconds: until it was on the terminal, and the CPU of it and all that came after."""

    shown_ms: float
    cpu_ms: float


def caused(program: PtyProgram, key: bytes, shows: bytes | Callable[[bytes], bool]) -> Caused:
    """From a key until all that it shows has come, and then on until nothing more comes."""
    before, cpu_s = program.mark(), program.cpu_s()
    pressed_s = time.perf_counter() - program.started
    program.send(key)
    shown_s = program.wait_for(shows, since=before) - pressed_s
    program.wait_until_quiet(0.2)
    return Caused(shown_s * 1000, (program.cpu_s() - cpu_s) * 1000)


def echoes(program: PtyProgram, count: int = 60) -> list[float]:
    """Milliseconds from a key to its letter on screen, at moments that have nothing to do with frames."""
    times = []
    for number, letter in enumerate(MARKS[:count]):
        time.sleep(0.05 + 0.0137 * (number % 7))
        times.append(program.press(letter.encode(), letter.encode()) * 1000)
    return times


def ask(program: PtyProgram, question: str, send: bytes = ENTER) -> None:
    """Type a question and send it."""
    program.send(question.encode())
    program.wait_until_quiet(0.2)
    program.send(send)


def busy(program: PtyProgram) -> float:
    """How much of a core it takes for a while, in per cent."""
    before, began = program.cpu_s(), time.perf_counter()
    time.sleep(WATCH_S)
    return 100 * (program.cpu_s() - before) / (time.perf_counter() - began)


def median(figures: Sequence[float]) -> float:
    return statistics.median(figures)


def percentile(figures: Sequence[float], share: float) -> float:
    return sorted(figures)[min(len(figures) - 1, int(len(figures) * share / 100))]


def ratio(ours: Sequence[float], floor: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, floor, strict=True))
