"""From a file and its kind to its text: the table of all readers."""

from __future__ import annotations

from typing import BinaryIO

from rag.errors import Locked, NoText, NotText
from rag.reading.kinds import HEAD_BYTES, HINTS, binary_kind, ending, kind_of
from rag.reading.layout import Reading, one_line
from rag.reading.limits import Limits

_EXPECTED = {
    "pdf": ("pdf", "a PDF"), "docx": ("zip", "a Word document"), "pptx": ("zip", "a presentation"),
    "xlsx": ("zip", "a workbook"), "odt": ("zip", "an OpenDocument text"), "ods": ("zip", "an OpenDocument sheet"),
    "epub": ("zip", "a book"), "zip": ("zip", "a ZIP archive"),
}  # fmt: skip


def read(name: str, file: BinaryIO, size_bytes: int, limits: Limits) -> Reading:
    """The text of a document, which is never empty, or the reason why there is none."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if not head:
        raise NoText(f"{name!r} is empty.")
    kind = kind_of(head, name)
    if kind == "pdf":
        from rag.reading import pdf

        reading = pdf.read(name, file, limits)
    elif kind == "zip":
        reading = _zipped(name, file, limits)
    elif kind in ("packed", "tar"):
        raise _is_archive(name)
    else:
        reading = _text(name, kind, file, size_bytes, limits)
    expected = _EXPECTED.get(ending(name))
    if expected is not None and expected[0] != kind:
        note = f"{name!r} is not {expected[1]}, whatever its name says; it was read as {reading.media_type}."
        reading = reading._replace(notes=(note, *reading.notes))
    return reading


def _is_archive(name: str) -> NotText:
    return NotText(f"{name!r} is an archive.", hint="Take the files in it one by one, or add it to a collection.")


def _zipped(name: str, file: BinaryIO, limits: Limits) -> Reading:
    from rag.reading.parts import Parts
    from rag.reading.zips import zip_kind

    match zip_kind(file):
        case "docx":
            from rag.reading import docx

            return docx.read(name, file, limits)
        case "pptx":
            from rag.reading import pptx

            return pptx.read(name, file, limits)
        case "xlsx":
            from rag.reading import xlsx

            return xlsx.read(name, file, limits)
        case "odf":
            from rag.reading import odf

            return odf.read(name, file, limits)
        case "epub":
            from rag.reading import epub

            return epub.read(name, file, limits)
        case "xlsb":
            raise NotText(f"{name!r} is a binary workbook.", hint="Save it as xlsx, and take that.")
        case _:
            Parts(name, file, limits)  # says so where it is broken
            raise _is_archive(name)


def _text(name: str, kind: str, file: BinaryIO, size_bytes: int, limits: Limits) -> Reading:
    from rag.reading.decode import decode

    if size_bytes > limits.characters * 4 + 4 and kind in ("text", "code", "lines", "csv", "markdown"):
        raise limits.too_many_characters(name)  # however it is encoded; nothing of it is loaded
    content = file.read(limits.size_bytes + 1)
    if kind in ("mail", "mailbox"):
        from rag.reading import mail

        return (mail.read_mail if kind == "mail" else mail.read_mailbox)(name, content, limits)
    declared = None
    if kind == "html":
        from rag.reading import html

        declared = html.declared_charset(content)
    refuse_binary(name, content)
    text, note = decode(name, content, declared)
    del content
    if not text.strip():
        raise NoText(f"{name!r} holds nothing but blanks.")
    reading = _of_text(name, kind, text, limits)
    if len(reading.text) > limits.characters:
        raise limits.too_many_characters(name)
    return reading._replace(notes=(note, *reading.notes)) if note else reading


def _of_text(name: str, kind: str, text: str, limits: Limits) -> Reading:
    match kind:
        case "html":
            from rag.reading import html

            return html.read(name, text, limits)
        case "markdown":
            from rag.reading import markdown

            return markdown.read(text)
        case "code":
            from rag.reading import code

            return code.read(name, text)
        case "csv":
            from rag.reading import table

            return table.read(name, text)
        case "notebook":
            from rag.reading import notebook

            return notebook.read(name, text, limits)
        case "json" | "yaml" | "toml" | "lines":
            from rag.reading import structured

            match kind:
                case "json":
                    return structured.read_json(name, text, limits)
                case "yaml":
                    return structured.read_yaml(text)
                case "toml":
                    return structured.read_toml(text)
                case _:
                    return structured.read_lines(text)
        case _:
            return Reading("text/plain", text)


def refuse_binary(name: str, content: bytes) -> None:
    kind = binary_kind(content)
    if kind is None:
        return
    if kind == "an old office document" and "EncryptedPackage".encode("utf-16-le") in content:
        raise Locked(f"{name!r} wants a password.", hint="Save a copy without one.")
    said = ", whatever its name says" if ending(name) in ("txt", "md", "log", "csv", "html", "json", "py") else ""
    raise NotText(f"{one_line(repr(name))} is {kind}, not text{said}.", hint=HINTS.get(kind))
