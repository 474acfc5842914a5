"""After a kill: the answer is kept by the store, and here its call gets its line in the books.

A process that is killed in the middle of an answer cannot book it, and the other side bills it all the same. What it
read and wrote is in the store, so that the cost can be estimated, and is marked as an estimate.
"""

from __future__ import annotations

from collections.abc import Sequence

from console.chat.context import estimate_tokens
from console.clock import Clock
from console.history import chats
from console.history.messages import StoredMessage
from console.history.store import Store
from console.money.ledger import LedgerEntry, cost_of
from console.money.prices import Prices
from console.settings import Settings
from providers.chat.base import Usage


async def book_lost_calls(answers: Sequence[StoredMessage], store: Store, settings: Settings, clock: Clock) -> None:
    """One failed call in the ledger for each recovered answer."""
    prices = Prices(settings.prices)
    for answer in answers:
        if answer.endpoint is None and not answer.text and not answer.thinking:  # nobody was asked yet
            continue
        # Its chat may have been deleted meanwhile; the books are kept all the same.
        chat = await store.run(lambda c, chat_id=answer.chat_id: chats.get(c, chat_id, deleted=True))  # type: ignore[misc]
        above = (await store.path(answer.chat_id, answer.id, contents=False))[:-1]
        usage = Usage(
            sum(estimate_tokens(message.text) for message in above) + estimate_tokens(chat.system or ""),
            estimate_tokens(answer.text) + estimate_tokens(answer.thinking),
        )
        endpoint = settings.endpoints.get(answer.endpoint or "")
        price = None
        if endpoint is not None:
            prices.learn(endpoint.name, await store.models_seen(endpoint.name))
            price = prices.price(endpoint, answer.model or "")
        await store.book(
            LedgerEntry(
                at=clock.now(),
                task="chat",
                client=chat.client,
                endpoint=answer.endpoint or "",
                wire=endpoint.wire if endpoint else "",
                model=answer.model or "",
                outcome="failed",
                machine=endpoint.machine if endpoint else None,
                chat_id=answer.chat_id,
                message_id=answer.id,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                estimated=True,
                price_input=price.input_usd_per_million if price else None,
                price_output=price.output_usd_per_million if price else None,
                price_source=price.source if price else None,
                price_dated=price.dated if price else None,
                cost_usd=cost_of(usage, price),
                error=answer.error,
            )
        )
