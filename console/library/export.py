"""The texts of a collection as files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from console.errors import LibraryError

if TYPE_CHECKING:
    from rag.store import DocumentStore

_AT_ONCE = 200
_UNSAFE = re.compile(r"[^\w.() -]+")
LONGEST_NAME = 120


def export(store: DocumentStore, collection: str, folder: Path) -> int:
    """Write the text of each document into `folder`; a file that is there is left alone, and another name taken.

    Blocks. Returns how many were written; those without a text are left out."""
    from rag.errors import UnknownName

    count, last = 0, 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while documents := store.documents(collection, after=last, most=_AT_ONCE):
            last = documents[-1].id
            for document in documents:
                try:
                    text = store.text(document.id).text
                except UnknownName:  # not read yet, or it could not be
                    continue
                _write(folder, document.name, text)
                count += 1
    except OSError as error:
        raise LibraryError(f"The texts cannot be written to {str(folder)!r}: {error.strerror or error}.") from error
    return count


def _write(folder: Path, name: str, text: str) -> None:
    base = _UNSAFE.sub("_", name).strip(". ")[:LONGEST_NAME] or "document"
    ending = "" if base.lower().endswith((".txt", ".md")) else ".txt"
    number = 1
    while True:
        candidate = folder / (f"{base}{ending}" if number == 1 else f"{base}-{number}{ending}")
        try:
            with candidate.open("x", encoding="utf-8", errors="replace") as file:
                file.write(text)
            return
        except FileExistsError:
            number += 1
