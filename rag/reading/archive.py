"""Archives: what is in them under neutral names, and one member's bytes at a time, within bounds.

A member is named `ARCHIVE!/path/inside`; an archive in an archive goes on from there. Nothing is ever written to disk.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import BinaryIO, NamedTuple

from rag.errors import Damaged, Locked, TooLarge, Unreadable
from rag.reading.kinds import HEAD_BYTES, kind_of
from rag.reading.layout import clean
from rag.reading.limits import Limits
from rag.reading.zips import zip_kind

MARK = "!/"
_MOST_TIMES = 300
"""How many times its packed size a big member may have; logs reach 50 to 100, bombs 1,000."""
_BIG_BYTES = 20_000_000
_BLOCK_BYTES = 1 << 20
_PACKED_ENDINGS = (".zip", ".tar", ".gz", ".tgz", ".xz", ".txz", ".bz2", ".tbz", ".tbz2")
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, OSError, EOFError, NotImplementedError,
    ValueError, OverflowError, RuntimeError,
)  # fmt: skip


class Member(NamedTuple):
    """A file in an archive."""

    path: str
    """`ARCHIVE!/path/inside`."""
    name: str
    size_bytes: int
    modified_at: datetime | None
    refused: str | None = None
    """Why it cannot be read, in a sentence."""


class _Entry(NamedTuple):
    size_bytes: int
    modified_at: datetime | None
    refused: str | None
    read: Callable[[], bytes]


class Archive:
    """Open for as long as its members are read."""

    def __init__(self, name: str, file: BinaryIO, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self.entries: dict[str, _Entry] = {}
        self._inner: tuple[str, Archive] | None = None
        self._total = 0
        head = file.read(HEAD_BYTES)
        file.seek(0)
        kind = kind_of(head, "")
        try:
            if kind == "packed":
                file = self._unpacked(file, head)
                kind = "tar" if file.read(HEAD_BYTES)[257:262] == b"ustar" else "single"
                file.seek(0)
            match kind:
                case "zip":
                    self._zip(file)
                case "tar":
                    self._tar(file)
                case "single":
                    self._single(file)
                case _:
                    raise Unreadable(f"{name!r} is no archive.")
        except _BROKEN as error:
            raise Damaged(f"{name!r} is an archive, but it is broken or cut off.") from error

    def members(self, path: str, depth: int = 1) -> list[Member]:
        found = []
        for inner, entry in self.entries.items():
            name = inner.rpartition("/")[2]
            here = Member(path + MARK + inner, name, entry.size_bytes, entry.modified_at, entry.refused)
            if entry.refused or not name.lower().endswith(_PACKED_ENDINGS):
                found.append(here)
            elif depth >= self.limits.depth:
                found.append(here._replace(refused=f"{name!r} is an archive in an archive in an archive."))
            else:
                found.extend(self._within(inner, here, depth))
            if len(found) > self.limits.members:
                raise self._too_many()
        return found

    def _within(self, inner: str, here: Member, depth: int) -> list[Member]:
        try:
            content = self.entries[inner].read()
            if kind_of(content[:HEAD_BYTES], "") == "zip" and zip_kind(io.BytesIO(content)) != "archive":
                return [here]
            return self._opened(inner, content).members(here.path, depth + 1)
        except (Damaged, Locked, TooLarge, Unreadable) as error:
            return [here._replace(refused=error.text)]

    def _opened(self, inner: str, content: bytes) -> Archive:
        left = self.limits.expanded_bytes - self._total
        name = inner.rpartition("/")[2]
        opened = Archive(name, io.BytesIO(content), self.limits._replace(expanded_bytes=max(left, 0)))
        self._total += opened._total
        return opened

    def read(self, inner: str) -> bytes:
        """The bytes of one member; `inner` may go on into an archive that is one."""
        entry = self.entries.get(inner)
        if entry is not None:
            if entry.refused:
                raise Unreadable(entry.refused)
            return entry.read()
        outer, _, rest = inner.partition(MARK)
        if not rest or outer not in self.entries:
            raise Unreadable(f"There is no {inner!r} in {self.name!r}.")
        if self._inner is None or self._inner[0] != outer:
            self._inner = (outer, self._opened(outer, self.read(outer)))
        return self._inner[1].read(rest)

    def _add(
        self, name: str, size_bytes: int, modified_at: datetime | None, why: str | None, read: Callable[[], bytes]
    ) -> None:
        inner = contained(name)
        if not inner:
            return
        unique, count = inner, 1
        while unique in self.entries:
            count += 1
            unique = f"{inner} ({count})"
        if why is None and size_bytes > self.limits.size_bytes:
            why = self.limits.too_many_bytes(unique.rpartition("/")[2], size_bytes).text
        if why is None:
            self._total += size_bytes
            if self._total > self.limits.expanded_bytes:
                raise self.limits.unpacks_to_too_much(self.name)
        self.entries[unique] = _Entry(size_bytes, modified_at, why, read)
        if len(self.entries) > self.limits.members:
            raise self._too_many()

    def _too_many(self) -> TooLarge:
        return TooLarge(f"{self.name!r} holds more than {self.limits.members:,} files.", hint="Unpack what you need.")

    def _zip(self, file: BinaryIO) -> None:
        opened = zipfile.ZipFile(file)
        for each in opened.infolist():
            if each.is_dir() or (each.external_attr >> 16 & 0o170000) == 0o120000:
                continue
            why = None
            name = _zip_name(each)
            if each.flag_bits & 1:
                why = f"{name!r} wants a password."
            elif each.file_size > _BIG_BYTES and each.file_size > _MOST_TIMES * max(each.compress_size, 1):
                why = f"{name!r} unpacks to {each.file_size:,} bytes from {each.compress_size:,}, like a bomb."
            try:
                modified = datetime(*each.date_time, tzinfo=UTC)  # archives know no zone
            except ValueError:
                modified = None
            self._add(name, each.file_size, modified, why, partial(self._zipped, opened, each, name))

    def _zipped(self, opened: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
        try:
            with opened.open(info) as file:
                return self._bounded(file, info.file_size, name)
        except _BROKEN as error:
            raise Damaged(f"{name!r} in {self.name!r} is broken.") from error

    def _tar(self, file: BinaryIO) -> None:
        opened = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - stays open with its members
        for each in opened:
            if each.isreg():
                modified = _moment(each.mtime)
                self._add(each.name, each.size, modified, None, partial(self._tarred, opened, each))

    def _tarred(self, opened: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
        try:
            file = opened.extractfile(info)
            assert file is not None
            with file:
                return self._bounded(file, info.size, info.name)
        except _BROKEN as error:
            raise Damaged(f"{info.name!r} in {self.name!r} is broken.") from error

    def _single(self, file: BinaryIO) -> None:
        """One file that was packed by itself."""
        content = file.read()
        self._total -= len(content)  # was counted when it was unpacked
        name = re.sub(r"\.(gz|xz|bz2)$", "", self.name, flags=re.IGNORECASE)
        self._add(name, len(content), None, None, lambda: content)

    def _bounded(self, file: object, size_bytes: int, name: str) -> bytes:
        content: bytes = file.read(size_bytes + 1)  # type: ignore[attr-defined]
        if len(content) != size_bytes:
            raise Damaged(f"{name!r} in {self.name!r} is broken.")
        return content

    def _unpacked(self, file: BinaryIO, head: bytes) -> BinaryIO:
        """All of it in memory, because members of a packed tar are asked for in any order."""
        opener = gzip.open if head[:1] == b"\x1f" else lzma.open if head[:1] == b"\xfd" else bz2.open
        whole = io.BytesIO()
        with opener(file, "rb") as packed:
            while block := packed.read(_BLOCK_BYTES):
                whole.write(block)
                if whole.tell() > self.limits.expanded_bytes:
                    raise self.limits.unpacks_to_too_much(self.name)
        packed_bytes = file.seek(0, io.SEEK_END)
        if whole.tell() > _BIG_BYTES and whole.tell() > _MOST_TIMES * packed_bytes:
            raise TooLarge(f"{self.name!r} unpacks to {whole.tell():,} bytes from {packed_bytes:,}, like a bomb.")
        whole.seek(0)
        return whole


def contained(name: str) -> str:
    """A member's name as a path that can only lead inside, on one line, without our own mark."""
    parts = clean(name).replace("\n", " ").replace("\t", " ").replace("\\", "/").split("/")
    kept = [part for part in parts if part.strip() not in ("", ".", "..")]
    return "/".join(kept).replace(MARK, "/")[:1000]


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Many programs write UTF-8 without saying so."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _moment(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
