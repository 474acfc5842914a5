"""SQLite's error codes in our words."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from console.errors import StoreError, StoreFull, StoreLocked, StoreReadOnly


class Busy(Exception):
    """Another process holds the file at this moment; `wait_s` is how long it is worth waiting for it."""

    def __init__(self, wait_s: float | None = None) -> None:
        super().__init__()
        self.wait_s = wait_s


class Moved(Exception):
    """Another file stands where the open one stood."""


class Damaged(Exception):
    """The file's contents make no sense."""


class IndexDamaged(Exception):
    """Only the search index makes no sense; it can be made again from the messages."""


def translate(error: sqlite3.Error, path: Path) -> Exception:
    """What a caller raises for `error`: a signal to try or repair, or the `StoreError` for the user."""
    code: int = getattr(error, "sqlite_errorcode", None) or 0
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return Busy()
        case sqlite3.SQLITE_CORRUPT if code == sqlite3.SQLITE_CORRUPT_VTAB:
            return IndexDamaged()
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Damaged()
        case sqlite3.SQLITE_FULL:
            return full(path)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StoreReadOnly(
                f"The history {str(path)!r} cannot be written.", hint="Set HAWSER_HOME to a folder that can be written."
            )
        case sqlite3.SQLITE_CANTOPEN:
            return StoreReadOnly(
                f"The history {str(path)!r} cannot be opened.",
                hint="It needs to be a file, in a folder, that you may read and write.",
            )
        case sqlite3.SQLITE_IOERR:
            return StoreError(f"The disk does not read or write the history {str(path)!r} ({error}).")
        case _:
            return StoreError(f"The history refused: {error}.")


def translate_os(error: OSError, path: Path) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return full(path)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreReadOnly(f"The folder of the history {str(path)!r} cannot be written.")
    return StoreError(f"The disk does not read or write the history {str(path)!r} ({error.strerror or error}).")


def full(path: Path) -> StoreFull:
    return StoreFull(
        f"There is no room left for the history {str(path)!r}. What was stored before is safe.",
        hint="Free some space, or set HAWSER_HOME to a folder on another disk.",
    )


def locked(path: Path, waited_s: float, doing: str = "is using") -> StoreLocked:
    """The error for a file that stayed locked, naming who has it open where the system can say."""
    names = holders(path)
    who = " and ".join(names) if names else "another process"
    who = who[:1].upper() + who[1:]
    waited = f", and did not let go of it for {waited_s:g} s" if waited_s else ""
    return StoreLocked(
        f"{who} {doing} the history{waited}.",
        hint="Try again when it is done, or end it.",
    )


def holders(path: Path) -> list[str]:
    """The other processes of this user that have the store open, by name and number; empty where it cannot be seen."""
    side_files = {str(path.absolute()) + ending for ending in ("", "-wal", "-shm", ".lock")}
    names = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        pid = int(folder.parent.name)
        if pid == os.getpid():
            continue
        try:
            is_open = any(os.readlink(link) in side_files for link in folder.iterdir())  # noqa: PTH115
        except OSError:  # it ended, or belongs to somebody else
            continue
        if is_open:
            names.append(f"process {pid} ({_name(folder.parent)})")
    return names


def _name(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "?"
    return " ".join(word.decode(errors="replace") for word in words[:3]).strip()[:60] or "?"
