"""Notebooks: cells in their order, the words of outputs up to a length, pictures left out."""

from __future__ import annotations

import json
from typing import Any

from rag.errors import Damaged
from rag.reading import markdown
from rag.reading.layout import Layout, Reading
from rag.reading.limits import Limits

MEDIA_TYPE = "application/x-ipynb+json"
_LONGEST_OUTPUT = 2_000


def read(name: str, text: str, limits: Limits) -> Reading:
    try:
        book = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{name!r} is not a notebook that can be read: its JSON is broken.") from error
    cells = book.get("cells") if isinstance(book, dict) else None
    if cells is None and isinstance(book, dict):  # notebooks before 2014 had sheets of cells
        sheets = book.get("worksheets")
        cells = [cell for sheet in sheets for cell in sheet.get("cells", [])] if isinstance(sheets, list) else None
    if not isinstance(cells, list):
        raise Damaged(f"{name!r} is not a notebook that can be read: it has no cells.")
    layout = Layout(name, limits)
    cut = sum(_cell(cell, layout) for cell in cells if isinstance(cell, dict))
    if cut:
        layout.notes.append(f"{cut:,} outputs of {name!r} are longer than {_LONGEST_OUTPUT:,} characters and were cut.")
    return layout.finish(MEDIA_TYPE)


def _cell(cell: dict[str, Any], layout: Layout) -> int:
    """Write one cell; how many outputs were cut."""
    source = _joined(cell.get("source", cell.get("input"))).strip("\n")
    kind = cell.get("cell_type")
    if kind == "markdown":
        _prose(source, layout)
        return 0
    if source.strip():
        layout.gap()
        if layout.length == 0 or kind == "code":
            layout.begin(layout.path, "code" if kind == "code" else "prose")
        layout.add(source)
    cut = 0
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else []:
        said = _said(output).strip("\n") if isinstance(output, dict) else ""
        if not said.strip():
            continue
        if len(said) > _LONGEST_OUTPUT:
            said = said[:_LONGEST_OUTPUT] + " …"
            cut += 1
        layout.gap()
        layout.add(said)
    return cut


def _prose(source: str, layout: Layout) -> None:
    if not source.strip():
        return
    layout.gap()
    layout.begin(layout.path)
    begin = 0
    for position, level, words in markdown.headings(source):
        layout.add(source[begin:position])
        layout.title = layout.title or words
        layout.heading(level, words, shown=False)
        begin = position
    layout.add(source[begin:])


def _said(output: dict[str, Any]) -> str:
    match output.get("output_type"):
        case "stream":
            return _joined(output.get("text"))
        case "error" | "pyerr":
            return f"{output.get('ename', 'Error')}: {output.get('evalue', '')}"
        case _:
            shown = output.get("data", output)
            return _joined(shown.get("text/plain", shown.get("text"))) if isinstance(shown, dict) else ""


def _joined(lines: object) -> str:
    if isinstance(lines, list):
        return "".join(line for line in lines if isinstance(line, str))
    return lines if isinstance(lines, str) else ""
