"""Open an address that a model or a document named, in the user's browser."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from console.errors import ConsoleError

OPENED = frozenset({"http", "https", "mailto"})
"""Anything else could start a program or read a file."""
LIMIT_S = 5.0


class NotOpened(ConsoleError):
    title = "The link was not opened"


def is_openable(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme.lower() in OPENED and bool(parts.netloc or parts.scheme.lower() == "mailto")


def opener(environment: Mapping[str, str], system: str = sys.platform) -> Sequence[str] | None:
    """The program that opens addresses here; None where nobody would see the browser, as over SSH."""
    if environment.get("BROWSER"):
        found = shutil.which(environment["BROWSER"].split(":")[0])
        if found is not None:
            return [found]
    if system == "darwin":
        return ["/usr/bin/open"]
    has_display = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    if environment.get("SSH_CONNECTION") or not has_display:
        return None
    found = shutil.which("xdg-open")
    return None if found is None else [found]


async def open_url(url: str, environment: Mapping[str, str]) -> bool:
    """Whether a browser was asked to show it; False where there is none to see."""
    if not is_openable(url):
        raise NotOpened(f"{url!r} is not opened: only web and mail addresses are.", hint="It can be copied.")
    command = opener(environment)
    if command is None:
        return False
    return await started([*command, url])


async def started(command: Sequence[str]) -> bool:
    """Whether a program that shows something took it."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            return await process.wait() == 0
    except TimeoutError:  # one that stays in the foreground has opened
        return True
