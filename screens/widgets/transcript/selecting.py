"""Selected text over any number of messages.

A place in the text is given to Textual as an offset whose y is message and line in one number, so that selections keep
their order and stay where they are while heights of other messages are corrected.
"""

from __future__ import annotations

from typing import NamedTuple

from textual.geometry import Offset
from textual.selection import Selection

from screens.widgets.transcript.column import Column
from screens.widgets.transcript.message import Message

LAID_TO_COPY = 300
"""Messages out of sight that are laid out to copy them; of more, the source is taken."""
_LINES = 32


class Point(NamedTuple):
    message: int
    line: int
    character: int


def offset_y(message: int, line: int) -> int:
    return message << _LINES | line


def point_of(offset: Offset) -> Point:
    return Point(offset.y >> _LINES, offset.y & ((1 << _LINES) - 1), max(offset.x, 0))


def points(selection: Selection, column: Column) -> tuple[Point, Point]:
    """Both ends. Where an end lies outside the transcript, the selection goes to its beginning or its end."""
    start = Point(0, 0, 0) if selection.start is None else point_of(selection.start)
    end = Point(len(column), 0, 0) if selection.end is None else point_of(selection.end)
    return start, end


def span(start: Point, end: Point, message: int, line: int, size: int) -> tuple[int, int] | None:
    """The selected characters of a line that has so many."""
    here = (message, line)
    if not start[:2] <= here <= end[:2]:
        return None
    first = start.character if here == start[:2] else 0
    last = min(end.character, size) if here == end[:2] else size
    return (first, last) if first < last else None


def selected_text(selection: Selection, column: Column) -> str:
    """The text without gutter and padding; what wrapping parted is joined again."""
    start, end = points(selection, column)
    last = min(end.message, len(column) - 1)
    to_lay = LAID_TO_COPY
    parts: list[str] = []
    for index in range(start.message, last + 1):
        message = column.messages[index]
        if message.waits and start.message < index < end.message:
            parts.append(("\n" if parts else "") + message.item.text + "\n")
            continue
        if message.look != column.look:
            to_lay -= 1
            if to_lay < 0:
                parts.append(("\n" if parts else "") + message.item.text + "\n")
                continue
            message = Message(message.item)
            message.lay(column.look)
        _add_message(parts, message, index, start, end)
    return "".join(parts).strip("\n")


def _add_message(parts: list[str], message: Message, index: int, start: Point, end: Point) -> None:
    first = start.line if index == start.message else 0
    last = min(end.line + 1, message.height) if index == end.message else message.height
    for number in range(first, last):
        line = message.line(number)
        text = line.strip.text
        from_character = max(start.character if (index, number) == start[:2] else 0, line.indent)
        to_character = end.character if (index, number) == end[:2] else len(text)
        if parts:
            parts.append(line.joint if line.continues else "\n")
        parts.append(text[from_character:to_character])
