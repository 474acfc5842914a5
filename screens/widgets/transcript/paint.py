"""From a line of a message to what the terminal gets: the gutter before it, the background behind it, marks on it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from screens.markdown import Line

GUTTER = 2
"""Cells at the left: the bar of the current message, and a blank."""
Span = tuple[int, int, Style]
"""From one character of a line to another, and how they are marked."""


def finish(line: Line, width: int, text_width: int, base: Style, bar: Style | None, over: Style | None) -> Strip:
    """The whole row. `bar` is the colour of the bar where the message is the current one, `over` goes over the text;
    what a line is filled up with ends with the text."""
    segments = [Segment("▌ " if bar is not None else "  ", base if bar is None else base + bar)]
    used = min(line.strip.cell_length, max(width - GUTTER, 0))
    for text, style, _ in line.strip.crop(0, used):
        painted = base + style if style is not None else base
        segments.append(Segment(text, painted + over if over is not None else painted))
    filled = max(min(width - GUTTER, text_width) - used, 0)
    if filled and line.fill is not None:
        segments.append(Segment(" " * filled, base + line.fill))
        used += filled
    left = max(width - GUTTER - used, 0)
    if left:
        segments.append(Segment(" " * left, base))
    strip = Strip(segments, GUTTER + used + left)
    return strip.crop(0, width)


def mark(strip: Strip, spans: Sequence[Span]) -> Strip:
    """The row again with some characters of its text marked. Spans count from the first character after the gutter."""
    if not spans:
        return strip
    segments = list(strip)
    for start, end, style in spans:
        segments = _marked(segments, start + GUTTER, end + GUTTER, style)
    return Strip(segments, strip.cell_length)


def _marked(segments: Sequence[Segment], start: int, end: int, style: Style) -> list[Segment]:
    marked: list[Segment] = []
    at = 0
    for segment in segments:
        text, own, _ = segment
        first, last = max(start - at, 0), min(end - at, len(text))
        at += len(text)
        if first >= last:
            marked.append(segment)
            continue
        if first:
            marked.append(Segment(text[:first], own))
        marked.append(Segment(text[first:last], own + style if own is not None else style))
        if last < len(text):
            marked.append(Segment(text[last:], own))
    return marked


def hint_over(strip: Strip, words: str, style: Style, width: int) -> Strip:
    """Words over the right end of a row."""
    if width < len(words) + 4:
        return strip
    kept = strip.crop(0, width - len(words))
    return Strip([*kept, Segment(words, style)], width)
