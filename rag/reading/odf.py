"""OpenDocument: texts, spreadsheets and presentations. A sheet or a slide is a page; headings make sections."""

from __future__ import annotations

from typing import BinaryIO

from rag.errors import Locked
from rag.reading.layout import Layout, Reading, one_line
from rag.reading.limits import Limits
from rag.reading.parts import Element, Parts, attribute, local

_SKIPPED = frozenset(
    ("annotation", "annotation-end", "tracked-changes", "bookmark", "forms", "sequence-decls", "ruby-text", "desc",
     "title", "note-citation", "page-number")
)  # fmt: skip
_MOST_REPEATED = 1_000
_LONGEST_REPEATED = 10_000
"""Characters that one cell may become by being repeated."""


def read(name: str, file: BinaryIO, limits: Limits) -> Reading:
    parts = Parts(name, file, limits)
    if parts.has("META-INF/manifest.xml") and b"encryption-data" in parts.read("META-INF/manifest.xml"):
        raise Locked(f"{name!r} wants a password.", hint="Save a copy without one.")
    media_type = parts.read("mimetype").decode("ascii", "replace").strip() if parts.has("mimetype") else ""
    layout = Layout(name, limits)
    if parts.has("meta.xml"):
        layout.title = next(
            (each.text or "" for each in parts.tree("meta.xml").iter() if local(each.tag) == "title"), ""
        )
    page = 0
    content = parts.tree("content.xml")
    code = _code_styles(content)
    for body in content:
        if local(body.tag) != "body":
            continue
        for document in body:
            kind = local(document.tag)
            for element in document:
                tag = local(element.tag)
                if (kind, tag) in (("spreadsheet", "table"), ("presentation", "page"), ("drawing", "page")):
                    page += 1
                    _page(element, layout, page, is_sheet=tag == "table")
                elif page == 0:
                    _blocks(element, layout, code)
    layout.end_page()
    layout.page_count = page
    return layout.finish(media_type or "application/vnd.oasis.opendocument.text")


def _page(element: Element, layout: Layout, number: int, *, is_sheet: bool) -> None:
    title = attribute(element, "name") or ""
    if is_sheet:
        rows = _rows(element)
        if not rows:
            layout.notes.append(f"The sheet {title!r} is empty.")
            return
        layout.page(number)
        layout.under([(1, title)])
        columns = one_line(rows[0]) if " | " in rows[0] else ""
        layout.begin((*layout.path, columns) if columns else layout.path, "table")
        layout.add("\n".join(rows))
        layout.end_page()
        return
    heading = ""
    paragraphs: list[str] = []
    for frame in element:
        lines = _lines(frame)
        if lines and attribute(frame, "class") == "title":
            heading = heading or " ".join(lines)
        if local(frame.tag) == "notes" and lines:
            lines.insert(0, "Notes:")
        paragraphs.extend(lines)
    if paragraphs:
        layout.page(number)
        layout.under([(1, heading)])
        layout.begin(layout.path)
        layout.add("\n".join(paragraphs))


def _lines(element: Element) -> list[str]:
    found = []
    waiting = [element]
    while waiting:
        each = waiting.pop()
        tag = local(each.tag)
        if tag in ("p", "h"):
            text = words(each).strip()
            if text:
                found.append(text)
        elif tag == "table":
            found.extend(_rows(each))
        elif tag not in _SKIPPED:
            waiting.extend(reversed(each))
    return found


def _code_styles(content: Element) -> set[str]:
    """Styles for lines of code, by their own name or that of the one they are made from."""
    found = {"Preformatted_20_Text", "Source_20_Code"}
    for styles in content:
        if local(styles.tag) == "automatic-styles":
            found |= {attribute(each, "name") or "" for each in styles if attribute(each, "parent-style-name") in found}
    return found


def _blocks(root: Element, layout: Layout, code: set[str]) -> None:
    """Paragraphs, headings, lists and tables, in order. Walks without recursion."""
    waiting: list[tuple[Element, int]] = [(root, 0)]
    is_code = layout.after_code and attribute(root, "style-name") in code
    layout.after_code = attribute(root, "style-name") in code
    while waiting:
        element, in_list = waiting.pop()
        match local(element.tag):
            case "h":
                text = words(element).strip()
                level = attribute(element, "outline-level") or "1"
                if text:
                    layout.title = layout.title or text
                    layout.heading(int(level) if level.isdigit() else 1, text)
            case "p":
                text = words(element).strip("\n")
                if not text.strip():
                    continue
                layout.gap("\n" if in_list or is_code else "\n\n")
                layout.add("  " * (min(in_list, 8) - 1) + f"- {text}" if in_list else text)
            case "table":
                layout.gap()
                layout.add("\n".join(_rows(element)))
            case "list":
                waiting.extend((each, in_list + 1) for each in reversed(element))
            case tag if tag in _SKIPPED:
                pass
            case _:
                waiting.extend((each, in_list) for each in reversed(element))


def words(element: Element) -> str:
    """The text in a paragraph, with its notes in brackets where they stand."""
    found: list[str] = [element.text or ""]
    waiting: list[Element | str] = []

    def later(inside: Element) -> None:
        for each in reversed(inside):
            waiting.append(each.tail or "")
            waiting.append(each)

    later(element)
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            found.append(each)
            continue
        match local(each.tag):
            case "s":
                count = attribute(each, "c") or "1"
                found.append(" " * min(int(count) if count.isdigit() else 1, _MOST_REPEATED))
            case "tab":
                found.append("\t")
            case "line-break":
                found.append("\n")
            case "note-body":
                found.append(" (")
                waiting.append(")")
                later(each)
            case tag if tag in _SKIPPED:
                pass
            case tag:
                if tag == "p" and found[-1] and not found[-1].endswith(("\n", "(")):
                    found.append("\n")
                found.append(each.text or "")
                later(each)
    return "".join(found)


def _rows(table: Element) -> list[str]:
    rows = []
    waiting = list(reversed(table))
    while waiting:
        element = waiting.pop()
        match local(element.tag):
            case "table-row":
                cells: list[str] = []
                for cell in element:
                    if local(cell.tag) not in ("table-cell", "covered-table-cell"):
                        continue
                    repeated = attribute(cell, "number-columns-repeated") or "1"
                    value = " ".join(" ".join(_lines(cell)).split())
                    count = min(int(repeated) if repeated.isdigit() else 1, _MOST_REPEATED)
                    cells.extend([value] * (count if len(value) * count <= _LONGEST_REPEATED else 1))
                while cells and not cells[-1]:
                    cells.pop()
                if cells:
                    rows.append(" | ".join(cells))
            case "table-rows" | "table-header-rows" | "table-row-group":
                waiting.extend(reversed(element))
            case _:
                pass
    return rows
