"""Words from outside made fit for a sentence."""

from __future__ import annotations


def plain(text: str, longest: int = 500) -> str:
    """No control characters, one line, bounded."""
    if len(text) > longest or not text.isprintable():
        text = "".join(letter if letter.isprintable() else " " for letter in text[: longest * 4])
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
