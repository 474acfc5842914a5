"""What adapters share: refusing what a cloud has not, fitting offers to a search, keys, and systems that boot.

An adapter inherits `Refusing` and writes only what its cloud can; the rest is refused in one manner.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import urlsplit

from providers.clouds import gpus, regions
from providers.clouds.base import (
    Account,
    CannotDo,
    Capability,
    Charge,
    Created,
    Offer,
    Order,
    OrderRefused,
    Search,
)


class Refusing:
    """A cloud that can nothing at all."""

    title: ClassVar[str]
    """What the cloud is called in sentences."""
    can: ClassVar[frozenset[Capability]]

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.can

    def capabilities_of(self, id: str) -> frozenset[Capability]:  # noqa: A002
        return self.capabilities

    async def offers(self, search: Search) -> list[Offer]:
        raise self._cannot("rents nothing")

    async def create(self, order: Order) -> Created:
        raise self._cannot("rents nothing")

    async def start(self, id: str) -> None:  # noqa: A002
        raise self._cannot("cannot start a machine again")

    async def stop(self, id: str) -> None:  # noqa: A002
        raise self._cannot("cannot stop a machine", hint="Only destroying it ends the billing.")

    async def destroy(self, id: str) -> None:  # noqa: A002
        raise self._cannot("cannot destroy a machine")

    async def reboot(self, id: str) -> None:  # noqa: A002
        raise self._cannot("cannot reboot a machine", hint="Reboot it over SSH.")

    async def bid(self, id: str, usd_per_hour: Decimal) -> None:  # noqa: A002
        raise self._cannot("rents nothing at a bid")

    async def attach_key(self, id: str, public_key: str) -> None:  # noqa: A002
        raise self._cannot("cannot put an SSH key onto a machine that is there already")

    async def account(self) -> Account:
        raise self._cannot("does not tell the balance")

    async def charges(self, since: datetime, until: datetime) -> list[Charge]:
        raise self._cannot("does not tell what it charged")

    def logs(self, id: str, *, lines: int = 200) -> AsyncIterator[str]:  # noqa: A002
        raise self._cannot("has no logs to show", hint="They are on the machine, over SSH.")

    async def close(self) -> None:
        return

    def check_order(self, order: Order) -> None:
        """Refuse what this cloud's capabilities exclude."""
        if order.image is not None and Capability.IMAGE not in self.capabilities:
            raise self._cannot("rents virtual machines and takes no container image")
        if order.start_script and Capability.START_SCRIPT not in self.capabilities:
            raise self._cannot("takes no start script", hint="Set the machine up over SSH, or by its image.")
        is_bid = order.bid_usd_per_hour is not None or order.offer.spot
        if is_bid and Capability.SPOT not in self.capabilities:
            raise self._cannot("rents nothing at a bid")
        if len(order.public_key.split()) < 2 or "\n" in order.public_key.strip():
            raise OrderRefused("The SSH key of the order is not a line of authorized_keys.")

    def _cannot(self, what: str, *, hint: str | None = None) -> CannotDo:
        return CannotDo(f"{self.title} {what}.", hint=hint)


def base_url_of(given: str | None, usual: str) -> str:
    """The address with a slash at its end; one that is given without a path gets that of the usual one."""
    if given is None:
        return usual.rstrip("/") + "/"
    parts = urlsplit(given)
    if parts.path in ("", "/"):
        return given.rstrip("/") + urlsplit(usual).path.rstrip("/") + "/"
    return given.rstrip("/") + "/"


def fits(offer: Offer, search: Search) -> bool:
    """Whether an offer is what was searched for, by everything that it tells."""
    return (
        offer.gpu_count == search.gpu_count
        and offer.spot == search.spot
        and (search.gpu is None or gpus.is_wanted(search.gpu, offer.gpu))
        and (offer.disk_gb is None or offer.disk_gb >= search.disk_gb)
        and (search.min_vram_gb is None or offer.vram_gb * offer.gpu_count >= search.min_vram_gb)
        and (search.max_usd_per_hour is None or offer.usd_per_hour <= search.max_usd_per_hour)
        and (search.min_down_mbps is None or (offer.down_mbps or 0) >= search.min_down_mbps)
        and (search.min_reliability is None or (offer.reliability or 0) >= search.min_reliability)
        and regions.fits(search.region, offer.region)
    )


def cheapest(offers: Sequence[Offer], search: Search) -> list[Offer]:
    fitting = [offer for offer in offers if fits(offer, search)]
    return sorted(fitting, key=lambda offer: offer.usd_per_hour)[: search.limit]


def body_of_key(line: str) -> str:
    """Type and key without the comment, by which two lines are the same key."""
    return " ".join(line.split()[:2])


def cloud_init(order: Order) -> dict[str, Any]:
    """What a virtual machine does as it boots for the first time, as cloud-init reads it; empty for nothing."""
    wanted: dict[str, Any] = {}
    if order.environment:
        for name, value in order.environment.items():
            if not name.isidentifier() or not value.isprintable() or "'" in value:
                raise OrderRefused(f"The environment's {name!r} cannot be written to /etc/environment.")
        lines = "".join(f"{name}='{value}'\n" for name, value in order.environment.items())
        wanted["write_files"] = [{"path": "/etc/environment", "append": True, "content": lines}]
    if order.start_script:
        # The script may come with the environment, which is set for logins only.
        wanted["runcmd"] = [["/bin/bash", "-c", f"set -a; . /etc/environment; set +a\n{order.start_script}"]]
    return wanted
