"""What can be rented anywhere, in one list, ranked by what a whole session would cost.

The price of an hour is a poor guide: a cheap host with a slow line spends its first paid hour fetching the model. So an
offer is quoted for a session: the boot, the download at that host's bandwidth, the hours of work, the traffic, and the
disk for as long as the machine would be kept stopped afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from console.errors import explain
from providers.clouds.base import Offer, Search
from providers.errors import ProviderError

_HOUR_S = Decimal(3600)
_ZERO = Decimal(0)

UNKNOWN_DOWN_MBPS = Decimal(300)
"""For a host that does not say how fast it is: what a middling one has."""

ASK_LIMIT_S = 20.0
"""How long one cloud may take to tell its offers; the others are not held up by it."""


class Session(NamedTuple):
    """What the machine is wanted for."""

    hours: Decimal = Decimal(2)
    download_gb: Decimal = Decimal(10)
    """The model and the image."""
    needs_vram_gb: Decimal | None = None
    """Weights and context, of all GPUs together; None where that is not known."""
    kept_hours: Decimal = _ZERO
    """How long it would be kept stopped afterwards."""


class Quote(NamedTuple):
    """An offer and what the session would cost there."""

    cloud: str
    offer: Offer
    total_usd: Decimal
    boot_usd: Decimal
    download_usd: Decimal
    work_usd: Decimal
    transfer_usd: Decimal
    kept_usd: Decimal
    ready_s: float
    """From the order to the first token."""
    fits: bool | None
    """Whether the model fits into its GPUs; None where that is not known."""
    is_guess: bool
    """The host does not say how fast its line is."""

    @property
    def vram_gb(self) -> Decimal:
        return self.offer.vram_gb * self.offer.gpu_count


class Trouble(NamedTuple):
    """Why a cloud's offers are missing."""

    cloud: str
    text: str
    hint: str | None = None


class Found(NamedTuple):
    quotes: list[Quote]
    """The cheapest session first; those that the model does not fit into come last."""
    troubles: list[Trouble]


def quote(cloud: str, offer: Offer, session: Session, boot_s: float) -> Quote:
    """What a session would cost with an offer; `boot_s` is the expected time without the download."""
    down_mbps = offer.down_mbps or None
    download_s = session.download_gb * 8000 / (down_mbps or UNKNOWN_DOWN_MBPS)
    per_second = offer.usd_per_hour / _HOUR_S
    boot_usd = Decimal(str(boot_s)) * per_second
    download_usd = download_s * per_second
    work_usd = session.hours * offer.usd_per_hour
    transfer_usd = session.download_gb * (offer.usd_per_gb_down or _ZERO)
    kept_usd = session.kept_hours * offer.disk_usd_per_hour
    fits = None
    if session.needs_vram_gb is not None:
        fits = offer.vram_gb * offer.gpu_count >= session.needs_vram_gb
    return Quote(
        cloud=cloud,
        offer=offer,
        total_usd=boot_usd + download_usd + work_usd + transfer_usd + kept_usd,
        boot_usd=boot_usd,
        download_usd=download_usd,
        work_usd=work_usd,
        transfer_usd=transfer_usd,
        kept_usd=kept_usd,
        ready_s=boot_s + float(download_s),
        fits=fits,
        is_guess=down_mbps is None,
    )


def ranked(quotes: Sequence[Quote]) -> list[Quote]:
    return sorted(quotes, key=lambda one: (one.fits is False, one.total_usd, one.ready_s, one.cloud, one.offer.id))


class Suggestions(NamedTuple):
    """Three ways to choose; the same offer may be more than one of them."""

    cheapest: Quote
    soonest: Quote
    safest: Quote


def suggestions(quotes: Sequence[Quote]) -> Suggestions | None:
    """Of the offers that the model fits into, as far as that is known."""
    fitting = [one for one in quotes if one.fits is not False]
    if not fitting:
        return None
    return Suggestions(
        cheapest=min(fitting, key=lambda one: (one.total_usd, one.ready_s)),
        soonest=min(fitting, key=lambda one: (one.is_guess, one.ready_s, one.total_usd)),
        safest=min(fitting, key=_risk),
    )


def _risk(one: Quote) -> tuple[bool, Decimal, Decimal]:
    """A host that cannot be lost to a bid and was there most of the time; then the price."""
    reliability = one.offer.reliability if one.offer.reliability is not None else Decimal("0.97")
    return one.offer.spot, -reliability.quantize(Decimal("0.001")), one.total_usd


Ask = Callable[[str, Search], Awaitable[list[Offer]]]
Boot = Callable[[str, Offer], float]


async def find(
    clouds: Sequence[str],
    search: Search,
    session: Session,
    ask: Ask,
    boot_s: Boot,
    *,
    limit_s: float = ASK_LIMIT_S,
) -> Found:
    """Ask all clouds at once. One that fails or is slow costs its own offers and nothing else."""

    async def of(cloud: str) -> list[Offer] | Trouble:
        try:
            async with asyncio.timeout(limit_s):
                return await ask(cloud, search)
        except TimeoutError:
            return Trouble(cloud, f"{cloud} did not tell its offers within {limit_s:g} s.")
        except ProviderError as error:
            told = explain(error)
            return Trouble(cloud, told.text, told.hint)

    answers = await asyncio.gather(*map(of, clouds))
    quotes: list[Quote] = []
    troubles: list[Trouble] = []
    for cloud, answer in zip(clouds, answers, strict=True):
        if isinstance(answer, Trouble):
            troubles.append(answer)
            continue
        quotes += [quote(cloud, offer, session, boot_s(cloud, offer)) for offer in answer if is_wanted(offer, search)]
    return Found(ranked(quotes), troubles)


def is_wanted(offer: Offer, search: Search) -> bool:
    """Whether an offer is what was searched for: clouds filter differently, or not at all."""
    limits = (
        (search.min_vram_gb, offer.vram_gb * offer.gpu_count),
        (search.min_down_mbps, offer.down_mbps),
        (search.min_reliability, offer.reliability),
    )
    if any(least is not None and (has is None or has < least) for least, has in limits):
        return False
    if search.max_usd_per_hour is not None and offer.usd_per_hour > search.max_usd_per_hour:
        return False
    if offer.disk_gb is not None and offer.disk_gb < search.disk_gb:
        return False
    if search.region and search.region.lower() not in offer.region.lower():
        return False
    return offer.gpu_count == search.gpu_count and offer.spot == search.spot
