"""A prompt to a model on a machine, by the machine's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.simulated.services import SimulatedOllama
from tests.flows.kit import Services
from tests.flows.machine_kit import OLLAMA, GpuBox, user_of

MODEL = "gpubox/llama3.1:8b"


@pytest.fixture
def box(services: Services, ollama: SimulatedOllama) -> Iterator[GpuBox]:
    each = GpuBox(services, {OLLAMA: ollama})
    yield each
    each.close()


def test_a_machine_answers_under_its_own_name(box: GpuBox, tmp_path: Path) -> None:
    user = user_of(box, tmp_path / "user")

    done = user.ask("Hello", "-m", MODEL, "--json")

    assert done.code == 0, done.err
    answer = done.json()
    assert answer["text"]
    assert (answer["machine"], answer["endpoint"]) == ("gpubox", "gpubox")
    assert answer["cost_usd"]["tokens"] == 0
    assert answer["timings_ms"]["wake"] is None
    assert answer["timings_ms"]["connect"] > 0
    (booked,) = user.ledger()
    assert (booked["machine"], booked["cost_usd"], booked["price_source"]) == ("gpubox", "0.000000", "own")
    box.until(lambda: box.machine.connections == 0)
