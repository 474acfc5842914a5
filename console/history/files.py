"""The store's files as files: one process at a time replaces them, and what is replaced is kept."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from console.history.trouble import Busy
from console.paths import Paths, private_folder


def stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d-%H%M%S}"


@contextmanager
def alone(paths: Paths, *, wait_s: float | None = None) -> Iterator[None]:
    """Be the only process that upgrades, repairs or replaces the store; `Busy` while another one does.

    Ordinary reading and writing goes on meanwhile. `wait_s` is how long it is worth waiting for the other.
    """
    lock_file = paths.store_file.with_name(paths.store_file.name + ".lock")
    descriptor = os.open(lock_file, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(wait_s) from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def quiet(path: Path) -> Iterator[None]:
    """Keep other processes from writing, as far as the file still knows what a lock is."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=2)) as connection:
        with suppress(sqlite3.Error):
            connection.execute("BEGIN IMMEDIATE")
        yield


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(paths: Paths, fresh: Path, kept_name: str) -> Path:
    """Put `fresh` in the store's place in one step and keep what stood there; returns where. Call it under `quiet`.

    Other processes notice by the file's number when they next hold its lock, and open the fresh one.
    """
    store_file = paths.store_file
    kept = private_folder(paths.data / "kept") / kept_name
    number = 1
    while kept.exists():
        number += 1
        kept = kept.with_name(f"{number}-{kept_name}")
    with suppress(FileNotFoundError):
        os.link(store_file, kept)
    # A log that stays behind would be played into the fresh file; so it goes first.
    with suppress(FileNotFoundError):
        Path(f"{store_file}-wal").rename(f"{kept}-wal")
    Path(f"{store_file}-shm").unlink(missing_ok=True)
    sync(fresh)
    fresh.replace(store_file)
    sync(store_file.parent)
    return kept
