"""From a name and a port to a connected socket: the resolver, both address families, whichever connects first.

`Reach` is for hosts that are not simply at their address: somebody else makes the connections.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from providers.errors import ProviderError

STAGGER_S = 0.25
"""The head start of an address over the next one."""

Address = tuple[int, tuple[Any, ...]]


class Reach(Protocol):
    """A way to a host. Asked for every new connection, so that it may lead elsewhere while a client lives."""

    @property
    def place(self) -> str:
        """Where it leads, in the words of an error, behind the host's name: `port 11434`."""
        ...

    async def dial(self) -> socket.socket:
        """A connected socket that does not block. Has time limits of its own; raises a `ProviderError`."""
        ...

    async def reason(self) -> ProviderError | None:
        """Why the latest connection ended before the first byte of an answer; None where nobody knows."""
        ...


async def addresses(host: str, port: int) -> list[Address]:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return [(family, (host, port))]
    if host == "localhost" or host.endswith(".localhost"):
        # These names are this machine by definition; no resolver needs to be asked.
        return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port))]
    return await look_up(host, port)


async def look_up(host: str, port: int) -> list[Address]:
    """Ask the resolver in a thread that nobody waits for: it can hang, and the program must still be able to end."""
    import threading

    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Address]] = loop.create_future()

    def settle(result: list[Address] | Exception) -> None:
        if found.done():
            return
        if isinstance(result, Exception):
            found.set_exception(result)
        else:
            found.set_result(result)

    def ask() -> None:
        result: list[Address] | Exception
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            result = _families_in_turn([(family, address) for family, _, _, _, address in answers])
        except (OSError, UnicodeError) as error:
            result = error
        try:
            loop.call_soon_threadsafe(settle, result)
        except RuntimeError:
            return  # the loop is closed: nobody waits for this name any more

    threading.Thread(target=ask, name=f"look up {host}", daemon=True).start()
    return await found


def _families_in_turn(found: list[Address]) -> list[Address]:
    """The resolver's order, with the two families alternating, so that a dead one costs one stagger and not many."""
    if not found:
        raise OSError("the name has no address")
    preferred = [one for one in found if one[0] == found[0][0]]
    other = [one for one in found if one[0] != found[0][0]]
    mixed: list[Address] = []
    while preferred or other:
        mixed += preferred[:1] + other[:1]
        preferred, other = preferred[1:], other[1:]
    return mixed


async def first_to_connect(candidates: list[Address]) -> socket.socket:
    """Happy eyeballs: each address gets a head start over the next; whichever connects first wins."""
    if len(candidates) == 1:
        return await _reach(candidates[0])
    waiting = list(candidates)
    attempts: list[asyncio.Task[socket.socket]] = []
    errors: list[BaseException] = []
    winner: socket.socket | None = None
    try:
        while winner is None and (waiting or any(not one.done() for one in attempts)):
            if waiting:
                attempts.append(asyncio.ensure_future(_reach(waiting.pop(0))))
            running = [one for one in attempts if not one.done()]
            done, _ = await asyncio.wait(
                running, timeout=STAGGER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                error = attempt.exception()
                if error is not None:
                    errors.append(error)
                elif winner is None:
                    winner = attempt.result()
                else:
                    attempt.result().close()
    finally:
        for attempt in attempts:
            if not attempt.done():
                attempt.add_done_callback(_close_late)
                attempt.cancel()
    if winner is None:
        raise errors[0]
    return winner


def _close_late(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _reach(address: Address) -> socket.socket:
    family, where = address
    reached = socket.socket(family, socket.SOCK_STREAM)
    try:
        reached.setblocking(False)
        # A model may load for minutes in silence; a router on the way must not forget the connection.
        reached.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        await asyncio.get_running_loop().sock_connect(reached, where)
    except BaseException:
        reached.close()
        raise
    return reached
