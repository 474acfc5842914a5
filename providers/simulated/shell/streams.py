"""What a process of the built-in shell reads from and writes to."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import BinaryIO, Self

from providers.simulated.shell.files import Folder
from providers.simulated.watch import Watch

PIPE_BYTES = 64 * 1024
READ_BYTES = 64 * 1024


class Stream:
    """Shared by all who hold it open: whoever takes it calls `share`, and `release` when done."""

    is_terminal = False

    def __init__(self) -> None:
        self.users = 1

    def share(self) -> Self:
        self.users += 1
        return self

    def release(self) -> None:
        self.users -= 1
        if self.users == 0:
            self.close()

    def close(self) -> None:
        """Nobody holds it any more."""

    async def read(self, size: int = READ_BYTES) -> bytes:
        """Some bytes; none at the end."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    async def write(self, data: bytes) -> None:
        """Raises BrokenPipeError when nobody reads any more."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


async def read_line(stream: Stream, limit: int = 1024 * 1024) -> bytes:
    """A line with its newline, without reading beyond it; shorter or empty at the end."""
    line = bytearray()
    while len(line) < limit:
        byte = await stream.read(1)
        line += byte
        if not byte or byte == b"\n":
            break
    return bytes(line)


class Nothing(Stream):
    """/dev/null."""

    async def read(self, size: int = READ_BYTES) -> bytes:
        return b""

    async def write(self, data: bytes) -> None:
        return


class Zeros(Nothing):
    """/dev/zero."""

    async def read(self, size: int = READ_BYTES) -> bytes:
        await asyncio.sleep(0)
        return bytes(size)


class Ready(Stream):
    """Text that is there from the start: a here-document."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    async def read(self, size: int = READ_BYTES) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        return data


class File(Stream):
    def __init__(self, folder: Folder, path: str, mode: str) -> None:
        super().__init__()
        self._folder = folder
        self._file: BinaryIO = open(path, mode + "b", buffering=0)  # type: ignore[assignment]  # noqa: SIM115, PTH123

    def seek(self, place: int) -> None:
        if place > self._folder.limit_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        self._file.seek(place)

    async def read(self, size: int = READ_BYTES) -> bytes:
        await asyncio.sleep(0)  # a long file must not hold up everybody else
        return self._file.read(size)

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        self._folder.charge(len(data))
        self._file.write(data)

    def close(self) -> None:
        self._file.close()


class Pipe:
    """A bounded pipe: `reader` sees the end when every writer is gone, `writer` breaks when every reader is."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._watch = Watch()
        self.reader = _Reader(self)
        self.writer = _Writer(self)

    async def take(self, size: int) -> bytes:
        await self._watch.until(lambda: bool(self._held) or self.writer.users == 0)
        data = bytes(self._held[:size])
        del self._held[:size]
        self._watch.note()
        return data

    async def put(self, data: bytes) -> None:
        for first in range(0, len(data), PIPE_BYTES):
            await self._watch.until(lambda: len(self._held) < PIPE_BYTES or self.reader.users == 0)
            if self.reader.users == 0:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            self._held += data[first : first + PIPE_BYTES]
            self._watch.note()

    def note(self) -> None:
        self._watch.note()


class _Reader(Stream):
    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe

    async def read(self, size: int = READ_BYTES) -> bytes:
        return await self._pipe.take(size)

    def close(self) -> None:
        self._pipe.note()


class _Writer(Stream):
    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe

    async def write(self, data: bytes) -> None:
        await self._pipe.put(data)

    def close(self) -> None:
        self._pipe.note()
