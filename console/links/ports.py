"""Who listens on a port of this machine."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import NamedTuple

_LISTENING = "0A"
_ADDRESSES = ("0100007F", "00000000")
"""127.0.0.1 and any address, as the kernel writes them on a little-endian machine."""


class Holder(NamedTuple):
    pid: int
    program: str

    def __str__(self) -> str:
        return f"{self.program} (pid {self.pid})"


class _Listening(NamedTuple):
    inode: str
    uid: int


def holds(pid: int, port: int) -> bool:
    """Whether this process listens on this loopback port; where that cannot be told, whether anybody does."""
    try:
        listening = _listening(port)
    except OSError:  # no /proc, as on macOS
        return answers(port)
    if listening is None:
        return False
    try:
        return _has_socket(pid, listening.inode)
    except PermissionError:  # a process of ours that does not let itself be looked at
        return listening.uid == os.getuid()
    except OSError:
        return False


def holder(port: int) -> Holder | None:
    """The process that listens on this loopback port, if it shows itself: processes of other users do not."""
    try:
        listening = _listening(port)
    except OSError:
        return None
    if listening is None:
        return None
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            if _has_socket(int(folder.name), listening.inode):
                return Holder(int(folder.name), (folder / "comm").read_text(errors="replace").strip())
        except OSError:  # not ours, or gone
            continue
    return None


def answers(port: int, *, limit_s: float = 0.5) -> bool:
    """Whether something takes connections on this loopback port. It sees a connection that ends at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(limit_s)
        try:
            return probe.connect_ex(("127.0.0.1", port)) in (0, errno.EISCONN)
        except OSError:
            return False


def _listening(port: int) -> _Listening | None:
    wanted = {f"{address}:{port:04X}" for address in _ADDRESSES}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTENING and fields[1] in wanted:
            return _Listening(fields[9], int(fields[7]))
    return None


def _has_socket(pid: int, inode: str) -> bool:
    wanted = f"socket:[{inode}]"
    with os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            try:
                if os.readlink(entry.path) == wanted:  # noqa: PTH115 - thousands of them, perhaps
                    return True
            except FileNotFoundError:  # closed while we looked
                continue
    return False
