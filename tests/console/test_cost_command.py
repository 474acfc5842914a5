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
from console.errors import ConsoleError
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


def machine_time(usd: str, hours: float = 1, at: datetime = NOW, **more: Any) -> LedgerEntry:
    values: dict[str, Any] = {
        "task": "gpu",
        "client": "meter",
        "endpoint": "gpu1",
        "wire": "first",
        "model": "",
        "machine": "gpu1",
        "outcome": "complete",
        "cost_usd": Decimal(usd),
        "span_from": at - timedelta(hours=hours),
        "span_to": at,
    }
    return LedgerEntry(at, **{**values, **more})


def test_machine_time_has_its_own_column_and_says_whose_count_it_is(desk: Desk) -> None:
    desk.book(
        entry("0.10"),
        entry("0", "qwen3:8b", "gpu1", machine="gpu1"),
        machine_time("0.39", 1.5, estimated=True),
        machine_time("0.02", task="disk"),
        machine_time("-0.01", task="correction", price_source="charges: gpu"),
    )

    assert desk.ask("--by", "machine").splitlines()[:7] == [
        "MACHINE  CALLS  TOKENS IN  TOKENS OUT  GPU HOURS    COST",
        "gpu1         1      1,000          10        1.5  ~$0.40",
        "-            1      1,000          10          -   $0.10",
        "total        2      2,000          20        1.5  ~$0.50",
        "~ holds $0.39 of machine time between readings that lie far apart.",
        "By our own count: first.",
        "",
    ]
    assert "(machine time)" in desk.ask("--by", "model")
    (item, _) = json.loads(desk.ask("--by", "machine", "--json"))["items"]
    assert (item["machine_cost_usd"], item["corrected_usd"], item["gpu_hours"]) == (0.4, -0.01, 1.5)


def test_csv_is_for_spreadsheets_and_holds_no_formula(desk: Desk) -> None:
    desk.book(entry("0.10"), entry(None, "=cmd|calc"))

    assert desk.ask("--csv").splitlines() == [
        "model,calls,input_tokens,output_tokens,known_cost_usd,unknown_cost_calls,estimated_calls,gpu_hours,"
        "machine_cost_usd,corrected_usd,estimated_usd",
        "gpt-4.1,1,1000,10,0.100000,0,0,0.000000,0.000000,0.000000,0.000000",
        "'=cmd|calc,1,1000,10,0.000000,1,0,0.000000,0.000000,0.000000,0.000000",
    ]


def test_the_same_tokens_at_an_api_are_priced_from_the_shipped_list(desk: Desk) -> None:
    desk.book(entry("0", "qwen3:8b", "gpu1", machine="gpu1"), machine_time("0.001"))

    said = desk.ask("--compare", "openai/gpt-4.1")
    assert "machines $0.00; their 1,010 tokens at openai/gpt-4.1 $0.00." in said
    found = json.loads(desk.ask("--compare", "openai/gpt-4.1", "--json"))["compare"]
    assert found["last_30_days"]["api_usd"] == 0.00208
    assert found["last_30_days"]["savings_usd"] == 0.00108
    assert found["last_30_days"]["return_share"] == 1.08
    assert found["last_30_days"]["days_that_paid"] == 1


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("gpt-4.1", "is not an endpoint and a model"),
        ("openai/mystery", "price of 'openai/mystery' is not known"),
        ("ollama/qwen3", "costs nothing"),
        ("nowhere/x", "no endpoint 'nowhere'"),
    ],
)
def test_what_cannot_be_compared_with_is_told(desk: Desk, target: str, complaint: str) -> None:
    with pytest.raises(ConsoleError, match=complaint):
        desk.ask("--compare", target)


def test_a_plan_turns_hours_into_months(desk: Desk) -> None:
    words = ("plan", "main=35,60,90,120,150@0.35", "second=0,15,30,60,100@0.35")

    assert desk.ask(*words).splitlines() == [
        "TIER  MAIN H  SECOND H  MACHINES    YEAR",
        "   1      35         0       $12    $147",
        "   2      60        15       $26    $315",
        "   3      90        30       $42    $504",
        "   4     120        60       $63    $756",
        "   5     150       100       $88  $1,050",
        "Tiers 4, 5: over the month's budget of $50.00.",
    ]
    items = json.loads(desk.ask(*words, "--json"))["items"]
    assert [item["machines_usd"] for item in items] == [12.25, 26.25, 42.0, 63.0, 87.5]
    assert items == json.loads(desk.ask("--json", *words))["items"]
    assert desk.ask(*words, "--csv").splitlines()[1] == "1,35.0 + 0.0,12.250000,0.000000,12.250000,147.000000,True"


def test_a_plan_takes_apis_and_stopped_disks(desk: Desk) -> None:
    said = desk.ask("plan", "gpu=30@0.35/0.01", "--api", "openai/gpt-4.1=2M/500k", "--api", "images=$3", "--json")

    (tier,) = json.loads(said)["items"]
    assert (tier["machines_usd"], tier["apis_usd"], tier["month_usd"]) == (17.5, 11.0, 28.5)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("plan",), "needs a machine"),
        (("plan", "gpu"), "is not a machine with its hours"),
        (("plan", "gpu=10"), "price of 'gpu' is not known"),
        (("plan", "gpu=ten@1"), "is not a number"),
        (("plan", "gpu=800@1"), "from 0 to 744"),
        (("plan", "gpu=NaN@1"), "is not a number"),
        (("plan", "gpu=1@1@1"), "is not a number"),
        (("plan", "--api", "openai/gpt-4.1=lots"), "is not tokens in and out"),
        (("plan", "--api", "openai/gpt-4.1=x/y"), "is not a number of tokens"),
        (("plan", "--api", "openai/mystery=1/1"), "is not known"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(desk: Desk, words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(ConsoleError, match=complaint):
        desk.ask(*words)


def test_a_plan_knows_the_prices_of_machines_in_the_settings(desk: Desk, tmp_path: Path) -> None:
    file = find_paths(desk.environment).config_file
    file.parent.mkdir(parents=True)
    file.write_text(
        '[machines.lab]\ncloud = "ssh"\nhost = "me@lab"\nusd_per_month = 40\n'
        '[machines.shed]\ncloud = "ssh"\nhost = "me@shed"\nusd_per_hour = 0.1\n'
    )

    (tier,) = json.loads(desk.ask("plan", "lab=100", "shed=10", "--json"))["items"]

    assert tier["month_usd"] == 41.0
