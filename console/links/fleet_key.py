"""The key that opens the machines we rent: one ed25519 key, made once, readable by its owner only."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from console.errors import KeyFileUnusable
from console.paths import Paths, private_folder


class FleetKey(NamedTuple):
    file: Path
    public_line: str
    """As authorized_keys and the clouds take it."""


def fleet_key(paths: Paths) -> FleetKey:
    """The key of this user, made when it is not there. Processes that make it at the same time get the same one."""
    import asyncssh  # 140 ms; only who rents or reaches a machine needs it

    file = paths.data / "fleet_ed25519"
    try:
        if not file.exists():
            _make(file, asyncssh.generate_private_key("ssh-ed25519", "hawser fleet").export_private_key())
        key = asyncssh.read_private_key(file)
    except OSError as error:
        raise KeyFileUnusable(
            f"The key for rented machines, {file}, cannot be used: {error.strerror or error}.",
            hint="Its folder must be yours to read and write; or set HAWSER_HOME to another.",
        ) from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise KeyFileUnusable(
            f"{file} is not the key for rented machines that it was.",
            hint="Put it back. Without it, machines that know only this key cannot be logged in to.",
        ) from error
    return FleetKey(file, key.export_public_key().decode().strip())


def _make(file: Path, content: bytes) -> None:
    """Write it beside its place and link it there: a half-written or a second key is never seen."""
    private_folder(file.parent)
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # 0600
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        try:
            Path(file).hardlink_to(temporary)
        except FileExistsError:  # another process was first: its key is the one
            return
    finally:
        Path(temporary).unlink(missing_ok=True)
