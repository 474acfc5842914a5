"""From a machine's name to a live connection: what a link calls for each of its tries.

The name is resolved anew each time, because a machine may have moved and the user may have mended the configuration.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from console.events import Bus, Event
from console.paths import Paths
from console.settings import Settings

if TYPE_CHECKING:
    import asyncssh

    from console.links.credentials import Ask
    from console.links.identity import Target
    from console.links.login import FirstContact, How, Met
    from console.links.questions import Challenge


@dataclass(frozen=True, slots=True)
class HostKeyPinned(Event):
    """A machine was met for the first time, and its key is what it will be known by."""

    link: str
    fingerprint: str
    how: How


class LoginManners(NamedTuple):
    """How to deal with what only a person knows."""

    ask: Ask
    first: FirstContact = "ask"
    ssh_config: Path | None = None
    """Stands in for the user's own configuration."""


class Nobody:
    """Nobody can be asked: keys stay locked, and machines that were never met stay strangers."""

    async def passphrase(self, file: str) -> str | None:
        return None

    async def accept_host_key(self, target: Target, fingerprint: str) -> bool:
        return False

    def can_answer(self) -> bool:
        return False

    async def answers(self, target: Target, challenge: Challenge) -> Sequence[str] | None:
        return None


class Connector:
    """Logs in to machines by name. One for all links, so that a passphrase is asked for once."""

    def __init__(
        self, settings: Settings, paths: Paths, environment: Mapping[str, str], bus: Bus, manners: LoginManners
    ) -> None:
        from console.links.credentials import Keychain
        from console.links.pins import Pins

        self._settings = settings
        self._paths = paths
        self._environment = environment
        self._bus = bus
        self._manners = manners
        self._pins = Pins(paths)
        self._keychain = Keychain(manners.ask)
        self.may_ask: Callable[[str, str], bool] | None = None
        """Told the name of the machine and its question before a person is asked; see `Link.may_ask`."""

    def to(self, name: str) -> Callable[[], Awaitable[asyncssh.SSHClientConnection]]:
        """What connects to one machine, as `Link` calls it."""
        from console.links.identity import connect, resolve

        async def connect_once() -> asyncssh.SSHClientConnection:
            target = await resolve(
                name,
                self._settings,
                self._paths,
                ssh_config=self._manners.ssh_config,
                environment=self._environment,
            )
            return await connect(
                target,
                self._pins,
                ask=self._keychain,
                first=self._manners.first,
                told=lambda met: self._pinned(name, met),
                may_ask=lambda question: self.may_ask is None or self.may_ask(name, question),
            )

        return connect_once

    def _pinned(self, name: str, met: Met) -> None:
        self._bus.publish(HostKeyPinned(name, met.fingerprint, met.how))
