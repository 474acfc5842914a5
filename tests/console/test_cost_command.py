"""`hawser cost`."""

from __future__ import annotations

import argparse
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from console.clock import SystemClock
from console.commands import cost
from console.history.store import Store
from console.money.ledger import LedgerEntry
from console.paths import find_paths
from console.shell import Shell
from tests.conftest import run

NOW = datetime.now(UTC)


def entry(usd: str | None, model: str = "gpt-4.1", endpoint: str = "openai", **more: Any) -> LedgerEntry:
    at = more.pop("at", NOW)
    return LedgerEntry(
        at,
        "chat",
        "prompt",
        endpoint,
        "openai",
        model,
        "complete",
        cost_usd=None if usd is None else Decimal(usd),
        input_tokens=1000,
        output_tokens=10,
        **more,
    )


class Desk:
    """A shell over a store with some calls in it."""

    def __init__(self, home: Path) -> None:
        self.environment = {"HAWSER_HOME": str(home), "HAWSER_ISOLATED": "1"}

    def book(self, *entries: LedgerEntry, reserved: str | None = None) -> None:
        async def body() -> None:
            store = await Store.open(find_paths(self.environment), SystemClock())
            for each in entries:
                await store.book(each)
            if reserved:
                await store.reserve(Decimal(reserved), "a call")
            await store.close()

        run(body())

    def ask(self, *words: str) -> str:
        parser = argparse.ArgumentParser()
        cost.add_arguments(parser)
        out = io.StringIO()
        assert cost.run(parser.parse_args(words), Shell(None, out, io.StringIO(), self.environment)) == 0
        return out.getvalue()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_nothing_spent_is_said_with_the_budget(desk: Desk) -> None:
    assert desk.ask().splitlines() == [
        f"Nothing was asked in {NOW.astimezone():%B %Y}.",
        "Budget: $0.00 of $5.00 today (0 %); $0.00 of $50.00 this month (0 %).",
    ]


def test_models_are_listed_with_tokens_cost_and_what_is_unknown(desk: Desk) -> None:
    desk.book(
        entry("0.010001"),
        entry("0.110000"),
        entry(None, "mystery"),
        entry(None, "mystery"),
        entry("0.5", "mystery"),
        entry("0", "qwen3:8b", "inference", machine="inference", estimated=True),
        reserved="0.25",
    )

    assert desk.ask().splitlines()[:8] == [
        "MODEL     CALLS  TOKENS IN  TOKENS OUT                     COST",
        "mystery       3      3,000          30      ≥ $0.50 + 2 unknown",
        "gpt-4.1       2      2,000          20                $0.120001",
        "qwen3:8b      1     ~1,000         ~10                    $0.00",
        "total         6     ~6,000         ~60  ≥ $0.620001 + 2 unknown",
        "~ holds 1 with tokens that were estimated, not reported.",
        "",
        "Budget: $0.620001 + 2 unknown of $5.00 today (12 %), $0.25 reserved;"
        " $0.620001 + 2 unknown of $50.00 this month (1 %), $0.25 reserved.",
    ]


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("machine", [None, "inference"]),
        ("endpoint", ["openai", "inference"]),
        ("day", [f"{NOW.astimezone():%Y-%m-%d}"]),
    ],
)
def test_calls_are_grouped_as_asked(desk: Desk, by: str, keys: list[str | None]) -> None:
    desk.book(entry("0.01"), entry("0", "qwen3:8b", "inference", machine="inference"))

    found = json.loads(desk.ask("--by", by, "--json"))

    assert [item[by] for item in found["items"]] == keys
    assert found["schema"] == 1


def test_json_has_every_amount_to_six_places(desk: Desk) -> None:
    desk.book(entry("0.123456"), entry(None))

    found = json.loads(desk.ask("--json"))

    assert found["items"] == [
        {
            "model": "gpt-4.1",
            "calls": 2,
            "input_tokens": 2000,
            "output_tokens": 20,
            "known_cost_usd": 0.123456,
            "unknown_cost_calls": 1,
            "estimated_calls": 0,
            "gpu_hours": 0.0,
            "machine_cost_usd": 0.0,
            "corrected_usd": 0.0,
            "estimated_usd": 0.0,
        }
    ]
    assert found["budget"]["day"] == {
        "spent_usd": 0.123456,
        "reserved_usd": 0.0,
        "unknown_cost_calls": 1,
        "limit_usd": 5.0,
    }
    assert found["month"] == f"{NOW.astimezone():%Y-%m}"


def test_other_month_shows_its_own_calls(desk: Desk) -> None:
    earlier = NOW.astimezone().replace(day=15, hour=12) - timedelta(days=62)
    desk.book(entry("3", "old", at=earlier), entry("1"))

    said = desk.ask("--month", f"{earlier:%Y-%m}")

    assert "old" in said
    assert "gpt-4.1" not in said
    assert "$1.00 of $50.00 this month" in said


@pytest.mark.parametrize("month", ["2026", "2026-13", "november", "2026-1", "2026-11-20"])
def test_month_that_is_none_is_a_usage_error(desk: Desk, month: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        desk.ask("--month", month)

    assert "is not a month such as 2026-11" in capsys.readouterr().err
