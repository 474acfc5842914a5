"""Machines that the tests of commands and files run on: a simulated one with a real shell, and a real OpenSSH server.

Both are told apart by nothing but their faults: `cut` breaks every connection, and the machine goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.sshd_kit import SSHD, Sshd

if TYPE_CHECKING:
    import asyncssh

    from providers.simulated.machine import SimulatedMachine

KINDS = ("simulated", "openssh") if SSHD else ("simulated",)
PATIENCE_S = 30.0

on_every_machine = pytest.mark.parametrize("kind", KINDS)

on_every_shell = pytest.mark.parametrize("kind", [*KINDS, "built-in"])
"""Also in the shell that the simulated machine has built in; there only what lies on the machine is seen."""


class Box:
    """A machine to run things on. `connect` is what a link would give: the one connection, and it is alive."""

    def __init__(self, home: Path, open_one: Callable[[], Awaitable[asyncssh.SSHClientConnection]]) -> None:
        self.home = home
        self.connections = 0
        """How often one was opened."""
        self.simulated: SimulatedMachine | None = None
        self._open_one = open_one
        self._opening = asyncio.Lock()
        self._connection: asyncssh.SSHClientConnection | None = None

    async def connect(self) -> asyncssh.SSHClientConnection:
        async with self._opening:  # those who come at once share one; nobody would close the others
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._open_one()
                self.connections += 1
            return self._connection

    async def cut(self) -> None:
        """The connection breaks, as seen from here."""
        if self._connection is not None:
            transport = self._connection.get_extra_info("socket")
            assert transport is not None
            self._connection.abort()
            await self._connection.wait_closed()

    async def close(self) -> None:
        async with self._opening:
            if self._connection is not None:
                self._connection.abort()
                await self._connection.wait_closed()


@asynccontextmanager
async def box(kind: str, folder: Path) -> AsyncIterator[Box]:
    if kind == "openssh":
        with Sshd(folder / "sshd") as sshd:
            machine = Box(sshd.home, sshd.connect)
            try:
                yield machine
            finally:
                await machine.close()
        return
    from providers.simulated.machine import SimulatedMachine

    async with SimulatedMachine("berth", real_shell=kind != "built-in") as simulated:

        async def open_one() -> asyncssh.SSHClientConnection:
            import asyncssh

            return await asyncssh.connect(
                simulated.host,
                simulated.port,
                username=simulated.user,
                client_keys=[str(simulated.key_file)],
                known_hosts=([asyncssh.import_public_key(simulated.host_key)], [], []),
                config=None,
                agent_path=None,
            )

        machine = Box(simulated.home, open_one)
        machine.simulated = simulated
        try:
            yield machine
        finally:
            await machine.close()


async def until(condition: Callable[[], Any], *, limit_s: float = PATIENCE_S) -> None:
    """Wait for something that another process does; how long it takes says nothing, only that it happens."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.01)


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
