"""Every service that the `apprise` library knows, by its kind of address; an extra, since it is larger than we are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from console.channels.base import Message, body_of, title_of
from console.errors import ChannelFailed

if TYPE_CHECKING:
    from types import ModuleType

LIMIT_S = 30.0


class Apprise:
    """The address holds the service's secrets; it is a key, and no error repeats it."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self._address = address

    def __repr__(self) -> str:
        return f"Apprise({self.name!r})"

    async def send(self, messages: Sequence[Message]) -> None:
        # Loading it takes a large part of a second, and sending blocks: both happen on a thread.
        try:
            async with asyncio.timeout(LIMIT_S):
                delivered = await asyncio.to_thread(self._deliver, title_of(messages), body_of(messages))
        except TimeoutError as error:
            raise ChannelFailed(f"The service of {self.name!r} took longer than {LIMIT_S:g} s.") from error
        if not delivered:
            raise ChannelFailed(f"The service of {self.name!r} did not take the alert.")

    async def close(self) -> None:
        pass

    def _deliver(self, title: str, body: str) -> bool:
        import logging

        apprise: Any = _load()
        logging.getLogger("apprise").disabled = True  # it writes addresses, and so secrets, into the log
        service = apprise.Apprise()
        if not service.add(self._address):
            raise ChannelFailed(
                f"The key of {self.name!r} is no address that apprise knows.",
                hint="It looks like service://name:token@host; the documentation of apprise lists them.",
            )
        return bool(service.notify(title=title, body=body))


def _load() -> ModuleType:
    from importlib import import_module

    try:
        return import_module("apprise")
    except ImportError as error:
        raise ChannelFailed(
            "The apprise library is not installed.", hint="Install it with: pip install 'hawser[alerts]'"
        ) from error
