"""One message, rendered as it arrives.

The source is cut into lines, and a line longer than `PIECE` into pieces; each piece is read once and moves the state
on. What a finished block drew stays, as the same objects. What is open (the paragraph, table or line at the end) is
drawn when the lines are asked for, from a copy of the state that is then gone back to. So the lines depend on the text
alone and not on how it was cut into deltas, and the work is linear: everything that is drawn again is bounded in size,
since a paragraph that grows beyond a limit is drawn and let go up to its last row, and a table's widths stay after
a limit of rows.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from rich.segment import Segment

from screens.markdown.drawing import Highlight, Saved
from screens.markdown.highlight import is_worth_it
from screens.markdown.leaves import Code
from screens.markdown.lines import CodeBlock, Line
from screens.markdown.reading import PIECE, Reading
from screens.theme import Palette

_UNDECIDED = re.compile(r"[-*_+=#`~|:>$\\\[!<\s]*")
"""A line of which only such signs have come may yet be anything, so it is not shown before more of it is there."""


class Rendering(Reading):
    """Feed it text, read `lines`. For a new width or palette, make another one.

    `highlight` is called with the text and language of a fence as soon as it closes; without it, take finished code
    from `to_highlight()`, colour it elsewhere and hand it to `highlighted()`.
    """

    def feed(self, text: str) -> int:
        """Append source. Returns a line before which nothing changed; `settle()` knows it exactly, but has to draw."""
        assert not self._closed, "the text was said to be complete"
        if not text:
            return min(self._changed, len(self._lines))
        self._go_back()
        buffer = self._tail + text
        position = 0
        while True:
            end = buffer.find("\n", position, position + PIECE + 1)
            if end >= 0:
                stop = end - 1 if end > position and buffer[end - 1] == "\r" else end
                self._piece(buffer[position:stop], last=True)
                position = end + 1
            elif len(buffer) - position > PIECE:
                self._piece(buffer[position : position + PIECE], last=False)
                position += PIECE
            else:
                break
        self._tail = buffer[position:]
        self._dirty = True
        return min(self._old_first, self._changed)

    def close(self) -> int:
        """The text is complete. Returns the first line that changed."""
        if not self._closed:
            self._go_back()
            if self._tail:
                self._piece(self._tail.removesuffix("\r"), last=True)
                self._tail = ""
            self._finish_leaf()
            self._close_to(0)
            self._closed = True
            self._dirty = True
        return self.settle()

    def settle(self) -> int:
        """Draw what is open. Returns the first line that changed since the last call."""
        if self._dirty:
            self._dirty = False
            if not self._closed:
                self._draw_open()
            self._changed = min(self._changed, self._keep_equal())
        changed, self._changed = self._changed, sys.maxsize
        return min(changed, len(self._lines))

    @property
    def lines(self) -> Sequence[Line]:
        """The lines so far: always the same list, which the next `feed` changes."""
        if self._dirty:
            self._changed = self.settle()
        return self._lines

    @property
    def blocks(self) -> Sequence[CodeBlock]:
        """The code so far, the open one included."""
        if self._dirty:
            self._changed = self.settle()
        return [self._code_block(index) for index in range(len(self._blocks))]

    def to_highlight(self) -> list[CodeBlock]:
        """Finished code that a lexer would colour better. Each is given once."""
        if self._dirty:
            self._changed = self.settle()
        found: list[CodeBlock] = []
        while self._offered < len(self._blocks) and self._blocks[self._offered].closed:
            block = self._blocks[self._offered]
            if not block.pieces and block.language and is_worth_it(block.language, block.text):
                found.append(self._code_block(self._offered))
            self._offered += 1
        return found

    def highlighted(self, number: int, coloured_lines: Sequence[Sequence[Segment]]) -> int:
        """Take the colours of a finished piece of code. Returns the first line that changed.

        Colours that do not belong to this text (an unknown language, a message that was changed) change nothing.
        """
        if self._dirty:
            self._changed = self.settle()
        return self._recolour(number, coloured_lines)

    def _draw_open(self) -> None:
        """Read the line that is not complete yet and draw the open block, from a state that is gone back to."""
        last = self._blocks[-1] if self._blocks else None
        self._saved = Saved(
            self._state,
            len(self._lines),
            len(self._blocks),
            len(last.parts) if last else 0,
            last.last if last else 0,
            last.pieces if last else False,
        )
        tail = self._tail.removesuffix("\r")
        leaf = self._state.leaf
        in_fence = isinstance(leaf, Code) and bool(leaf.signs)
        if tail and (in_fence or not _UNDECIDED.fullmatch(tail)):
            if self._midline:
                self._more(tail, last=True)
            else:
                self._line(tail, whole=True)
        self._finish_leaf(trailing=True)
        self._draw_empty_items()

    def _go_back(self) -> None:
        saved = self._saved
        if saved is None:
            return
        self._saved = None
        self._state = saved.state
        self._old = self._lines[saved.lines :]
        self._old_first = saved.lines
        del self._lines[saved.lines :]
        del self._blocks[saved.blocks :]
        if self._blocks:
            block = self._blocks[-1]
            del block.parts[saved.parts :]
            block.last, block.pieces = saved.last, saved.pieces

    def _keep_equal(self) -> int:
        """Put back the old objects for lines that are drawn as before. Returns the first line that is not."""
        lines, first = self._lines, self._old_first
        changed = min(first + len(self._old), len(lines))
        for index, old in enumerate(self._old[: max(len(lines) - first, 0)], first):
            if lines[index] is old or lines[index] == old:
                lines[index] = old
            else:
                changed = min(changed, index)
        self._old = []
        return changed


def render(text: str, width: int, palette: Palette, *, highlight: Highlight | None = None) -> Rendering:
    """A whole message."""
    rendering = Rendering(width, palette, highlight=highlight)
    rendering.feed(text)
    rendering.close()
    return rendering
