"""A ProxyCommand: a program of the user's that carries a connection on its standard input and output.

asyncssh can start one, but reads its complaints as part of the connection, takes the end of its standard error for the
end of everything, and knows no shell. So we start it ourselves and hand asyncssh a socket.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
from contextlib import suppress
from typing import IO

from console.errors import LinkUnreachable


class Proxy:
    """The running program. As the tunnel of a connection it is ended together with it."""

    def __init__(self, process: asyncio.subprocess.Process, ours: socket.socket, complaints: IO[bytes]) -> None:
        self._process = process
        self.socket = ours
        self._complaints = complaints

    def close(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
        self._complaints.close()

    async def wait_closed(self) -> None:
        await self._process.wait()

    def complaint(self) -> str | None:
        """The last line that it wrote to its standard error."""
        size = self._complaints.seek(0, os.SEEK_END)
        self._complaints.seek(max(0, size - 2000))
        lines = self._complaints.read().decode("utf-8", "replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1][:300] if said else None


async def start_proxy(command: str) -> Proxy:
    """Run a command line as OpenSSH does, by the shell and in its place."""
    ours, its = socket.socketpair()
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the proxy
    try:
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", f"exec {command}"),
            stdin=its.fileno(),
            stdout=its.fileno(),
            stderr=complaints,
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        complaints.close()
        raise LinkUnreachable(f"The ProxyCommand cannot be run: {error.strerror or error}.") from error
    finally:
        its.close()
    return Proxy(process, ours, complaints)
