"""Office documents are ZIP files of XML; this opens both without trust.

Read with the standard library, because nothing here writes, and because one limit then holds for all of it: what is
unpacked is counted, and XML that declares entities of its own is refused before it is parsed.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from rag.errors import Damaged, Locked
from rag.reading.limits import Limits

Element = ET.Element
_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, ValueError, OverflowError)


class Parts:
    """The files of one document, by name; together they unpack to what the limits allow."""

    def __init__(self, name: str, file: BinaryIO, limits: Limits) -> None:
        self.name = name
        self._left = limits.expanded_bytes
        self._limits = limits
        try:
            self._zip = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise Damaged(f"{name!r} is a ZIP archive or an office document, but it is broken or cut off.") from error
        self.names = [each.filename for each in self._zip.infolist()]
        self._known = set(self.names)

    def has(self, part: str) -> bool:
        return part in self._known

    def read(self, part: str) -> bytes:
        try:
            if self._zip.getinfo(part).flag_bits & 1:
                raise Locked(f"{self.name!r} wants a password.", hint="Save a copy without one.")
            with self._zip.open(part) as file:
                content = file.read(self._left + 1)
        except KeyError as error:
            raise Damaged(f"{self.name!r} lacks its part {part!r}.") from error
        except _BROKEN as error:
            raise Damaged(f"{self.name!r} is broken in its part {part!r}.") from error
        self._left -= len(content)
        if self._left < 0:
            raise self._limits.unpacks_to_too_much(self.name)
        return content

    def events(self, part: str, *, begins: bool = False) -> Iterator[tuple[str, Element]]:
        """Ends of elements, and their begins if wanted; who needs an ended element no longer clears it."""
        content = self._checked(part)
        try:
            yield from ET.iterparse(io.BytesIO(content), ("start", "end") if begins else ("end",))  # noqa: S314 - checked
        except (ET.ParseError, RecursionError, UnicodeError) as error:
            raise Damaged(f"{self.name!r} is broken in its part {part!r}.") from error

    def tree(self, part: str) -> Element:
        try:
            return ET.fromstring(self._checked(part))  # noqa: S314 - checked
        except (ET.ParseError, RecursionError, UnicodeError) as error:
            raise Damaged(f"{self.name!r} is broken in its part {part!r}.") from error

    def _checked(self, part: str) -> bytes:
        content = self.read(part)
        try:
            if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
                content = content.decode("utf-16").encode()
            else:
                content = content.removeprefix(b"\xef\xbb\xbf")
                content.decode("utf-8")  # in another encoding a declaration could hide from the search below
        except UnicodeDecodeError as error:
            raise Damaged(f"{self.name!r} is broken in its part {part!r}: not UTF-8.") from error
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise Damaged(f"{self.name!r} declares entities of its own, which no office program writes.")
        end = content.find(b"?>", 0, 300)
        if content.startswith(b"<?xml") and end > 0:
            content = content[end + 2 :]  # its encoding was dealt with
        return content

    def related(self, part: str) -> dict[str, str]:
        """Parts that a part of an Office Open XML document refers to, by the id of the reference."""
        folder, _, file = part.rpartition("/")
        relations = f"{folder}/_rels/{file}.rels".lstrip("/")
        if not self.has(relations):
            return {}
        found = {}
        for each in self.tree(relations):
            target = each.get("Target") or ""
            if each.get("TargetMode") != "External":
                found[each.get("Id") or ""] = self.resolved(folder, target)
        return found

    @staticmethod
    def resolved(folder: str, target: str) -> str:
        target = unquote(target)
        joined = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
        return posixpath.normpath(joined)


def local(tag: str) -> str:
    """A tag without its namespace: strict and transitional documents differ only there."""
    return tag.rpartition("}")[2]


def attribute(element: Element, name: str) -> str | None:
    """An attribute whatever its namespace."""
    for key, value in element.attrib.items():
        if key == name or key.endswith("}" + name):
            return value
    return None


def core_title(parts: Parts) -> str:
    if not parts.has("docProps/core.xml"):
        return ""
    return next((each.text or "" for each in parts.tree("docProps/core.xml") if local(each.tag) == "title"), "")
