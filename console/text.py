"""Text that came from outside, made safe to show: models, servers, file names and documents may hold terminal codes."""

from __future__ import annotations

import re

_DANGEROUS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")


def neutralise(text: str) -> str:
    """Make control codes visible instead of effective. Newline and tab stay; CR LF becomes a newline.

    An escape character turns into its picture, so `ESC [31m` is readable and does nothing. Bidirectional overrides,
    which can make text read differently from what it is, turn into the replacement character.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return _DANGEROUS.sub(_picture, text) if _DANGEROUS.search(text) else text


def escape_controls(json: str) -> str:
    """JSON that says the same, with what `neutralise` takes away written as an escape: JSON itself lets it stand."""
    return _DANGEROUS.sub(lambda match: f"\\u{ord(match[0]):04x}", json) if _DANGEROUS.search(json) else json


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def shorten(text: str, width: int) -> str:
    """One line of at most `width` characters, with an ellipsis where something was left out."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


def size_words(size_bytes: float) -> str:
    """A size in a few characters, in units of a thousand; from a gigabyte on a tenth of it matters."""
    if size_bytes < 1_000:
        return f"{size_bytes:.0f} B"
    size = float(size_bytes)
    for unit in ("kB", "MB"):
        size /= 1_000
        if size < 999.5:
            return f"{size:.0f} {unit}" if size >= 9.95 else f"{size:.1f} {unit}"
    return f"{size / 1_000:.1f} GB"


def plural(count: int, noun: str, nouns: str = "") -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {nouns or noun + 's'}"
