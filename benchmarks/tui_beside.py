"""The app beside its peers: the same things done to each, on the same terminal, with the same server answering.

Every program is driven by its own keys. What one of them cannot be brought to do is told with the reason, and never
estimated. Ours is clearly ahead where the other one takes at least one and a half times as much.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.pty_drive import NotSeen, PtyProgram
from benchmarks.tui_homes import ROOT, forget_frame, home, services
from benchmarks.tui_peers import Peer, peers
from benchmarks.tui_rows import AHEAD, APP, ENTER, READY, Bench, Row, ask, busy, echoes, median

PART = "peers"
OURS = "hawser"
SPEED = 100
LONG_TOKENS = 6000
LONG_S = 90.0
"""How long the long answer may take before it is given up."""
BLINK_S = 0.4
"""Shorter than the blinking of a cursor: quiet for so long is quiet."""
STARTS = 3

Figures = dict[str, float]
NotDriven = dict[str, str]


class Measure(NamedTuple):
    name: str
    unit: str


FRAME = Measure("full frame", "ms")
MEMORY = Measure("memory at start", "MiB")
IDLE = Measure("at rest", "% of a core")
ECHO = Measure("key at rest, median", "ms")
STREAM = Measure(f"{SPEED} tokens/s", "% of a core")
ECHO_STREAM = Measure("key while streaming, median", "ms")
LONG = Measure(f"{LONG_TOKENS:,} tokens as fast as they come", "CPU s")
LONG_MEMORY = Measure("memory after them", "MiB")
MEASURES = (FRAME, MEMORY, IDLE, ECHO, STREAM, ECHO_STREAM, LONG, LONG_MEMORY)


def beside(bench: Bench) -> Iterator[Row]:
    figures: dict[str, Figures] = {}
    reasons: dict[str, NotDriven] = {}
    for speed, stories in ((SPEED, (start, at_rest, streaming)), (0, (long_answer,))):
        with services(speed) as base_url:
            theirs, missing = peers(bench.folder / f"peers-{speed}", base_url)
            for name, reason in missing.items():
                figures.setdefault(name, {})
                reasons[name] = dict.fromkeys((measure.name for measure in MEASURES), reason)
            for peer in (ours(bench.folder / f"ours-{speed}", base_url), *theirs):
                for story in stories:
                    there, why = figures.setdefault(peer.name, {}), reasons.setdefault(peer.name, {})
                    tell(story, peer, there, why)
    for measure in MEASURES:
        yield from rows(measure, figures, reasons)


def rows(measure: Measure, figures: Mapping[str, Figures], reasons: Mapping[str, NotDriven]) -> Iterator[Row]:
    """One measure of all programs, ours first."""
    own = figures[OURS].get(measure.name)
    for name, there in figures.items():
        figure = there.get(measure.name)
        words = f"{measure.name}: {name}"
        if figure is None:
            reason = reasons.get(name, {}).get(measure.name, "it was not reached")
            yield Row(PART, words, float("nan"), measure.unit, beside=f"not driven: {' '.join(reason.split())[:160]}")
        elif name == OURS or own is None:
            yield Row(PART, words, figure, measure.unit)
        else:
            is_ahead = own * AHEAD <= figure
            yield Row(PART, words, figure, measure.unit, None, f"{figure / max(own, 1e-9):.1f} × ours", is_ahead)


def ours(folder: Path, base_url: str) -> Peer:
    return Peer(OURS, APP, home(folder, base_url), READY, ENTER, ROOT)


Story = Callable[[Peer, Figures], Iterator[str]]
"""Puts figures into the dictionary; yields the name of each measure before it begins with it."""


def tell(story: Story, peer: Peer, there: Figures, why: NotDriven) -> None:
    """Run a story as far as it goes; the measure at which it ends, and those after it, get the reason."""
    begun = ""
    try:
        for begun in story(peer, there):
            why[begun] = "it was not reached"
    except NotSeen as problem:
        why[begun] = str(problem)
    for name in list(why):
        if name in there:
            del why[name]
    come = ", ".join(f"{name} {figure:.2f}" for name, figure in there.items())
    print(f"{peer.name}: {come or 'nothing yet'}", file=sys.stderr, flush=True)


def start(peer: Peer, there: Figures) -> Iterator[str]:
    yield FRAME.name
    times = []
    for _ in range(STARTS):
        if peer.name == OURS:
            forget_frame(dict(peer.environment))
        with PtyProgram(peer.command, environment=peer.environment, folder=peer.folder) as program:
            times.append(program.wait_for(peer.ready, limit_s=90) * 1000)
    there[FRAME.name] = median(times)


def at_rest(peer: Peer, there: Figures) -> Iterator[str]:
    yield MEMORY.name
    with running(peer) as program:
        there[MEMORY.name] = program.memory_mib()
        yield IDLE.name
        there[IDLE.name] = busy(program)
        yield ECHO.name
        there[ECHO.name] = median(echoes(program, 20))
        program.send(b"\x7f" * 20)  # some keep what was written for the next start
        program.wait_until_quiet(BLINK_S)


def streaming(peer: Peer, there: Figures) -> Iterator[str]:
    yield STREAM.name
    with running(peer) as program:
        before = program.mark()
        ask(program, "say 3000 tokens", peer.send)
        program.wait_for(b"word90", since=before)  # some load what they ask with only then
        there[STREAM.name] = busy(program)
        yield ECHO_STREAM.name
        there[ECHO_STREAM.name] = median(echoes(program, 20))


def long_answer(peer: Peer, there: Figures) -> Iterator[str]:
    yield LONG.name
    with running(peer) as program:
        ask(program, "say 3 tokens", peer.send)  # what is loaded for the first question is not counted
        program.wait_for(b"word1")
        program.wait_until_quiet(BLINK_S)
        time.sleep(2.0)
        before, cpu_s = program.mark(), program.cpu_s()
        ask(program, f"say {LONG_TOKENS} tokens", peer.send)
        program.wait_for(b"word20", since=before)
        wait_until_at_rest(program)
        there[LONG.name] = program.cpu_s() - cpu_s
        yield LONG_MEMORY.name
        there[LONG_MEMORY.name] = program.memory_mib()


def wait_until_at_rest(program: PtyProgram) -> None:
    """Until it has hardly anything to do for a second: not all of them show the end of what they drew."""
    until = time.perf_counter() + LONG_S
    while time.perf_counter() < until:
        before = program.cpu_s()
        time.sleep(1.0)
        if program.cpu_s() - before < 0.1:
            return
    raise NotSeen(f"it was not done with them in {LONG_S:.0f} s")


@contextmanager
def running(peer: Peer) -> Iterator[PtyProgram]:
    with PtyProgram(peer.command, environment=peer.environment, folder=peer.folder) as program:
        program.wait_for(peer.ready, limit_s=90)
        program.wait_until_quiet(BLINK_S, 60)
        time.sleep(2.0)  # what they load behind the first frame
        yield program
