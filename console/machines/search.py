"""What can be rented at all accounts, quoted for a session: how the commands and the screens ask for offers.

The wishes are a `Search` and what the machine is for. Boot times are what the store has learned of each host.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

from console.errors import NotFound, SettingsError
from console.machines import boot, offers
from console.machines.boot import Phase
from console.machines.clouds import SSH
from console.machines.offers import Found, Session
from providers.clouds.base import Capability, Cloud, Search

if TYPE_CHECKING:
    from console.chat.catalogue import Catalogue
    from console.history.store import Store
    from providers.clouds.base import Offer

IMAGE_GB = Decimal(4)
"""What is fetched beside the models: the image of the service."""
_TO_FIRST_TOKEN = (Phase.RENTED, Phase.IMAGE, Phase.SSH, Phase.SERVICE, Phase.WARM)
"""The phases whose time does not follow from the size of the download."""


class Rentable:
    def __init__(
        self, names: Callable[[], Sequence[str]], cloud: Callable[[str], Cloud], store: Store, catalogue: Catalogue
    ) -> None:
        """`names` are the accounts that can be asked, `cloud` their adapters."""
        self._names = names
        self._cloud = cloud
        self._store = store
        self._catalogue = catalogue

    def accounts(self, wanted: Sequence[str] = ()) -> list[str]:
        """Those to ask: the named ones, else all that rent. `SettingsError` if there is none."""
        known = [name for name in self._names() if name != SSH]
        for name in wanted:
            if name not in known:
                hint = f"There are: {', '.join(known)}." if known else f"Store one with: hawser key set {name}"
                raise SettingsError(f"There is no key for the cloud {name!r}.", hint=hint)
        renting = [name for name in wanted or known if Capability.OFFERS in self._cloud(name).capabilities]
        if not renting:
            raise SettingsError(
                "No cloud has a key, so there is nobody to rent from.",
                hint="Store one with: hawser key set vast   (or tensordock, runpod, lambda)",
            )
        return renting

    def session(self, hours: Decimal, models: Iterable[str], *, kept_hours: Decimal = Decimal(0)) -> Session:
        """A session with these models; a model of unknown size is `NotFound`."""
        download, needs = Decimal(0), Decimal(0)
        for name in models:
            model = self._catalogue.find(name)
            if model is None or model.size_gb is None:
                raise NotFound(
                    f"Nobody knows how large the model {name!r} is.",
                    hint=f'Say it in the settings: [models."{name}"] with size_gb and vram_gb; or use --vram.',
                )
            download += Decimal(str(model.size_gb))
            needs = max(needs, Decimal(str(model.vram_gb or model.size_gb)))
        return Session(hours, download + IMAGE_GB, needs or None, kept_hours)

    async def find(self, accounts: Sequence[str], search: Search, session: Session) -> Found:
        """Offers of all these accounts, the cheapest session first, with the troubles of those that did not tell."""

        async def ask(name: str, search: Search) -> list[Offer]:
            cloud = self._cloud(name)
            if search.spot and Capability.SPOT not in cloud.capabilities:
                return []
            return await cloud.offers(search)

        found = await offers.find(accounts, search, session, ask, lambda *_: 0.0)

        def quoted(connection: sqlite3.Connection) -> list[offers.Quote]:
            @cache
            def boot_s(cloud: str, host: str) -> float:
                return boot.expected_total_s(boot.expected(connection, cloud, host, ""), _TO_FIRST_TOKEN)

            return [
                offers.quote(one.cloud, one.offer, session, boot_s(one.cloud, one.offer.host)) for one in found.quotes
            ]

        return Found(offers.ranked(await self._store.run(quoted)), found.troubles)
