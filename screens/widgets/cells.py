"""Words cut to a width in terminal cells, and made safe to draw on one line."""

from __future__ import annotations

import re

from rich.cells import cell_len, set_cell_size

from console.text import neutralise

_UNSEEN = re.compile("[\u061c\u200b\u200e\u200f\u2060-\u2064\ufeff]")
"""Marks without a width of their own that only change what stands around them. Joiners are letters' business."""


def one_line(text: str) -> str:
    """Text from anywhere as one harmless line: runs of blanks become one, control codes their pictures."""
    if not text.isprintable():  # the common case is over after this look
        text = _UNSEEN.sub("", neutralise(text))
    return " ".join(text.split())


def clip(text: str, width: int) -> str:
    """At most `width` cells of one harmless line, ending in … where something was cut off."""
    line = one_line(text[: 4 * max(width, 0) + 400])
    if cell_len(line) <= width:
        return line
    return set_cell_size(line, width - 1).rstrip() + "…" if width > 0 else ""


def fit(text: str, width: int) -> str:
    """Exactly `width` cells: cut, or filled up with blanks."""
    line = clip(text, width)
    return line + " " * (width - cell_len(line))
