"""The app at work for a while holds no more than before. The long form is `python -m benchmarks.tui_soak`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.tui_soak import SIZES, soak
from tests.conftest import run

ROUND = len(SIZES)
"""After so many minutes the same is done at the same size."""


def test_nothing_is_left_over_by_work(tmp_path: Path) -> None:
    held = run(soak(tmp_path / "home", 2 * ROUND))

    before, after = held[ROUND - 1], held[-1]
    assert after.widgets <= before.widgets + 2
    assert after.timers <= before.timers + 2
    assert after.tasks <= before.tasks + 2
    assert after.threads <= before.threads + 1
    assert after.files <= before.files + 1
    assert after.chats <= before.chats + 1
    assert after.resident_bytes <= before.resident_bytes * 1.25
