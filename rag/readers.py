"""The text of a file, or a clear reason why there is none; never silently nothing.

Text files are decoded here. PDFs are parsed in a process of their own with limits on time and memory (`pdf_child.py`),
because a PDF is hostile input: a crash or a bomb in there is an error here.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import NamedTuple

from rag.errors import Damaged, Locked, NoText, NotText, TooLarge, Unreadable

PDF = "application/pdf"
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "a compressed file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xd0\xcf\x11\xe0", "an old office document"),
    (b"SQLite format 3\x00", "a database"),
)
# Most specific first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_NEEDED = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What of the environment an interpreter may need to start."""
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r\f\x1b")


class Limits(NamedTuple):
    size_bytes: int = 100_000_000
    pages: int = 5_000
    characters: int = 10_000_000
    seconds: float = 60.0
    memory_bytes: int = 2 << 30


USUAL = Limits()


class Page(NamedTuple):
    number: int
    """From 1."""
    text: str


class DocumentText(NamedTuple):
    name: str
    media_type: str
    text: str
    """All of it; the pages of a PDF one after the other."""
    pages: tuple[Page, ...] = ()
    """Of a PDF, those without text included."""
    notes: tuple[str, ...] = ()
    """What a reader should know: a guessed encoding, pages without text."""


def read_file(path: Path, limits: Limits = USUAL) -> bytes:
    """The bytes of a regular file within the limit, or `Unreadable` or `TooLarge` with the reason."""
    name = path.name or str(path)
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise Unreadable(f"{name!r} is a folder.", hint="Name the files in it.")
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable(f"{name!r} is not a file.")
        with path.open("rb") as file:
            content = file.read(limits.size_bytes + 1)
    except FileNotFoundError as error:
        raise Unreadable(f"There is no file {str(path)!r}.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Unreadable(f"{name!r} cannot be read: {reason or error}.") from error
    if len(content) > limits.size_bytes:
        size = max(about.st_size, len(content))
        raise TooLarge(f"{name!r} has {size:,} bytes; files are read up to {limits.size_bytes:,}.")
    return content


def read_document(path: Path, limits: Limits = USUAL) -> DocumentText:
    """Blocks until the text is there, for at most the time limit; call it in a thread."""
    return document_text(path.name, read_file(path, limits), limits)


def document_text(name: str, content: bytes, limits: Limits = USUAL) -> DocumentText:
    """The same for bytes that were already read."""
    if b"%PDF-" in content[:1024]:
        return _pdf_text(name, content, limits)
    if not content:
        raise NoText(f"{name!r} is empty.")
    text, note = _decode(name, content)
    if not text.strip():
        raise NoText(f"{name!r} holds nothing but blanks.")
    if len(text) > limits.characters:
        raise TooLarge(f"{name!r} has {len(text):,} characters; texts are read up to {limits.characters:,}.")
    return DocumentText(name, "text/plain", text, notes=(note,) if note else ())


def _decode(name: str, content: bytes) -> tuple[str, str | None]:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            try:
                return _lines(content.decode(encoding)), None
            except UnicodeDecodeError as error:
                raise NotText(f"{name!r} begins like {encoding.upper()} text, but is broken further on.") from error
    for magic, kind in _MAGIC:
        if content.startswith(magic):
            raise NotText(f"{name!r} is {kind}, not text.")
    if b"\0" in content or len(content) - len(content.translate(None, _CONTROLS)) > len(content) // 100:
        raise NotText(f"{name!r} is not text.")
    try:
        return _lines(content.decode("utf-8")), None
    except UnicodeDecodeError:
        pass
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise NotText(f"{name!r} is neither UTF-8 nor Windows-1252 text.", hint="Save it as UTF-8.") from error
    return _lines(text), f"{name!r} is not UTF-8; it was read as Windows-1252."


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _pdf_text(name: str, content: bytes, limits: Limits) -> DocumentText:
    pages, failure = _ask_child(name, content, limits)
    match failure:
        case None:
            pass
        case "password":
            raise Locked(f"{name!r} wants a password.", hint="Save a copy without one.")
        case "pages":
            raise TooLarge(f"{name!r} has more than {limits.pages:,} pages.")
        case "characters":
            raise TooLarge(f"{name!r} holds more than {limits.characters:,} characters.")
        case "memory":
            raise TooLarge(f"{name!r} needs more than {limits.memory_bytes >> 20:,} MiB of memory to be read.")
        case _:
            raise Damaged(f"{name!r} is not a PDF that can be read: {failure}.")
    if not pages:
        raise NoText(f"{name!r} has no pages.")
    silent = [page.number for page in pages if not page.text.strip()]
    if len(silent) == len(pages):
        raise NoText(
            f"{name!r} holds no text on any of its {len(pages):,} pages; they are probably scans or pictures.",
            hint="Run it through text recognition (OCR) first, or attach its pages as images.",
        )
    notes = (f"{name!r} holds no text on {_numbers(silent)}: scans or pictures.",) if silent else ()
    return DocumentText(name, PDF, "\n\n".join(page.text for page in pages if page.text), pages, notes)


def _numbers(pages: list[int]) -> str:
    shown = ", ".join(map(str, pages[:8])) + (f" and {len(pages) - 8:,} more" if len(pages) > 8 else "")
    return f"page {shown}" if len(pages) == 1 else f"pages {shown}"


def _ask_child(name: str, content: bytes, limits: Limits) -> tuple[tuple[Page, ...], str | None]:
    """The pages, and why there are no more: None when all are there."""
    import json
    import os
    import subprocess
    import sys
    import tempfile
    from threading import Timer

    from rag import pdf_child

    assert pdf_child.__file__ is not None
    given = [str(limits.pages), str(limits.characters), str(limits.memory_bytes), str(int(limits.seconds) + 1)]
    most_bytes = limits.characters * 12 + limits.pages * 64 + 4096  # JSON writes no character longer than that
    expired = False
    with tempfile.TemporaryFile() as paper:
        paper.write(content)
        paper.seek(0)
        # By its path and isolated (-I): it sees neither our environment's Python settings nor the current folder.
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            [sys.executable, "-IB", pdf_child.__file__, *given],
            stdin=paper,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _NEEDED if name in os.environ},
        )
        with child:
            assert child.stdout is not None

            def expire() -> None:
                nonlocal expired
                expired = True
                child.kill()

            timer = Timer(limits.seconds, expire)
            timer.daemon = True
            timer.start()
            try:
                output = child.stdout.read(most_bytes + 1)
            finally:
                timer.cancel()
                child.kill()
    if expired:
        raise TooLarge(f"{name!r} was not read within {limits.seconds:g} s.")
    pages: list[Page] = []
    try:
        for line in output.splitlines():
            said = json.loads(line)
            if "end" in said:
                failure = said["end"]
                return tuple(pages), None if failure is None else str(failure)[:200]
            pages.append(Page(int(said["page"]), str(said["text"])))
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{name!r} made the PDF reader fail.") from error
    raise Damaged(f"{name!r} made the PDF reader crash.", hint="The file may be damaged; save it anew and try again.")
