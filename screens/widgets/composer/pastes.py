"""What becomes of a paste: cleaned, and held aside when it is long."""

from __future__ import annotations

import re

LONG_CHARACTERS = 20_000
LONG_LINES = 20
LONGEST_TEXT = 60_000
"""What the text itself may hold: beyond it a key takes longer than a frame, so more of it becomes a chip."""
LONGEST_PASTE = 20_000_000

_DROPPED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """Newlines as newlines, no control codes."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text[:LONGEST_PASTE]
    return _DROPPED.sub("", text)


def is_long(text: str) -> bool:
    return len(text) > LONG_CHARACTERS or text.rstrip("\n").count("\n") >= LONG_LINES
