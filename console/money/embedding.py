"""The line in the books for texts that an endpoint embedded, or ranked."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from console.money.ledger import LedgerEntry, cost_of
from providers.chat.base import Usage

if TYPE_CHECKING:
    from console.money.prices import Prices
    from console.settings_groups import Endpoint


def embedding_entry(
    endpoint: Endpoint,
    model: str,
    tokens: int | None,
    *,
    prices: Prices,
    at: datetime,
    client: str,
    task: str = "embedding",
) -> LedgerEntry:
    """Tokens as the service counted them; a cost that is not known stays None."""
    price = prices.price(endpoint, model)
    return LedgerEntry(
        at=at,
        task=task,
        client=client,
        endpoint=endpoint.name,
        wire=endpoint.wire,
        model=model,
        outcome="complete",
        machine=endpoint.machine,
        input_tokens=tokens,
        output_tokens=0,
        price_input=price.input_usd_per_million if price else None,
        price_source=price.source if price else None,
        price_dated=price.dated if price else None,
        cost_usd=cost_of(Usage(input_tokens=tokens, output_tokens=0), price),
    )
