"""Tables: columns that fit the width, cells that wrap, and a list of rows where even that does not fit."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.style import Style

from screens.markdown.inline import Inks
from screens.markdown.lines import Row, cells, wrap

NARROWEST = 5
"""A column is not made narrower than this; where that is not enough, each row becomes a small list."""
_ROOMY = 12
_BETWEEN = " │ "

Cell = tuple[Row, int, int]
"""The runs of a cell, the cells of its longest line, and those of its longest word."""


def measured(runs: Row) -> Cell:
    text = "".join([piece for piece, _ in runs])
    return (
        runs,
        max([cell_len(line) for line in text.split("\n")], default=0),
        max([cell_len(word) for word in text.split()], default=0),
    )


def widths(columns: Sequence[tuple[int, int]], width: int) -> list[int] | None:
    """The width of each column from its longest line and its longest word; None where a grid does not fit."""
    room = width - len(_BETWEEN) * (len(columns) - 1)
    wanted = [max(line, 1) for line, _ in columns]
    if sum(wanted) <= room:
        return wanted
    least = [min(line, NARROWEST) for line in wanted]
    if sum(least) > room:
        return None
    # Words are kept whole where that leaves every column its least.
    whole = [min(max(word, low), max(low, room // 2)) for (_, word), low in zip(columns, least, strict=True)]
    floor = whole if sum(whole) <= room else least
    return _shared(wanted, floor, room)


def roomy(columns: Sequence[int], width: int) -> list[int]:
    """Widths that stay, for rows that are not known yet: narrow columns get some of the room that is left."""
    found = list(columns)
    spare = width - sum(found) - len(_BETWEEN) * (len(found) - 1)
    for index, size in enumerate(found):
        more = min(max(_ROOMY - size, 0), spare)
        found[index] += more
        spare -= more
    return found


def _shared(wanted: list[int], floor: list[int], room: int) -> list[int]:
    """Every column at most as wide as one limit, as high as fits; what is left over goes to the first ones."""
    low, high = 0, max(wanted)
    while low < high:
        limit = (low + high + 1) // 2
        if sum([max(least, min(line, limit)) for line, least in zip(wanted, floor, strict=True)]) <= room:
            low = limit
        else:
            high = limit - 1
    found = [max(least, min(line, low)) for line, least in zip(wanted, floor, strict=True)]
    spare = room - sum(found)
    for index, line in enumerate(wanted):
        if spare and found[index] < line:
            found[index] += 1
            spare -= 1
    return found


def grid_row(row: Sequence[Cell], columns: Sequence[int], aligned: Sequence[str], inks: Inks) -> list[Row]:
    """The screen rows of one table row."""
    palette = inks.palette
    wrapped: list[list[Row]] = [
        [broken.row for broken in wrap(row[index][0], size)] if index < len(row) else [[]]
        for index, size in enumerate(columns)
    ]
    rows: list[Row] = []
    for level in range(max(len(lines) for lines in wrapped)):
        out: Row = []
        for index, lines in enumerate(wrapped):
            if index:
                out.append((_BETWEEN, palette.rule))
            runs = lines[level] if level < len(lines) else []
            out.extend(_aligned(runs, columns[index], aligned[index], palette.text, last=index == len(columns) - 1))
        rows.append(out)
    return rows


def _aligned(runs: Row, size: int, alignment: str, style: Style, *, last: bool) -> Row:
    spare = size - cells(runs)
    before = spare if alignment == "r" else spare // 2 if alignment == "c" else 0
    after = 0 if last else spare - before
    return [(" " * before, style), *runs, (" " * after, style)]


def divider(columns: Sequence[int], inks: Inks, *, strong: bool) -> Row:
    """The line under the head (strong), and between rows where one takes several lines."""
    stroke, crossing = ("─", "─┼─") if strong else ("┈", "┈┼┈")
    return [(crossing.join([stroke * size for size in columns]), inks.palette.rule)]


def listed_row(head: Sequence[Row], row: Sequence[Cell], width: int, inks: Inks) -> list[tuple[Row, bool]]:
    """One row as a list of its cells, each after the name of its column; with each line, whether it continues."""
    palette = inks.palette
    rows: list[tuple[Row, bool]] = []
    for index, (runs, longest, _) in enumerate(row):
        if not longest:
            continue
        name = head[index] if index < len(head) else []
        label: Row = [*name, (": ", palette.muted)] if name else []
        flowed = wrap([*label, *runs], max(width, 1))
        rows.extend((broken.row, broken.joint is not None) for broken in flowed)
    return rows
