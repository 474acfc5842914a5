"""`curl` on a simulated machine: it reaches what answers on the machine itself, and the pages that it was given.

There is no network behind it. A host that has no page does not resolve, as on a machine without a connection.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from providers.simulated.shell.programs import Call, Program, UsageError, number_of, options_of

LARGEST = 16 * 1024 * 1024
_LIMIT_S = 300.0
_UNRESOLVED, _REFUSED, _FAILED, _CANNOT_WRITE, _TOO_LATE = 6, 7, 22, 23, 28


async def curl(call: Call) -> int:
    options, addresses = options_of(call, "fsSL", "om")
    if len(addresses) != 1:
        raise UsageError("not in this shell: one address at a time")
    limit_s = number_of(options.get("m", str(_LIMIT_S)))
    quiet = "s" in options and "S" not in options

    async def fail(code: int, words: str) -> int:
        if not quiet:
            await call.complain(f"({code}) {words}")
        return code

    url = urlsplit(addresses[0])
    try:
        async with asyncio.timeout(limit_s):
            status, body = await _fetched(call, url.scheme, url.hostname or "", url.port, addresses[0], url.path)
    except TimeoutError:
        return await fail(_TOO_LATE, f"Operation timed out after {limit_s * 1000:.0f} milliseconds")
    except OSError:
        return await fail(_REFUSED, f"Failed to connect to {url.hostname} port {url.port or 80}: Connection refused")
    if status is None:
        return await fail(_UNRESOLVED, f"Could not resolve host: {url.hostname}")
    if status >= 400 and "f" in options:
        return await fail(_FAILED, f"The requested URL returned error: {status}")
    if "o" not in options:
        await call.write(body)
        return 0
    try:
        target = call.system.open(call.working_folder, options["o"], "w")
    except OSError as error:
        return await fail(_CANNOT_WRITE, f"Failure writing output to destination: {error.strerror}")
    try:
        await target.write(body)
    finally:
        target.release()
    return 0


async def _fetched(
    call: Call, scheme: str, host: str, port: int | None, address: str, path: str
) -> tuple[int | None, bytes]:
    """Status and body; no status for a host that is not there."""
    if host not in ("127.0.0.1", "localhost"):
        page = call.system.pages.get(address)
        return (None, b"") if page is None else (200, os.fsencode(page))
    if scheme != "http":
        raise UsageError(f"not in this shell: {scheme} on this machine")
    there = call.system.ports.get(port or 80)
    if there is None:
        raise ConnectionRefusedError
    reader, writer = await asyncio.open_connection(*there)
    try:
        writer.write(f"GET {path or '/'} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        reply = await reader.read(LARGEST)
        while more := await reader.read(LARGEST - len(reply)) if len(reply) < LARGEST else b"":
            reply += more
    finally:
        writer.close()
    head, _, body = reply.partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    return (int(words[1]) if len(words) > 1 and words[1].isdigit() else 502), body


COMMANDS: Mapping[str, Program] = {"curl": curl}
