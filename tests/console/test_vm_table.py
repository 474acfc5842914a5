"""How machines are shown: words for prices and times, the table, the sentences about what is wrong."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.commands import vm_table
from console.commands.vm_logs import _overlap
from console.commands.vm_sink import Sink
from console.history.glance import Doing, Glance, Seen
from console.machines import words
from console.machines.noted import Noted, at_a_glance
from console.shell import Shell

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
BARE = Glance(
    1, "box", "vast", "20001", "hawser-box", "launched", "running", "ready", NOW - timedelta(minutes=7), "", NOW, 0,
    "stop", NOW, NOW, None, "RTX 4090", 1, Decimal(24), "SE", "running", "everything", Decimal("0.401"),
    Decimal("0.0111"), False, None, None, None, (), Decimal("1.20"), None,
)  # fmt: skip


def machine(**changes: Any) -> Glance:
    return BARE._replace(**changes)


def table_of(*machines: Glance) -> str:
    out = io.StringIO()
    shell = Shell(None, out, io.StringIO(), {})
    vm_table.show(shell, machines, {"box": Noted("vast", ("ollama",))}, None, NOW)
    return out.getvalue()


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("0.4", "$0.40/h"), ("0.4011", "$0.401/h"), ("0.01111", "$0.0111/h"), ("2", "$2.00/h"), ("0", "$0.00/h")],
)
def test_prices_have_the_places_that_say_something(amount: str, shown: str) -> None:
    assert words.per_hour(Decimal(amount)) == shown


@pytest.mark.parametrize(
    ("amount", "shown"), [("0", "$0.00"), ("0.00001", "$0.00"), ("0.0123", "$0.0123"), ("1234.5", "$1,234.50")]
)
def test_amounts(amount: str, shown: str) -> None:
    assert words.usd(Decimal(amount)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0 s"),
        (99, "99 s"),
        (100, "1 min"),
        (5399, "89 min"),
        (5400, "1 h 30 min"),
        (43_200, "12 h"),
        (200_000, "2 days"),
    ],
)
def test_spans_are_in_the_unit_that_matters(seconds: float, shown: str) -> None:
    assert words.span(seconds) == shown


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "$0.401/h"),
        ({"state": "stopped", "desired": "stopped", "bills": "disk"}, "$0.0111/h disk"),
        ({"desired": "stopped", "state": "stopping"}, "$0.401/h still billing"),
        ({"state": "failed"}, "$0.401/h still billing"),
        ({"bills": "unknown"}, "up to $0.401/h"),
        ({"bills": "unknown", "usd_per_hour": None}, "unknown"),
        ({"bills": "everything", "usd_per_hour": None}, "unknown"),
        ({"bills": "disk", "usd_per_hour_stopped": None}, "unknown"),
        ({"bills": "nothing"}, "-"),
        ({"origin": "settings", "bills": "unknown", "usd_per_hour": None}, "-"),
    ],
)
def test_the_price_of_now_says_what_it_is_for(changes: dict[str, Any], shown: str) -> None:
    assert vm_table.price_now(machine(**changes)) == shown


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "ready 7 min"),
        ({"state": "booting"}, "running 7 min"),
        ({"state": "booting", "seen_state": "starting"}, "booting 7 min"),
        ({"seen_at": NOW - timedelta(minutes=20)}, "ready 7 min, seen 20 min ago"),
        ({"seen_at": None, "state": "requested"}, "requested"),
        ({"seen_at": None, "origin": "settings", "state": "unknown"}, "not looked at yet"),
    ],
)
def test_a_state_has_its_age_and_old_news_theirs(changes: dict[str, Any], shown: str) -> None:
    assert vm_table.state(machine(**changes), NOW) == shown


def test_the_table_has_every_machine_with_its_services() -> None:
    table = table_of(machine(), machine(name="other", recipe="images", gpu_count=2, today_usd=Decimal(0)))

    assert [line.split()[0] for line in table.splitlines()] == ["NAME", "box", "other"]
    assert "ollama" in table
    assert "comfyui" in table
    assert "2x RTX 4090" in table
    assert "$1.20" in table


@pytest.mark.parametrize("what", ["create", "start", "stop", "destroy"])
def test_what_is_overdue_is_shouted(what: str) -> None:
    fresh = Doing(what, "", "accepted", 1, NOW - timedelta(seconds=20), "")
    old = fresh._replace(begun_at=NOW - timedelta(hours=2), tries=9, error="The cloud said no.")

    (calm,) = vm_table.warnings([machine(doing=fresh)], [], {}, {}, NOW)
    (loud,) = vm_table.warnings([machine(doing=old)], [], {}, {}, NOW)

    assert calm.startswith("box is being ")
    assert loud.startswith("OVERDUE: box ")
    assert loud.endswith("may still cost $0.401/h. The cloud said no." if what in ("stop", "destroy") else "said no.")


def test_accounts_that_cannot_be_read_are_told_with_the_age_of_what_is_shown() -> None:
    accounts = [
        Seen("vast", NOW - timedelta(minutes=5), "It is down."),
        Seen("runpod", NOW, None),
        Seen("x", None, "No."),
    ]

    told = list(vm_table.warnings([], accounts, {"vast": "Look there."}, {}, NOW))

    assert told == [
        "vast cannot be read: It is down. What is shown of it is 5 min old. Look there.",
        "x cannot be read: No. It was never read.",
    ]


def test_settings_at_a_glance_are_those_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        '[machines.box]\ncloud = "ssh"\nhost = "h"\nusd_per_hour = 0.10\n'
        'services = ["ollama", { name = "mine", port = 1 }]\n'
        '[machines.odd]\ncloud = 3\nservices = "x"\nusd_per_hour = "much"\n'
    )

    assert at_a_glance(file) == {
        "box": Noted("ssh", ("ollama", "mine"), usd_per_hour=Decimal("0.10")),
        "odd": Noted("3"),
    }
    file.write_text("[machines")
    assert at_a_glance(file) == {}
    assert at_a_glance(tmp_path / "none") == {}


@given(st.text(max_size=60), st.lists(st.integers(0, 200), max_size=6))
def test_output_on_a_terminal_is_harmless_however_it_is_cut(text: str, cuts: list[int]) -> None:
    content = text.encode()
    whole, pieces = io.BytesIO(), io.BytesIO()
    one, many = Sink(whole, is_terminal=True), Sink(pieces, is_terminal=True)
    one(content)
    one.end()
    ends = sorted(min(cut, len(content)) for cut in cuts)
    for start, end in zip([0, *ends], [*ends, len(content)], strict=True):
        many(content[start:end])
    many.end()

    assert whole.getvalue() == pieces.getvalue()
    assert b"\x1b" not in whole.getvalue()


def test_output_into_a_file_is_as_it_was() -> None:
    out = io.BytesIO()
    sink = Sink(out, is_terminal=False)

    sink(b"\x1b[31m\xff\r\n")
    sink.end()

    assert out.getvalue() == b"\x1b[31m\xff\r\n"


def test_a_log_that_is_asked_for_again_goes_on_where_it_was() -> None:
    assert _overlap(["a", "b", "c"], ["b", "c", "d"]) == 2
    assert _overlap(["a"], ["b"]) == 0
    assert _overlap([], ["b"]) == 0
