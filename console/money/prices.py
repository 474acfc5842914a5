"""What a token costs where, and who says so.

The first that knows wins: the host's own bill for this very call (see `ledger.settled_cost`),
`[prices."endpoint/model"]`, the endpoint's `price` setting, `[prices."model"]`, our own machine (nothing), the price in
the host's model list, the shipped list. Nobody knows: None, which is shown as unknown and never taken for 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from console.history.models_seen import SeenModel
    from console.settings import Endpoint, ModelPrice
    from providers.chat.base import ModelInfo

_ONE = Decimal(1)
_ZERO = Decimal(0)
_MEGAPIXEL = 1024 * 1024


class Price(NamedTuple):
    """USD per million tokens. A cached or written token without a price of its own counts as plain input."""

    input_usd_per_million: Decimal
    output_usd_per_million: Decimal
    source: str
    """own, endpoint, settings, host list, or shipped list."""
    cached_input_usd_per_million: Decimal | None = None
    cache_write_usd_per_million: Decimal | None = None
    dated: date | None = None
    long_above_tokens: int | None = None
    """A prompt longer than this makes the whole call dearer, by the two factors."""
    long_input_factor: Decimal = _ONE
    long_output_factor: Decimal = _ONE

    @property
    def is_free(self) -> bool:
        return not (
            self.input_usd_per_million
            or self.output_usd_per_million
            or self.cached_input_usd_per_million
            or self.cache_write_usd_per_million
        )

    def is_long(self, input_tokens: int | None) -> bool:
        return self.long_above_tokens is not None and (input_tokens or 0) > self.long_above_tokens


OWN = Price(_ZERO, _ZERO, "own")


class Prices:
    def __init__(self, settings: Mapping[str, ModelPrice] | None = None) -> None:
        self._settings = settings or {}
        self._seen: dict[tuple[str, str], Price] = {}

    def learn(self, endpoint: str, models: Iterable[SeenModel | ModelInfo]) -> None:
        """Take over the prices that a host told in its model list; they count until its next one."""
        for model in models:
            asked, answered = model.price_input_usd_per_million, model.price_output_usd_per_million
            if asked is not None and answered is not None:
                self._seen[endpoint, model.name] = Price(asked, answered, "host list")

    def price(self, endpoint: Endpoint, model: str) -> Price | None:
        """Returns at once, from what is in memory; the shipped list is loaded only if it comes to that."""
        here, anywhere = self._settings.get(f"{endpoint.name}/{model}"), self._settings.get(model)
        if here is None and endpoint.price_input is not None and endpoint.price_output is not None:  # half is none
            return Price(endpoint.price_input, endpoint.price_output, "endpoint")
        setting = here or anywhere
        if setting is not None:
            return Price(setting.input, setting.output, "settings", setting.cached_input, setting.cache_write)
        if endpoint.is_own:
            return OWN
        return self._seen.get((endpoint.name, model)) or _shipped(endpoint.base_url, model)

    def picture_price(self, endpoint: Endpoint, model: str, *, width: int, height: int, quality: str) -> Decimal | None:
        """USD for one picture, where the shipped list knows it; 0 on our own machines."""
        if endpoint.is_own:
            return _ZERO
        return _shipped_picture(endpoint.base_url, model, width, height, quality)


def family(model: str) -> str:
    """A dated name without its date: `gpt-4.1-2025-04-14` and `claude-sonnet-4-5-20250929` lose theirs."""
    stem = model.removesuffix("-latest")
    head, _, last = stem.rpartition("-")
    if len(last) == 8 and last.isdecimal() and last.startswith("20"):
        return head
    parts = stem.rsplit("-", 3)
    if len(parts) == 4 and [len(part) for part in parts[1:]] == [4, 2, 2] and all(p.isdecimal() for p in parts[1:]):
        return parts[0]
    return stem


def _vendor(base_url: str) -> str | None:
    from urllib.parse import urlsplit

    from console.money.price_table import HOSTS

    try:
        return HOSTS.get(urlsplit(base_url).hostname or "")
    except ValueError:
        return None


def _shipped(base_url: str, model: str) -> Price | None:
    vendor = _vendor(base_url)
    if vendor is None:
        return None
    from console.money import price_table

    rows = price_table.TEXT.get(vendor, {})
    name = model if model in rows else family(model)
    row = rows.get(name)
    if row is None:
        return None
    asked, answered, cached, written = row
    above, input_factor, output_factor = price_table.LONG.get(name, (None, "1", "1"))
    return Price(
        Decimal(asked),
        Decimal(answered),
        "shipped list",
        Decimal(cached) if cached is not None else None,
        Decimal(written) if written is not None else None,
        date.fromisoformat(price_table.DATED),
        above,
        Decimal(input_factor),
        Decimal(output_factor),
    )


def _shipped_picture(base_url: str, model: str, width: int, height: int, quality: str) -> Decimal | None:
    vendor = _vendor(base_url)
    if vendor is None:
        return None
    from console.money import price_table

    rows = price_table.IMAGES.get(vendor, {})
    by_quality = rows.get(model) or rows.get(family(model)) or {}
    if width * height <= _MEGAPIXEL and "first megapixel" in by_quality:
        quality = "first megapixel"
    usual = by_quality.get(quality)
    usd = usual if width == height else by_quality.get(f"{quality} wide", usual)
    return None if usd is None else Decimal(usd)
