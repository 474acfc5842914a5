"""Presentations: a page and a section for each slide, with its tables and the speaker's notes."""

from __future__ import annotations

from typing import BinaryIO

from rag.errors import NoText
from rag.reading.layout import Layout, Reading
from rag.reading.limits import Limits
from rag.reading.parts import Element, Parts, attribute, core_title, local

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_FIELDS = ("sldNum", "dt", "ftr", "hdr")
"""Placeholders that repeat on every slide."""


def read(name: str, file: BinaryIO, limits: Limits) -> Reading:
    parts = Parts(name, file, limits)
    layout = Layout(name, limits)
    layout.title = core_title(parts)
    main = "ppt/presentation.xml"
    targets = parts.related(main)
    slides = [
        targets[reference]
        for each in parts.tree(main).iter()
        if local(each.tag) == "sldId" and (reference := _reference(each)) in targets
    ]
    if not slides:
        raise NoText(f"{name!r} has no slides.")
    for number, slide in enumerate(slides, 1):
        title, paragraphs = _shapes(parts.tree(slide))
        paragraphs += _spoken(parts, slide)
        if not title and not paragraphs:
            continue
        layout.page(number)
        layout.under([])
        layout.begin((), "prose")
        if title:
            layout.title = layout.title or title
            layout.under([(1, title)])
            layout.begin(layout.path)
            paragraphs.insert(0, title)
        layout.add("\n".join(paragraphs))
    empty = len(slides) - len(layout.written_pages())
    layout.page_count = len(slides)
    if empty:
        layout.notes.append(f"{name!r} has {empty:,} slides without text: pictures or drawings.")
    return layout.finish(MEDIA_TYPE)


def _reference(element: Element) -> str:
    """`r:id`, beside which there is an `id` without a namespace."""
    return next((value for key, value in element.attrib.items() if key.endswith("}id")), "")


def _spoken(parts: Parts, slide: str) -> list[str]:
    notes = [part for part in parts.related(slide).values() if "/notesSlides/" in part and parts.has(part)]
    if not notes:
        return []
    _, paragraphs = _shapes(parts.tree(notes[0]))
    return ["Notes:", *paragraphs] if paragraphs else []


def _shapes(root: Element) -> tuple[str, list[str]]:
    """The title, and the paragraphs of everything else, in the order of drawing."""
    title = ""
    paragraphs: list[str] = []
    waiting = [root]
    while waiting:
        element = waiting.pop()
        match local(element.tag):
            case "sp":
                kind = _placeholder(element)
                lines = _paragraphs(element)
                if kind in ("title", "ctrTitle") and not title:
                    title = " ".join(" ".join(lines).split())
                elif kind not in _FIELDS:
                    paragraphs.extend(lines)
            case "tr":
                cells = [" ".join(" ".join(_paragraphs(cell)).split()) for cell in element if local(cell.tag) == "tc"]
                paragraphs.append(" | ".join(cells))
            case "Fallback":
                pass
            case _:
                waiting.extend(reversed(element))
    return title, paragraphs


def _placeholder(shape: Element) -> str | None:
    return next((attribute(each, "type") or "body" for each in shape.iter() if local(each.tag) == "ph"), None)


def _paragraphs(shape: Element) -> list[str]:
    lines = []
    waiting = [shape]
    while waiting:
        paragraph = waiting.pop()
        if local(paragraph.tag) != "p":
            waiting.extend(reversed(paragraph))
            continue
        pieces = []
        for each in paragraph.iter():
            match local(each.tag):
                case "t":
                    pieces.append(each.text or "")
                case "br":
                    pieces.append("\n")
                case "tab":
                    pieces.append("\t")
                case _:
                    pass
        text = "".join(pieces).strip()
        if text:
            lines.append(text)
    return lines
