"""What counts as work: traffic beyond our own probes, and sessions beyond our own links."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from console.links.events import TunnelTraffic
from console.links.health import Reading, ServiceProbed
from console.machines.signals import WINDOW_S, Traffic
from console.machines.work import sessions_in

PROBED = ServiceProbed("gpu1", "ollama", Reading(True, 3.0, None, datetime(2026, 9, 1, tzinfo=UTC)), 3.0, 3.0)


def traffic(up: int, down: int, port: int = 40001) -> TunnelTraffic:
    return TunnelTraffic("gpu1", port, 1, 0, up, down)


def test_probes_of_our_own_are_no_work() -> None:
    seen = Traffic()
    shown = []

    for number in range(1, 60):
        seen.take(PROBED, number * 10.0)
        shown.append(seen.take(traffic(number * 250, number * 1500), number * 10.0))

    assert set(shown) == {None}


@pytest.mark.parametrize(("up", "down"), [(900, 0), (300, 9000)])
def test_more_than_the_probes_can_be_is_work(up: int, down: int) -> None:
    seen = Traffic()
    seen.take(PROBED, 0.0)

    assert seen.take(traffic(250, 800), 1.0) is None
    assert seen.take(traffic(250 + up, 800 + down), 2.0) == "gpu1"


def test_open_connection_without_traffic_is_no_work() -> None:
    seen = Traffic()
    seen.take(traffic(5000, 90_000), 0.0)

    assert seen.take(traffic(5000, 90_000), WINDOW_S * 2) is None


OURS = "self 42\n42 41 sh -c echo\n41 40 sshd: root@notty\n40 1 sshd: root [priv]\n"


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ("", 0),
        ("50 1 sshd: root [priv]\n51 50 sshd: root@pts/0\n52 51 -bash\n", 1),
        ("51 50 sshd-session: me@pts/3\n", 1),
        ("60 1 sshd: root@notty\n", 0),
        ("60 1 sshd: root@notty\n61 60 nvidia-smi --query-gpu=count\n", 0),
        ("60 1 sshd: root@notty\n61 60 python train.py\n", 1),
        ("60 1 sshd: root@notty\n61 60 python train.py\n70 1 sshd: root@pts/1\n", 2),
        ("80 1 /usr/sbin/sshd -D\n81 1 sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups\n", 0),
    ],
)
def test_sessions_beyond_our_own_are_counted(more: str, count: int) -> None:
    assert sessions_in(OURS + more) == count


@pytest.mark.parametrize("listing", ["", "nonsense", "self\n", "self x\n"])
def test_listing_that_makes_no_sense_is_not_known(listing: str) -> None:
    assert sessions_in(listing) is None
