"""The private folder that a simulated machine shows as its disk."""

from __future__ import annotations

import errno
import os
import posixpath
from pathlib import Path

DISK_BYTES = 4 * 1024**3


class Folder:
    """Paths of the machine and where they are on our side. No path leads out, by `..`, by links or otherwise."""

    def __init__(self, root: Path, home: str, *, as_it_is: bool = False, limit_bytes: int = DISK_BYTES) -> None:
        self.root = os.path.realpath(root)
        self._shown_root = self.root if as_it_is else ""
        self.home = posixpath.join(self.root, home.lstrip("/")) if as_it_is else home
        """Where a session begins, as the machine names it."""
        self.limit_bytes = limit_bytes
        self._counted_bytes = 0
        for folder in (home, "/tmp"):  # noqa: S108 - the machine's, inside the private folder
            (Path(self.root) / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def real(self, working_folder: str, name: str) -> str:
        """Where `name` is on our side; the last part is not followed when it is a link. Raises OSError."""
        if not name or "\0" in name:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        absolute = self.absolute(working_folder, name)
        if self._shown_root:
            inside = os.path.relpath(absolute, self.root)
            if inside.startswith(".."):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
        else:
            inside = absolute.lstrip("/") or "."
        path = os.path.normpath(f"{self.root}/{inside}")
        for looked_at in (path.rpartition("/")[0], path) if path != self.root else (path,):
            if not self._is_inside(os.path.realpath(looked_at)):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
        return path

    def absolute(self, working_folder: str, name: str) -> str:
        """`name` as an absolute path of the machine, without `.` and `..`."""
        return "/" + posixpath.normpath(posixpath.join("/", working_folder, name)).lstrip("/")

    def virtual(self, path: str) -> str:
        """How the machine names a path on our side."""
        if not self._is_inside(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return path if self._shown_root else "/" + path[len(self.root) :].lstrip("/")

    def _is_inside(self, path: str) -> bool:
        return path == self.root or path.startswith(self.root + os.sep)

    @classmethod
    def nowhere(cls) -> Folder:
        """For programs that touch no files."""
        made = cls.__new__(cls)
        made.root, made.home, made.limit_bytes = os.devnull, "/", 0
        made._shown_root, made._counted_bytes = "", 0
        return made

    # size

    def charge(self, size: int) -> None:
        """Take note of bytes about to be written; raises ENOSPC when the disk is full."""
        self._counted_bytes += size
        if self._counted_bytes > self.limit_bytes:
            self._counted_bytes = self.used_bytes() + size
            if self._counted_bytes > self.limit_bytes:
                self._counted_bytes -= size
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def used_bytes(self) -> int:
        used = 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                try:
                    used += os.lstat(f"{folder}/{name}").st_size
                except FileNotFoundError:  # removed while we look
                    continue
        return used
