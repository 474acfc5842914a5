"""A process that guards for days takes no more memory, files or rows than it took in its first hour.

It is measured in a process of its own: what other tests leave behind for a moment would count here.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from console.money.meter import Meter
from tests.conftest import run
from tests.console.fleet_kit import PLAN, World, world
from tests.flows.kit import ROOT, unmeasured

ROUNDS = 10_000
WARM = 1_000
"""Rounds after which everything that is kept once is there."""
ROUND_S = 20.0
NAMES = ("ada", "bob")
MOST_OBJECTS = 300
MOST_MB = 4.0

_STATM, _FILES = Path("/proc/self/statm"), Path("/proc/self/fd")


async def _rounds(w: World, count: int) -> None:
    for _ in range(count):
        w.clock.advance(ROUND_S)
        await w.fleet.reconcile()
        w.cloud.calls.clear()  # which the test's cloud keeps for tests


def _objects() -> int:
    gc.collect()
    return len(gc.get_objects())


def _resident_mb() -> float:
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6 if _STATM.exists() else 0.0


def _open_files() -> int:
    return len(list(_FILES.iterdir())) if _FILES.exists() else 0


async def _rows(w: World) -> dict[str, int]:
    tables = ("machines", "deeds", "machine_log", "accounts", "roles", "meters", "alerts")
    return await w.store.run(
        lambda c: {table: c.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
    )


async def _guard_for_days(folder: Path) -> None:
    async with world(folder, hooks=(Meter(),)) as w:
        for name in NAMES:
            await w.fleet.launch(name, PLAN, why="asked for")
            await w.fleet.settled(name)
        await _rounds(w, WARM)
        objects, resident_mb, files = _objects(), _resident_mb(), _open_files()
        rows, told = await _rows(w), len(w.bus.events)
        began = w.clock.now()

        await _rounds(w, ROUNDS - WARM)

        assert _objects() - objects < MOST_OBJECTS
        assert _resident_mb() - resident_mb < MOST_MB
        assert _open_files() == files
        assert await _rows(w) == rows
        assert len(w.bus.events) == told  # nothing happened, and nothing was told
        booked = await w.store.run(lambda c: c.execute("SELECT count(*) FROM ledger").fetchone()[0])
        quarters = (w.clock.now() - began).total_seconds() / 900
        assert quarters < booked / len(NAMES) / 2 < quarters + 60  # a line for each quarter of an hour and kind
        assert all(not record.missing for record in await w.fleet.machines())


@pytest.mark.timeout(300)
def test_ten_thousand_rounds_leave_nothing_behind(tmp_path: Path) -> None:
    environment = {**unmeasured(dict(os.environ)), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.console.test_fleet_endurance", str(tmp_path)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "nothing is left behind\n"), done.stderr[-2000:]


if __name__ == "__main__":
    run(_guard_for_days(Path(sys.argv[1])))
    print("nothing is left behind")
