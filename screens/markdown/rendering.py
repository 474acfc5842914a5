"""One message, rendered as it arrives.

The source is cut into lines, and a line longer than `_PIECE` into pieces; each piece is read once and moves the state
on. What a finished block drew stays, as the same objects. What is open (the paragraph, table or line at the end) is
drawn when the lines are asked for, from a copy of the state that is then gone back to. So the lines depend on the text
alone and not on how it was cut into deltas, and the work is linear: everything that is drawn again is bounded in size,
since a paragraph that grows beyond `_LONGEST` is drawn and let go up to its last row, and a table's widths stay after
`_TABLE_ROWS` rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from screens.markdown import blocks, tables
from screens.markdown.blocks import DEEPEST, Container, Item, Quote, leading
from screens.markdown.clean import clean, clean_code
from screens.markdown.colour import coloured, syntax_styles
from screens.markdown.highlight import is_worth_it
from screens.markdown.inline import MATH, Inks, Inline, normal_label, parse
from screens.markdown.latex import readable
from screens.markdown.leaves import Block, Code, Formula, Html, Leaf, Paragraph, Plain, Table
from screens.markdown.lines import Broken, CodeBlock, Line, Row, chop, to_strip, wrap
from screens.markdown.margins import Margin, common, margin
from screens.theme import Palette

_PIECE = 4096
_LONGEST = 4096
_TABLE_ROWS = 200
_TABLE_CHARACTERS = 16_384
_MOST_REFERENCES = 1_000
_MOST_WAITING = 2_000
_MOST_REDRAWN = 400_000
_MOST_MARGINS = 256
_TAB = 4

_UNDECIDED = re.compile(r"[-*_+=#`~|:>$\\\[!<\s]*")
"""A line of which only such signs have come may yet be anything, so it is not shown before more of it is there."""

Highlight = Callable[[str, str], list[list[Segment]]]


class _State(NamedTuple):
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


class _Drawn(NamedTuple):
    """What is needed to draw a table again."""

    table: Table
    side: Margin
    settled: tuple[int, ...] | None
    """Widths that rows after it rely on."""


class _Waiting:
    """A finished block with words in brackets that may yet become links."""

    __slots__ = ("count", "drawn", "first")

    def __init__(self, first: int, count: int, drawn: Plain | _Drawn) -> None:
        self.first = first
        self.count = count
        self.drawn = drawn


class _Saved(NamedTuple):
    state: _State
    lines: int
    blocks: int
    parts: int
    last: int
    pieces: bool


class Rendering:
    """Feed it text, read `lines`. For a new width or palette, make another one.

    `highlight` is called with the text and language of a fence as soon as it closes; without it, take finished code
    from `to_highlight()`, colour it elsewhere and hand it to `highlighted()`.
    """

    def __init__(self, width: int, palette: Palette, *, highlight: Highlight | None = None) -> None:
        self.width = max(width, 1)
        self.palette = palette
        self._highlight = highlight
        self._inks = Inks(palette)
        self._lines: list[Line] = []
        self._blocks: list[Block] = []
        self._state = _State()
        self._tail = ""
        self._midline = False
        self._closed = False
        self._saved: _Saved | None = None
        self._old: list[Line] = []
        self._old_first = 0
        self._changed = 0
        self._dirty = False
        self._references: dict[str, str] = {}
        self._waiting: dict[str, list[_Waiting]] = {}
        self._waiters: list[_Waiting] = []
        self._redrawn = 0
        self._offered = 0
        self._margins: dict[tuple[tuple[Container, ...], int], Margin] = {}
        self._syntax = syntax_styles(palette)
        self._grid: tuple[tuple[int, ...], list[tuple[list[Line], bool]]] = ((), [])

    # What callers use

    def feed(self, text: str) -> int:
        """Append source. Returns a line before which nothing changed; `settle()` knows it exactly, but has to draw."""
        assert not self._closed, "the text was said to be complete"
        if not text:
            return min(self._changed, len(self._lines))
        self._go_back()
        first = min(self._changed, len(self._lines))
        self._changed = first
        buffer = self._tail + text
        position = 0
        while True:
            end = buffer.find("\n", position, position + _PIECE + 1)
            if end >= 0:
                stop = end - 1 if end > position and buffer[end - 1] == "\r" else end
                self._piece(buffer[position:stop], last=True)
                position = end + 1
            elif len(buffer) - position > _PIECE:
                self._piece(buffer[position : position + _PIECE], last=False)
                position += _PIECE
            else:
                break
        self._tail = buffer[position:]
        self._dirty = True
        return min(first, self._changed)

    def close(self) -> int:
        """The text is complete. Returns the first line that changed."""
        if not self._closed:
            self._go_back()
            self._changed = min(self._changed, len(self._lines))
            if self._tail:
                self._piece(self._tail.removesuffix("\r"), last=True)
                self._tail = ""
            self._finish_leaf()
            self._close_to(0)
            self._closed = True
            self._dirty = True
            self._old_first = min(self._old_first, len(self._lines))
        return self.settle()

    def settle(self) -> int:
        """Draw what is open. Returns the first line that changed since the last call."""
        if self._dirty:
            self._dirty = False
            if not self._closed:
                self._draw_open()
            self._changed = min(self._changed, self._keep_equal())
        changed, self._changed = self._changed, len(self._lines)
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

    # From pieces to blocks

    def _piece(self, text: str, *, last: bool) -> None:
        begins = not self._midline
        self._midline = not last
        if begins:
            self._line(text, whole=last)
        else:
            self._more(text, last=last)

    def _line(self, text: str, *, whole: bool) -> None:
        """Read a line, or the beginning of a very long one."""
        state = self._state
        matched, rest = self._match(text)
        inside = matched == len(state.containers)
        leaf = state.leaf
        if inside and isinstance(leaf, Code) and leaf.signs:
            self._in_fence(leaf, rest, whole=whole)
            return
        if inside and isinstance(leaf, Formula) and rest.strip():
            self._in_formula(leaf, rest)
            return
        indent, body = leading(rest)
        if not body:
            self._blank_line(matched, rest)
            return
        if inside and isinstance(leaf, Code) and indent >= 4:
            for blank in leaf.blanks:
                self._code_piece(leaf, blank, last=True)
            self._code_piece(leaf._replace(blanks=()), blocks.without_columns(rest, 4), last=whole)
            return
        if inside and isinstance(leaf, Html):
            self._draw_plain(rest, self.palette.muted)
            return
        if leaf is not None and not isinstance(leaf, Paragraph | Table):
            self._finish_leaf()
        opened, rest = self._open_containers(matched, rest, whole=whole)
        indent, body = leading(rest)
        if not opened and not inside:
            if isinstance(leaf, Paragraph) and not self._begins_block(indent, body, whole=whole):
                self._grow(leaf, f"{leaf.text}\n{body}")
                return
            self._finish_leaf()
            self._close_to(matched)
        if body:
            self._start_leaf(indent, body, rest, whole=whole)
        elif not whole:
            self._finish_leaf()  # thousands of quote marks, and no text yet

    def _more(self, text: str, *, last: bool) -> None:
        """Read on in a very long line."""
        leaf = self._state.leaf
        match leaf:
            case Paragraph():
                self._grow(leaf, leaf.text + text)
            case Code():
                self._code_piece(leaf, text, last=last)
            case Formula():
                self._in_formula(leaf, text)
            case Html():
                self._draw_plain(text, self.palette.muted)
            case _:
                self._finish_leaf()
                containers = self._state.containers
                words = text.lstrip("> \t" if containers and isinstance(containers[-1], Quote) else " \t")
                if words:
                    self._grow(Paragraph(""), words)

    def _match(self, text: str) -> tuple[int, str]:
        """How many of the open containers the line is in, and what it has after their marks."""
        rest = text
        in_code = isinstance(self._state.leaf, Code) and bool(self._state.leaf.signs)
        containers = self._state.containers
        for index, container in enumerate(containers):
            indent, body = leading(rest)
            if isinstance(container, Quote):
                if indent > 3 or not body.startswith(">"):
                    return index, rest
                rest = _after_bar(body)
            elif not body:
                continue
            elif indent >= container.content or in_code:
                # Models often indent code in a list less than its item: the fence decides, not the indent.
                rest = blocks.without_columns(rest, container.content)
            elif indent >= container.indent + 2 and blocks.marker(body):
                rest = body  # a list inside that is indented less than CommonMark asks for
            else:
                return index, rest
        return len(containers), rest

    def _blank_line(self, matched: int, rest: str) -> None:
        state = self._state
        inside = matched == len(state.containers)
        if inside and isinstance(state.leaf, Code):
            blanks = (*state.leaf.blanks, blocks.without_columns(rest, 4))
            if len(blanks) > 100:  # so many blank lines end it
                self._finish_leaf()
            else:
                self._state = state._replace(leaf=state.leaf._replace(blanks=blanks))
                return
        self._finish_leaf()
        if not inside:
            self._close_to(matched)
        self._draw_empty_items()
        self._state = self._state._replace(blank=True)

    def _open_containers(self, matched: int, rest: str, *, whole: bool) -> tuple[bool, str]:
        """Enter the quotes and items that begin in this line."""
        state = self._state
        leaf = state.leaf
        new: list[Container] = []
        while True:
            indent, body = leading(rest)
            depth = matched + len(new)
            enclosing = new[-1] if new else state.containers[matched - 1] if matched else None
            if not body:
                break
            if body[0] == ">" and indent < 4:
                if depth >= DEEPEST:
                    rest = body.lstrip("> \t") if isinstance(enclosing, Quote) else rest
                    break
                new.append(Quote())
                rest = _after_bar(body)
                continue
            found = blocks.marker(body) if depth < DEEPEST and not (whole and blocks.is_rule(body)) else None
            if not found or (
                indent >= 4 and not (isinstance(leaf, Paragraph) and isinstance(enclosing, Item) and not new)
            ):
                break
            sibling = state.containers[matched] if not new and matched < len(state.containers) else None
            interrupts = isinstance(leaf, Paragraph) and not new and not isinstance(sibling, Item)
            if interrupts and matched == len(state.containers) and (not found.rest or found.number not in (None, 1)):
                break
            items = sum(isinstance(container, Item) for container in (*state.containers[:matched], *new))
            number = found.number
            if number is not None and isinstance(sibling, Item) and sibling.sign == found.sign:
                number = max(number, (sibling.number or 0) + 1)
            new.append(Item(indent, indent + found.width, found.sign, number, found.task, items))
            rest = found.rest
        if new:
            self._finish_leaf()
            self._close_to(matched)
            state = self._state
            self._state = state._replace(containers=(*state.containers, *new))
        return bool(new), rest

    def _begins_block(self, indent: int, body: str, *, whole: bool) -> bool:
        """Whether a line ends a paragraph of a container that it is not in."""
        if indent >= 4:
            return False
        return blocks.starts_html(body) or (
            whole and bool(blocks.heading(body) or blocks.fence(body) or blocks.is_rule(body))
        )

    def _start_leaf(self, indent: int, body: str, rest: str, *, whole: bool) -> None:
        """Begin a block, or go on with the paragraph or table that is open."""
        leaf = self._state.leaf
        if isinstance(leaf, Table):
            if whole and "|" in body:
                self._table_row(leaf, body)
                return
            self._finish_leaf()
            leaf = None
        if indent >= 4:
            if isinstance(leaf, Paragraph):
                self._grow(leaf, f"{leaf.text}\n{body}")
            else:
                code = self._open_code("", "")
                self._code_piece(code, blocks.without_columns(rest, 4), last=whole)
            return
        if whole:
            if isinstance(leaf, Paragraph) and self._ends_paragraph(leaf, body):
                return
            if found := blocks.heading(body):
                self._finish_leaf()
                self._draw_heading(*found)
                return
            if opening := blocks.fence(body):
                self._finish_leaf()
                signs, words = opening
                self._open_code(signs, words)
                return
            if blocks.is_rule(body):
                self._finish_leaf()
                self._draw_rule()
                return
            if body.startswith(("$$", "\\[")) and self._display_formula(body):
                return
            if leaf is None and (reference := blocks.definition(body)):
                self._define(*reference)
                return
        if blocks.starts_html(body):
            self._finish_leaf()
            self._state = self._state._replace(leaf=Html())
            self._draw_plain(body, self.palette.muted)
            return
        if isinstance(leaf, Paragraph):
            self._grow(leaf, f"{leaf.text}\n{body}")
        else:
            self._grow(Paragraph(""), body)

    def _ends_paragraph(self, leaf: Paragraph, body: str) -> bool:
        """Whether the line underlines the paragraph as a heading, or makes its last line the head of a table."""
        level = blocks.underline(body)
        if level and not leaf.begun:
            self._state = self._state._replace(leaf=None)
            self._draw_heading(level, leaf.text)
            return True
        aligned = blocks.alignments(body)
        if aligned is None:
            return False
        before, _, head = leaf.text.rpartition("\n")
        names = blocks.split_cells(head)
        if len(names) != len(aligned) or (leaf.begun and not before):
            return False
        self._state = self._state._replace(leaf=leaf._replace(text=before) if before or leaf.begun else None)
        self._finish_leaf()
        table = Table((), aligned, (), ((1, 1),) * len(aligned), 0, frozenset(), (body,))
        self._grid = ((), [])
        self._state = self._state._replace(leaf=self._with_row(table, head, head=True))
        return True

    # Drawing

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

    def _grow(self, leaf: Paragraph, text: str) -> None:
        """The paragraph with more text. One that is too long is drawn up to its last row."""
        while len(text) > _LONGEST:
            side = self._begin_block() if not leaf.begun else self._margin()
            cut = _cut(text)
            rows = self._paragraph_rows(leaf._replace(text=text[:cut]), side)
            self._lines.extend(self._lay(side, rows[:-1], begun=leaf.begun))
            if len(rows) > 1 or leaf.begun:
                leaf = Paragraph("", rows[-1].row, rows[-1].joint, begun=True)
            else:
                leaf = Paragraph("", rows[-1].row, rows[-1].joint, begun=False)
            text = text[cut:]
        self._state = self._state._replace(leaf=leaf._replace(text=text))

    def _paragraph_rows(self, leaf: Paragraph, side: Margin, *, trailing: bool = False) -> list[Broken]:
        found = self._parse(leaf.text, self._base(), trailing=trailing)
        rows = wrap([*leaf.carry, *found.runs], side.width)
        return [rows[0]._replace(joint=leaf.joint), *rows[1:]]

    def _finish_leaf(self, *, trailing: bool = False) -> None:
        """Draw what the open block has not drawn yet, and close it. `trailing`: the text may go on."""
        leaf = self._state.leaf
        self._state = self._state._replace(leaf=None)
        match leaf:
            case Paragraph() if not leaf.begun and not leaf.carry:
                text = leaf.text.rstrip(" \t\n")
                if text:
                    base = self._base()
                    self._draw_words(text, base, self._begin_block(), trailing=trailing)
            case Paragraph():
                side = self._margin() if leaf.begun else self._begin_block()
                rows = self._paragraph_rows(leaf._replace(text=leaf.text.rstrip(" \t\n")), side, trailing=trailing)
                self._lines.extend(self._lay(side, rows, begun=leaf.begun))
            case Table():
                self._finish_table(leaf, last=True)
            case Code():
                self._finish_code(leaf)
            case _:
                pass

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

    # Formulas

    def _display_formula(self, body: str) -> bool:
        """A formula on lines of its own; False if the line is rather a paragraph that begins with one."""
        closer = "$$" if body.startswith("$$") else "\\]"
        inside, found, after = body[2:].partition(closer)
        if found and after.strip(" \t.,;"):
            return False
        if not found and closer == "\\]" and inside.strip() and not set(inside) & set("\\=^_{"):
            return False
        self._finish_leaf()
        self._state = self._state._replace(leaf=None if found else Formula(closer))
        self._draw_formula(inside + after if found else inside)
        return True

    def _in_formula(self, leaf: Formula, text: str) -> None:
        inside, found, after = text.partition(leaf.closer)
        self._draw_formula(inside)
        if found:
            self._state = self._state._replace(leaf=None)
            if after.strip():
                self._grow(Paragraph(""), after.strip())

    def _draw_formula(self, formula: str) -> None:
        shown = readable(clean(formula).strip())
        if shown.strip():
            self._draw_plain(shown, self._inks.style(self.palette.text, MATH), inset=2)

    # Code

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
        name = wrap([(f" {language}", palette.text)], max(side.width - len(key), 1))[0].row[:1]
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

    def _in_fence(self, leaf: Code, rest: str, *, whole: bool) -> None:
        if whole and blocks.closes_fence(rest, leaf.signs):
            self._finish_leaf()
        elif not self._saved or not rest.strip() or rest.strip() != leaf.signs[: len(rest.strip())]:
            # The beginning of what may become the closing line is not shown while it arrives.
            self._code_piece(leaf, rest, last=whole)

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
            dirty, self._dirty = self._dirty, False
            self.highlighted(leaf.block + 1, self._highlight(block.text, block.language))
            self._dirty = dirty

    def _code_block(self, index: int) -> CodeBlock:
        block = self._blocks[index]
        return CodeBlock(index + 1, block.language, block.text, block.first, max(block.last - 1, block.first))

    # Tables

    def _with_row(self, table: Table, line: str, *, head: bool = False) -> Table:
        """The table with one more row read. Cells beyond the head's are left out, as everywhere."""
        found = [
            self._parse(cell, self.palette.table_head if head else self._base())
            for cell in blocks.split_cells(line)[: len(table.aligned)]
        ]
        row = tuple([tables.measured(inline.runs) for inline in found])
        columns = tuple(
            [
                (max(old[0], new[1]), max(old[1], new[2]))
                for old, new in zip(table.columns, (*row, *[([], 0, 0)] * len(table.columns)), strict=False)
            ]
        )
        return table._replace(
            head=row if head else table.head,
            rows=table.rows if head else (*table.rows, row),
            columns=columns,
            size=table.size + len(line),
            wanted=table.wanted.union(*[inline.wanted for inline in found]),
            source=(*table.source, line),
        )

    def _table_row(self, table: Table, line: str) -> None:
        table = self._with_row(table, line)
        if table.settled is not None:
            drawn, multiline = self._more_rows(table, self._margin(), table.settled)
            self._lines.extend(drawn)
            table = table._replace(rows=(), source=(), wanted=frozenset(), multiline=multiline)
        elif len(table.rows) >= _TABLE_ROWS or table.size > _TABLE_CHARACTERS:
            widths, multiline = self._finish_table(table, last=False)
            table = table._replace(rows=(), source=(), wanted=frozenset(), settled=widths, multiline=multiline)
        self._state = self._state._replace(leaf=table)

    def _finish_table(self, table: Table, *, last: bool) -> tuple[tuple[int, ...], bool]:
        """Draw the rows that were not drawn yet.

        Returns the widths, none for a list, and whether the last row took several lines.
        """
        if table.settled is not None:
            return table.settled, table.multiline
        side = self._begin_block(spaced=True)
        first = len(self._lines)
        widths = tables.widths(table.columns, side.width) or []
        if widths and not last:
            widths = tables.roomy(widths, side.width)
        drawn, multiline = self._all_rows(table, side, tuple(widths))
        self._lines.extend(drawn)
        self._wait(table.wanted, first, _Drawn(table, side, None if last else tuple(widths)))
        return tuple(widths), multiline

    def _all_rows(self, table: Table, side: Margin, widths: tuple[int, ...]) -> tuple[list[Line], bool]:
        """The head and the rows. Those before the last one are not laid out again while the widths stay."""
        if not widths:
            return self._listed(table, side, fresh=False), False
        if self._grid[0] != widths:
            self._grid = (widths, [])
        head = tables.grid_row(table.head, widths, table.aligned, self._inks)
        head.append(tables.divider(widths, self._inks, strong=True))
        lines = self._row_lines(side, head, begun=False)
        known = self._grid[1]
        multiline = False
        for index, row in enumerate(table.rows):
            if index < len(known) and index < len(table.rows) - 1:
                drawn, multiline = known[index]
            else:
                drawn, multiline = self._row(row, table, side, widths, divided=multiline, first=not index)
                if index == len(known) and index < len(table.rows) - 1:
                    known.append((drawn, multiline))
            lines.extend(drawn)
        return lines, multiline

    def _more_rows(self, table: Table, side: Margin, widths: tuple[int, ...]) -> tuple[list[Line], bool]:
        """The row after those that were drawn."""
        if not widths:
            return self._listed(table, side, fresh=True), False
        return self._row(table.rows[-1], table, side, widths, divided=table.multiline, first=False)

    def _row(
        self,
        row: tuple[tables.Cell, ...],
        table: Table,
        side: Margin,
        widths: tuple[int, ...],
        *,
        divided: bool,
        first: bool,
    ) -> tuple[list[Line], bool]:
        """The lines of a row. A thin line divides it from the one before where either takes several lines."""
        rows = tables.grid_row(row, widths, table.aligned, self._inks)
        multiline = len(rows) > 1
        if (divided or multiline) and not first:
            rows.insert(0, tables.divider(widths, self._inks, strong=False))
        return self._row_lines(side, rows, begun=True), multiline

    def _row_lines(self, side: Margin, rows: Sequence[Row], *, begun: bool) -> list[Line]:
        lines = self._lay(side, [Broken(row, None) for row in rows], begun=begun)
        return [line._replace(indent=side.cells) for line in lines]

    def _listed(self, table: Table, side: Margin, *, fresh: bool) -> list[Line]:
        """The rows as small lists, for a table with too many columns."""
        head = [cell[0] for cell in table.head]
        lines: list[Line] = []
        short = [("┈" * min(side.width, 12), self.palette.rule)]
        for index, row in enumerate(table.rows):
            if index or fresh:
                lines.append(Line(to_strip(side.rest, short), indent=side.cells))
            for number, (runs, continues) in enumerate(tables.listed_row(head, row, side.width, self._inks)):
                first = not fresh and not index and not number
                strip = to_strip(side.first if first else side.rest, runs)
                lines.append(Line(strip, continues, side.cells, " " if continues else ""))
        if not table.rows and not fresh:
            lines = self._lay(
                side, wrap([run for name in head for run in (*name, (" ", self.palette.text))], side.width)
            )
        return lines

    # References

    def _wait(self, wanted: frozenset[str], first: int, drawn: Plain | _Drawn) -> None:
        if not wanted or self._saved or len(self._waiters) >= _MOST_WAITING:
            return
        waiting = _Waiting(first, len(self._lines) - first, drawn)
        self._waiters.append(waiting)
        for label in wanted:
            self._waiting.setdefault(label, []).append(waiting)

    def _define(self, label: str, address: str, title: str) -> None:
        """Show a reference's definition, and make links of what was waiting for it."""
        side = self._begin_block()
        muted = self.palette.muted
        runs = [(f"[{clean(label)}] ", muted), (clean(address), self._inks.target(muted, address))]
        if title:
            runs.append((f" {clean(title)}", muted))
        self._lines.extend(self._lay(side, wrap(runs, side.width)))
        name = normal_label(label)
        if self._saved or name in self._references or len(self._references) >= _MOST_REFERENCES:
            return
        self._references[name] = address
        for waiting in self._waiting.pop(name, ()):
            self._redraw(waiting)

    def _redraw(self, waiting: _Waiting) -> None:
        drawn = waiting.drawn
        size = len(drawn.text) if isinstance(drawn, Plain) else drawn.table.size
        self._redrawn += size
        if self._redrawn > _MOST_REDRAWN:
            return
        if isinstance(drawn, Plain):
            found = self._parse(drawn.text, drawn.base)
            lines = self._lay(drawn.margin, wrap(found.runs, drawn.margin.width))
        else:
            lines = self._table_again(drawn)
        first, count = waiting.first, waiting.count
        self._lines[first : first + count] = lines
        self._changed = min(self._changed, first)
        more = len(lines) - count
        self._old = []
        if more:
            waiting.count += more
            for other in self._waiters:
                if other.first > first:
                    other.first += more
            for block in self._blocks:
                if block.first > first:
                    block.first += more
                    block.last += more

    def _table_again(self, drawn: _Drawn) -> list[Line]:
        table, side, settled = drawn
        state = self._state
        self._state = state._replace(containers=(Quote(),) if side.quoted else ())
        again = Table((), table.aligned, (), ((1, 1),) * len(table.aligned), 0, frozenset(), (table.source[0],))
        for index, line in enumerate(table.source[1:]):
            again = self._with_row(again, line, head=index == 0)
        self._state = state
        widths = settled if settled is not None else tables.widths(again.columns, side.width) or ()
        kept, self._grid = self._grid, ((), [])
        lines, _ = self._all_rows(again, side, tuple(widths))
        self._grid = kept
        return lines

    # The open end

    def _draw_open(self) -> None:
        """Read the line that is not complete yet and draw the open block, from a state that is gone back to."""
        last = self._blocks[-1] if self._blocks else None
        self._saved = _Saved(
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
        changed = len(lines)
        for index, old in enumerate(self._old[: max(len(lines) - first, 0)], first):
            if lines[index] is old or lines[index] == old:
                lines[index] = old
            elif index < changed:
                changed = index
        changed = min(changed, first + len(self._old)) if self._old else min(changed, self._changed)
        self._old = []
        return changed


def render(text: str, width: int, palette: Palette, *, highlight: Highlight | None = None) -> Rendering:
    """A whole message."""
    rendering = Rendering(width, palette, highlight=highlight)
    rendering.feed(text)
    rendering.close()
    return rendering


def _after_bar(body: str) -> str:
    return body[2:] if body.startswith("> ") else body[1:]


def _cut(text: str) -> int:
    """Where a long paragraph is divided: at the last blank of its first part, or anywhere between two characters."""
    blank = max(text.rfind(" ", _LONGEST // 2, _LONGEST), text.rfind("\n", _LONGEST // 2, _LONGEST))
    if blank >= 0:
        while blank > 1 and text[blank - 1] in " \n\\":
            blank -= 1
        return blank
    cut = _LONGEST
    while cut > _LONGEST - 64 and (cell_len(text[cut]) == 0 or text[cut - 1] == "\u200d"):
        cut -= 1
    return cut


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
