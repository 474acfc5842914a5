"""Drawing code: one line at a time as it comes, and once more when a lexer has coloured all of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from screens.markdown.clean import clean, clean_code
from screens.markdown.colour import coloured
from screens.markdown.drawing import Drawing
from screens.markdown.highlight import is_worth_it
from screens.markdown.leaves import Block, Code
from screens.markdown.lines import CodeBlock, Line, Row, chop, to_strip, wrap
from screens.markdown.margins import Margin

_TAB = 4


class CodeDrawing(Drawing):
    def _open_code(self, signs: str, words: str) -> Code:
        language = words.split()[0].strip("{}.").split(",")[0] if words.split() else ""
        language = clean(language)[:40]
        side = self._begin_block(spaced=True)
        block = Block(language.lower(), len(self._lines), side, fenced=bool(signs))
        self._blocks.append(block)
        if signs:
            self._lines.append(self._label(side, language, len(self._blocks)))
            block.margin = side = side._replace(first=side.rest)
        leaf = Code(len(self._blocks) - 1, side, signs)
        block.last = len(self._lines)
        self._state = self._state._replace(leaf=leaf)
        return leaf

    def _label(self, side: Margin, language: str, number: int) -> Line:
        """The first line of a fence: its language, and the key that copies it."""
        palette = self.palette
        key = f"{number} " if side.width > 3 else ""
        gutter = " " * self._gutter(side)
        name = wrap([(f"{gutter}{language}", palette.text)], max(side.width - len(key), 1))[0].row[:1]
        shown = name[0][0] if name else ""
        gap = side.width - cell_len(shown) - len(key)
        strip = to_strip(
            side.first,
            [
                (shown, palette.code_block + palette.muted),
                (" " * max(gap, 0), palette.code_block),
                (key, palette.code_block + palette.faint),
            ],
        )
        return Line(strip, indent=side.cells + side.width, fill=palette.code_block)

    def _gutter(self, side: Margin) -> int:
        return 2 if side.width >= 12 else 0

    def _code_width(self, side: Margin) -> int:
        return max(side.width - self._gutter(side) - (1 if side.width >= 12 else 0), 1)

    def _code_lines(self, side: Margin, rows: Sequence[Row], before: int) -> list[Line]:
        """Rows of one source line, of which `before` were drawn already."""
        palette = self.palette
        gutter = self._gutter(side)
        drawn: list[Line] = []
        for index, row in enumerate(rows, before):
            mark = ("↪ " if index else "  ")[:gutter]
            style = palette.code_block + palette.faint if index else palette.code_block
            strip = to_strip(side.first if index == 0 else side.rest, [(mark, style)], row)
            drawn.append(Line(strip, index > 0, side.cells + gutter, "", palette.code_block))
        return drawn

    def _code_piece(self, leaf: Code, text: str, *, last: bool) -> None:
        """Draw a line of code, or a piece of one; the row that may grow is kept back."""
        block = self._blocks[leaf.block]
        block.parts.append(f"{text}\n" if last else text)
        block.pieces = block.pieces or not last or leaf.column > 0
        shown = clean_code(text)
        runs = _expanded(coloured(shown, block.language, self._syntax), leaf.column)
        rows = chop([*leaf.carry, *runs], self._code_width(leaf.margin))
        kept = rows if last else rows[:-1]
        self._lines.extend(self._code_lines(leaf.margin, kept, leaf.rows))
        side = leaf.margin._replace(first=leaf.margin.rest) if kept else leaf.margin
        if last:
            leaf = leaf._replace(carry=[], column=0, rows=0, margin=side)
        else:
            column = leaf.column + sum(cell_len(piece) for piece, _ in runs)
            leaf = leaf._replace(carry=rows[-1], column=column, rows=leaf.rows + len(kept), margin=side)
        block.last = len(self._lines)
        self._state = self._state._replace(leaf=leaf, blank=False)

    def _finish_code(self, leaf: Code) -> None:
        block = self._blocks[leaf.block]
        if leaf.column:
            self._lines.extend(self._code_lines(leaf.margin, [leaf.carry], leaf.rows))
            block.last = len(self._lines)
        if leaf.blanks:
            self._state = self._state._replace(blank=True)
        if self._saved:
            return
        block.closed = True
        if self._highlight and not block.pieces and is_worth_it(block.language, block.text):
            self._recolour(leaf.block + 1, self._highlight(block.text, block.language))

    def _code_block(self, index: int) -> CodeBlock:
        block = self._blocks[index]
        return CodeBlock(index + 1, block.language, block.text, block.first, max(block.last - 1, block.first))

    def _recolour(self, number: int, coloured_lines: Sequence[Sequence[Segment]]) -> int:
        """Draw a finished piece of code in these colours, if they belong to its text."""
        if not 1 <= number <= len(self._blocks):
            return len(self._lines)
        block = self._blocks[number - 1]
        sources = block.text.split("\n") if block.parts else []
        if not block.closed or block.pieces or len(coloured_lines) < len(sources):
            return len(self._lines)
        drawn: list[Line] = []
        for source, segments in zip(sources, coloured_lines, strict=False):
            shown = clean_code(source)
            if "".join([segment.text for segment in segments]).rstrip("\n") != shown:
                return len(self._lines)
            runs = _expanded(((segment.text, segment.style or self.palette.code_block) for segment in segments), 0)
            rows = chop(runs, self._code_width(block.margin))
            drawn.extend(self._code_lines(block.margin, rows, 0))
        first = block.first + block.fenced
        if len(drawn) != block.last - first:
            return len(self._lines)
        self._lines[first : block.last] = drawn
        return first


def _expanded(runs: Iterable[tuple[str, Style]], column: int) -> Row:
    """Tabs as blanks up to every fourth column."""
    row: Row = []
    for text, style in runs:
        if "\t" in text:
            parts: list[str] = []
            for character in text:
                if character == "\t":
                    size = _TAB - column % _TAB
                    parts.append(" " * size)
                else:
                    size = cell_len(character)
                    parts.append(character)
                column += size
            row.append(("".join(parts), style))
        else:
            column += cell_len(text)
            row.append((text, style))
    return row
