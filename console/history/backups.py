"""Copies of the store: one a day, verified, seven kept; and bringing one of them back.

`python -m console.history.backups FOLDER` makes today's copy of the store in that folder: a large store is copied so,
by a process of its own, while the one that wrote to it has long ended.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from console.errors import NotFound, StoreDamaged
from console.history import files
from console.history.places import daily_copy, damage_mark
from console.history.trouble import Busy, Damaged, locked, translate
from console.paths import Paths, private_folder

KEPT = 7


class Backup(NamedTuple):
    path: Path
    name: str
    """What `restore` takes: the day, or the day and the format before which it was made."""
    made_at: datetime
    size_bytes: int


def backups(paths: Paths) -> list[Backup]:
    """The copies there are, newest first."""
    found = []
    for path in paths.backups.glob("hawser-*.db"):
        stat = path.stat()
        made_at = datetime.fromtimestamp(stat.st_mtime, UTC)
        found.append(Backup(path, path.stem.removeprefix("hawser-"), made_at, stat.st_size))
    return sorted(found, key=lambda backup: (backup.made_at, backup.name), reverse=True)


def make_daily(paths: Paths, day: date) -> Path | None:
    """Make the copy of `day` unless it is there or another process is at it; then let the oldest ones go.

    `StoreDamaged` when the copy does not pass the check, for then the store itself does not.
    """
    target = daily_copy(paths, day)
    try:
        with files.alone(paths):
            if target.exists():
                return None
            for leftover in paths.backups.glob(".hawser-*"):  # of a process that was killed at it
                leftover.unlink()
            make(paths.store_file, target)
    except Busy:
        return None
    # Never the one just made, though a clock that was ahead may have left others with later dates.
    others = sorted(file for file in paths.backups.glob("hawser-????-??-??.db") if file != target)
    for old in others[: -(KEPT - 1)]:
        old.unlink()
    return target


def make(source: Path, target: Path) -> None:
    """Copy a store while others use it, and check the copy; `target` appears only when it is good."""
    private_folder(target.parent)
    unchecked = target.with_name(f".{target.name}.{os.getpid()}")
    os.close(os.open(unchecked, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    try:
        with closing(sqlite3.connect(source, timeout=10)) as original, closing(sqlite3.connect(unchecked)) as copy:
            original.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, with no log beside it
            check(copy, target)
        unchecked.replace(target)
    finally:
        unchecked.unlink(missing_ok=True)


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Read all of it; `StoreDamaged` names the first thing that is wrong."""
    try:
        (finding,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if not isinstance(translate(error, path), Damaged):
            raise
        finding = str(error)
    if finding != "ok":
        raise StoreDamaged(f"{str(path)!r} is damaged: {finding}.")


def restore(paths: Paths, which: str | None, now: datetime) -> str:
    """Bring back the copy named `which`, or the newest; returns a sentence. What it replaces is kept in `kept/`."""
    there = backups(paths)
    chosen = next(
        (backup for backup in there if which in (None, backup.name, backup.path.name, str(backup.path))), None
    )
    if chosen is None:
        if which is not None and there:
            names = ", ".join(backup.name for backup in there)
            raise NotFound(f"There is no copy {which!r}.", hint=f"There are: {names}.")
        raise NotFound("There is no copy of the history to bring back.")
    fresh = paths.store_file.with_name(f".restored.{os.getpid()}")
    try:
        os.close(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
        with closing(sqlite3.connect(chosen.path)) as copy, closing(sqlite3.connect(fresh)) as restored:
            copy.backup(restored)
            check(restored, chosen.path)
            restored.execute("PRAGMA journal_mode = WAL")
        try:
            with files.alone(paths), files.quiet(paths.store_file):
                kept = files.replace(paths, fresh, f"hawser-{files.stamp(now)}-replaced.db")
        except Busy as error:
            raise locked(paths.store_file, 0, "is working on") from error
    finally:
        fresh.unlink(missing_ok=True)
    was = f" What was there is kept as {str(kept)!r}." if kept.exists() else ""
    return f"The history is as it was on {chosen.made_at:%Y-%m-%d at %H:%M} UTC.{was}"


def make_daily_elsewhere(paths: Paths) -> None:
    """Let a process of its own make today's copy; returns at once."""
    import subprocess  # once a day, and only for a large store

    child = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "console.history.backups", str(paths.data)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    child.returncode = 0  # nobody waits for it, and it is told so, else it would complain when it is forgotten


def _main() -> None:
    data = Path(sys.argv[1])
    paths = Paths(data, data, data, data)
    try:
        make_daily(paths, datetime.now(UTC).date())
    except StoreDamaged:
        damage_mark(paths).touch(mode=0o600)


if __name__ == "__main__":
    _main()
