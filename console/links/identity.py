"""Who a machine is and how to log in to it.

A machine's *identity* is what its host key is pinned to: cloud and instance for a rented one ("vast:1234"), its name in
the settings or in the user's SSH configuration ("ssh:lab"), and only for a bare `user@host[:port]` the address itself.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from console.errors import ConfigUnusable, KeyFileUnusable, SettingsError
from console.links.credentials import Ask, Keychain
from console.links.login import FirstContact, Met, connect, meet
from console.links.pins import Pins
from console.links.ssh_config import Destination, HostConfig, parse_destination, read_config

if TYPE_CHECKING:
    from console.paths import Paths
    from console.settings import Settings

__all__ = [
    "Ask",
    "Find",
    "FirstContact",
    "Keychain",
    "Met",
    "Pins",
    "Target",
    "Whereabouts",
    "connect",
    "meet",
    "resolve",
]

MOST_JUMPS = 8


class Target(NamedTuple):
    """Everything needed to log in to a machine, and no secret."""

    name: str
    """What the user calls it."""
    identity: str
    """What its host key is pinned to; never an address where there is anything better."""
    host: str
    port: int
    user: str
    key_files: tuple[str, ...] = ()
    certificate_files: tuple[str, ...] = ()
    agent: str | None = None
    """The socket of the agent to ask, if any."""
    jumps: tuple[Target, ...] = ()
    """The hosts on the way, nearest to us first; none of them has jumps of its own."""
    proxy_command: str | None = None
    """A shell command that carries the connection; of a target with jumps, it is the first jump's."""
    host_key_alias: str | None = None
    """The name that the user's known_hosts has for it, where that is not its address."""
    fleet_key: bool = False
    """Whether the key that is made for rented machines opens it."""
    key_from_cloud: str | None = None
    """Its host key as the cloud or the boot log tells it."""
    identities_only: bool = False
    """Whether an agent may offer nothing but the keys of `key_files`."""
    known_hosts_files: tuple[str, ...] = ()
    """Files of the user's that a first contact is compared with; never written."""
    others: tuple[Target, ...] = ()
    """Other ways to the same machine, tried in this order where it cannot be reached."""
    is_ours: bool = False
    """Whether we rented it, and it has our key because of that: nobody is asked at the first contact, only told."""

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 22 else f"{host}:{self.port}"


class Whereabouts(NamedTuple):
    """Where a rented machine is at this moment, and what it is known by wherever it is."""

    identity: str
    ways: tuple[tuple[str, int, str], ...]
    """Host, port and user of each way to its SSH server, in the order to try them."""
    host_key: str | None = None
    """As its cloud tells it."""
    is_ours: bool = False


Find: TypeAlias = Callable[[str], Awaitable[Whereabouts | None]]
"""Finds a rented machine by name; None for a name that none has. Raises a `LinkError` for one that is nowhere now."""


async def resolve(
    name: str,
    settings: Settings,
    paths: Paths,
    *,
    ssh_config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    find: Find | None = None,
) -> Target:
    """The target of a machine, an alias of the user's SSH configuration or `user@host[:port]`.

    `ssh_config` stands in for the user's own configuration, and `find` knows the rented machines. Nothing is connected
    to; reading the configuration may take up to 5 s for each host on the way. Raises `ConfigUnusable` and
    `SettingsError`.
    """
    machine = settings.machines.get(name)
    if find is not None and (machine is None or machine.host is None) and "@" not in name and ":" not in name:
        there = await find(name)
        if there is not None:
            return _rented(name, there)
    if machine is None:
        return await _resolve(name, parse_destination(name), ssh_config, environment)
    if machine.host is None:
        raise SettingsError(
            f"Nothing is known of where {name!r} is: it is to be rented at {machine.cloud!r}, and is not.",
            hint=f"hawser vm up {name} rents it.",
        )
    target = await _resolve(name, parse_destination(machine.host), ssh_config, environment)
    if machine.key_file is not None:
        target = target._replace(key_files=(_key_file(name, machine.key_file), *target.key_files))
    return target._replace(identity=f"ssh:{name}")


def _key_file(name: str, written: str) -> str:
    file = Path(written).expanduser()
    if not file.is_file():
        raise KeyFileUnusable(
            f"The key file {written!r} of {name!r} is not there.",
            hint=f"Change key_file of [machines.{name}] with: hawser config edit",
        )
    return str(file)


def _rented(name: str, there: Whereabouts) -> Target:
    first, *others = (
        Target(
            name=name,
            identity=there.identity,
            host=host,
            port=port,
            user=user,
            fleet_key=True,
            key_from_cloud=there.host_key,
            is_ours=there.is_ours,
        )
        for host, port, user in there.ways
    )
    return first._replace(others=tuple(others))


async def _resolve(name: str, destination: Destination, file: Path | None, environment: Mapping[str, str]) -> Target:
    config = await asyncio.to_thread(read_config, destination, file, environment)
    jumps = await _jumps(config, file, environment, (destination,))
    return _target(name, destination, config)._replace(jumps=jumps)


async def _jumps(
    config: HostConfig, file: Path | None, environment: Mapping[str, str], passed: tuple[Destination, ...]
) -> tuple[Target, ...]:
    """The hosts on the way to one. As with `ssh -J`, only the first of a chain is reached by its own configuration."""
    chain: list[Target] = []
    for number, jump in enumerate(config.jumps):
        if jump in passed or len(passed) > MOST_JUMPS:
            way = " → ".join(each.host for each in (*passed, jump))
            raise ConfigUnusable(f"The jump hosts of the SSH configuration lead in a circle: {way}.")
        its = await asyncio.to_thread(read_config, jump, file, environment)
        target = _target(jump.host, jump, its)
        if number == 0:
            chain += await _jumps(its, file, environment, (*passed, jump))
        else:
            target = target._replace(proxy_command=None)
        chain.append(target)
    return tuple(chain)


def _target(name: str, destination: Destination, config: HostConfig) -> Target:
    return Target(
        name=name,
        identity=_identity(destination, config),
        host=config.host,
        port=config.port,
        user=config.user,
        key_files=config.key_files,
        certificate_files=config.certificate_files,
        agent=config.agent,
        proxy_command=config.proxy_command,
        host_key_alias=config.host_key_alias,
        identities_only=config.identities_only,
        known_hosts_files=config.known_hosts_files,
    )


def _identity(destination: Destination, config: HostConfig) -> str:
    if config.host_key_alias is not None:
        return f"ssh:{config.host_key_alias}"
    if config.host.lower() == destination.host.lower():
        host = f"[{config.host}]" if ":" in config.host else config.host.lower()
        return f"ssh:{host}:{config.port}"
    # A port that was typed beside an alias leads to another server than the alias does.
    return f"ssh:{destination.host}" if destination.port is None else f"ssh:{destination.host}:{destination.port}"
