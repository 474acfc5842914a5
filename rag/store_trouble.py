"""SQLite's error codes in the words of this package."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from rag.errors import LibraryBroken, LibraryBusy, LibraryDamaged, LibraryFull

ELSEWHERE = "Free some space, or set HAWSER_HOME to a folder on another disk."


def translate(error: sqlite3.Error, path: Path) -> LibraryBroken:
    code: int = getattr(error, "sqlite_errorcode", None) or 0
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return LibraryBusy(
                f"Another process is writing to the documents {str(path)!r} and did not let go of them in time.",
                hint="Try again when it is done, or end it.",
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(path)
        case sqlite3.SQLITE_FULL:
            return full(path)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return LibraryBroken(
                f"The documents {str(path)!r} cannot be written.",
                hint="Set HAWSER_HOME to a folder that can be written.",
            )
        case sqlite3.SQLITE_CANTOPEN:
            return LibraryBroken(
                f"The documents {str(path)!r} cannot be opened.",
                hint="It needs to be a file, in a folder, that you may read and write.",
            )
        case sqlite3.SQLITE_IOERR:
            return LibraryBroken(f"The disk does not read or write the documents {str(path)!r} ({error}).")
        case _:
            return LibraryBroken(f"The store of the documents refused: {error}.")


def translate_os(error: OSError, path: Path) -> LibraryBroken:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return full(path)
    return LibraryBroken(
        f"The folder of the documents {str(path.parent)!r} cannot be written: {error.strerror or error}.",
        hint="Set HAWSER_HOME to a folder that can be written.",
    )


def full(path: Path) -> LibraryFull:
    return LibraryFull(
        f"There is no room left for the documents {str(path)!r}. What was stored before is safe.", hint=ELSEWHERE
    )


def damaged(path: Path) -> LibraryDamaged:
    return LibraryDamaged(
        f"The store of the documents {str(path)!r} is damaged.",
        hint="`hawser rag check --repair` sets it aside and reads the documents anew; the files were never touched.",
    )
