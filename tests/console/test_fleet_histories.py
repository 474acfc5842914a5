"""Thousands of random histories, each with its kills: nothing bills unknown, and `stopped` is never said without proof.

More of them by hand: `python -m tests.console.fleet_histories FIRST LAST honest|lying`.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.console.fleet_histories import Broken, History, empty_tables, run_histories

PARTS = 6
EACH = 60


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("lying", [False, True], ids=["honest", "lying"])
def test_whatever_happens_every_machine_is_known_and_comes_right(tmp_path: Path, part: int, lying: bool) -> None:
    logging.disable(logging.CRITICAL)
    try:
        told = run_histories(tmp_path, range(part * EACH, (part + 1) * EACH), lying=lying)
    finally:
        logging.disable(logging.NOTSET)

    assert told["kills"] > EACH / 2  # they were histories in which something happened
    assert told["machines"] > EACH
    assert told["alarms"] > EACH / 2


def test_a_history_tells_its_story_when_something_is_wrong(tmp_path: Path) -> None:
    from console.settings import load_settings
    from tests.console.store_kit import paths_in

    history = History(7, load_settings(paths_in(tmp_path), {}, discover=False), empty_tables(), lying=False)
    history.cloud.put("hawser-lost-abcdefgh")

    with pytest.raises(Broken, match="1 is running and nobody knows"):
        history.check_end()
