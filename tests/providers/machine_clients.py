"""Clients of the simulated machine: asyncssh and the real ssh, with nothing of the user's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import asyncssh

from providers.simulated.machine import SimulatedMachine

LIMIT_S = 20.0


def trusting(machine: SimulatedMachine) -> asyncssh.SSHKnownHosts:
    return asyncssh.import_known_hosts(machine.known_hosts_line)


async def connect(machine: SimulatedMachine, **options: Any) -> asyncssh.SSHClientConnection:
    given: dict[str, Any] = {
        "username": machine.user,
        "client_keys": [str(machine.key_file)],
        "known_hosts": trusting(machine),
        "config": None,
        "agent_path": None,
        "connect_timeout": LIMIT_S,
        **options,
    }
    return await asyncssh.connect(machine.host, machine.port, **given)


@contextlib.asynccontextmanager
async def logged_in(machine: SimulatedMachine, **options: Any) -> AsyncIterator[asyncssh.SSHClientConnection]:
    connection = await connect(machine, **options)
    try:
        yield connection
    finally:
        connection.abort()
        await connection.wait_closed()


class Done(NamedTuple):
    code: int
    output: bytes
    errors: bytes


def ssh_options(machine: SimulatedMachine) -> list[str]:
    known_hosts = machine.key_file.parent / "known_hosts"
    known_hosts.write_text(machine.known_hosts_line)
    return [
        *("-F", "/dev/null"),
        *("-o", f"UserKnownHostsFile={known_hosts}"),
        *("-o", "GlobalKnownHostsFile=/dev/null"),
        *("-o", "StrictHostKeyChecking=yes"),
        *("-o", "IdentitiesOnly=yes"),
        *("-o", "IdentityAgent=none"),
        *("-o", "BatchMode=yes"),
        *("-i", str(machine.key_file)),
    ]


async def program(*arguments: str, given: bytes = b"") -> Done:
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(given), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Done(process.returncode, output, errors)


async def ssh(machine: SimulatedMachine, *arguments: str, given: bytes = b"") -> Done:
    where = ["-p", str(machine.port), f"{machine.user}@{machine.host}"]
    return await program("ssh", *ssh_options(machine), *where, *arguments, given=given)


async def within(work: Any, limit_s: float = LIMIT_S) -> Any:
    """`work`, with an end to the wait for it."""
    return await asyncio.wait_for(work, limit_s)
