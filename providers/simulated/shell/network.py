"""`curl` on a simulated machine: it reaches what answers on the machine itself, its neighbours, and a few pages.

There is no network behind it. A host that is neither resolves to nothing, as on a machine without a connection.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from providers.simulated.shell.programs import Call, Program, UsageError, number_of, options_of

LARGEST = 16 * 1024 * 1024
_LIMIT_S = 300.0
_UNRESOLVED, _REFUSED, _FAILED, _CANNOT_WRITE, _CANNOT_READ, _TOO_LATE = 6, 7, 22, 23, 26, 28
_LONG = {"--data-binary": "-d", "--max-time": "-m", "--output": "-o", "--header": "-H", "--request": "-X"}
_HEADER_LINE = re.compile(r'\s*header\s*=\s*"(.*)"\s*')


class _Request(NamedTuple):
    method: str
    address: str
    headers: tuple[str, ...]
    body: bytes


class _FailedError(Exception):
    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


async def curl(call: Call) -> int:
    call.arguments[1:] = [_LONG.get(argument, argument) for argument in call.arguments[1:]]
    options, addresses = options_of(call, "qfsSL", "omdHXKw")
    if len(addresses) != 1:
        raise UsageError("not in this shell: one address at a time")
    limit_s = number_of(options.get("m", str(_LIMIT_S)))
    status = 0
    try:
        request = await _request(call, options, addresses[0])
        async with asyncio.timeout(limit_s):
            status, body = await _fetched(call, request)
        if status >= 400 and "f" in options:
            raise _FailedError(_FAILED, f"The requested URL returned error: {status}")
        await _put(call, body, options.get("o"))
    except TimeoutError:
        return await _fail(call, options, _TOO_LATE, f"Operation timed out after {limit_s * 1000:.0f} milliseconds")
    except _FailedError as error:
        return await _fail(call, options, error.code, str(error), status)
    await _tell_status(call, options, status)
    return 0


async def _fail(call: Call, options: Mapping[str, str], code: int, words: str, status: int = 0) -> int:
    if "s" not in options or "S" in options:
        await call.complain(f"({code}) {words}")
    await _tell_status(call, options, status)
    return code


async def _tell_status(call: Call, options: Mapping[str, str], status: int) -> None:
    if "w" in options:
        await call.write(options["w"].replace("%{http_code}", f"{status:03}").encode())


async def _request(call: Call, options: Mapping[str, str], address: str) -> _Request:
    headers = [options["H"]] if "H" in options else []
    body = b""
    if "K" in options:
        for line in (await _file(call, options["K"])).decode(errors="replace").splitlines():
            if found := _HEADER_LINE.fullmatch(line):
                headers.append(found[1])
    if "d" in options:
        given = options["d"]
        body = await _file(call, given[1:]) if given.startswith("@") else os.fsencode(given)
    method = options.get("X", "POST" if "d" in options else "GET")
    return _Request(method, address, tuple(headers), body)


async def _file(call: Call, name: str) -> bytes:
    try:
        stream = call.system.open(call.working_folder, name, "r")
    except OSError as error:
        raise _FailedError(_CANNOT_READ, f"Failed to open {name}: {error.strerror}") from None
    try:
        content = b""
        while piece := await stream.read(LARGEST):
            content += piece
        return content
    finally:
        stream.release()


async def _put(call: Call, body: bytes, name: str | None) -> None:
    if name is None:
        await call.write(body)
        return
    try:
        target = call.system.open(call.working_folder, name, "w")
    except OSError as error:
        words = f"Failure writing output to destination: {error.strerror}"
        raise _FailedError(_CANNOT_WRITE, words) from None
    try:
        await target.write(body)
    finally:
        target.release()


async def _fetched(call: Call, request: _Request) -> tuple[int, bytes]:
    url = urlsplit(request.address)
    host, port = url.hostname or "", url.port or 80
    page = call.system.pages.get(request.address)
    if page is not None:
        return 200, os.fsencode(page)
    is_here = host in ("127.0.0.1", "localhost")
    there = (call.system.ports.get(port) if is_here else None) or call.system.neighbours.get((host, port))
    if there is None and not is_here:
        raise _FailedError(_UNRESOLVED, f"Could not resolve host: {host}")
    if there is None:
        raise _FailedError(_REFUSED, f"Failed to connect to {host} port {port}: Connection refused")
    if url.scheme != "http":
        raise UsageError(f"not in this shell: {url.scheme} on this machine")
    path = f"{url.path or '/'}{f'?{url.query}' if url.query else ''}"
    lines = [f"{request.method} {path} HTTP/1.0", f"Host: {host}:{port}", *request.headers]
    if request.body or request.method not in ("GET", "HEAD"):
        lines.append(f"Content-Length: {len(request.body)}")
    try:
        reply = await _exchange(there, "\r\n".join([*lines, "", ""]).encode() + request.body)
    except OSError:
        raise _FailedError(_REFUSED, f"Failed to connect to {host} port {port}: Connection refused") from None
    head, _, body = reply.partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    return (int(words[1]) if len(words) > 1 and words[1].isdigit() else 502), body


async def _exchange(there: tuple[str, int], sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*there)
    try:
        writer.write(sent)
        reply = b""
        while len(reply) < LARGEST and (piece := await reader.read(LARGEST - len(reply))):
            reply += piece
        return reply
    finally:
        writer.close()


COMMANDS: Mapping[str, Program] = {"curl": curl}
