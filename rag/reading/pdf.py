"""PDFs: a page for each page. Those without text are scans; a `tesseract` on this computer reads them where wanted."""

from __future__ import annotations

import re
import time
from typing import BinaryIO

from rag.documents import PageSpan, Section
from rag.errors import Damaged, Locked, NoText, Unreadable
from rag.reading.layout import Reading, clean, one_line
from rag.reading.limits import MOST_SECTIONS, Limits

MEDIA_TYPE = "application/pdf"
_SPLIT_WORD = re.compile("(?<=[^\\W\\d_])[\x02\ufffe]\n(?=[a-zß-öø-ÿ])")
_OTHER_SPLIT = re.compile("[\x02\ufffe]")


def read(name: str, file: BinaryIO, limits: Limits) -> Reading:
    import pypdfium2

    document = _opened(name, file)
    try:
        count = len(document)
        if count > limits.pages:
            raise limits.too_many_pages(name)
        if not count:
            raise NoText(f"{name!r} has no pages.")
        texts: list[str] = []
        broken: list[int] = []
        characters = 0
        for index in range(count):
            try:
                page = document[index]
                reading = page.get_textpage()
                text = _page_text(reading.get_text_bounded())
                # Closed at once: the library keeps open pages in memory, and a long document would fill it.
                reading.close()
                page.close()
            except pypdfium2.PdfiumError:  # the other pages may be whole
                broken.append(index + 1)
                text = ""
            characters += len(text) + 2
            if characters > limits.characters + 2:
                raise limits.too_many_characters(name)
            texts.append(text)
        if len(broken) == count:
            raise Damaged(f"{name!r} is not a PDF that can be read: all of its pages are broken.")
        silent = [number for number, text in enumerate(texts, 1) if not text.strip() and number not in set(broken)]
        notes = _recognise(name, document, silent, texts, limits) if silent else []
        if broken:
            notes.append(f"{name!r} is damaged: nothing could be read on {numbers(broken)}.")
        if not any(text.strip() for text in texts):
            raise NoText(" ".join(notes))
        title = _title(document)
        outline = _outline(document)
    finally:
        document.close()
    return _joined(texts, outline, title, notes)


def _opened(name: str, file: BinaryIO):  # type: ignore[no-untyped-def]  # the library has no types
    import pypdfium2
    from pypdfium2 import raw

    try:
        return pypdfium2.PdfDocument(file.read())
    except pypdfium2.PdfiumError as error:
        code = getattr(error, "err_code", None)
        if code == raw.FPDF_ERR_PASSWORD:
            raise Locked(f"{name!r} wants a password.", hint="Save a copy without one.") from error
        if code == raw.FPDF_ERR_SECURITY:
            raise Locked(f"{name!r} is encrypted in a way that is not supported.", hint="Save it anew.") from error
        raise Damaged(f"{name!r} is not a PDF that can be read: its structure is broken.") from error


def _page_text(text: str) -> str:
    """With words put together that the end of a line had split."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x02" in text or "\ufffe" in text:
        text = _OTHER_SPLIT.sub("-", _SPLIT_WORD.sub("", text))
    return clean(text)


def _recognise(name: str, document, silent: list[int], texts: list[str], limits: Limits) -> list[str]:  # type: ignore[no-untyped-def]
    """Read the scans if wanted; what is left of them to say."""
    notes = []
    if limits.ocr:
        from rag.reading import ocr

        read: list[int] = []
        end = time.monotonic() + limits.ocr_seconds
        for number in silent:
            left_s = end - time.monotonic()
            if left_s < 1:
                break
            page = document[number - 1]
            try:
                text = clean(ocr.page_text(page, limits.ocr, left_s))
            except Unreadable as error:  # the other pages are there all the same
                notes.append(error.text)
                break
            finally:
                page.close()
            if text.strip():
                texts[number - 1] = text.strip()
                read.append(number)
        if read:
            notes.append(f"{name!r}: the text on {numbers(read)} was recognised from scans and may hold mistakes.")
        silent = [number for number in silent if number not in set(read)]
        if sum(map(len, texts)) > limits.characters:
            raise limits.too_many_characters(name)
    if len(silent) == len(texts):
        pages = "1 page" if len(texts) == 1 else f"{len(texts):,} pages"
        raise NoText(
            f"{name!r} holds no text on any of its {pages}: they are probably scans or pictures.",
            hint=limits.scans_hint(),
        )
    if silent:
        notes.append(f"{name!r} holds no text on {numbers(silent)}: scans or pictures.")
    return notes


def numbers(pages: list[int]) -> str:
    shown = ", ".join(map(str, pages[:8])) + (f" and {len(pages) - 8:,} more" if len(pages) > 8 else "")
    return f"page {shown}" if len(pages) == 1 else f"pages {shown}"


def _title(document) -> str:  # type: ignore[no-untyped-def]
    return one_line(document.get_metadata_value("Title") or "")


def _outline(document) -> list[tuple[int, int, str]]:  # type: ignore[no-untyped-def]
    """Bookmarks as level, page and title, as far as they lead to pages in order."""
    import pypdfium2

    found: list[tuple[int, int, str]] = []
    try:
        for bookmark in document.get_toc(max_depth=8):
            destination = bookmark.get_dest()
            index = destination.get_index() if destination else None
            if index is not None:
                found.append((bookmark.level, index + 1, one_line(bookmark.get_title())))
            if len(found) >= MOST_SECTIONS:
                break
    except (pypdfium2.PdfiumError, ValueError, AttributeError):
        return []  # a broken table of contents costs the sections, not the text
    return found


def _joined(texts: list[str], outline: list[tuple[int, int, str]], title: str, notes: list[str]) -> Reading:
    pieces: list[str] = []
    spans: list[PageSpan] = []
    starts: dict[int, int] = {}
    length = 0
    for number, text in enumerate(texts, 1):
        starts[number] = length + (2 if pieces and text else 0)
        if not text:
            continue
        if pieces:
            pieces.append("\n\n")
            length += 2
        pieces.append(text)
        if text.strip():
            spans.append(PageSpan(number, length, length + len(text)))
        length += len(text)
    whole = "".join(pieces)
    return Reading(
        MEDIA_TYPE, whole, _sections(outline, texts, starts, whole), tuple(spans), len(texts), title, tuple(notes)
    )


def _sections(
    outline: list[tuple[int, int, str]], texts: list[str], starts: dict[int, int], whole: str
) -> tuple[Section, ...]:
    """A section from where a bookmark's title stands on its page, or from the top of the page."""
    marks: list[tuple[int, tuple[str, ...]]] = [(0, ())]
    path: list[tuple[int, str]] = []
    for level, page, heading in outline:
        if not heading or page not in starts:
            continue
        while path and path[-1][0] >= level:
            path.pop()
        path.append((level, heading))
        begin = starts[page] + _found(heading, texts[page - 1])
        if begin < marks[-1][0] or begin > len(whole):
            continue  # a list out of order cannot part the text
        if begin == marks[-1][0]:
            marks.pop()
        marks.append((begin, tuple(words for _, words in path)))
    if marks[0][0]:
        marks.insert(0, (0, ()))
    ends = [*(begin for begin, _ in marks[1:]), len(whole)]
    return tuple(
        Section(headings, begin, end) for (begin, headings), end in zip(marks, ends, strict=True) if end > begin
    )


def _found(heading: str, text: str) -> int:
    """Where a heading's words begin a line of a page, whatever blanks are between them; else the top."""
    words = [re.escape(word) for word in heading.rstrip("…").split()[:12]]
    place = re.search(r"^[ \t]*(?:[\dA-Z.]+[ \t]+)?" + r"\s+".join(words), text, re.MULTILINE) if words else None
    return place.start() if place else 0
