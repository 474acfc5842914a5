"""One call to one candidate: what was asked, what it may cost, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from console.chat import context
from console.chat.router import Candidate
from console.money.budget import Reservation
from console.money.ledger import settled_cost
from console.money.prices import Price
from providers.chat.base import ChatRequest, End, Usage


class Counted(NamedTuple):
    """What a call came to."""

    usage: Usage = Usage()
    estimated: bool = False
    """The server did not count, or not all; the figures are ours."""
    cost_usd: Decimal | None = None
    price_source: str | None = None
    cut: str | None = None
    """A sentence, if the server read only a part of the question."""


class Call:
    def __init__(
        self,
        candidate: Candidate,
        request: ChatRequest,
        packed: context.Packed,
        price: Price | None,
        reservation: Reservation,
        affordable_tokens: int | None,
    ) -> None:
        self.candidate = candidate
        self.request = request
        self.packed = packed
        self.price = price
        self.reservation = reservation
        self.affordable_tokens = affordable_tokens
        """How long the answer may get under the cap on its cost; None without a cap."""
        self.written_estimate = 0

    def count(self, end: End | None, text: Sequence[str], thinking: Sequence[str], *, was_sent: bool) -> Counted:
        """The server's counts where it gave them, else ours. What was never sent counts nothing."""
        told = end.usage if end else Usage()
        asked, written = told.input_tokens, told.output_tokens
        if asked is None:
            asked = self.packed.tokens if was_sent else 0
        if written is None:
            written = sum(context.estimate_tokens("".join(pieces)) for pieces in (text, thinking))
        usage = told._replace(input_tokens=asked, output_tokens=written)
        cost, source = settled_cost(end.cost_usd if end else None, usage, self.price)
        return Counted(
            usage,
            told.input_tokens is None or told.output_tokens is None,
            cost,
            source,
            context.detect_truncation(self.packed.tokens, told.input_tokens, self.request.context_tokens),
        )

    def booked_as(self, counted: Counted) -> dict[str, Any]:
        """The fields of its line in the ledger that say who was asked, how much, and at which price."""
        usage, price, endpoint = counted.usage, self.price, self.candidate.endpoint
        return {
            "endpoint": endpoint.name,
            "machine": endpoint.machine,
            "wire": endpoint.wire,
            "model": self.candidate.model,
            **usage._asdict(),
            "estimated": counted.estimated,
            "price_input": price.input_usd_per_million if price else None,
            "price_output": price.output_usd_per_million if price else None,
            "price_cached_input": price.cached_input_usd_per_million if price else None,
            "price_cache_write": price.cache_write_usd_per_million if price else None,
            "price_source": counted.price_source,
            "price_dated": price.dated if price else None,
            "cost_usd": counted.cost_usd,
        }
