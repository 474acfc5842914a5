"""Two hundred machines over four accounts, looked after by one process: `python -m benchmarks.fleet`.

The clouds run in a process of their own, with their rate limits, and so does our side. It is measured while all
machines run and nothing changes, and while one on each account comes up, which has every account read as often as it
ever is. The longest call is told by its own processor time, and by the clock, which contains whatever else the computer
did meanwhile. `hawser vm ls --cached` is run in turn with `python -c pass`, over the store with these machines.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.headless import in_turn, ratio
from benchmarks.links import ROOT, Program, Row

EACH = 50
CLOUDS = ("vast", "runpod", "tensordock", "lambda")
PER_MINUTE = {"vast": 60, "runpod": 60, "tensordock": 100, "lambda": 60}
"""What each cloud allows: a list a second, sixty and a hundred requests a minute, a request a second."""
ENTRY = "from console.cli import entry; entry()"


# The clouds, in their own process


async def clouds() -> None:
    """Say where they are; then, for each line that comes, do what it says and print what there is to say."""
    from providers.simulated.clouds.rental import Timings
    from tests.contracts.clouds_bench import RENTED, large

    async with AsyncExitStack() as stack:
        twins = {}
        for name in CLOUDS:
            twin_of = RENTED[name][1]
            twins[name] = await stack.enter_async_context(twin_of(timings=Timings.booting_in(0.5), **large(name)))
            for number in range(EACH):
                await _rent(name, twins[name], number)
            twins[name].has_limits = True
        _say({name: [twin.base_url, twin.key] for name, twin in twins.items()})
        commands = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while line := (await commands.readline()).decode().strip():
            for name, twin in twins.items():
                if line == "stir":
                    twin.has_limits = False
                    twin.market.timings = Timings(provision_s=1e9)
                    await _rent(name, twin, EACH)
                    twin.has_limits = True
            _say({name: len(twin.requests) for name, twin in twins.items()})


async def _rent(name: str, twin: Any, number: int) -> None:
    from console.machines.labels import new_label
    from providers.clouds.base import CloudHost, Order, Search
    from providers.registry import cloud

    adapter = cloud(name, CloudHost(name, twin.base_url, twin.key), _Hasty())
    offer = (await adapter.offers(Search(gpu="A10" if name == "lambda" else "RTX 4090")))[0]
    await adapter.create(Order(offer, new_label(f"{name}-{number}"), "ssh-ed25519 AAAA bench"))
    await adapter.close()


class _Hasty:
    """A clock by which it is always somebody's turn."""

    def __init__(self) -> None:
        self._calls = 0

    def now(self) -> Any:
        from console.clock import SystemClock

        return SystemClock().now()

    def monotonic(self) -> float:
        self._calls += 1
        return self._calls * 1000.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


# Our side, in its own


class Probe:
    """Times every call that the event loop makes."""

    def __init__(self) -> None:
        self.longest_ms = self.longest_own_ms = 0.0
        self.what = ""
        self._collected_ms = 0.0
        gc.callbacks.append(self._collecting)
        run = asyncio.events.Handle._run

        def timed(handle: asyncio.events.Handle) -> None:
            begun, own = time.perf_counter(), time.thread_time()
            run(handle)
            taken, taken_own = (time.perf_counter() - begun) * 1e3, (time.thread_time() - own) * 1e3
            self.longest_ms = max(self.longest_ms, taken)
            if taken_own > self.longest_own_ms:
                collected = f", {self._collected_ms:.1f} ms of it collecting garbage" if self._collected_ms else ""
                self.longest_own_ms, self.what = taken_own, repr(handle)[:300] + collected
            self._collected_ms = 0.0

        setattr(asyncio.events.Handle, "_run", timed)  # noqa: B010 - what the loop calls for everything

    def _collecting(self, phase: str, _: object) -> None:
        if phase == "start":
            self._began_collecting = time.perf_counter()
        else:
            self._collected_ms += (time.perf_counter() - self._began_collecting) * 1e3

    def begin(self) -> None:
        self.longest_ms = self.longest_own_ms = 0.0
        self.what = ""


async def ours(places: dict[str, list[str]], home: Path) -> None:
    """Look after the machines; for each line that comes, say what that took since the line before."""
    from console.clock import SystemClock
    from console.events import Bus
    from console.history.store import Store
    from console.machines.fleet import Fleet
    from console.machines.records import MachineState
    from console.money.meter import Meter
    from console.paths import find_paths
    from console.settings import load_settings
    from providers.clouds.base import CloudHost
    from providers.registry import cloud

    paths, clock = find_paths({"HAWSER_HOME": str(home)}), SystemClock()
    store = await Store.open(paths, clock)
    adapters = {name: cloud(name, CloudHost(name, url, key), clock) for name, (url, key) in places.items()}
    fleet = Fleet(
        load_settings(paths, {}, discover=False),
        store,
        adapters.__getitem__,
        clock,
        Bus(),
        hooks=(Meter(),),
        public_key=lambda: "ssh-ed25519 AAAA bench",
        accounts=lambda: list(adapters),
    )
    await fleet.refresh()
    for record in await fleet.machines():
        await fleet.reached(record.name, MachineState.READY)
    probe = Probe()
    running = asyncio.create_task(fleet.run())
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    _say({"machines": len(await fleet.machines())})
    probe.begin()
    begun, spent = time.perf_counter(), time.process_time()
    while await commands.readline():
        taken, used = time.perf_counter() - begun, time.process_time() - spent
        _say(
            {
                "seconds": taken,
                "cpu_percent": used / taken * 100,
                "longest_ms": probe.longest_ms,
                "longest_own_ms": probe.longest_own_ms,
                "what": probe.what,
                "machines": len(await fleet.machines()),
                "troubles": [str(trouble) for trouble in await fleet.refresh(max_age_s=60.0)],
            }
        )
        probe.begin()
        begun, spent = time.perf_counter(), time.process_time()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    for adapter in adapters.values():
        await adapter.close()
    await store.close()


# The table


def measure(seconds: float, rounds: int) -> Iterator[Row]:
    me = [sys.executable, "-m", "benchmarks.fleet"]
    with tempfile.TemporaryDirectory() as folder, Program([*me, "--clouds"]) as world:
        places = json.loads(world.line())
        with Program([*me, "--ours", json.dumps(places), folder]) as side:
            assert json.loads(side.line())["machines"] == EACH * len(CLOUDS)
            for what, stir in (("calm", False), ("changing", True)):
                before = _told(world, "stir" if stir else "count")
                if stir:
                    wait(25.0)  # until the new machines are seen
                    before = _told(world, "count")
                _told(side, "begin")
                wait(seconds)
                found, after = _told(side, "end"), _told(world, "count")
                yield from _rows(
                    what, found, {name: (after[name] - before[name]) / found["seconds"] * 60 for name in after}
                )
        yield glance(folder, rounds)


def _told(program: Program, line: str) -> dict[str, Any]:
    program.tell(line)
    answer: dict[str, Any] = json.loads(program.line())
    return answer


def wait(seconds: float) -> None:
    time.sleep(seconds)


def _rows(what: str, found: dict[str, Any], per_minute: dict[str, float]) -> list[Row]:
    machines = found["machines"]
    assert not found["troubles"], found["troubles"]
    if found["longest_own_ms"] > 10:
        print(f"The longest call was {found['what']}", file=sys.stderr)
    share, own, wall = found["cpu_percent"], found["longest_own_ms"], found["longest_ms"]
    return [
        Row(f"{machines} machines, {what}: processor", f"{share:.2f} % of a core", "-", "< 5 %", share < 5),
        Row("  longest call on the event loop", f"{own:.1f} ms (clock {wall:.1f})", "-", "≤ 10 ms", own <= 10),
        *(
            Row(
                f"  requests a minute, {name}",
                f"{count:.1f}",
                f"{PER_MINUTE[name]}",
                "≤ limit",
                count <= PER_MINUTE[name],
            )
            for name, count in per_minute.items()
        ),
    ]


def glance(home: str, rounds: int) -> Row:
    environment = {"PATH": os.environ["PATH"], "HOME": home, "HAWSER_HOME": home, "PYTHONPATH": str(ROOT)}
    environment |= {"HAWSER_ISOLATED": "1", "LANG": "C.UTF-8"}
    runs = in_turn(
        {
            "python -c pass": [sys.executable, "-c", "pass"],
            "hawser vm ls --cached": [sys.executable, "-c", ENTRY, "vm", "ls", "--cached"],
        },
        environment,
        rounds,
    )
    floor, ours = runs["python -c pass"], runs["hawser vm ls --cached"]
    times = ratio(ours, floor)
    theirs, mine = (statistics.median(run.wall_ms for run in each) for each in (floor, ours))
    return Row(
        "hawser vm ls --cached, python -c pass",
        f"{mine:.0f} ms",
        f"{theirs:.0f} ms",
        f"≤ 6 × (is {times:.1f})",
        times <= 6,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each state is measured")
    parser.add_argument("--rounds", type=int, default=15, help="of the command")
    parser.add_argument("--clouds", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ours", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    inner: Callable[[], Any] | None = None
    if options.clouds:
        inner = clouds
    elif options.ours:
        inner = lambda: ours(json.loads(options.ours[0]), Path(options.ours[1]))  # noqa: E731
    if inner is not None:
        asyncio.run(inner())
        return
    print(f"{'measure':42} {'hawser':>26} {'beside':>8}   reach")
    for row in measure(options.seconds, options.rounds):
        verdict = "" if row.is_met else "   MISSED"
        print(f"{row.measure:42} {row.ours:>26} {row.theirs:>8}   {row.reach}{verdict}", flush=True)


if __name__ == "__main__":
    main()
