"""The doctor's look at this computer: terminal, clipboard, versions, proxies, disk and clock."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from console.clipboard import takes_osc_52
from console.doctor import Finding, fail, info, ok, warn
from console.errors import Exit
from console.paths import Paths
from console.text import size_words

LEAST_FREE_BYTES = 100 * 1024 * 1024
LITTLE_FREE_BYTES = 1024 * 1024 * 1024
LARGEST_SKEW = timedelta(minutes=2)
EARLIEST = datetime(2025, 1, 1, tzinfo=UTC)


class Terminal(NamedTuple):
    """What the process has for a terminal."""

    reads: bool
    writes: bool
    encoding: str
    columns: int
    lines: int


def check_terminal(terminal: Terminal, environment: Mapping[str, str]) -> Iterator[Finding]:
    area = "terminal"
    if not terminal.writes:
        yield info(area, "Standard output is not a terminal: answers go out byte for byte, without colour.")
    else:
        kind = environment.get("TERM", "")
        if kind in ("", "dumb"):
            yield warn(
                area, f"TERM is {kind or 'not set'}.", "Set TERM to what your terminal is, as in xterm-256color."
            )
        else:
            yield ok(area, f"{kind}, {terminal.columns} x {terminal.lines}, {_colours(environment)}.")
        if terminal.columns < 80 or terminal.lines < 24:
            size = f"{terminal.columns} x {terminal.lines}"
            yield warn(area, f"The window is small: {size}.", "Make it at least 80 x 24.")
    if not terminal.reads:
        yield info(area, "Standard input is not a terminal: nothing can be asked, and a prompt reads it as material.")
    encoding = terminal.encoding.lower().replace("-", "")
    if encoding == "utf8":
        yield ok(area, "Text goes out as UTF-8.")
    else:
        remedy = "Set LC_ALL to a UTF-8 locale, as in C.UTF-8, or set PYTHONUTF8=1."
        yield warn(area, f"Text goes out as {terminal.encoding or 'an unknown encoding'}, not UTF-8.", remedy)
    if environment.get("TMUX"):
        yield info(area, "Inside tmux.", "For the clipboard: set -g set-clipboard on, in its settings.")
    elif environment.get("STY"):
        yield info(area, "Inside screen, which keeps the clipboard and some keys from the program.", "Try tmux.")
    if environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"):
        yield info(area, "Over SSH: the clipboard is reached through the terminal (OSC 52).")


def _colours(environment: Mapping[str, str]) -> str:
    if environment.get("NO_COLOR"):
        return "no colours (NO_COLOR)"
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return "all colours"
    return "256 colours" if "256" in environment.get("TERM", "") else "16 colours"


def check_clipboard(
    terminal: Terminal,
    environment: Mapping[str, str],
    find: Callable[[str], str | None] = shutil.which,
    system: str = sys.platform,
) -> Iterator[Finding]:
    """Which ways there are to the clipboard; each is only looked for, none is tried."""
    area = "clipboard"
    routes = []
    if system == "darwin" and find("pbcopy"):
        routes.append("pbcopy")
    if environment.get("WAYLAND_DISPLAY") and find("wl-copy"):
        routes.append("wl-copy")
    if environment.get("DISPLAY"):
        routes += [tool for tool in ("xclip", "xsel") if find(tool)]
    if environment.get("WSL_DISTRO_NAME") and find("clip.exe"):
        routes.append("clip.exe")
    if environment.get("TMUX") and find("tmux"):
        routes.append("tmux")
    if terminal.writes and takes_osc_52(environment):
        routes.append("OSC 52, if the terminal allows it")
    if routes:
        yield ok(area, f"Ways to it: {', '.join(routes)}.")
    elif not terminal.writes:
        yield info(area, "No way to it here; a call without a terminal needs none.")
    else:
        tool = "wl-clipboard" if environment.get("WAYLAND_DISPLAY") else "xclip"
        yield warn(area, "There is no way to it.", f"Install {tool}, or use a terminal that knows OSC 52.")


def check_versions() -> Iterator[Finding]:
    from console import __version__

    yield ok(
        "version",
        f"Hawser {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}.",
    )
    if sqlite3.sqlite_version_info < (3, 35):
        remedy = "Use a Python with SQLite 3.35 or later."
        yield fail("version", f"SQLite is {sqlite3.sqlite_version}, which is too old.", remedy, Exit.FAILED)
    else:
        yield ok("version", f"SQLite {sqlite3.sqlite_version}.")


def check_proxies(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Proxies and authorities that requests would go through; a password in one is not shown."""
    from urllib.parse import urlsplit

    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        value = environment.get(name) or environment.get(name.lower())
        if value:
            around = environment.get("NO_PROXY") or environment.get("no_proxy") or "nothing"
            try:
                parts = urlsplit(value if "://" in value else f"http://{value}")
                place = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
            except ValueError:
                yield warn("proxy", f"{name} is not an address.", f"Correct or unset {name}.")
            else:
                yield info("proxy", f"{name} leads through {place}; around it go: {around}.")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"):
        path = environment.get(name)
        if path and not Path(path).exists():
            yield warn("proxy", f"{name} names {path!r}, which is not there.", f"Correct or unset {name}.")
        elif path:
            yield info("proxy", f"The authorities to trust are those in {path} ({name}).")
            break  # the first that is set is the one in force


def check_folders(paths: Paths) -> Iterator[Finding]:
    """Whether our folders can be written, and how much room their disks have."""
    seen: set[int] = set()
    for purpose, folder in (("settings", paths.config), ("history", paths.data), ("log", paths.state)):
        there = _nearest_existing(folder)
        if not os.access(there, os.W_OK | os.X_OK):
            remedy = "Make it writable, or set HAWSER_HOME to another folder."
            yield fail("folders", f"The folder for the {purpose} cannot be written: {folder}.", remedy, Exit.SETTINGS)
            continue
        device = there.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(there).free
        text = f"{size_words(free)} free for the {purpose} in {folder}."
        if free < LEAST_FREE_BYTES:
            yield fail("folders", text, "Free some space; answers cannot be kept without it.", Exit.FAILED)
        elif free < LITTLE_FREE_BYTES:
            yield warn("folders", text, "Free some space soon.")
        else:
            yield ok("folders", text)


def _nearest_existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def check_clock(now: datetime, servers: Mapping[str, datetime]) -> Iterator[Finding]:
    """Whether the clock can be true; `servers` is what endpoints said the time was when it was `now`."""
    remedy = "Set the clock; on Linux: timedatectl set-ntp true."
    if now < EARLIEST:
        yield fail("clock", f"The clock says {now:%Y-%m-%d}, which cannot be.", remedy, Exit.FAILED)
        return
    skews = {name: server - now for name, server in servers.items()}
    wrong = {name: skew for name, skew in skews.items() if abs(skew) > LARGEST_SKEW}
    for name, skew in wrong.items():
        side = "behind" if skew > timedelta() else "ahead of"
        minutes = abs(skew).total_seconds() / 60
        yield warn("clock", f"The clock is {minutes:,.0f} minutes {side} the one of {name}.", remedy)
    if not wrong:
        compared = f"; {', '.join(sorted(skews))} agree" if len(skews) > 1 else "".join(f"; {n} agrees" for n in skews)
        yield ok("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC{compared}.")
