"""Local ports: who holds one that is taken, whether a certain process does, and which one near it is free."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import NamedTuple

LOOPBACK = "127.0.0.1"
_LISTENING = "0A"
_PAGE_BYTES = 4096


class Holder(NamedTuple):
    """A process that listens on a port."""

    pid: int
    program: str


def holder_of(port: int, proc: Path = Path("/proc")) -> Holder | None:
    """Who listens on a local TCP port; None where that cannot be seen: another user's process, or no /proc."""
    inodes = {inode for name in ("tcp", "tcp6") for inode in _listening(proc / "net" / name, port)}
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for folder in proc.iterdir():
        if folder.name.isdecimal() and _has_open(folder / "fd", wanted):
            return Holder(int(folder.name), _program(folder))
    return None


def holds(pid: int, port: int, proc: Path = Path("/proc")) -> bool:
    """Whether this process listens on a local TCP port; where processes cannot be looked at, whether anybody does."""
    if not (proc / "net" / "tcp").exists():
        return _answers(port)
    wanted = {f"socket:[{inode}]" for name in ("tcp", "tcp6") for inode in _listening(proc / "net" / name, port)}
    if not wanted:
        return False
    folder = proc / str(pid) / "fd"
    if folder.exists() and not os.access(folder, os.R_OK):  # ours, but it does not let itself be looked at
        return True
    return _has_open(folder, wanted)


def free_port_near(port: int) -> int:
    """The next port above that can be bound, else any."""
    for candidate in range(port + 1, min(port + 100, 65536)):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, candidate))
            except OSError:
                continue
            return candidate
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    """Whether something takes connections; it sees one that ends at once."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _listening(table: Path, port: int) -> list[str]:
    """The inodes of the listening sockets of a port in a table such as /proc/net/tcp.

    The kernel tells those that listen first. What comes behind them is not read: it may take 10 ms to gather.
    """
    found = []
    rest = ""
    try:
        with table.open("rb", buffering=0) as reading:
            while page := reading.read(_PAGE_BYTES):
                *lines, rest = (rest + page.decode()).split("\n")
                rows = [columns for line in lines if (columns := line.split())[:1] != ["sl"] and columns]
                listening = [columns for columns in rows if columns[3] == _LISTENING]
                found += [each[9] for each in listening if int(each[1].rpartition(":")[2], 16) == port]
                if len(listening) < len(rows):
                    break
    except OSError:
        return []
    return found


def _has_open(descriptors: Path, wanted: set[str]) -> bool:
    try:
        return any(_points_to(each) in wanted for each in descriptors.iterdir())
    except OSError:  # it has just ended, or belongs to somebody else
        return False


def _points_to(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""


def _program(folder: Path) -> str:
    """The program as its user would name it: for an interpreter, what it runs."""
    try:
        words = [word for word in (folder / "cmdline").read_bytes().decode(errors="replace").split("\0") if word]
        name = (folder / "comm").read_text().strip()
    except OSError:
        return "?"
    if words and Path(words[0]).name.startswith("python"):
        script = next((word for word in words[1:] if not word.startswith("-")), "")
        if script.endswith(".py") or Path(script).name == "hawser":
            return Path(script).name
    return name
