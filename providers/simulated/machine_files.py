"""SFTP on a simulated machine, confined to its private folder."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, cast

import asyncssh

if TYPE_CHECKING:
    from asyncssh.channel import SSHChannel

    from providers.simulated.shell.files import Folder


class FilesServer(asyncssh.SFTPServer):
    """Paths start in the user's home, as with OpenSSH. Links cannot be made, and none leads out of the folder."""

    def __init__(self, channel: SSHChannel[bytes], folder: Folder) -> None:
        super().__init__(cast("asyncssh.SSHServerChannel[bytes]", channel))
        self._folder = folder

    def map_path(self, path: bytes) -> bytes:
        return os.fsencode(self._folder.real(self._folder.home, os.fsdecode(path)))

    def reverse_map_path(self, path: bytes) -> bytes:
        return os.fsencode(self._folder.virtual(os.fsdecode(path)))

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPOpUnsupported("this machine makes no links")

    def link(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPOpUnsupported("this machine makes no links")

    def readlink(self, path: bytes) -> bytes:
        raise asyncssh.SFTPOpUnsupported("this machine makes no links")

    def exit(self) -> None:
        """Say 0, as sftp-server does: without it scp takes a transfer for failed."""
        with contextlib.suppress(OSError):
            self.channel.exit(0)

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        try:
            self._folder.charge(len(data))
        except OSError:
            raise asyncssh.SFTPNoSpaceOnFilesystem("No space left on device") from None
        return super().write(file_obj, offset, data)  # type: ignore[return-value]  # plain files are written at once
