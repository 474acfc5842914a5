"""Workbooks: a page for each sheet, a line for each row, values as they were last computed, dates as dates."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import BinaryIO

from rag.documents import Kind
from rag.errors import NoText
from rag.reading.layout import Layout, Reading, one_line
from rag.reading.limits import Limits
from rag.reading.parts import Element, Parts, attribute, core_title, local

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_TABLE: Kind = "table"
_DATES = {14, 15, 16, 17, 22, *range(27, 37), *range(50, 59)}
_TIMES = {18, 19, 20, 21, 45, 46, 47}
_QUOTED = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.')
_MOST_COLUMNS = 2_000


def read(name: str, file: BinaryIO, limits: Limits) -> Reading:
    parts = Parts(name, file, limits)
    layout = Layout(name, limits)
    layout.title = core_title(parts)
    main = "xl/workbook.xml"
    targets = parts.related(main)
    book = parts.tree(main)
    sheets = [
        (attribute(each, "name") or "", targets[reference])
        for each in book.iter()
        if local(each.tag) == "sheet" and (reference := _reference(each)) in targets
    ]
    since_1904 = any(local(each.tag) == "workbookPr" and each.get("date1904") in ("1", "true") for each in book.iter())
    shared = _shared_strings(parts)
    dated = _dated_styles(parts)
    for number, (title, part) in enumerate(sheets, 1):
        if parts.has(part) and "/worksheets/" in part:
            _sheet(parts, part, layout, (number, title), shared, dated, since_1904)
    layout.page_count = len(sheets)
    if not layout.written_pages():
        raise NoText(f"{name!r} has no cells with anything in them.")
    return layout.finish(MEDIA_TYPE)


def _reference(element: Element) -> str:
    return next((value for key, value in element.attrib.items() if key.endswith("}id")), "")


def _shared_strings(parts: Parts) -> list[str]:
    part = "xl/sharedStrings.xml"
    found: list[str] = []
    if not parts.has(part):
        return found
    for _, element in parts.events(part):
        if local(element.tag) == "si":
            found.append(_words(element))
            element.clear()
    return found


def _words(element: Element) -> str:
    pieces = []
    for each in element:
        match local(each.tag):
            case "t":
                pieces.append(each.text or "")
            case "r":
                pieces.extend(inner.text or "" for inner in each if local(inner.tag) == "t")
            case _:  # how it is to be pronounced
                pass
    return " ".join("".join(pieces).split())


def _dated_styles(parts: Parts) -> list[str]:
    """For each cell style: "date", "time" or nothing."""
    part = "xl/styles.xml"
    if not parts.has(part):
        return []
    own: dict[int, str] = {}
    styles: list[str] = []
    for element in parts.tree(part):
        if local(element.tag) == "numFmts":
            for each in element:
                letters = _QUOTED.sub("", (each.get("formatCode") or "").lower())
                number = each.get("numFmtId") or ""
                if number.isdigit() and re.search("[ymdhs]", letters) and "general" not in letters:
                    own[int(number)] = "date" if re.search("[yd]", letters) else "time"
        elif local(element.tag) == "cellXfs":
            for each in element:
                text = each.get("numFmtId") or "0"
                number_format = int(text) if text.isdigit() else 0
                builtin = "date" if number_format in _DATES else "time" if number_format in _TIMES else ""
                styles.append(own.get(number_format, builtin))
    return styles


def _sheet(
    parts: Parts,
    part: str,
    layout: Layout,
    page: tuple[int, str],
    shared: list[str],
    dated: list[str],
    since_1904: bool,
) -> None:
    first = True
    for _, element in parts.events(part):
        if not element.tag.endswith("row") or local(element.tag) != "row":
            continue
        values: list[str] = []
        for cell in element:
            if local(cell.tag) != "c":
                continue
            column = _column(cell.get("r") or "", len(values))
            value = _value(cell, shared, dated, since_1904)
            if value and column < _MOST_COLUMNS:
                values.extend([""] * (column - len(values)))
                values.append(value)
        if values:
            line = " | ".join(values)
            if first:
                layout.page(page[0])
                layout.under([(1, page[1])])
                # What the columns are called goes with every row that is found.
                layout.begin((*layout.path, one_line(line)) if len(values) > 1 else layout.path, _TABLE)
            layout.add(line if first else "\n" + line)
            first = False
        element.clear()
    if first:
        layout.notes.append(f"The sheet {page[1]!r} is empty.")
    layout.end_page()


def _column(reference: str, otherwise: int) -> int:
    number = 0
    for letter in reference:
        if not "A" <= letter <= "Z":
            break
        number = number * 26 + ord(letter) - 64
        if number > _MOST_COLUMNS:
            break
    return number - 1 if number else otherwise


def _value(cell: Element, shared: list[str], dated: list[str], since_1904: bool) -> str:
    kind = cell.get("t") or "n"
    raw = ""
    for each in cell:
        match local(each.tag):
            case "v":
                raw = each.text or ""
            case "is":
                return _words(each)
            case _:
                pass
    match kind:
        case "s":
            return shared[int(raw)] if raw.isdigit() and int(raw) < len(shared) else ""
        case "b":
            return {"1": "TRUE", "0": "FALSE"}.get(raw, raw)
        case "n":
            style = cell.get("s") or ""
            form = dated[int(style)] if style.isdigit() and int(style) < len(dated) else ""
            return _moment(raw, form, since_1904) if form and raw else _number(raw)
        case _:
            return " ".join(raw.split())


def _number(raw: str) -> str:
    """0.1 is stored as 0.10000000000000001."""
    try:
        return f"{float(raw):.15g}" if "." in raw or "E" in raw else raw
    except ValueError:
        return raw


def _moment(raw: str, form: str, since_1904: bool) -> str:
    try:
        days = float(raw)
        begin = datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 30)  # noqa: DTZ001 - cells have no zone
        moment = begin + timedelta(seconds=round(days * 86_400))
    except (ValueError, OverflowError):
        return raw
    if form == "time" and days < 1:
        return moment.strftime("%H:%M:%S")
    return moment.strftime("%Y-%m-%d") if days == int(days) else moment.strftime("%Y-%m-%d %H:%M:%S")
