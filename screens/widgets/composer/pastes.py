"""What a paste is cleaned of, and when it is too long to stand in the text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from screens.widgets.composer.area import PromptArea

LONG_CHARACTERS = 20_000
LONG_LINES = 20
LONGEST_PASTE = 20_000_000

LONGEST_TEXT = 60_000
LONGEST_LINE = 12_000
"""What the text itself may hold: at every key it is counted, and its line is wrapped anew."""

_DROPPED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Newlines as newlines, no control codes, nothing that turns the direction of what stands around it."""
    text = text[:LONGEST_PASTE]
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _DROPPED.sub("", text)


def is_long(text: str) -> bool:
    return len(text) > LONG_CHARACTERS or text.rstrip("\n").count("\n") >= LONG_LINES


def fits(area: PromptArea, text: str) -> bool:
    """Whether a key is still echoed at once when this stands in the text where the cursor is."""
    line = len(area.document.get_line(area.cursor_location[0]))
    return len(area.text) + len(text) <= LONGEST_TEXT and is_quick(text, line)


def is_quick(text: str, beside: int = 0) -> bool:
    """Whether no line of a text is too long, its first and last standing beside others."""
    return len(text) <= LONGEST_TEXT and beside + max(map(len, text.split("\n"))) <= LONGEST_LINE
