"""Pauses between tries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from console.links.backoff import LONGEST_S, URGENT_S, Backoff


def test_pauses_double_up_to_the_cap() -> None:
    backoff = Backoff(lambda: 1.0)

    assert [backoff.next_s() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_reset_starts_them_over() -> None:
    backoff = Backoff(lambda: 1.0)
    for _ in range(5):
        backoff.next_s()

    backoff.reset()

    assert backoff.next_s() == 0.5


@given(st.floats(0, 1), st.integers(1, 2000))
def test_pauses_are_never_nothing_and_never_beyond_the_cap(share: float, tries: int) -> None:
    backoff = Backoff(lambda: share)
    pauses = [backoff.next_s() for _ in range(tries)]

    assert all(0.2 <= pause <= LONGEST_S for pause in pauses)
    assert URGENT_S / 2 <= backoff.urgent_s() <= URGENT_S
