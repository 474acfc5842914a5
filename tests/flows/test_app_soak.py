"""The app at work for a while holds no more than before. The long form is `python -m benchmarks.tui_soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.tui_soak import soak
from tests.conftest import run

MINUTES = 3
"""The first one fills what is filled once."""


@pytest.mark.timeout(180)  # some hundred keys, each of which is waited for
def test_nothing_is_left_over_by_work(tmp_path: Path) -> None:
    held = run(soak(tmp_path / "home", MINUTES))

    before, after = held[0], held[-1]
    assert after.widgets <= before.widgets + 5
    assert after.timers <= before.timers + 2
    assert after.tasks <= before.tasks + 2
    assert after.threads <= before.threads + 1
    assert after.files <= before.files + 1
    assert after.chats <= before.chats + 1
    assert after.resident_bytes <= before.resident_bytes * 1.25
