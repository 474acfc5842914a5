"""The rules about what is worth an alert, on plain values."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.alarms import (
    Finding,
    GpuOutcome,
    GpuState,
    judge_gpus,
    tell,
)
from console.settings import AlertSettings
from providers.gpu_smi import Gpu
from tests.conftest import run


def heat(*temperatures: tuple[float, float | None], **settings: Any) -> list[GpuOutcome]:
    """One GPU through readings of (seconds, °C)."""
    states: Mapping[int, GpuState] = {}
    outcomes = []
    for at_s, temperature in temperatures:
        outcome = judge_gpus(
            "gpu1", [Gpu(0, "RTX 4090", temperature_c=temperature)], states, at_s, AlertSettings(**settings)
        )
        states = outcome.states
        outcomes.append(outcome)
    return outcomes


def levels(outcomes: list[GpuOutcome]) -> list[str | None]:
    return [outcome.findings[0].level if outcome.findings else "-" for outcome in outcomes]


def test_a_gpu_warns_from_75_and_alarms_from_85_degrees() -> None:
    assert levels(heat((0, 74.9), (1, 75), (2, 84.9), (3, 85))) == [None, "warning", "warning", "alarm"]


def test_heat_is_over_only_when_it_is_clearly_cooler() -> None:
    assert levels(heat((0, 86), (1, 83), (2, 82), (3, 73), (4, 72), (5, 74))) == [
        "alarm",
        "alarm",
        "warning",
        "warning",
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("at_hot", "pause", "stop", "word"),
    [("tell", False, False, "60 s."), ("pause", True, False, "Jobs there wait"), ("stop", True, True, "is stopped.")],
)
def test_a_minute_of_too_much_heat_is_acted_on(at_hot: str, pause: bool, stop: bool, word: str) -> None:
    before, after = heat((0, 85), (59.9, 86), at_hot=at_hot)[1], heat((0, 85), (60, 86), at_hot=at_hot)[1]

    assert (before.pause, before.stop) == (False, False)
    assert (after.pause, after.stop) == (pause, stop)
    assert word in after.findings[0].text


def test_a_gpu_that_cooled_down_in_between_begins_again() -> None:
    outcomes = heat((0, 90), (30, 80), (40, 90), (90, 90), (100, 90))

    assert [outcome.pause for outcome in outcomes] == [False, False, False, False, True]


def test_a_gpu_that_is_not_read_keeps_its_state() -> None:
    outcomes = heat((0, 90), (30, None), (60, 90), (61, 60))

    assert [outcome.pause for outcome in outcomes] == [False, False, True, False]
    assert levels(outcomes) == ["alarm", "-", "alarm", None]


def test_memory_warns_from_80_and_alarms_from_95_percent() -> None:
    found: list[Finding] = []
    states: Mapping[int, GpuState] = {}
    for used in (7999, 8000, 9500, 9399, 9300, 7801, 7800):
        outcome = judge_gpus("gpu1", [Gpu(1, "RTX 4090", used_mb=used, total_mb=10_000)], states, 0, AlertSettings())
        states = outcome.states
        found += outcome.findings

    assert [finding.level for finding in found] == [None, "warning", "alarm", "alarm", "warning", "warning", None]
    assert (found[2].subject, found[2].text) == ("memory:gpu1:1", "The memory of GPU 1 of gpu1 is 95 % full.")


def test_a_gpu_that_tells_nothing_is_no_finding() -> None:
    outcome = judge_gpus(
        "gpu1", [Gpu(0, "RTX 4090"), Gpu(1, "RTX 4090", used_mb=5, total_mb=0)], {}, 0, AlertSettings()
    )

    assert outcome.findings == ()
    assert (outcome.pause, outcome.stop) == (False, False)


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(20, 110)), max_size=40))
def test_jobs_wait_exactly_while_a_gpu_has_been_too_hot_for_a_minute(steps: list[tuple[float, float]]) -> None:
    now_s, hot_since_s = 0.0, None
    readings = []
    expected = []
    for pause_s, temperature in steps:
        now_s += pause_s
        if Decimal(str(temperature)) >= 85 or (hot_since_s is not None and Decimal(str(temperature)) > 82):
            hot_since_s = now_s if hot_since_s is None else hot_since_s
        else:
            hot_since_s = None
        readings.append((now_s, temperature))
        expected.append(hot_since_s is not None and now_s - hot_since_s >= 60)

    assert [outcome.pause for outcome in heat(*readings)] == expected


def test_findings_are_raised_or_cleared() -> None:
    class Ear:
        def __init__(self) -> None:
            self.heard: list[tuple[str, ...]] = []

        async def raise_(self, subject: str, level: str, text: str) -> bool:
            self.heard.append(("raise", subject, level, text))
            return True

        async def clear(self, subject: str, text: str = "") -> bool:
            self.heard.append(("clear", subject, text))
            return True

    ear = Ear()
    run(tell(ear, [Finding("heat:gpu1:1", "alarm", "90 °C"), Finding("heat:gpu1:0", None, "60 °C")]))

    assert ear.heard == [("raise", "heat:gpu1:1", "alarm", "90 °C"), ("clear", "heat:gpu1:0", "60 °C")]
