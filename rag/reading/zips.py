"""Which of the many things a ZIP file is."""

from __future__ import annotations

import zipfile
from typing import BinaryIO


def zip_kind(file: BinaryIO) -> str:
    """`docx`, `pptx`, `xlsx`, `odf`, `epub`, `xlsb`, else `archive`; a broken one is an `archive` too."""
    try:
        opened = zipfile.ZipFile(file)
        names = set(opened.namelist())
        media_type = b""
        if "mimetype" in names:
            with opened.open("mimetype") as declared:
                media_type = declared.read(200).strip()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, ValueError, OverflowError, RuntimeError):
        return "archive"
    finally:
        file.seek(0)
    if media_type == b"application/epub+zip":
        return "epub"
    if media_type.startswith(b"application/vnd.oasis.opendocument.") and "content.xml" in names:
        return "odf"
    for part, kind in (
        ("word/document.xml", "docx"),
        ("ppt/presentation.xml", "pptx"),
        ("xl/workbook.xml", "xlsx"),
        ("xl/workbook.bin", "xlsb"),
    ):
        if part in names:
            return kind
    is_book = "META-INF/container.xml" in names and any(name.endswith(".opf") for name in names)
    return "epub" if is_book else "archive"
