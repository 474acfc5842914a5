"""Where the worker of the documents is met: its socket, its lock, its log. Light: the headless path loads it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from console.errors import WorkerFailed
from console.paths import Paths

LONGEST_SOCKET_PATH = 100
"""Bytes; the system allows 104 (macOS) or 108."""


class Place(NamedTuple):
    documents: Path
    socket: Path
    lock: Path
    """Held by the worker as long as it lives, however it ends; says its process id and its socket."""
    log: Path


def worker_place(paths: Paths, environment: Mapping[str, str] = os.environ) -> Place:
    from hashlib import sha256

    documents = paths.documents.absolute()
    name = sha256(os.fsencode(documents)).hexdigest()[:12] + ".sock"
    folder = _runtime_folder(environment, len(name) + 1)
    return Place(documents, folder / name, documents / "worker.lock", paths.state / "documents-worker.log")


def write_holder(descriptor: int, place: Place) -> None:
    """By the holder of the lock."""
    import json

    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "socket": str(place.socket)}).encode(), 0)


def holder(place: Place) -> tuple[int | None, Path | None]:
    """Process id and socket of the last that held the lock. A login of another kind may have another runtime folder."""
    import json

    try:
        said = json.loads(place.lock.read_bytes()[:4096])
        return int(said["pid"]), Path(said["socket"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None


def _runtime_folder(environment: Mapping[str, str], more: int) -> Path:
    """The first that is short enough for a socket in it. It is not made here."""
    given = environment.get("XDG_RUNTIME_DIR", "")
    own = f"hawser-{os.geteuid()}"
    folders = [Path(given) / "hawser"] if given.startswith("/") and Path(given).is_dir() else []
    temporary = "/tmp"  # noqa: S108 - the folder in it is checked before it is used
    folders += [Path(environment.get("TMPDIR") or temporary) / own, Path(temporary) / own]
    for folder in folders:
        if len(os.fsencode(folder)) + more <= LONGEST_SOCKET_PATH:
            return folder
    return folders[-1]


def is_private(folder: Path) -> bool:
    """Whether it is a folder of this user that nobody else can enter. `FileNotFoundError` if it is not there."""
    about = folder.lstat()
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and not stat.S_IMODE(about.st_mode) & 0o077


def make_private(folder: Path) -> None:
    """Make the runtime folder, or refuse one that others could have prepared."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        private = is_private(folder)
    except OSError as error:
        raise WorkerFailed(f"The folder {str(folder)!r} cannot be made: {error.strerror or error}.") from error
    if not private:
        raise WorkerFailed(
            f"The folder {str(folder)!r} is not private to you, so that the documents' worker is not met there.",
            hint="Remove it, or set XDG_RUNTIME_DIR to a folder of your own.",
        )
