"""Tables as text: the lines as they were written; what the columns are called goes with every row that is found."""

from __future__ import annotations

import csv
import re

from rag.documents import Section
from rag.reading.kinds import ending
from rag.reading.layout import Reading, one_line

_NUMBER = re.compile(r"[-+]?[\d.,]+%?$")


def read(name: str, text: str) -> Reading:
    first = text[: text.find("\n") if "\n" in text[:100_000] else 100_000]
    separator = "\t" if ending(name) in ("tsv", "tab") else max(",;\t|", key=first.count)
    try:
        cells = next(csv.reader([first], delimiter=separator), [])
    except csv.Error:
        cells = []
    named = [cell.strip() for cell in cells]
    is_header = len(named) > 1 and all(named) and not any(_NUMBER.match(cell) for cell in named)
    headings = (one_line(" | ".join(named)),) if is_header else ()
    media_type = "text/tab-separated-values" if separator == "\t" else "text/csv"
    return Reading(media_type, text, (Section(headings, 0, len(text), "table"),))
