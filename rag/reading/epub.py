"""Books: the chapters in the order of the spine, each read as a page of HTML."""

from __future__ import annotations

import re
from typing import BinaryIO

from rag.errors import Damaged, Locked
from rag.reading import html
from rag.reading.decode import decode
from rag.reading.layout import Layout, Reading
from rag.reading.limits import Limits
from rag.reading.parts import Element, Parts, attribute, local

MEDIA_TYPE = "application/epub+zip"
_CHAPTERS = ("application/xhtml+xml", "text/html", "text/x-oeb1-document")
_FONTS_ONLY = re.compile(rb'Algorithm="(?!http://www\.idpf\.org/2008/embedding|http://ns\.adobe\.com/pdf/enc#RC)')


def read(name: str, file: BinaryIO, limits: Limits) -> Reading:
    parts = Parts(name, file, limits)
    if parts.has("META-INF/encryption.xml") and _FONTS_ONLY.search(parts.read("META-INF/encryption.xml")):
        raise Locked(f"{name!r} is locked by its publisher (DRM) and cannot be read here.")
    package = next(
        (
            attribute(each, "full-path") or ""
            for each in parts.tree("META-INF/container.xml").iter()
            if local(each.tag) == "rootfile"
        ),
        "",
    )
    if not package:
        raise Damaged(f"{name!r} does not say where its chapters are.")
    layout = Layout(name, limits)
    missing = 0
    for chapter in _chapters(parts.tree(package), package.rpartition("/")[0], layout):
        if not parts.has(chapter):
            missing += 1
            continue
        content = parts.read(chapter)
        if not content.strip():
            continue
        text, note = decode(chapter, content, html.declared_charset(content))
        layout.under([])
        html.pour(text, layout, as_section=True)
        if note and note not in layout.notes:
            layout.notes.append(note)
    if missing:
        layout.notes.append(f"{name!r} lacks {missing:,} of its chapters.")
    return layout.finish(MEDIA_TYPE)


def _chapters(package: Element, folder: str, layout: Layout) -> list[str]:
    """Files in the order of reading. A book's own list of contents is no chapter."""
    files: dict[str, str] = {}
    order: list[str] = []
    for each in package.iter():
        match local(each.tag):
            case "title" if not layout.title:
                layout.title = each.text or ""
            case "item" if each.get("media-type") in _CHAPTERS and "nav" not in (each.get("properties") or "").split():
                files[each.get("id") or ""] = Parts.resolved(folder, each.get("href") or "")
            case "itemref":
                order.append(each.get("idref") or "")
            case _:
                pass
    return [files[each] for each in dict.fromkeys(order) if each in files]
