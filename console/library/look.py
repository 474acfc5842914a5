"""What a file is that somebody is about to add, found out without reading all of it.

A network drive that does not answer holds up nobody: each path is looked at in a thread of its own that the end of the
program does not wait for, and what was not known in time is said to be slow.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from console.aside import aside

if TYPE_CHECKING:
    from rag.documents import Document

Looks: TypeAlias = Literal["file", "folder", "archive", "url", "missing", "slow", "other"]

TIME_LIMIT_S = 2.0
MOST_AT_ONCE = 32
MOST_COUNTED = 5_000
"""Files of a folder that are counted; a home folder has more than anybody waits for."""
LOOKED_AT_BYTES = 256_000
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_SECRET_NAMES = (".env", "id_rsa", "id_ed25519", "id_ecdsa", ".netrc", ".pgpass", "credentials", ".npmrc", ".pypirc")


class Looked(NamedTuple):
    path: str
    name: str
    looks: Looks
    size_bytes: int | None = None
    """Of all its files, for a folder."""
    files: int | None = None
    """In a folder, as far as they were counted."""
    has_more: bool = False
    """There are more files than were counted."""
    secret: str | None = None
    """What it seems to hold that should not be sent to anybody, in words."""
    known_as: int | None = None
    """The document that it is already, by its path."""
    is_unchanged: bool = False
    """And it has the same size and time as when it was read."""
    error: str | None = None
    hint: str | None = None


Known: TypeAlias = "Callable[[str], Document | None]"


async def look_at(paths: Sequence[str], known: Known, *, time_limit_s: float = TIME_LIMIT_S) -> list[Looked]:
    room = asyncio.Semaphore(MOST_AT_ONCE)

    async def one(path: str) -> Looked:
        async with room:
            try:
                async with asyncio.timeout(time_limit_s):
                    return await aside(lambda: look(path, known), "look at a file")
            except TimeoutError:
                error = f"{_name(path)!r} did not answer within {time_limit_s:g} s."
                return Looked(path, _name(path), "slow", error=error, hint="It is read all the same, once it answers.")

    return list(await asyncio.gather(*map(one, paths)))


def look(path: str, known: Known) -> Looked:
    """Blocks for as long as the disk does."""
    name = _name(path)
    if path.startswith(("http://", "https://")):
        return Looked(path, name, "url")
    absolute = str(Path(path).expanduser().absolute())
    try:
        about = Path(absolute).stat()
    except FileNotFoundError:
        return Looked(absolute, name, "missing", error=f"There is no file {absolute!r}.")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Looked(absolute, name, "other", error=f"{name!r} cannot be looked at: {reason}.")
    if stat.S_ISDIR(about.st_mode):
        files, size, more = _counted(absolute)
        return Looked(absolute, name, "folder", size, files, more)
    if not stat.S_ISREG(about.st_mode):
        return Looked(absolute, name, "other", error=f"{name!r} is neither a file nor a folder.")
    document = known(absolute)
    read_at = None if document is None or document.modified_at is None else document.modified_at.timestamp()
    return Looked(
        absolute,
        name,
        "archive" if name.lower().endswith(_ARCHIVES) else "file",
        about.st_size,
        secret=_secret_in(Path(absolute)),
        known_as=None if document is None else document.id,
        is_unchanged=document is not None
        and document.size_bytes == about.st_size
        and read_at is not None
        and abs(read_at - about.st_mtime) < 0.001,
        error=None if about.st_size else f"{name!r} is empty.",
    )


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or path


def _counted(folder: str) -> tuple[int, int, bool]:
    files = size = 0
    for place, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith(".")]
        for name in names:
            if files == MOST_COUNTED:
                return files, size, True
            files += 1
            try:
                size += (Path(place) / name).lstat().st_size
            except OSError:  # it went meanwhile
                continue
    return files, size, False


def secret_in_document(path: str, text: str | None) -> str | None:
    """For the engine: by its name and beginning before it is read, by its text afterwards."""
    from console.secret_marks import secret_in

    return _secret_in(Path(path)) if text is None else secret_in(text)


def _secret_in(path: Path) -> str | None:
    from console.secret_marks import secret_in

    if path.name.lower() in _SECRET_NAMES:
        return "keys or passwords, by its name"
    try:
        with path.open("rb") as file:
            beginning = file.read(LOOKED_AT_BYTES)
    except OSError:  # what cannot be opened is told when it is read
        return None
    return None if b"\0" in beginning else secret_in(beginning.decode("utf-8", "replace"))
