"""From a machine's name to a live connection: what a link calls for each of its tries.

The name is resolved anew each time, because a machine may have moved and the user may have mended the configuration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from console.errors import LinkUnreachable, SettingsError
from console.events import Bus, Event
from console.paths import Paths
from console.settings import Settings

if TYPE_CHECKING:
    import asyncssh

    from console.links.credentials import Ask
    from console.links.identity import Find, Target
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
    tell: Callable[[str], None] | None = None
    """Hears in a sentence of each key that was pinned without a question."""


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


def strangers_refused() -> LoginManners:
    """For merely looking: nobody is asked, and no machine is met for the first time."""
    return LoginManners(Nobody(), "known-only")


_SOURCES: Mapping[How, str] = {
    "cloud": "told by its cloud",
    "known_hosts": "as in your known_hosts",
    "rented": "seen first, on a machine of ours",
    "accepted": "accepted",
}


class Connector:
    """Logs in to machines by name. One for all links, so that a passphrase is asked for once."""

    def __init__(
        self,
        settings: Settings,
        paths: Paths,
        environment: Mapping[str, str],
        bus: Bus,
        manners: LoginManners,
        *,
        find: Find | None = None,
    ) -> None:
        """`find` knows where rented machines are."""
        from console.links.credentials import Keychain
        from console.links.pins import Pins

        self._settings = settings
        self._paths = paths
        self._environment = environment
        self._bus = bus
        self._manners = manners
        self._find = find
        self._pins = Pins(paths)
        self._keychain = Keychain(manners.ask)
        self.may_ask: Callable[[str, str], bool] | None = None
        """Told the name of the machine and its question before a person is asked; see `Link.may_ask`."""

    @property
    def is_asking(self) -> bool:
        """Whether a person is being asked."""
        return self._keychain.one_at_a_time.locked()

    def to(self, name: str) -> Callable[[], Awaitable[asyncssh.SSHClientConnection]]:
        """What connects to one machine, as `Link` calls it."""
        from console.links.identity import connect, resolve

        async def connect_once() -> asyncssh.SSHClientConnection:
            try:
                # Loading asyncssh takes 140 ms. In a thread it does not hold up the loop, and `ssh -G` runs meanwhile.
                target, _ = await asyncio.gather(
                    resolve(
                        name,
                        self._settings,
                        self._paths,
                        ssh_config=self._manners.ssh_config,
                        environment=self._environment,
                        find=self._find,
                    ),
                    asyncio.to_thread(import_module, "asyncssh"),
                )
            except SettingsError as error:  # a rented machine that is not there yet
                raise LinkUnreachable(error.text, hint=error.hint) from error
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
        if self._manners.tell is not None and met.how != "accepted":
            source = _SOURCES[met.how]
            self._manners.tell(f"Pinned the host key of {name}: {met.fingerprint} ({source}).")
        self._bus.publish(HostKeyPinned(name, met.fingerprint, met.how))
