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


class Proxy(asyncio.SubprocessProtocol):
    """The running program. As the tunnel of a connection it is ended together with it."""

    def __init__(self, ours: socket.socket, complaints: IO[bytes]) -> None:
        self.socket = ours
        self._complaints = complaints
        self._transport: asyncio.SubprocessTransport | None = None
        self._ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def process_exited(self) -> None:
        assert self._transport is not None
        self._transport.close()
        self._ended.set()

    def close(self) -> None:
        transport = self._transport
        if transport is not None and transport.get_returncode() is None:
            with suppress(ProcessLookupError):
                os.killpg(transport.get_pid(), signal.SIGTERM)
            transport.close()
        self._complaints.close()

    async def wait_closed(self) -> None:
        await self._ended.wait()

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
    words = ("/bin/sh", "-c", f"exec {command}")
    proxy, end = Proxy(ours, complaints), its.fileno()
    try:
        await asyncio.get_running_loop().subprocess_exec(
            lambda: proxy, *words, stdin=end, stdout=end, stderr=complaints, start_new_session=True
        )
    except BaseException as error:
        ours.close()
        complaints.close()
        if isinstance(error, OSError):
            raise LinkUnreachable(f"The ProxyCommand cannot be run: {error.strerror or error}.") from error
        raise
    finally:
        its.close()
    return proxy
