"""One line of the books, and the arithmetic that gives it its cost.

Amounts are exact until the end and rounded once per call: to six places, half up, as invoices do. So the sum of the
ledger is the sum of its lines, whoever adds them up. What is not known is None and stays visible as such.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import ROUND_HALF_UP, ROUND_UP, Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from console.money.prices import Price
    from providers.chat.base import Usage

SIX_PLACES = Decimal("0.000001")
ZERO = Decimal(0)
_MILLION = Decimal(1_000_000)


class LedgerEntry(NamedTuple):
    """A request as it is booked, once, when it has ended, however it ended."""

    at: datetime
    task: str
    """What it was for: chat, title, summary, embedding, image, …"""
    client: str
    """Which face asked: prompt, app, gateway."""
    endpoint: str
    wire: str
    model: str
    outcome: str
    """complete, stopped or failed."""
    machine: str | None = None
    chat_id: str | None = None
    message_id: str | None = None
    input_tokens: int | None = None
    """All of them, cached ones included."""
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    thinking_tokens: int | None = None
    images: int | None = None
    estimated: bool = False
    """The token counts are ours, not the server's."""
    price_input: Decimal | None = None
    """USD per million tokens, as are the three below."""
    price_output: Decimal | None = None
    price_cached_input: Decimal | None = None
    price_cache_write: Decimal | None = None
    price_source: str | None = None
    price_dated: date | None = None
    cost_usd: Decimal | None = None
    first_token_ms: float | None = None
    total_ms: float | None = None
    error: str | None = None
    span_from: datetime | None = None
    """Of a line about time: from when to when it was paid for."""
    span_to: datetime | None = None
    usd_per_hour: Decimal | None = None
    gigabytes: Decimal | None = None
    """Of a line about traffic: how much it was."""


def to_six_places(amount_usd: Decimal) -> Decimal:
    return amount_usd.quantize(SIX_PLACES, ROUND_HALF_UP)


def cost_of(usage: Usage, price: Price | None) -> Decimal | None:
    """What the tokens cost, to six places; None where the price, or a count that has a price, is not known.

    A free token costs nothing however many there are, so on our own machines an unknown count is still 0.
    """
    if price is None:
        return None
    if price.is_free:
        return ZERO
    exact = _exact(usage, price)
    return None if exact is None else to_six_places(exact)


def cost_at_most(usage: Usage, price: Price) -> Decimal | None:
    """The same, rounded up: what is set aside before a call may not be too little."""
    if price.is_free:
        return ZERO
    exact = _exact(usage, price)
    return None if exact is None else exact.quantize(SIX_PLACES, ROUND_UP)


def settled_cost(reported_usd: Decimal | None, usage: Usage, price: Price | None) -> tuple[Decimal | None, str | None]:
    """The cost to book and where it comes from: what the host says it charged wins over any arithmetic of ours."""
    if reported_usd is not None:
        return to_six_places(reported_usd), "reported"
    return cost_of(usage, price), price.source if price else None


def _exact(usage: Usage, price: Price) -> Decimal | None:
    dear = price.is_long(usage.input_tokens)
    input_factor, output_factor = (price.long_input_factor, price.long_output_factor) if dear else (1, 1)
    total = ZERO
    if usage.input_tokens is None:
        if price.input_usd_per_million:
            return None
    else:
        cached = min(usage.cached_input_tokens or 0, usage.input_tokens)
        written = min(usage.cache_write_tokens or 0, usage.input_tokens - cached)
        fresh = usage.input_tokens - cached - written
        total += input_factor * (
            fresh * price.input_usd_per_million
            + cached * _or(price.cached_input_usd_per_million, price.input_usd_per_million)
            + written * _or(price.cache_write_usd_per_million, price.input_usd_per_million)
        )
    if usage.output_tokens is None:
        if price.output_usd_per_million:
            return None
    else:
        total += output_factor * usage.output_tokens * price.output_usd_per_million
    return total / _MILLION


def _or(own: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if own is None else own
