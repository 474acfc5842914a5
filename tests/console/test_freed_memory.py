"""Freed memory goes back to the system, though something above it is still used."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import unmeasured

HOLES = """
from pathlib import Path
from console.freed_memory import give_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

blocks = [bytes(20_000) for _ in range(2_000)]
kept = blocks[::100]
del blocks
before = resident()
give_back()
print(before - resident(), len(kept))
"""


def test_holes_are_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOLES], check=True, capture_output=True, text=True, env=unmeasured(), timeout=60
    )

    given_back, kept = map(int, done.stdout.split())
    is_glibc = "CS_GNU_LIBC_VERSION" in os.confstr_names
    assert given_back > 20_000_000 or not is_glibc
    assert kept == 20


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    from console.freed_memory import give_back

    asked: list[str | None] = []

    def library(name: str | None) -> object:
        asked.append(name)
        return object()

    monkeypatch.setattr(ctypes, "CDLL", library)
    give_back()

    assert asked == [None]
