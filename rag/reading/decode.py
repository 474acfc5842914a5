"""Bytes to text: by a mark, by what the file declares, as UTF-8, as UTF-16 without a mark, else as Windows-1252 with a
note. Nothing is guessed in silence."""

from __future__ import annotations

import codecs

from rag.errors import NotText
from rag.reading.kinds import binary_kind
from rag.reading.layout import clean

# Most specific first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r\f\x1b")
_SAME_AS_LATIN_1 = ("iso8859-1", "ascii", "latin-1")
"""Who declares one of these means Windows-1252, as browsers know."""


def decode(name: str, content: bytes, declared: str | None = None) -> tuple[str, str | None]:
    """The text, cleaned, and what the reader should know about it."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            try:
                return clean(content.decode(encoding)), None
            except UnicodeDecodeError as error:
                raise NotText(f"{name!r} begins like {encoding.upper()} text, but is broken further on.") from error
    unmarked = _unmarked_utf_16(content)
    if unmarked is not None:
        try:
            text = clean(content.decode(unmarked))
        except UnicodeDecodeError as error:
            raise NotText(f"{name!r} is not text.") from error
        return text, f"{name!r} has no mark of its encoding; it was read as UTF-16."
    kind = binary_kind(content)
    if kind is not None:
        raise NotText(f"{name!r} is {kind}, not text.")
    if b"\0" in content or len(content) - len(content.translate(None, _CONTROLS)) > len(content) // 100:
        raise NotText(f"{name!r} is not text.")
    return _eight_bits(name, content, declared)


def _unmarked_utf_16(content: bytes) -> str | None:
    """Text of mostly Latin letters in UTF-16 has a zero in every second byte, and in those only."""
    head = content[: 4096 - 4096 % 2]
    if len(head) < 4 or len(content) % 2:
        return None
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if odd > half * 0.6 and not even:
        return "utf-16-le"
    return "utf-16-be" if even > half * 0.6 and not odd else None


def _eight_bits(name: str, content: bytes, declared: str | None) -> tuple[str, str | None]:
    try:
        return clean(content.decode("utf-8")), None
    except UnicodeDecodeError:
        pass
    known = _known(declared)
    if known is not None:
        try:
            return clean(content.decode(known)), None
        except (UnicodeDecodeError, ValueError):
            pass
    if _is_mostly_utf_8(content):
        text = content.decode("utf-8", "replace")
        return clean(text), f"{name!r} is UTF-8 with broken places; they show as \ufffd."
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise NotText(f"{name!r} is neither UTF-8 nor Windows-1252 text.", hint="Save it as UTF-8.") from error
    return clean(text), f"{name!r} is not UTF-8; it was read as Windows-1252."


def _known(declared: str | None) -> str | None:
    if not declared:
        return None
    try:
        found = codecs.lookup(declared.strip())
    except (LookupError, ValueError):
        return None
    if found.name in _SAME_AS_LATIN_1:
        return "cp1252"
    return found.name if getattr(found, "_is_text_encoding", True) else None


def _is_mostly_utf_8(content: bytes) -> bool:
    """Whether far more letters beyond ASCII are right than broken: a log cut in the middle, a stray byte."""
    head = content[:1_000_000]
    text = head.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    right = len(text) - len(text.encode("ascii", "ignore")) - broken
    return right > 8 * broken
