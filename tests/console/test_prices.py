"""Who says what a token costs, and when nobody does."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from console.history.models_seen import SeenModel
from console.money import price_table
from console.money.ledger import cost_of
from console.money.prices import OWN, Price, Prices, family
from console.settings import Endpoint, ModelPrice
from providers.chat.base import Usage

OPENAI = "https://api.openai.com/v1"


def endpoint(base_url: str = OPENAI, name: str = "host", **settings: Any) -> Endpoint:
    return Endpoint(name=name, wire="openai", base_url=base_url, **settings)


def priced(name: str, asked: str, answered: str) -> dict[str, ModelPrice]:
    return {name: ModelPrice(name=name, input=Decimal(asked), output=Decimal(answered))}


def test_shipped_list_knows_the_vendors_own_hosts() -> None:
    price = Prices().price(endpoint(), "gpt-4.1")

    assert price is not None
    assert (price.input_usd_per_million, price.output_usd_per_million) == (Decimal(2), Decimal(8))
    assert price.cached_input_usd_per_million == Decimal("0.5")
    assert price.source == "shipped list"
    assert price.dated == date.fromisoformat(price_table.DATED)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://gateway.example.com/v1",
        "https://api.openai.com.example.com/v1",
        "https://eu.api.openai.com/v1",
        "nonsense",
    ],
)
def test_shipped_list_is_silent_on_other_hosts(base_url: str) -> None:
    assert Prices().price(endpoint(base_url), "gpt-4.1") is None


def test_own_machine_costs_nothing_and_hosted_unknown_is_not_nothing() -> None:
    assert Prices().price(endpoint("http://127.0.0.1:8000/v1"), "qwen3:8b") is OWN
    assert Prices().price(endpoint("https://llm.example.com/v1"), "qwen3:8b") is None


def test_the_first_that_knows_wins() -> None:
    seen = [
        SeenModel("gpt-4.1", "host", price_input_usd_per_million=Decimal(5), price_output_usd_per_million=Decimal(6))
    ]
    settings = priced("gpt-4.1", "3", "4") | priced("host/gpt-4.1", "7", "8")

    by_model, by_name = Prices(priced("gpt-4.1", "3", "4")), Prices(settings)
    listed = Prices()
    listed.learn("host", seen)
    by_model.learn("host", seen)

    def found(prices: Prices, **own: Any) -> tuple[str, str]:
        price = prices.price(endpoint(**own), "gpt-4.1")
        assert price is not None
        return str(price.input_usd_per_million), price.source

    assert found(by_name, price_input=Decimal(1), price_output=Decimal(2)) == ("7", "settings")
    assert found(by_model, price_input=Decimal(1), price_output=Decimal(2)) == ("1", "endpoint")
    assert found(by_name) == ("7", "settings")
    assert found(by_model) == ("3", "settings")
    assert found(listed) == ("5", "host list")
    assert found(Prices()) == ("2", "shipped list")


def test_price_set_for_an_own_machine_is_kept() -> None:
    price = Prices(priced("qwen3:8b", "0.1", "0.2")).price(endpoint("http://localhost:11434"), "qwen3:8b")

    assert price is not None
    assert price.source == "settings"


def test_half_a_price_is_no_price() -> None:
    assert Prices().price(endpoint("https://llm.example.com", price_input=Decimal(1)), "any") is None


def test_host_list_of_one_endpoint_does_not_speak_for_another() -> None:
    prices = Prices()
    prices.learn(
        "one", [SeenModel("m", "one", price_input_usd_per_million=Decimal(1), price_output_usd_per_million=Decimal(1))]
    )

    assert prices.price(endpoint("https://llm.example.com", "two"), "m") is None


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("gpt-4.1-2025-04-14", "gpt-4.1"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("gpt-4.1-mini", "gpt-4.1-mini"),
        ("claude-opus-4-1", "claude-opus-4-1"),
        ("o3", "o3"),
        ("", ""),
    ],
)
def test_dated_name_belongs_to_its_family(name: str, stem: str) -> None:
    assert family(name) == stem


def test_dated_name_with_a_line_of_its_own_keeps_it() -> None:
    old, usual = (Prices().price(endpoint(), name) for name in ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06"))

    assert old is not None
    assert usual is not None
    assert old.input_usd_per_million == Decimal(5)
    assert usual.input_usd_per_million == Decimal("2.5")


def test_relative_of_a_known_model_is_not_guessed() -> None:
    assert Prices().price(endpoint(), "gpt-4.1-ultra") is None
    assert Prices().price(endpoint(), "ft:gpt-4.1-2025-04-14:me::abc") is None


def test_every_line_of_the_list_is_a_price() -> None:
    date.fromisoformat(price_table.DATED)
    for vendor, host in (("openai", OPENAI), ("anthropic", "https://api.anthropic.com")):
        assert len(price_table.TEXT[vendor]) > 20
        for model in price_table.TEXT[vendor]:
            price = Prices().price(endpoint(host), model)
            assert price is not None
            assert price.input_usd_per_million > 0
            assert price.output_usd_per_million >= 0
            assert (price.cached_input_usd_per_million or 0) < price.input_usd_per_million


def test_long_prompt_is_dearer_altogether() -> None:
    price = Prices().price(endpoint("https://api.anthropic.com"), "claude-haiku-5-5")

    assert cost_of(Usage(100_000, 1_000_000), price) == Decimal("0.51")
    assert cost_of(Usage(200_000, 1_000_000), price) == Decimal("2.6")


def test_pictures_are_priced_by_quality_and_shape() -> None:
    prices = Prices()

    def usd(model: str, width: int, height: int, quality: str, host: str = OPENAI) -> str:
        return str(prices.picture_price(endpoint(host), model, width=width, height=height, quality=quality))

    assert usd("gpt-image-1", 1024, 1024, "high") == "0.167"
    assert usd("gpt-image-1", 1024, 1536, "high") == "0.25"
    assert usd("gpt-image-1", 1024, 1024, "unheard of") == "None"
    assert usd("flux-2-pro", 1024, 1024, "standard", "https://api.bfl.ai") == "0.03"
    assert usd("flux-2-pro", 2048, 2048, "standard", "https://api.bfl.ai") == "None"
    assert usd("flux-dev", 1024, 1024, "standard", "http://127.0.0.1:8188") == "0"
    assert usd("gpt-image-1", 1024, 1024, "high", "https://images.example.com") == "None"


def test_price_with_only_a_cache_price_is_not_free() -> None:
    assert not Price(Decimal(0), Decimal(0), "settings", cache_write_usd_per_million=Decimal(1)).is_free
    assert OWN.is_free
