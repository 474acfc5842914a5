"""Drawing finished blocks: margins, distances, paragraphs that may be drawn again.

`Drawing`, `CodeDrawing`, `TableDrawing`, `References`, `Reading` and `Rendering` are one object in layers: each knows
the ones before it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style

from screens.markdown.blocks import Container, Item, Quote
from screens.markdown.clean import clean
from screens.markdown.colour import syntax_styles
from screens.markdown.inline import Inks, Inline, parse
from screens.markdown.leaves import Block, Leaf, Plain, Table
from screens.markdown.lines import Broken, Line, to_strip, wrap
from screens.markdown.margins import Margin, common, margin
from screens.theme import Palette

_MOST_WAITING = 2_000
_MOST_MARGINS = 256

Highlight = Callable[[str, str], list[list[Segment]]]


class State(NamedTuple):
    containers: tuple[Container, ...] = ()
    fresh: int = 0
    """The markers of the containers from here on were not drawn yet."""
    leaf: Leaf | None = None
    blank: bool = False
    """A blank line was read since the last block."""
    spaced: bool = False
    """The last block keeps a distance from what follows."""
    previous: tuple[Container, ...] = ()
    """What the last block stood in."""


class Drawn(NamedTuple):
    """What is needed to draw a table again."""

    table: Table
    side: Margin
    settled: tuple[int, ...] | None
    """Widths that rows after it rely on."""


class Waiting:
    """A finished block with words in brackets that may yet become links."""

    __slots__ = ("count", "drawn", "first")

    def __init__(self, first: int, count: int, drawn: Plain | Drawn) -> None:
        self.first = first
        self.count = count
        self.drawn = drawn


class Saved(NamedTuple):
    state: State
    lines: int
    blocks: int
    parts: int
    last: int
    pieces: bool


class Drawing:
    """The lines drawn so far, and the state that says how the next block is drawn."""

    def __init__(self, width: int, palette: Palette, *, highlight: Highlight | None = None) -> None:
        self.width = max(width, 1)
        self.palette = palette
        self._highlight = highlight
        self._inks = Inks(palette)
        self._lines: list[Line] = []
        self._blocks: list[Block] = []
        self._state = State()
        self._tail = ""
        self._midline = False
        self._closed = False
        self._saved: Saved | None = None
        self._old: list[Line] = []
        self._old_first = 0
        self._changed = sys.maxsize
        self._dirty = False
        self._references: dict[str, str] = {}
        self._waiting: dict[str, list[Waiting]] = {}
        self._waiters: list[Waiting] = []
        self._redrawn = 0
        self._offered = 0
        self._margins: dict[tuple[tuple[Container, ...], int], Margin] = {}
        self._syntax = syntax_styles(palette)
        self._grid: tuple[tuple[int, ...], list[tuple[list[Line], bool]]] = ((), [])

    def _margin(self) -> Margin:
        return self._margin_of(self._state.containers, self._state.fresh)

    def _margin_of(self, containers: tuple[Container, ...], fresh: int) -> Margin:
        key = (containers, fresh)
        found = self._margins.get(key)
        if found is None:
            if len(self._margins) > _MOST_MARGINS:
                self._margins.clear()
            found = self._margins[key] = margin(containers, fresh, self.width, self.palette)
        return found

    def _base(self) -> Style:
        quoted = any(isinstance(container, Quote) for container in self._state.containers)
        return self.palette.quote if quoted else self.palette.text

    def _begin_block(self, *, spaced: bool = False) -> Margin:
        """The margin for a block that is drawn now, after the distance it keeps."""
        state = self._state
        if self._lines and (state.blank or spaced or state.spaced):
            shared = common(state.previous, state.containers[: state.fresh])
            while shared and isinstance(shared[-1], Item):
                shared = shared[:-1]
            side = self._margin_of(shared, len(shared))
            self._lines.append(Line(to_strip(side.rest), indent=side.cells))
        found = self._margin()
        self._state = state._replace(fresh=len(state.containers), blank=False, spaced=spaced, previous=state.containers)
        return found

    def _lay(self, side: Margin, rows: Sequence[Broken], *, begun: bool = False) -> list[Line]:
        """Lines of prose with the margin before them."""
        drawn: list[Line] = []
        for index, (row, joint) in enumerate(rows):
            first = index == 0 and not begun
            strip = to_strip(side.first if first else side.rest, row)
            if joint is None:
                drawn.append(Line(strip, indent=side.copied))
            else:
                drawn.append(Line(strip, continues=True, indent=side.cells, joint=joint))
        return drawn

    def _draw_words(self, text: str, base: Style, side: Margin, *, trailing: bool = False) -> None:
        """A whole paragraph or heading, which is drawn again when a reference in it becomes known."""
        found = self._parse(text, base, trailing=trailing)
        first = len(self._lines)
        self._lines.extend(self._lay(side, wrap(found.runs, side.width)))
        self._wait(found.wanted, first, Plain(text, side, base))

    def _parse(self, text: str, base: Style, *, trailing: bool = False) -> Inline:
        return parse(text, base, self._inks, self._references, open_end=trailing)

    def _close_to(self, count: int) -> None:
        """Leave all containers but the first ones. An item that stayed empty is drawn as its bullet."""
        state = self._state
        if len(state.containers) > count:
            self._draw_empty_items()
            state = self._state
            self._state = state._replace(containers=state.containers[:count], fresh=min(state.fresh, count))

    def _draw_empty_items(self) -> None:
        state = self._state
        if any(isinstance(container, Item) for container in state.containers[state.fresh :]):
            side = self._begin_block()
            self._lines.extend(self._lay(side, [Broken([], None)]))

    def _draw_heading(self, level: int, words: str) -> None:
        palette = self.palette
        base = palette.heading if level <= 3 else palette.strong
        if level == 1:
            base += Style(underline=True)
        side = self._begin_block(spaced=True)
        self._draw_words(words, base, side, trailing=self._saved is not None)

    def _draw_rule(self) -> None:
        side = self._begin_block(spaced=True)
        self._lines.extend(self._lay(side, [Broken([("─" * side.width, self.palette.rule)], None)]))

    def _draw_plain(self, text: str, style: Style, *, inset: int = 0) -> None:
        """Text as it is, line by line."""
        side = self._begin_block()
        inset = inset if side.width > 12 else 0
        rows = wrap([(clean(text), style)], side.width - inset)
        if inset:
            rows = [Broken([(" " * inset, style), *row], joint) for row, joint in rows]
        self._lines.extend(self._lay(side, rows))

    def _wait(self, wanted: frozenset[str], first: int, drawn: Plain | Drawn) -> None:
        if not wanted or self._saved or len(self._waiters) >= _MOST_WAITING:
            return
        waiting = Waiting(first, len(self._lines) - first, drawn)
        self._waiters.append(waiting)
        for label in wanted:
            self._waiting.setdefault(label, []).append(waiting)
