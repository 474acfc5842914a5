"""The app at work for long: does it hold more and more?

    python -m benchmarks.tui_soak               # 30 minutes of work, as fast as it goes
    python -m benchmarks.tui_soak --minutes 300

A minute of the app's clock holds what a person does in one: a question in a chat of its own and one that is stopped, a
branch, searches, dialogs, every room, another chat, other sizes and the focus that comes and goes. The first part fills
what is filled once; after it nothing may grow: memory, objects, tasks, threads, open files.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from textual import events
from textual.geometry import Size
from textual.pilot import Pilot
from textual.timer import Timer
from textual.widget import Widget

from console.chat.open_chat import OpenChat
from providers.simulated.services import FaultKind, SimulatedOllama
from screens.app import HawserApp
from screens.chat import ChatRoom
from tests.screens.kit import press, running, until

SIZES = ((120, 40), (60, 20), (200, 60), (80, 24))
START = datetime(2026, 9, 1, 10, tzinfo=UTC)
ROOMS = ("f3", "f4", "f5", "f6", "f7", "f8", "f2")


class HandClock:
    """It is as late as it is told to be; whoever sleeps really sleeps, so that nothing runs faster than it would."""

    def __init__(self) -> None:
        self._passed_s = 0.0
        self._began = time.monotonic()

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return self._passed_s + time.monotonic() - self._began

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def advance(self, seconds: float) -> None:
        self._passed_s += seconds


class Held(NamedTuple):
    """What the process holds at the end of a minute, when nothing is under way."""

    memory_bytes: int
    """What Python has asked for; 0 unless it is traced."""
    resident_bytes: int
    objects: int
    tasks: int
    timers: int
    threads: int
    files: int
    widgets: int
    """Shown or not: those that were closed are gone."""
    chats: int
    """That are open, beside the one that is shown."""


async def soak(
    home: Path, minutes: int, *, told: Callable[[int, Held], object] = lambda minute, held: None
) -> list[Held]:
    """Work for so many minutes of the app's clock; what was held at the end of each."""
    clock = HandClock()
    found = []
    async with SimulatedOllama() as ollama:
        settings = (
            '[chat]\nmodel = "inference/llama3.1:8b"\n[screen]\nanimations = false\n'
            f'[endpoints.inference]\nwire = "ollama"\nbase_url = "{ollama.base_url}"\n'
        )
        async with running(home, settings, clock=clock) as (app, pilot):
            for minute in range(minutes):
                await _minute(app, pilot, ollama, clock, minute)
                found.append(await _held(app, pilot))
                told(minute, found[-1])
    return found


async def _minute(app: HawserApp, pilot: Pilot[int], ollama: SimulatedOllama, clock: HandClock, minute: int) -> None:
    room = app.screen
    assert isinstance(room, ChatRoom)

    def is_answered(count: int) -> bool:
        return room.chat is not None and len(room.chat.entries) == count and not room.chat.is_busy

    def is_answer(sibling: int) -> bool:
        return room.chat is not None and room.chat.entries[-1].sibling == sibling

    # a chat, with an answer of every kind of Markdown and one that is stopped
    await press(pilot, "ctrl+n")
    await until(pilot, lambda: is_answered(0))
    typed(app, *f"{minute}: write", "enter")
    await until(pilot, lambda: is_answered(2))
    ollama.faults.once(FaultKind.STALL, 3)
    typed(app, *"and on", "enter")
    await until(pilot, lambda: room.chat is not None and any(each.text for each in room.chat.lives.values()))
    await press(pilot, "escape")
    await until(pilot, lambda: is_answered(4))
    clock.advance(20)

    # another way, there and back; found, selected by the cursor, raw and not
    await press(pilot, "alt+up", "r")
    await until(pilot, lambda: is_answered(4) and room.chat is not None and room.chat.entries[-1].siblings == 2)
    for key, sibling in (("left_square_bracket", 1), ("right_square_bracket", 2)):
        await press(pilot, key)
        await until(pilot, partial(is_answer, sibling))
    typed(app, "w", "w", "t", "t", "slash", "a", "enter", "n", "escape", "g", "G")

    # everything that opens and closes
    for key in ("b", "i", "f1", "ctrl+p", "ctrl+g", "ctrl+f", "f9", "ctrl+l", "ctrl+t"):
        await press(pilot, key)
        await until(pilot, lambda: app.screen.is_modal)
        await press(pilot, "escape")
        await until(pilot, lambda: not app.screen.is_modal)
    typed(app, *ROOMS)
    await until(pilot, lambda: app.screen is room)
    columns, rows = SIZES[minute % len(SIZES)]
    await pilot.resize_terminal(columns, rows)
    await until(pilot, lambda: app.size == Size(columns, rows))
    app.app_focus = False
    app.app_focus = True
    clock.advance(40)


def typed(app: HawserApp, *keys: str) -> None:
    """All at once, as keys come over a slow line; each has its turn."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


async def _held(app: HawserApp, pilot: Pilot[int]) -> Held:
    """Once nothing is under way: toasts go with time, and their number is not what is asked for."""
    app.clear_notifications()
    await until(pilot, lambda: not app.workers)
    for _ in range(2):
        gc.collect()
    objects = gc.get_objects()
    types = [type(each) for each in objects]  # not `isinstance`: some objects of others act when asked for their class
    return Held(
        tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0,
        _resident_bytes(),
        len(objects),
        len(asyncio.all_tasks()),
        sum(issubclass(kind, Timer) for kind in types),
        threading.active_count(),
        _files(),
        sum(issubclass(kind, Widget) for kind in types),
        sum(issubclass(kind, OpenChat) for kind in types),
    )


def _files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def kinds() -> Counter[str]:
    """How many objects there are of each type, to see what grew."""
    return Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())


def main(words: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    options.add_argument("--minutes", type=int, default=30, help="of the app's clock (30)")
    options.add_argument("--trace", action="store_true", help="count what Python asks for too; twice as slow")
    options.add_argument("--kinds", action="store_true", help="which objects grew over the second half")
    given = options.parse_args(words)
    if given.trace:
        tracemalloc.start()
    before: Counter[str] = Counter()
    print(f"{'minute':>6} {'resident':>10} {'traced':>10} {'objects':>9} tasks timers threads files widgets chats")

    def tell(minute: int, held: Held) -> None:
        nonlocal before
        if given.kinds and minute == given.minutes - 1 - given.minutes // 2 // len(SIZES) * len(SIZES):
            before = kinds()
        print(
            f"{minute + 1:>6} {held.resident_bytes / 1e6:>7.1f} MB {held.memory_bytes / 1e6:>7.2f} MB"
            f" {held.objects:>9,} {held.tasks:>5} {held.timers:>6} {held.threads:>7} {held.files:>5}"
            f" {held.widgets:>7} {held.chats:>5}",
            flush=True,
        )

    with tempfile.TemporaryDirectory() as folder:
        environment: dict[str, Any] = {
            "HAWSER_ISOLATED": "1",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }
        os.environ.update(environment)
        asyncio.run(soak(Path(folder), given.minutes, told=tell))
    if given.kinds:
        for kind, more in (kinds() - before).most_common(25):
            print(f"{more:>8,} {kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
