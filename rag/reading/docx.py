"""Word documents: paragraphs, lists and tables in their order, a section for each heading, notes at the end.

Comments and what was deleted under tracked changes are no part of the text. Where a page ends only a layout program
knows, so there are no pages.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from rag.reading.layout import Layout, Reading
from rag.reading.limits import Limits
from rag.reading.parts import Element, Parts, attribute, core_title, local

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_SKIPPED = frozenset(("del", "moveFrom", "Fallback", "instrText", "delText", "pPr", "rPr", "pict", "sectPr"))
_HEADING = re.compile(r"heading\s*([1-9])$", re.IGNORECASE)


def read(name: str, file: BinaryIO, limits: Limits) -> Reading:
    parts = Parts(name, file, limits)
    layout = Layout(name, limits)
    layout.title = core_title(parts)
    levels = _heading_levels(parts)
    depth, body_depth = 0, 0
    open_elements: list[Element] = []
    for event, element in parts.events("word/document.xml"):
        if event == "start":
            depth += 1
            open_elements.append(element)
            if local(element.tag) == "body" and not body_depth:
                body_depth = depth
            continue
        depth -= 1
        open_elements.pop()
        if body_depth and depth == body_depth:
            _block(element, layout, levels)
            element.clear()
            open_elements[-1].clear()  # the body forgets what was read
    _notes(parts, layout)
    return layout.finish(MEDIA_TYPE)


def _heading_levels(parts: Parts) -> dict[str, int]:
    """Which styles are headings: by their names, by their place in the outline, or as based on one that is."""
    if not parts.has("word/styles.xml"):
        return {}
    levels: dict[str, int] = {}
    based: dict[str, str] = {}
    for style in parts.tree("word/styles.xml"):
        identity = attribute(style, "styleId")
        if local(style.tag) != "style" or not identity:
            continue
        for each in style.iter():
            value = attribute(each, "val") or ""
            match local(each.tag):
                case "name" if found := _HEADING.match(value):
                    levels[identity] = int(found[1])
                case "name" if value.lower() == "title":
                    levels[identity] = 0
                case "outlineLvl" if value.isdigit() and int(value) < 9:
                    levels.setdefault(identity, int(value) + 1)
                case "basedOn":
                    based[identity] = value
                case _:
                    pass
    for identity, parent in based.items():
        seen = {identity}
        while identity not in levels and parent and parent not in seen:
            seen.add(parent)
            if parent in levels:
                levels[identity] = levels[parent]
            parent = based.get(parent, "")
    return levels


def _block(element: Element, layout: Layout, levels: dict[str, int]) -> None:
    match local(element.tag):
        case "p":
            _paragraph(element, layout, levels)
        case "tbl":
            layout.gap()
            _table(element, layout)
        case "sdt" | "sdtContent" | "customXml" | "ins" | "moveTo":
            for each in element:
                _block(each, layout, levels)
        case _:
            pass


def _paragraph(element: Element, layout: Layout, levels: dict[str, int]) -> None:
    text = words(element).strip("\n")
    if not text.strip():
        return
    style, in_list, outline = "", False, None
    for each in element:
        if local(each.tag) == "pPr":
            for setting in each:
                match local(setting.tag):
                    case "pStyle":
                        style = attribute(setting, "val") or ""
                    case "numPr":
                        in_list = True
                    case "outlineLvl":
                        outline = attribute(setting, "val")
                    case _:
                        pass
    level = levels.get(style)
    if outline is not None and outline.isdigit() and int(outline) < 9:
        level = int(outline) + 1
    if level is not None:
        layout.title = layout.title or text
        layout.heading(level, text)
        return
    layout.gap("\n" if in_list else "\n\n")
    layout.add(f"- {text}" if in_list else text)


def words(element: Element) -> str:
    """The text in an element, in the order of the document. Walks without recursion."""
    found: list[str] = []
    waiting = [element]
    while waiting:
        each = waiting.pop()
        match local(each.tag):
            case "t":
                found.append(each.text or "")
            case "tab":
                found.append("\t")
            case "br" | "cr":
                found.append("\n")
            case "noBreakHyphen":
                found.append("-")
            case "footnoteReference" | "endnoteReference":
                found.append(f"[{attribute(each, 'id') or ''}]")
            case tag if tag in _SKIPPED and each is not element:
                pass
            case tag:
                if tag == "p" and each is not element and found and not found[-1].endswith("\n"):
                    found.append("\n")
                waiting.extend(reversed(each))
    return "".join(found)


def _table(table: Element, layout: Layout) -> None:
    rows = []
    for row in table:
        if local(row.tag) == "tr":
            cells = [" ".join(words(cell).split()) for cell in _cells(row)]
            if any(cells):
                rows.append(" | ".join(cells))
    layout.add("\n".join(rows))


def _cells(row: Element) -> list[Element]:
    found = []
    for each in row:
        match local(each.tag):
            case "tc":
                found.append(each)
            case "sdt":
                found.extend(inner for inner in each.iter() if local(inner.tag) == "tc")
            case _:
                pass
    return found


def _notes(parts: Parts, layout: Layout) -> None:
    for part, tag, heading in (
        ("word/footnotes.xml", "footnote", "Footnotes"),
        ("word/endnotes.xml", "endnote", "Endnotes"),
    ):
        if not parts.has(part):
            continue
        notes = []
        for note in parts.tree(part):
            text = words(note).strip()
            if local(note.tag) == tag and attribute(note, "type") is None and text:
                notes.append(f"[{attribute(note, 'id')}] {text}")
        if notes:
            layout.heading(1, heading)
            layout.gap()
            layout.add("\n".join(notes))
