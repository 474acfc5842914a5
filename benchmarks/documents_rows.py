"""What the benchmarks of documents measure with, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.documents_homes import fill, home, worker_pid
from benchmarks.pty_drive import cpu_s, family
from console.paths import find_paths


class Row(NamedTuple):
    part: str
    measure: str
    figure: float
    unit: str
    most: float | None = None
    least: float | None = None
    beside: str = ""
    """The floor, or what it was compared with."""

    @property
    def is_ok(self) -> bool:
        return (self.most is None or self.figure <= self.most) and (self.least is None or self.figure >= self.least)

    @property
    def reach(self) -> str:
        if self.most is not None:
            return f"at most {self.most:g}"
        return "" if self.least is None else f"at least {self.least:g}"

    @property
    def verdict(self) -> str:
        return "" if not self.reach else "ok" if self.is_ok else "MISSED"


class Bench:
    """What every part needs: where to put homes, and how often to measure. Large homes are made once."""

    def __init__(self, folder: Path, rounds: int, tell: Callable[[str], None]) -> None:
        self.folder = folder
        self.rounds = rounds
        self.tell = tell
        self._homes = 0
        self._filled: dict[int, dict[str, str]] = {}

    def new_home(self, settings: str = "") -> dict[str, str]:
        self._homes += 1
        return home(self.folder / f"home-{self._homes}", settings)

    def filled_home(self, count: int) -> dict[str, str]:
        """With so many chunks and their vectors; whoever starts a worker over it waits for the index."""
        if count not in self._filled:
            environment = self.new_home()
            self.tell(f"filling a library of {count:,} chunks")
            fill(find_paths(environment), count)
            self._filled[count] = environment
        return self._filled[count]


def worker_cpu_ms(environment: Mapping[str, str]) -> float:
    """What the worker and its reading child have taken so far."""
    return sum(map(cpu_s, family(worker_pid(environment)))) * 1000


def percentile(figures: Sequence[float], share: float) -> float:
    return sorted(figures)[min(len(figures) - 1, int(len(figures) * share / 100))]
