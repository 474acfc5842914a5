"""Readings as they are kept."""

from __future__ import annotations

from console.history.machines import read_reading, write_reading
from providers.clouds.base import Bills, Reading, State


def test_reading_without_a_label_comes_back() -> None:
    reading = Reading("7", "", State.RUNNING, Bills.EVERYTHING)

    assert read_reading(write_reading(reading)) == reading
