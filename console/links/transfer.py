"""Files to and from a machine over SFTP: with progress, going on after a drop, and in place only when they are whole.

Until it is whole a file has another name beside its place, `.NAME.MARK.part`. The mark tells which file it is a part of
(its size, its time, where it comes from), so that a part is never continued with something else; before it is continued
its last stretch is compared. Names that come from a machine are made harmless, and nothing is ever written outside the
folder that was chosen, nor through a link that lies in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import posixpath
import stat
import unicodedata
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from console.errors import LinkBroken, NotFound, RemoteRefused, TransferFailed
from console.links.remote import Connect, lost, translated
from console.text import neutralise

if TYPE_CHECKING:
    import asyncssh

T = TypeVar("T")

BLOCK_BYTES = 32 * 1024
"""What every server takes in one request."""

IN_FLIGHT = 128
"""Requests at a time: 4 MiB on the way, enough for 80 MB/s at a round trip of 50 ms."""

COMPARED_BYTES = 64 * 1024
"""How much of a part's end is compared before it is continued."""

LONGEST_NAME = 200
"""In bytes, so that there is room for the mark of a part."""

MOST_FILES = 100_000
DEEPEST = 64

_DROPS = 5
"""How often the connection may break without anything having come over it."""


class Progress(NamedTuple):
    name: str
    done_bytes: int
    total_bytes: int
    resumed_bytes: int
    """How much of it was there already."""


class Transferred(NamedTuple):
    """What a transfer came to. `skipped` names what was not taken: links, devices, what cannot be read."""

    files: int
    size_bytes: int
    resumed_bytes: int
    skipped: tuple[str, ...] = ()


Tell = Callable[[Progress], None]


class Transfer:
    """Uploads and downloads over one machine's connection; each call bridges drops by itself."""

    def __init__(self, connect: Connect, *, machine: str = "the machine", tell: Tell | None = None) -> None:
        self.machine = machine
        self._connect = connect
        self._tell = tell

    async def upload(self, source: Path, target: str) -> Transferred:
        """Put a file in its place on the machine. One that is there is replaced in one step, once this one is whole."""
        about = _local_file(source)
        mark = _mark(about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
        folder, name = posixpath.split(target)
        if not name or name in (".", ".."):
            raise RemoteRefused(f"{target!r} is not the name of a file.")
        part = posixpath.join(folder, f".{name[:LONGEST_NAME]}.{mark}.part")
        attempt = _Attempt(name, about.st_size)
        await self._bridged(attempt, lambda sftp: self._send(sftp, source, part, attempt))
        after = _local_file(source)
        if (after.st_mtime_ns, after.st_size) != (about.st_mtime_ns, about.st_size):
            await self._bridged(attempt, lambda sftp: _forget(sftp, part))
            raise TransferFailed(f"{source} changed while it was uploaded.", hint="Try again when it rests.")
        await self._bridged(attempt, lambda sftp: _put_in_place(sftp, part, target, about))
        return Transferred(1, about.st_size, attempt.resumed)

    async def download(self, source: str, folder: Path, name: str | None = None) -> Transferred:
        """Get a file into `folder`, under `name` or its own name made harmless."""
        name = safe_name(name or posixpath.basename(source))
        target = _within(folder, (), name)
        attempt = _Attempt(name, 0)
        await self._bridged(attempt, lambda sftp: self._receive(sftp, source, target, attempt))
        return Transferred(1, attempt.total, attempt.resumed)

    async def download_folder(self, source: str, folder: Path) -> Transferred:
        """Get everything below a folder into `folder`. Links and devices are left out and named."""
        attempt = _Attempt(source, 0)
        files, skipped = await self._bridged(attempt, lambda sftp: _walk(sftp, source))
        size = resumed = 0
        taken: set[tuple[str, ...]] = set()
        for path in files:
            safe = _untaken(tuple(safe_name(step) for step in path), taken)
            target = _within(folder, safe[:-1], safe[-1])
            attempt = _Attempt("/".join(safe), 0)
            await self._bridged(attempt, _receiving(self, posixpath.join(source, *path), target, attempt))
            size += attempt.total
            resumed += attempt.resumed
        return Transferred(len(files), size, resumed, tuple(skipped))

    # One file

    async def _send(self, sftp: asyncssh.SFTPClient, source: Path, part: str, attempt: _Attempt) -> None:
        with _here(source):
            descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            there = await _size(sftp, part)
            start = _resumable(there, attempt.total)
            async with _opened(sftp, part, "w+b" if there is None else "r+b") as remote:
                if start and not await _same_end(remote, start, file):
                    start = 0
                attempt.begin_at(start)
                await self._send_from(start, file, source, remote, attempt)
                if there is not None and there > attempt.total:
                    await remote.truncate(attempt.total)
        arrived = await _size(sftp, part)
        if arrived != attempt.total:
            await _forget(sftp, part)
            raise TransferFailed(
                f"{attempt.total:,} bytes of {attempt.name!r} were sent and {arrived or 0:,} arrived on {self.machine}."
            )

    async def _send_from(
        self, start: int, file: FileIO, source: Path, remote: asyncssh.SFTPClientFile, attempt: _Attempt
    ) -> None:
        async def send(block: bytes, at: int) -> None:
            await remote.write(block, at)
            self._moved(attempt, len(block))

        waiting: deque[asyncio.Task[None]] = deque()
        try:
            for at in range(start, attempt.total, BLOCK_BYTES):
                with _here(source):
                    block = os.pread(file.fileno(), min(BLOCK_BYTES, attempt.total - at), at)
                if not block:  # it has become shorter
                    break
                if len(waiting) >= IN_FLIGHT:
                    await waiting.popleft()
                waiting.append(asyncio.ensure_future(send(block, at)))
            while waiting:
                await waiting.popleft()
        finally:
            await _end(waiting)

    async def _receive(self, sftp: asyncssh.SFTPClient, source: str, target: Path, attempt: _Attempt) -> None:
        about = await sftp.stat(source)
        if about.permissions is not None and not stat.S_ISREG(about.permissions):
            raise RemoteRefused(f"{source!r} on {self.machine} is not a file.")
        total = attempt.total = about.size or 0
        part = target.with_name(f".{target.name}.{_mark(source, total, about.mtime or 0)}.part")
        with _here(part):
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            start = _resumable(os.fstat(file.fileno()).st_size, total)
            async with _opened(sftp, source, "rb") as remote:
                if start and not await _same_end(remote, start, file):
                    start = 0
                attempt.begin_at(start)
                at = start
                async with contextlib.aclosing(_blocks(remote, start, total)) as blocks:
                    async for block in blocks:
                        with _here(part):
                            os.pwrite(file.fileno(), block, at)
                        at += len(block)
                        self._moved(attempt, len(block))
            with _here(part):
                await asyncio.to_thread(os.fsync, file.fileno())
        after = await sftp.stat(source)
        if at != total or (after.size, after.mtime) != (about.size, about.mtime):
            part.unlink(missing_ok=True)
            raise TransferFailed(
                f"{source!r} changed on {self.machine} while it was downloaded.", hint="Try again when it rests."
            )
        with _here(target):
            if about.mtime is not None:
                os.utime(part, (about.mtime, about.mtime))
            part.replace(target)
            for leftover in _parts_of(target):
                leftover.unlink(missing_ok=True)

    def _moved(self, attempt: _Attempt, size: int) -> None:
        attempt.done += size
        if self._tell is not None:
            self._tell(Progress(attempt.name, attempt.done, attempt.total, attempt.resumed))

    async def _bridged(self, attempt: _Attempt, work: Callable[[asyncssh.SFTPClient], Awaitable[T]]) -> T:
        """Do it, and once more from where it was when the connection breaks."""
        drops = 0
        while True:
            before = attempt.furthest
            try:
                async with self._sftp(attempt.name) as sftp:
                    return await work(sftp)
            except LinkBroken:
                attempt.furthest = max(attempt.furthest, attempt.done)
                drops = 1 if attempt.furthest > before else drops + 1
                if drops > _DROPS:
                    raise

    @asynccontextmanager
    async def _sftp(self, name: str) -> AsyncIterator[asyncssh.SFTPClient]:
        """An SFTP session of its own; what goes wrong in it comes out in our words."""
        import asyncssh

        connection = await self._connect()
        try:
            async with connection.start_sftp_client() as sftp:
                yield sftp
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
            raise NotFound(f"{name!r} is not there on {self.machine}.") from error
        except asyncssh.SFTPPermissionDenied as error:
            raise RemoteRefused(f"{self.machine} does not let us at {name!r}: no permission.") from error
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, OSError) as error:
            raise lost(self.machine) from error  # what goes wrong with files here has other words by now
        except asyncssh.Error as error:
            raise translated(error, connection, self.machine, f"transfer {name!r}") from error


class _Attempt:
    """How far one file is."""

    __slots__ = ("done", "furthest", "name", "resumed", "total", "was_begun")

    def __init__(self, name: str, total: int) -> None:
        self.name = name
        self.total = total
        self.done = 0
        self.furthest = 0
        self.resumed = 0
        """What was there before this call; what it continues by itself after a drop does not count."""
        self.was_begun = False

    def begin_at(self, start: int) -> None:
        self.done = start
        if not self.was_begun:
            self.was_begun = True
            self.resumed = self.furthest = start


async def _blocks(remote: asyncssh.SFTPClientFile, start: int, total: int) -> AsyncGenerator[bytes, None]:
    """A file in order, with many requests on the way."""
    waiting: deque[asyncio.Task[bytes]] = deque()
    try:
        while start < total or waiting:
            while start < total and len(waiting) < IN_FLIGHT:
                size = min(BLOCK_BYTES, total - start)
                waiting.append(asyncio.ensure_future(_whole(remote, start, size)))
                start += size
            block = await waiting.popleft()
            if not block:  # it has become shorter
                return
            yield block
    finally:
        await _end(waiting)


async def _end(tasks: deque[asyncio.Task[T]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _whole(remote: asyncssh.SFTPClientFile, at: int, size: int) -> bytes:
    """A block; servers may send less than was asked for."""
    came = b""
    while len(came) < size:
        piece = await remote.read(size - len(came), at + len(came))
        if not piece:
            break
        came += piece  # type: ignore[operator]  # bytes, for the file was opened without an encoding
    return came


def _receiving(
    transfer: Transfer, source: str, target: Path, attempt: _Attempt
) -> Callable[[asyncssh.SFTPClient], Awaitable[None]]:
    return lambda sftp: transfer._receive(sftp, source, target, attempt)


# ---- on the machine


@asynccontextmanager
async def _opened(sftp: asyncssh.SFTPClient, path: str, mode: str) -> AsyncIterator[asyncssh.SFTPClientFile]:
    """A file there, one request per read and write. It is closed if there is still somebody to close it."""
    import asyncssh

    private = asyncssh.SFTPAttrs(permissions=0o600)
    file: asyncssh.SFTPClientFile = await sftp.open(path, mode, private, block_size=0)
    try:
        yield file
    finally:
        with contextlib.suppress(asyncssh.Error, OSError):
            await file.close()


async def _size(sftp: asyncssh.SFTPClient, path: str) -> int | None:
    import asyncssh

    try:
        about = await sftp.lstat(path)
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
        return None
    if about.permissions is not None and not stat.S_ISREG(about.permissions):
        raise RemoteRefused(f"{path!r} there is in the way, and not a file.")
    return about.size or 0


async def _put_in_place(sftp: asyncssh.SFTPClient, part: str, target: str, about: os.stat_result) -> None:
    import asyncssh

    if await _size(sftp, part) is None and await _size(sftp, target) == about.st_size:
        return  # a drop between the renaming and its answer
    await sftp.chmod(part, stat.S_IMODE(about.st_mode) & 0o777)
    try:
        await sftp.posix_rename(part, target)
    except asyncssh.SFTPOpUnsupported:  # a server that only renames where nothing is in the way
        with contextlib.suppress(asyncssh.SFTPNoSuchFile):
            await sftp.remove(target)
        await sftp.rename(part, target)


async def _forget(sftp: asyncssh.SFTPClient, part: str) -> None:
    import asyncssh

    with contextlib.suppress(asyncssh.SFTPNoSuchFile):
        await sftp.remove(part)


async def _same_end(remote: asyncssh.SFTPClientFile, size: int, file: FileIO) -> bool:
    """Whether the last stretch of what is there is the same on both sides."""
    start = max(size - COMPARED_BYTES, 0)
    there = b""
    while len(there) < size - start:
        piece = await _whole(remote, start + len(there), min(BLOCK_BYTES, size - start - len(there)))
        if not piece:
            return False
        there += piece
    return hashlib.sha256(there).digest() == hashlib.sha256(os.pread(file.fileno(), size - start, start)).digest()


async def _walk(sftp: asyncssh.SFTPClient, top: str) -> tuple[list[tuple[str, ...]], list[str]]:
    """The files below a folder as paths of names, and what is neither file nor folder."""
    files: list[tuple[str, ...]] = []
    skipped: list[str] = []
    folders: list[tuple[str, ...]] = [()]
    while folders:
        path = folders.pop()
        for entry in await sftp.readdir(posixpath.join(top, *path)):
            name = entry.filename if isinstance(entry.filename, str) else entry.filename.decode(errors="replace")
            if name in (".", ".."):
                continue
            mode = entry.attrs.permissions or 0
            if not name or "/" in name or "\0" in name or len(path) >= DEEPEST:
                skipped.append(neutralise("/".join((*path, name))))
            elif stat.S_ISDIR(mode):
                folders.append((*path, name))
            elif stat.S_ISREG(mode):
                files.append((*path, name))
            else:
                skipped.append(neutralise("/".join((*path, name))))
        if len(files) + len(folders) > MOST_FILES:
            raise RemoteRefused(f"{top!r} holds more than {MOST_FILES:,} files.", hint="Pack them into one there.")
    return sorted(files), skipped


# ---- here


def safe_name(name: str) -> str:
    """A file name from elsewhere as one that does no harm here: one step, printable, bounded, never `.` or `..`."""
    name = unicodedata.normalize("NFC", name.encode(errors="replace").decode())
    name = neutralise("".join("_" if letter in "/\\\0\n\t\r" else letter for letter in name)).strip()
    while len(name.encode()) > LONGEST_NAME:
        stem, dot, ending = name.rpartition(".")
        name = stem[:-1] + dot + ending if stem and len(ending.encode()) < 20 else name[:-1]
    return name if name.strip(". ") else "_" * max(len(name), 1)


def _untaken(path: tuple[str, ...], taken: set[tuple[str, ...]]) -> tuple[str, ...]:
    """Two names that differ there may be the same here; the second gets a number."""
    *folders, name = path
    number = 1
    while (key := tuple(step.casefold() for step in (*folders, name))) in taken:
        number += 1
        stem, dot, ending = path[-1].rpartition(".")
        name = f"{stem or path[-1]} ({number}){dot}{ending}" if stem else f"{path[-1]} ({number})"
    taken.add(key)
    return (*folders, name)


def _within(folder: Path, steps: Sequence[str], name: str) -> Path:
    """The place of a file below `folder`, whose folders are made; none of them may be a link to somewhere else."""
    with _here(folder / name):
        folder.mkdir(parents=True, exist_ok=True)
        place = folder
        for step in steps:
            place = place / step
            if place.is_symlink() or (place.exists() and not place.is_dir()):
                raise TransferFailed(f"{str(place)!r} is in the way, and not a folder.")
            place.mkdir(exist_ok=True)
        target = place / name
        if target.is_dir() and not target.is_symlink():
            raise TransferFailed(f"{str(target)!r} is a folder.")
    return target


def _parts_of(target: Path) -> list[Path]:
    """Parts of earlier versions of a file that is whole by now."""
    start, end = f".{target.name}.", ".part"
    return [
        path
        for path in target.parent.iterdir()
        if path.name.startswith(start)
        and path.name.endswith(end)
        and len(path.name) == len(start) + _MARK_LETTERS + len(end)
    ]


_MARK_LETTERS = 16


def _mark(*facts: object) -> str:
    return hashlib.sha256("\0".join(map(str, facts)).encode(errors="replace")).hexdigest()[:_MARK_LETTERS]


def _resumable(there: int | None, total: int) -> int:
    """Where to go on. What was on the way when it broke may have left holes, so that much is sent again."""
    if not there or there > total:
        return 0
    return max(there - BLOCK_BYTES * IN_FLIGHT, 0) if there < total else total


def _local_file(path: Path) -> os.stat_result:
    try:
        about = path.stat()
    except FileNotFoundError:
        raise NotFound(f"There is no file {str(path)!r}.") from None
    except OSError as error:
        raise TransferFailed(f"{str(path)!r} cannot be read: {error.strerror or error}.") from error
    if not stat.S_ISREG(about.st_mode):
        raise TransferFailed(f"{str(path)!r} is not a file.")
    return about


@contextlib.contextmanager
def _here(path: Path) -> Iterator[None]:
    """What goes wrong with a file on this side, in words."""
    try:
        yield
    except OSError as error:
        raise TransferFailed(f"{str(path)!r}: {error.strerror or error}.") from error
