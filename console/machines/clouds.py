"""The accounts: which there are, by settings and keys, and the adapter of each, made once.

An account needs no table in the settings. Each of the four clouds is there under its own name as soon as its key is; a
key never goes to another address than the one it was stored for: `[clouds.NAME]` with a `base_url` of its own uses the
key that it names, or one stored under its own name.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from console.clock import Clock
from console.errors import ConfigUnusable, NotFound
from console.keys import Keys
from console.paths import Paths
from console.settings import CloudAccount, Machine, Settings
from console.settings_groups import CLOUD_KINDS
from providers.clouds.adapter import Refusing
from providers.clouds.base import Capability, Cloud, CloudHost, Reading
from providers.registry import cloud, ssh_cloud

if TYPE_CHECKING:
    from console.machines.records import MachineRecord
    from providers.clouds.ending import Ending, How
    from providers.clouds.ssh_host import SshHost

_log = logging.getLogger(__name__)

SSH = "ssh"
"""The account of machines that are the user's own."""


class Clouds:
    def __init__(
        self,
        settings: Settings,
        keys: Keys,
        clock: Clock,
        paths: Paths,
        *,
        headers: Mapping[str, str] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._clock = clock
        self._paths = paths
        self._headers = headers or {}
        self._environment = environment
        self._made: dict[str, Cloud] = {}

    def names(self) -> list[str]:
        """Accounts that can be asked: those of the settings, those whose key is there, and `ssh` if it has machines."""
        names = list(self._settings.clouds)
        names += [name for name in CLOUD_KINDS if name not in names and self._key(self._account(name)) is not None]
        if any(machine.cloud == SSH for machine in self._settings.machines.values()):
            names.append(SSH)
        return names

    def cloud(self, name: str) -> Cloud:
        """The adapter of an account. Nothing is connected; a key that is missing is told with the first request."""
        if name not in self._made:
            self._made[name] = self._adapter(name)
        return self._made[name]

    def key(self, name: str) -> str | None:
        """The key of an account, for a guard that is to have it; a secret."""
        return self._key(self._account(name))

    def ending(self, machine: MachineRecord, how: How) -> Ending | None:
        """How a rented machine is ended by plain requests, for the guards that are no Hawser."""
        from providers.clouds.ending import ending

        kind = self._kind(machine.cloud)
        if kind is None or machine.cloud_id is None or machine.origin == "settings":
            return None
        account = self._settings.clouds.get(machine.cloud)
        return ending(kind, account.base_url if account is not None else None, machine.cloud_id, how)

    def gives_keys(self, name: str) -> bool | None:
        """Whether machines of an account get keys of their own; None where nothing is rented."""
        from providers.clouds.ending import ending

        kind = self._kind(name)
        if kind is None:
            return None
        found = ending(kind, None, "any", "destroy")
        return found is not None and found.key_variable is not None

    def _kind(self, name: str) -> str | None:
        account = self._settings.clouds.get(name)
        kind = account.kind if account is not None and account.kind is not None else name
        return kind if kind in CLOUD_KINDS else None

    async def close(self) -> None:
        for adapter in self._made.values():
            await adapter.close()
        self._made.clear()

    def _account(self, name: str) -> CloudAccount:
        account = self._settings.clouds.get(name)
        if account is not None:
            return account
        if name not in CLOUD_KINDS:
            known = [*self._settings.clouds, *CLOUD_KINDS]
            raise NotFound(f"There is no account {name!r} in the settings.", hint=f"There are: {', '.join(known)}.")
        return CloudAccount.read({}, given={"name": name})

    def _key(self, account: CloudAccount) -> str | None:
        if account.key is not None:
            named = account.key.startswith("cmd:")
            return self._keys.from_command(account.key) if named else self._keys.get(account.key)
        if account.name in CLOUD_KINDS and (account.base_url is not None or account.kind != account.name):
            return None  # the key of the real one is not for a stand-in
        own = self._keys.get(account.name, search=False)
        if own is None and account.base_url is None and account.kind is not None and account.kind != account.name:
            return self._keys.get(account.kind, search=False)
        return own

    def _adapter(self, name: str) -> Cloud:
        if name == SSH:
            return OwnMachines(self._settings, self._paths, self._clock, self._environment)
        account = self._account(name)
        assert account.kind is not None, "the settings see to that"
        host = CloudHost(name, account.base_url, self._key(account), self._headers)
        return cloud(account.kind, host, self._clock)


class OwnMachines(Refusing):
    """The user's own machines as one account, at the addresses that the SSH configuration gives them.

    They are looked up with the first request: `ssh` is asked for each, which is nothing to wait for when an account is
    only named.
    """

    title: ClassVar[str] = "A machine of your own"
    can: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(self, settings: Settings, paths: Paths, clock: Clock, environment: Mapping[str, str]) -> None:
        self._own = {name: own for name, own in settings.machines.items() if own.cloud == SSH}
        self._settings = settings
        self._paths = paths
        self._clock = clock
        self._environment = environment
        self._hosts: Cloud | None = None
        self._resolving = asyncio.Lock()

    def capabilities_of(self, id: str) -> frozenset[Capability]:  # noqa: A002
        own = self._own.get(id)
        return frozenset({Capability.STOP}) if own is not None and own.start and own.stop else self.can

    async def machines(self) -> list[Reading]:
        return await (await self._resolved()).machines()

    async def machine(self, id: str) -> Reading | None:  # noqa: A002
        return await (await self._resolved()).machine(id)

    async def start(self, id: str) -> None:  # noqa: A002
        await (await self._resolved()).start(id)

    async def stop(self, id: str) -> None:  # noqa: A002
        await (await self._resolved()).stop(id)

    async def close(self) -> None:
        if self._hosts is not None:
            await self._hosts.close()

    async def _resolved(self) -> Cloud:
        async with self._resolving:
            if self._hosts is None:
                hosts = await asyncio.gather(*(self._host(name, own) for name, own in self._own.items()))
                self._hosts = ssh_cloud(hosts, self._clock)
            return self._hosts

    async def _host(self, name: str, own: Machine) -> SshHost:
        from console.links.identity import resolve
        from providers.clouds.ssh_host import SshHost

        commands = (own.start, own.stop, own.status, own.usd_per_hour)
        try:
            target = await resolve(name, self._settings, self._paths, environment=self._environment)
        except ConfigUnusable as error:  # one that cannot be resolved does not take the others' state away
            _log.warning("a machine's address is not known", extra={"machine": name, "error": error.text})
            return SshHost(name, own.host or name, 22, "", *commands, is_direct=False)
        is_direct = not target.jumps and target.proxy_command is None
        return SshHost(name, target.host, target.port, target.user, *commands, is_direct=is_direct)
