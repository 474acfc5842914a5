"""A chat as one line of a list: marks, title, and as much about it as there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from screens.widgets import times
from screens.widgets.cells import clip, fit

if TYPE_CHECKING:
    from console.history.listing import ChatRow
    from screens.theme import Palette

PINNED, LIVE, CURRENT = "★", "●", "▸"

_WITH_MODEL = 84
"""From this width on a line tells the model and the number of messages."""
_WITH_TAGS = 44
_WITH_TIME = 20
_MODEL = 18


def chat_line(
    row: ChatRow,
    width: int,
    palette: Palette,
    now: datetime,
    *,
    query: str = "",
    is_current: bool = False,
    is_live: bool = False,
    is_cursor: bool = False,
) -> list[Segment]:
    """Exactly `width` cells, unless there is hardly room for a title."""
    mark, mark_style = " ", palette.muted
    if is_live:
        mark, mark_style = LIVE, palette.ok
    elif is_current:
        mark, mark_style = CURRENT, palette.accent
    elif row.pinned:
        mark, mark_style = PINNED, palette.warn
    quiet = palette.muted if is_cursor else palette.faint
    at = times.short_time(row.deleted_at or row.updated_at, now)
    if width < _WITH_TAGS and len(at) > 6:
        at = at[-4:]  # the year
    line = [Segment(mark, mark_style), Segment(" ")]
    tail: list[Segment] = []
    if width >= _WITH_MODEL:
        count = f"{row.message_count:,}"
        tail += [
            Segment("  " + fit(row.model or "", _MODEL), palette.muted),
            Segment(f"{count:>6}", quiet),
        ]
    if width >= _WITH_TIME:
        tail.append(Segment(f"  {at:>{times.WIDTH if width >= _WITH_TAGS else len(at)}}", quiet))
    left = width - 2 - sum(segment.cell_length for segment in tail) - 1
    tags = " ".join(f"#{tag}" for tag in row.tags)
    tag_room = min(len(tags) + 1, left // 3) if tags and width >= _WITH_TAGS else 0
    base = palette.strong if is_current else palette.text
    if words := clip(row.title, left - tag_room):
        title = Text.assemble((words, base))
        if query:
            mark_text(title, query, palette.match)
    else:
        title = Text.assemble((clip("Untitled", left - tag_room), quiet))
    if tag_room:
        title.append(" " + clip(tags, tag_room - 1), palette.tool)
    line += segments_of(title)
    used = sum(segment.cell_length for segment in line[2:])
    return [*line, Segment(" " * max(left - used, 0)), *tail, Segment(" ")]


def mark_text(text: Text, query: str, style: Style) -> None:
    """Draw the words of a filter where they stand."""
    from console.chat.shelf import marks  # with a filter only

    for start, end in marks(text.plain, query):
        text.stylize(style, start, end)


def segments_of(text: Text) -> list[Segment]:
    """The pieces of a text that is one line, without asking a console about it."""
    plain, base = text.plain, Style.parse(text.style) if isinstance(text.style, str) else text.style
    cuts = sorted({0, len(plain), *(span.start for span in text.spans), *(span.end for span in text.spans)})
    pieces = []
    for start, end in pairwise(cuts):
        style = base
        for span in text.spans:
            if span.start <= start < span.end and isinstance(span.style, Style):
                style += span.style
        pieces.append(Segment(plain[start:end], style))
    return pieces


def marked(text: str, ranges: Sequence[tuple[int, int]], base: Style, style: Style) -> Text:
    """A text whose `ranges` are drawn as found."""
    line = Text(text, base)
    for start, end in ranges:
        line.stylize(style, start, end)
    return line
