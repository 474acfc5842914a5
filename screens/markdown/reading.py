"""From the lines of the source to blocks."""

from __future__ import annotations

from rich.cells import cell_len

from screens.markdown import blocks
from screens.markdown.blocks import DEEPEST, Container, Item, Quote, leading
from screens.markdown.clean import clean
from screens.markdown.inline import MATH
from screens.markdown.latex import readable
from screens.markdown.leaves import Code, Formula, Html, Paragraph, Table
from screens.markdown.lines import Broken, wrap
from screens.markdown.margins import Margin
from screens.markdown.references import References

PIECE = 2048
"""Longer lines are read in pieces of so many characters."""
_LONGEST = 2048


class Reading(References):
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

    def _in_fence(self, leaf: Code, rest: str, *, whole: bool) -> None:
        if whole and blocks.closes_fence(rest, leaf.signs):
            self._finish_leaf()
        elif not self._saved or not rest.strip() or rest.strip() != leaf.signs[: len(rest.strip())]:
            # The beginning of what may become the closing line is not shown while it arrives.
            self._code_piece(leaf, rest, last=whole)


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
