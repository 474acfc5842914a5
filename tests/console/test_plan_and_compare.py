"""What a month would cost, and whether renting pays."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from console.errors import UsageError
from console.money.compare import compare, sentences
from console.money.ledger import LedgerEntry
from console.money.plan import PlannedApi, PlannedMachine, plan, whole_dollars
from console.money.prices import Price
from tests.console.money_kit import NOON, call

PRICE = Price(Decimal(2), Decimal(8), "settings")
THIRD = Decimal("0.35")


def hours(*values: int) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, values))


def test_five_ways_of_life_with_one_machine_and_a_second() -> None:
    tiers = plan(
        [
            PlannedMachine("first", hours(35, 60, 90, 120, 150), THIRD),
            PlannedMachine("second", hours(0, 15, 30, 60, 100), THIRD),
        ]
    )

    assert [tier.machines_usd for tier in tiers] == [
        Decimal("12.25"),
        Decimal("26.25"),
        Decimal("42.00"),
        Decimal("63.00"),
        Decimal("87.50"),
    ]
    assert [whole_dollars(tier.machines_usd) for tier in tiers] == ["$12", "$26", "$42", "$63", "$88"]


def test_apis_months_and_stopped_disks_are_part_of_a_plan() -> None:
    (tier,) = plan(
        [
            PlannedMachine("rented", hours(30), THIRD, usd_per_hour_stopped=Decimal("0.01")),
            PlannedMachine("own", hours(700), usd_per_month=Decimal(20)),
        ],
        [PlannedApi("openai", hours(5))],
    )

    assert (tier.machines_usd, tier.apis_usd, tier.month_usd) == (Decimal("37.50"), Decimal(5), Decimal("42.50"))


def test_one_number_counts_for_every_tier() -> None:
    tiers = plan([PlannedMachine("a", hours(1, 2, 3), Decimal(1)), PlannedMachine("b", hours(10), Decimal(1))])

    assert [tier.machines_usd for tier in tiers] == [11, 12, 13]


def test_tiers_that_do_not_match_are_refused() -> None:
    with pytest.raises(UsageError, match="'b' has 2 tiers, and others have 3"):
        plan([PlannedMachine("a", hours(1, 2, 3)), PlannedMachine("b", hours(1, 2))])
    with pytest.raises(UsageError, match="needs a machine"):
        plan([])


def time(usd: str, days: int = 0, task: str = "gpu", length_h: float = 1) -> LedgerEntry:
    at = NOON + timedelta(days=days)
    return call(
        usd,
        at,
        task=task,
        client="meter",
        model="",
        machine="gpu1",
        span_from=at - timedelta(hours=length_h),
        span_to=at,
    )


def own(asked: int | None, answered: int | None, days: int = 0, **more: Any) -> LedgerEntry:
    at = NOON + timedelta(days=days)
    return call("0", at, machine="gpu1", model="qwen3:8b", input_tokens=asked, output_tokens=answered, **more)


def test_tokens_of_machines_are_priced_as_if_they_had_been_bought() -> None:
    found = compare(
        [
            time("0.40"),
            time("0.02", task="disk"),
            own(100_000, 50_000),
            time("0.40", 1, length_h=2),
            own(10_000, 1_000, 1),
            own(None, None, 1),
            call("3", NOON),  # bought, so not the machines'
        ],
        PRICE,
    )

    assert (found.machines_usd, found.api_usd, found.savings_usd) == (
        Decimal("0.82"),
        Decimal("0.628"),
        Decimal("-0.192"),
    )
    assert (found.calls, found.uncounted_calls, found.days_used, found.days_that_paid) == (3, 1, 2, 1)
    assert found.gpu_hours == 3
    assert found.break_even_days() == Decimal("39.2")
    # An hour of GPU costs 0.82/3 dollars, and a token is worth 0.628/161000 at the API.
    assert found.break_even_tokens_per_hour == 70_074
    assert sentences(found, "openai/gpt-4.1", "November 2026") == [
        "November 2026: machines $0.82; their 161,000 tokens at openai/gpt-4.1 $0.63.",
        "1 call without a count of tokens left out.",
        "Renting lost $0.19, a return of -23 %; it paid on 1 of 2 days.",
        "Break-even: 70,074 tokens in an hour of GPU, mixed as yours were.",
    ]


def test_renting_that_pays_has_a_return() -> None:
    found = compare([time("0.40"), own(0, 100_000)], PRICE)

    assert (found.savings_usd, found.return_share, found.break_even_days()) == (
        Decimal("0.4"),
        Decimal(1),
        Decimal("15.0"),
    )


def test_nothing_used_is_no_division() -> None:
    found = compare([], PRICE)

    assert (found.return_share, found.break_even_days(), found.break_even_tokens_per_hour) == (None, None, None)
    assert sentences(found, "a/b", "November 2026") == ["November 2026: machines $0.00; their 0 tokens at a/b $0.00."]
