"""What is in a folder, for choosing what to add: folders first, without what is hidden."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

from console.aside import aside

MOST = 5_000
LIMIT_S = 3.0


class Entry(NamedTuple):
    name: str
    path: str
    is_folder: bool
    size_bytes: int | None = None


class Listing(NamedTuple):
    folder: str
    entries: tuple[Entry, ...]
    problem: str = ""
    """Why there are none, or not all, in a sentence."""


async def entries_of(folder: str) -> Listing:
    """Beside the loop; a disk that does not answer in time is said to be silent."""
    try:
        async with asyncio.timeout(LIMIT_S):
            return await aside(partial(_entries_of, folder), "browse")
    except TimeoutError:
        return Listing(folder, (), "This folder does not answer.")


def parted(text: str, home: Path, here: Path) -> tuple[str, str]:
    """What somebody has typed so far: the folder that is meant, and the beginning of a name in it."""
    typed = text.strip()
    if typed.startswith("~"):
        typed = str(home) + typed[1:]
    folder, slash, name = typed.rpartition("/")
    if not slash:
        return str(here), name
    path = Path(folder or "/")
    return str(path if path.is_absolute() else here / path), name


def _entries_of(folder: str) -> Listing:
    found: list[Entry] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if len(found) == MOST:
                    return Listing(folder, _sorted(found), f"Only the first {MOST:,} are listed.")
                found.append(_entry(entry))
    except OSError as error:
        return Listing(folder, (), f"This folder cannot be read: {error.strerror or error}.")
    return Listing(folder, _sorted(found))


def _entry(entry: os.DirEntry[str]) -> Entry:
    try:
        is_folder = entry.is_dir()
        size = None if is_folder else entry.stat().st_size
    except OSError:
        is_folder, size = False, None
    return Entry(entry.name, entry.path, is_folder, size)


def _sorted(entries: list[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda each: (not each.is_folder, each.name.casefold(), each.name)))
