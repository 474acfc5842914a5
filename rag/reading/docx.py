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
_CODE = re.compile("code|preformatted|listing", re.IGNORECASE)
_HEADING = re.compile(r"heading\s*([1-9])$", re.IGNORECASE)


def read(name: str, file: BinaryIO, limits: Limits) -> Reading:
    parts = Parts(name, file, limits)
    layout = Layout(name, limits)
    layout.title = core_title(parts)
    reader = _Reader(layout, *_styles(parts))
    depth, body_depth = 0, 0
    open_elements: list[Element] = []
    for event, element in parts.events("word/document.xml", begins=True):
        if event == "start":
            depth += 1
            open_elements.append(element)
            if local(element.tag) == "body" and not body_depth:
                body_depth = depth
            continue
        depth -= 1
        open_elements.pop()
        if body_depth and depth == body_depth:
            reader.block(element)
            element.clear()
            open_elements[-1].clear()  # the body forgets what was read
    reader.notes(parts)
    return layout.finish(MEDIA_TYPE)


def _styles(parts: Parts) -> tuple[dict[str, int], set[str]]:
    """Which styles are headings: by their names, by their place in the outline, or as based on one that is. And which
    are for lines of code."""
    levels: dict[str, int] = {}
    code: set[str] = set()
    if not parts.has("word/styles.xml"):
        return levels, code
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
                    levels[identity] = 1
                case "name" if _CODE.search(value):
                    code.add(identity)
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
    return levels, code


class _Reader:
    def __init__(self, layout: Layout, levels: dict[str, int], code: set[str]) -> None:
        self._layout = layout
        self._levels = levels
        self._code = code
        self._notes: dict[tuple[str, str], int] = {}
        """The number of each note, as the page shows it: in the order of their marks."""

    def block(self, element: Element) -> None:
        match local(element.tag):
            case "p":
                self._paragraph(element)
            case "tbl":
                self._layout.gap()
                self._layout.add("\n".join(self._rows(element)))
            case "sdt" | "sdtContent" | "customXml" | "ins" | "moveTo":
                for each in element:
                    self.block(each)
            case _:
                pass

    def _paragraph(self, element: Element) -> None:
        text = self.words(element).strip("\n")
        if not text.strip():
            return
        style, in_list, outline = _settings(element)
        level = int(outline) + 1 if outline.isdigit() and int(outline) < 9 else self._levels.get(style)
        is_code = style in self._code
        if level is not None:
            self._layout.title = self._layout.title or text
            self._layout.heading(level, text)
        else:
            self._layout.gap("\n" if in_list or (is_code and self._layout.after_code) else "\n\n")
            self._layout.add(f"- {text}" if in_list else text)
        self._layout.after_code = is_code

    def words(self, element: Element) -> str:
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
                case "footnoteReference" | "endnoteReference" as kind:
                    key = (kind.removesuffix("Reference"), attribute(each, "id") or "")
                    found.append(f"[{self._notes.setdefault(key, len(self._notes) + 1)}]")
                case tag if tag in _SKIPPED and each is not element:
                    pass
                case tag:
                    if tag == "p" and each is not element and found and not found[-1].endswith("\n"):
                        found.append("\n")
                    waiting.extend(reversed(each))
        return "".join(found)

    def _rows(self, table: Element) -> list[str]:
        rows = []
        for row in table:
            if local(row.tag) == "tr":
                cells = [" ".join(self.words(cell).split()) for cell in _cells(row)]
                if any(cells):
                    rows.append(" | ".join(cells))
        return rows

    def notes(self, parts: Parts) -> None:
        """At the end, under the numbers by which the text refers to them."""
        found: list[tuple[int, str]] = []
        for kind in ("footnote", "endnote"):
            part = f"word/{kind}s.xml"
            for note in parts.tree(part) if parts.has(part) else ():
                number = self._notes.get((kind, attribute(note, "id") or ""))
                text = self.words(note).strip()
                if number is not None and text:
                    found.append((number, text))
        if found:
            self._layout.heading(1, "Notes")
            self._layout.gap()
            self._layout.add("\n".join(f"[{number}] {text}" for number, text in sorted(found)))


def _settings(paragraph: Element) -> tuple[str, bool, str]:
    """A paragraph's style, whether it is in a list, and its own place in the outline."""
    style, in_list, outline = "", False, ""
    for each in paragraph:
        if local(each.tag) != "pPr":
            continue
        for setting in each:
            match local(setting.tag):
                case "pStyle":
                    style = attribute(setting, "val") or ""
                case "numPr":
                    in_list = True
                case "outlineLvl":
                    outline = attribute(setting, "val") or ""
                case _:
                    pass
    return style, in_list, outline


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
