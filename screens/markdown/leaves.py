"""The block that is being read, with what it has collected. None is changed once made, so that reading can go back."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from rich.style import Style

from screens.markdown.lines import Row
from screens.markdown.margins import Margin
from screens.markdown.tables import Cell


class Paragraph(NamedTuple):
    text: str
    carry: Row = []  # noqa: RUF012 - never changed
    """The last row of what was drawn already, of a paragraph that grew too long to be kept whole."""
    joint: str | None = None
    begun: bool = False


class Code(NamedTuple):
    """A fence (with its signs) or indented code (without). Its lines are drawn as they come."""

    block: int
    margin: Margin
    signs: str = ""
    blanks: tuple[str, ...] = ()
    """Blank lines of indented code, which belong to it only if more follows."""
    carry: Row = []  # noqa: RUF012 - never changed
    column: int = 0
    """Cells of the source line that were read already, of a line that comes in pieces."""
    rows: int = 0
    """Rows of that line that were drawn."""


class Formula(NamedTuple):
    closer: str


class Html(NamedTuple):
    """Lines shown as they are up to a blank one."""


class Table(NamedTuple):
    head: tuple[Cell, ...]
    aligned: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    columns: tuple[tuple[int, int], ...]
    """Longest line and longest word of each column."""
    size: int
    wanted: frozenset[str]
    source: tuple[str, ...]
    """The lines, for drawing it again when a reference in it becomes known."""
    settled: tuple[int, ...] | None = None
    """The widths, once so many rows are drawn that they stay; empty for a table shown as a list."""
    multiline: bool = False
    """Whether the last row drawn took several lines."""


Leaf: TypeAlias = Paragraph | Code | Formula | Html | Table


class Block:
    """A piece of code under way. `parts` only grow, or are cut back to what they were."""

    __slots__ = ("closed", "fenced", "first", "language", "last", "margin", "parts", "pieces")

    def __init__(self, language: str, first: int, margin: Margin, *, fenced: bool) -> None:
        self.language = language
        self.first = first
        self.last = first
        self.margin = margin
        self.fenced = fenced
        self.parts: list[str] = []
        self.pieces = False
        """A line of it was so long that it came in pieces."""
        self.closed = False

    @property
    def text(self) -> str:
        return "".join(self.parts).removesuffix("\n")


class Plain(NamedTuple):
    """What is needed to draw a paragraph or heading again."""

    text: str
    margin: Margin
    base: Style
