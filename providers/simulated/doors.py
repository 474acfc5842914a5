"""A loopback port with a door: open, closed (clients are refused), or stuck (clients get in, and nobody answers).

The port stays ours in all three, so that a simulated service can go away and come back where it was.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast


class Door:
    """Call `take` once, then `open`, `close` and `jam` as often as wanted, and `give_up` at the end."""

    def __init__(self, factory: Callable[[], asyncio.BaseProtocol], *, port: int = 0) -> None:
        self._factory = factory
        self._wanted_port = port
        self._place: socket.socket | None = None
        self._listener: asyncio.Server | None = None
        self._jammed: socket.socket | None = None

    @property
    def port(self) -> int:
        assert self._place is not None, "the door is not taken"
        return cast("int", self._place.getsockname()[1])

    @property
    def is_open(self) -> bool:
        return self._listener is not None

    def take(self) -> None:
        """Reserve the port, still closed; raises OSError when somebody has it."""
        # A second socket, bound but never listening, keeps the port while the door is closed: clients are refused and
        # no other process gets the number. It does without SO_REUSEADDR, which would let another one in.
        self._place = _bound(_free(self._wanted_port), reuse_address=False)

    async def open(self) -> None:
        if self._listener is not None:
            return
        listening, self._jammed = self._jammed or _bound(self.port, reuse_address=True), None
        # in two steps, so that whoever is cancelled in here does not leave a listener that nobody knows of
        self._listener = await asyncio.get_running_loop().create_server(
            self._factory, sock=listening, backlog=256, start_serving=False
        )
        await self._listener.start_serving()

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._jammed is not None:
            self._jammed.close()
            self._jammed = None

    def jam(self) -> None:
        """Leave new clients in the kernel's queue: their connect succeeds and nothing follows, until `open`."""
        if self._listener is not None:
            self._jammed = self._listener.sockets[0].dup()
            self._listener.close()
            self._listener = None

    def give_up(self) -> None:
        self.close()
        if self._place is not None:
            self._place.close()
            self._place = None


def _free(port: int) -> int:
    """`port` if nobody has it, else OSError: sockets that share a port, as ours do, would not notice each other."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    return port


def _bound(port: int, *, reuse_address: bool) -> socket.socket:
    # the protocol is named because asyncio sets TCP_NODELAY only on sockets that have it
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse_address))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(("127.0.0.1", port))
    except BaseException:
        bound.close()
        raise
    return bound
