"""The channels of the settings, each made when it is first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from console.channels.base import Channel, Message
from console.errors import ChannelFailed, KeyStoreError
from console.notify import Outlet

if TYPE_CHECKING:
    from console.clock import Clock
    from console.keys import Keys
    from console.settings import ChannelSettings, Settings


class Late:
    """A channel that is made, and whose key is looked up, when there is something to send."""

    def __init__(self, name: str, make: Callable[[], Channel]) -> None:
        self.name = name
        self._make = make
        self._channel: Channel | None = None

    async def send(self, messages: Sequence[Message]) -> None:
        if self._channel is None:
            self._channel = self._make()
        await self._channel.send(messages)

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()


def outlets(
    settings: Settings,
    keys: Keys,
    clock: Clock,
    environment: Mapping[str, str],
    ring: Callable[[str], None] | None = None,
) -> list[Outlet]:
    """Terminal and desktop where they are there and wanted, then the channels of the settings."""
    from console.channels.desktop import Desktop
    from console.channels.terminal import Terminal

    found = []
    own = settings.alerts
    if own.terminal and ring is not None:
        found.append(Outlet(Terminal(ring, environment), own.level))
    desktop = Desktop(environment)
    if own.desktop and desktop.is_there():
        found.append(Outlet(desktop, own.level))
    for channel in settings.channels.values():
        found.append(Outlet(Late(channel.name, _maker(channel, keys, clock)), channel.level))
    return found


def _maker(channel: ChannelSettings, keys: Keys, clock: Clock) -> Callable[[], Channel]:
    def make() -> Channel:
        key = _key_of(channel, keys)
        if channel.kind == "mail":
            from console.channels.mail import Mail

            assert channel.server is not None  # the settings see to it
            return Mail(
                channel.name,
                channel.server,
                channel.port,
                channel.security,
                channel.sender or channel.to[0],
                channel.to,
                channel.user,
                key,
            )
        if channel.kind == "apprise":
            from console.channels.other import Apprise

            assert key is not None
            return Apprise(channel.name, key)
        from console.channels.web import Web

        url, token = (channel.url, key) if channel.url is not None else (key, None)
        assert url is not None
        return Web(channel.name, channel.kind, url, token, clock)

    return make


def _key_of(channel: ChannelSettings, keys: Keys) -> str | None:
    if channel.key is None:
        return None
    try:
        key = keys.from_command(channel.key) if channel.key.startswith("cmd:") else keys.get(channel.key)
    except KeyStoreError as error:
        raise ChannelFailed(error.text, hint=error.hint) from error
    if key is None:
        raise ChannelFailed(
            f"The key {channel.key!r} of the channel {channel.name!r} is missing.",
            hint=f"Set it with: hawser key set {channel.key}",
        )
    return key
