"""The text of a file with its sections and pages, or a clear reason why there is none; never silently nothing.

Whatever has to be parsed is hostile input: it is parsed in a process of its own with limits on time and memory
(`reading/child.py`), and a crash or a bomb in there is an error here. Only plain text is decoded in this one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from rag.documents import PageSpan, Section
from rag.errors import Damaged, NoText, TooLarge, Unreadable
from rag.reading.limits import USUAL, Limits

if TYPE_CHECKING:
    from rag.reading.archive import Member

__all__ = [
    "PDF", "USUAL", "DocumentText", "Limits", "Page", "Reader", "document_limits", "document_text", "is_archive",
    "read_document", "read_file",
]  # fmt: skip
PDF = "application/pdf"
MEMBER_MARK = "!/"
MOST_PAGES = 1_000_000
"""That the reading process may speak of: pages without text are told by their number only."""


class Page(NamedTuple):
    number: int
    """From 1."""
    text: str


class DocumentText(NamedTuple):
    name: str
    media_type: str
    text: str
    """All of it; pages one after the other."""
    pages: tuple[Page, ...] = ()
    """Of what has pages, slides or sheets; those without text included."""
    notes: tuple[str, ...] = ()
    """What a reader should know: a guessed encoding, pages without text."""
    sections: tuple[Section, ...] = ()
    """They follow each other from the first character to the last; none means one without a heading."""
    title: str = ""
    spans: tuple[PageSpan, ...] = ()
    """Where in the text the pages stand that have any."""


def document_limits(max_file_mb: float = 100, max_pages: int = 5_000, *, ocr: bool = False) -> Limits:
    """Limits from settings; errors then name the setting. Text recognition is done where `tesseract` is installed."""
    import shutil

    return Limits(
        size_bytes=int(max_file_mb * 1_000_000),
        pages=max_pages,
        characters=int(max_file_mb * 500_000),
        ocr=(shutil.which("tesseract") or "") if ocr else "",
        wants_ocr=ocr,
        from_settings=True,
    )


class Reader:
    """Reads documents one after the other in one process, which is started again after a crash. Blocks."""

    def __init__(self) -> None:
        from rag.reading import child
        from rag.reading.process import ReadingProcess

        self._lock = Lock()
        self._process = ReadingProcess(child.__file__)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Of the process that reads, while there is one."""
        return self._process.pid

    def read(self, path: str, limits: Limits = USUAL) -> DocumentText:
        """A file, or a file in an archive as `ARCHIVE!/path/inside`."""
        outer, inner = split_member(path)
        check_file(Path(outer), limits)
        name = (inner or outer).rpartition("/")[2]
        return self._read(name, {"do": "read", "name": Path(outer).name, "path": outer, "inner": inner}, b"", limits)

    def read_bytes(self, name: str, content: bytes, limits: Limits = USUAL) -> DocumentText:
        if len(content) > limits.size_bytes:
            raise limits.too_many_bytes(name, len(content))
        return self._read(name, {"do": "read", "name": name, "path": None, "inner": ""}, content, limits)

    def members(self, path: str, limits: Limits = USUAL) -> tuple[Member, ...]:
        """The files in an archive, and in archives in it, each by a path that `read` takes."""
        from rag.reading.archive import Member

        check_file(Path(path), limits)
        name = Path(path).name
        answer, _ = self._ask({"do": "members", "name": name, "path": path, "inner": ""}, b"", limits)
        try:
            return tuple(
                Member(str(where), str(inner), int(size), datetime.fromisoformat(at) if at else None, refused)
                for where, inner, size, at, refused in answer["members"]
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged(f"{name!r} made its reader fail.") from error

    def _ask(self, request: dict[str, Any], content: bytes, limits: Limits) -> tuple[dict[str, Any], str]:
        with self._lock:
            return self._process.ask(request, content, limits)

    def _read(self, name: str, request: dict[str, Any], content: bytes, limits: Limits) -> DocumentText:
        answer, text = self._ask(request, content, limits)
        try:
            return _document(name, answer, text)
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged(f"{name!r} made its reader fail.") from error

    def interrupt(self) -> None:
        """Let what another thread reads at this moment fail; the next one is read again."""
        self._process.interrupt()

    def close(self) -> None:
        with self._lock:
            self._process.close()


def _document(name: str, answer: dict[str, Any], text: str) -> DocumentText:
    """What the process said, believed only where it agrees with itself."""
    sections = tuple(
        Section(tuple(map(str, headings)), int(start), int(end), kind)
        for headings, start, end, kind in answer["sections"]
    )
    if [each.start for each in sections] != [0, *(each.end for each in sections)][: len(sections)] or (
        sections and sections[-1].end != len(text)
    ):
        raise ValueError("sections that do not follow each other")
    spans = tuple(PageSpan(int(number), int(start), int(end)) for number, start, end in answer["spans"])
    if any(not 0 <= span.start < span.end <= len(text) for span in spans):
        raise ValueError("pages outside the text")
    if not text.strip():
        raise NoText(f"{name!r} holds no text.")
    count = int(answer["pages"] or 0)
    if not 0 <= count <= MOST_PAGES:
        raise ValueError("more pages than a document has")
    return DocumentText(
        name,
        str(answer["media_type"]),
        text,
        _pages(text, spans, count) if count else (),
        tuple(map(str, answer["notes"])),
        sections or (Section((), 0, len(text)),),
        str(answer["title"]),
        spans,
    )


def _pages(text: str, spans: Sequence[PageSpan], count: int) -> tuple[Page, ...]:
    texts = {span.number: text[span.start : span.end] for span in spans}
    return tuple(Page(number, texts.get(number, "")) for number in range(1, count + 1))


def split_member(path: str) -> tuple[str, str]:
    """`ARCHIVE!/inside` in two; a file whose own name holds the mark is a file."""
    at = path.find(MEMBER_MARK)
    while at > 0 and not os.path.lexists(path):
        if Path(path[:at]).is_file():
            return path[:at], path[at + len(MEMBER_MARK) :]
        at = path.find(MEMBER_MARK, at + 1)
    return path, ""


def is_archive(path: Path) -> bool:
    """Whether a file has members rather than a text of its own. Reads its beginning, and a ZIP's list of files."""
    from rag.reading.kinds import HEAD_BYTES, kind_of
    from rag.reading.zips import zip_kind

    try:
        with path.open("rb") as file:
            kind = kind_of(file.read(HEAD_BYTES), path.name)
            file.seek(0)
            return kind in ("packed", "tar") or (kind == "zip" and zip_kind(file) == "archive")
    except (OSError, ValueError):
        return False


def check_file(path: Path, limits: Limits) -> os.stat_result:
    """That it is a regular file within the limit, or `Unreadable` or `TooLarge` with the reason."""
    name = path.name or str(path)
    try:
        about = path.stat()
    except FileNotFoundError as error:
        raise Unreadable(f"There is no file {str(path)!r}.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Unreadable(f"{name!r} cannot be read: {reason or error}.") from error
    if stat.S_ISDIR(about.st_mode):
        raise Unreadable(f"{name!r} is a folder.", hint="Name the files in it.")
    if not stat.S_ISREG(about.st_mode):
        raise Unreadable(f"{name!r} is not a file.")
    if about.st_size > limits.size_bytes:
        raise limits.too_many_bytes(name, about.st_size)
    return about


def read_file(path: Path, limits: Limits = USUAL) -> bytes:
    """The bytes of a regular file within the limit, or `Unreadable` or `TooLarge` with the reason."""
    check_file(path, limits)
    try:
        with path.open("rb") as file:
            content = file.read(limits.size_bytes + 1)
    except OSError as error:
        raise Unreadable(f"{path.name!r} cannot be read: {error.strerror or error}.") from error
    if len(content) > limits.size_bytes:
        raise limits.too_many_bytes(path.name, len(content))
    return content


def read_document(path: Path, limits: Limits = USUAL) -> DocumentText:
    """Blocks until the text is there, for at most the time limit; call it in a thread."""
    return document_text(path.name, read_file(path, limits), limits)


def document_text(name: str, content: bytes, limits: Limits = USUAL, *, as_source: bool = False) -> DocumentText:
    """The same for bytes that were already read. `as_source` leaves Markdown, HTML, tables and code as they stand."""
    from rag.reading.kinds import AS_SOURCE, HEAD_BYTES, kind_of

    kind = kind_of(content[:HEAD_BYTES], name)
    if not content:
        raise NoText(f"{name!r} is empty.")
    if kind == "text" or (as_source and kind in AS_SOURCE):
        return _plain_text(name, content, limits)
    with Reader() as reader:
        return reader.read_bytes(name, content, limits)


def _plain_text(name: str, content: bytes, limits: Limits) -> DocumentText:
    from rag.reading.decode import decode
    from rag.reading.formats import refuse_binary

    refuse_binary(name, content)
    text, note = decode(name, content)
    if not text.strip():
        raise NoText(f"{name!r} holds nothing but blanks.")
    if len(text) > limits.characters:
        raise TooLarge(
            f"{name!r} has {len(text):,} characters; texts are read up to {limits.characters:,}.",
            hint=limits.size_hint(),
        )
    notes = (note,) if note else ()
    return DocumentText(name, "text/plain", text, notes=notes, sections=(Section((), 0, len(text)),))
