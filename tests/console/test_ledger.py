"""The arithmetic of a ledger line."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.money.ledger import cost_at_most, cost_of, settled_cost
from console.money.prices import OWN, Price
from providers.chat.base import Usage

PRICE = Price(
    Decimal(3),
    Decimal(15),
    "settings",
    cached_input_usd_per_million=Decimal("0.3"),
    cache_write_usd_per_million=Decimal("3.75"),
)
PLAIN = Price(Decimal(3), Decimal(15), "settings")
amounts = st.decimals(0, 200, places=4, allow_nan=False)
counts = st.integers(0, 2_000_000)


def test_cached_and_written_tokens_have_prices_of_their_own() -> None:
    usage = Usage(input_tokens=10_000, output_tokens=100, cached_input_tokens=6_000, cache_write_tokens=1_000)

    assert cost_of(usage, PRICE) == Decimal("0.009000") + Decimal("0.001800") + Decimal("0.003750") + Decimal(
        "0.001500"
    )


def test_cached_tokens_without_a_price_count_as_input() -> None:
    assert cost_of(Usage(10_000, 0, 6_000), PLAIN) == Decimal("0.03")


def test_more_cached_tokens_than_there_are_change_nothing() -> None:
    assert cost_of(Usage(1_000, 0, 5_000), PRICE) == Decimal("0.0003")


def test_half_of_a_millionth_is_rounded_up() -> None:
    assert cost_of(Usage(1, 0), Price(Decimal("0.5"), Decimal(0), "settings")) == Decimal("0.000001")
    assert cost_of(Usage(1, 0), Price(Decimal("0.49"), Decimal(0), "settings")) == Decimal(0)
    assert cost_at_most(Usage(1, 0), Price(Decimal("0.01"), Decimal(0), "settings")) == Decimal("0.000001")


@pytest.mark.parametrize("usage", [Usage(), Usage(input_tokens=5), Usage(output_tokens=5)])
def test_unknown_count_or_price_makes_the_cost_unknown(usage: Usage) -> None:
    assert cost_of(usage, PRICE) is None
    assert cost_of(Usage(1, 1), None) is None


def test_unknown_count_that_has_no_price_does_not_matter() -> None:
    assert cost_of(Usage(), OWN) == 0
    assert cost_of(Usage(input_tokens=1_000), Price(Decimal(1), Decimal(0), "settings")) == Decimal("0.001")


def test_what_the_host_charged_wins() -> None:
    assert settled_cost(Decimal("0.0123456"), Usage(1, 1), PRICE) == (Decimal("0.012346"), "reported")
    assert settled_cost(None, Usage(1_000, 0), PRICE) == (Decimal("0.003"), "settings")
    assert settled_cost(None, Usage(1_000, 0), None) == (None, None)
    assert settled_cost(Decimal(0), Usage(), None) == (Decimal(0), "reported")


@given(counts, counts, amounts, amounts)
def test_cost_is_within_half_a_millionth_of_the_exact_one(
    asked: int, answered: int, dear: Decimal, dearer: Decimal
) -> None:
    price = Price(dear, dearer, "settings")
    exact = (asked * dear + answered * dearer) / 1_000_000

    cost = cost_of(Usage(asked, answered), price)
    most = cost_at_most(Usage(asked, answered), price)

    assert cost is not None
    assert most is not None
    assert abs(cost - exact) <= Decimal("0.0000005")
    assert cost.as_tuple().exponent in (-6, 0)
    assert exact <= most < exact + Decimal("0.000001")
