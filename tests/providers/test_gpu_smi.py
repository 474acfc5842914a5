"""Lines of nvidia-smi as drivers print them, whole, short, odd and hostile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from providers.gpu_smi import MOST_GPUS, Rounds, Snapshot, command

ONE = "1, 0, NVIDIA GeForce RTX 4090, GPU-1a, 83, 24564, 20000, 71, 390.21, 450.00, 2520, 64, 570.133.20"
TWO = (
    "2, 0, NVIDIA H100 80GB HBM3, GPU-1a, 83, 81559, 20000, 71, 390.21, 700.00, 1980, [N/A], 570.133.20",
    "2, 1, NVIDIA H100 80GB HBM3, GPU-2b, 0, 81559, 3, 33, 68.10, 700.00, 345, [N/A], 570.133.20",
)


def read(*lines: str, few_fields: bool = False) -> tuple[list[Snapshot], Rounds]:
    rounds = Rounds(few_fields=few_fields)
    found = [snapshot for line in lines for snapshot in rounds.read(line)]
    return [*found, *rounds.rest()], rounds


def test_a_line_becomes_a_gpu() -> None:
    (snapshot,), _ = read(ONE)

    (gpu,) = snapshot.gpus
    assert (gpu.name, gpu.use_percent, gpu.temperature_c, gpu.power_w) == ("NVIDIA GeForce RTX 4090", 83, 71, 390.21)
    assert gpu.memory_share is not None
    assert round(gpu.memory_share, 3) == 0.814
    assert (snapshot.driver, snapshot.busiest_percent) == ("570.133.20", 83)


def test_a_round_is_complete_with_its_last_gpu_and_not_a_second_later() -> None:
    rounds = Rounds()

    assert list(rounds.read(TWO[0])) == []
    (snapshot,) = rounds.read(TWO[1])

    assert [gpu.number for gpu in snapshot.gpus] == [0, 1]
    assert snapshot.gpus[0].fan_percent is None


def test_a_driver_that_knows_little_is_read_by_its_numbers() -> None:
    old = ("0, Tesla K80, 12, 11441, 100, 50", "1, Tesla K80, [Not Supported], 11441, 100, 51")

    snapshots, _ = read(*old, *old, few_fields=True)

    assert [[gpu.temperature_c for gpu in snapshot.gpus] for snapshot in snapshots] == [[50, 51], [50, 51]]
    assert snapshots[0].gpus[1].use_percent is None


def test_what_is_no_reading_is_the_complaint() -> None:
    snapshots, rounds = read('Field "clocks.sm" is not a valid field to query.', "")
    assert (snapshots, rounds.wants_fewer_fields) == ([], True)

    _, rounds = read("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
    assert "communicate with the NVIDIA driver" in rounds.complaint
    assert not rounds.wants_fewer_fields


def test_figures_that_cannot_be_are_unknown() -> None:
    (snapshot,), _ = read("1, 0, X\x1b[31m, GPU-1, 400, nan, -5, 9999, inf, [Unknown Error], , 20, 1")

    (gpu,) = snapshot.gpus
    assert gpu.name == "X[31m"
    assert (gpu.use_percent, gpu.total_mb, gpu.used_mb, gpu.power_w, gpu.power_limit_w) == (None,) * 5
    assert (gpu.temperature_c, gpu.clock_mhz, gpu.fan_percent) == (None, None, 20)


def test_the_command_asks_once_or_for_ever() -> None:
    assert command().endswith("--format=csv,noheader,nounits -lms 1000")
    assert "-lms" not in command(every_ms=None)
    assert "count" not in command(few_fields=True)


@given(st.lists(st.text(alphabet="0123456789, -[N/A].abc", max_size=60) | st.sampled_from([ONE, *TWO]), max_size=300))
def test_any_lines_are_read_in_bounded_rounds(lines: list[str]) -> None:
    snapshots, rounds = read(*lines)

    assert all(0 < len(snapshot.gpus) <= MOST_GPUS for snapshot in snapshots)
    assert len(rounds.complaint) <= 300
