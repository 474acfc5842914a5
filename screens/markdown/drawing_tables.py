"""Drawing tables: all rows anew while few, then with widths that stay."""

from __future__ import annotations

from collections.abc import Sequence

from screens.markdown import blocks, tables
from screens.markdown.drawing import Drawn
from screens.markdown.drawing_code import CodeDrawing
from screens.markdown.leaves import Table
from screens.markdown.lines import Broken, Line, Row, to_strip, wrap
from screens.markdown.margins import Margin

_TABLE_ROWS = 200
_TABLE_CELLS = 1_200
_TABLE_CHARACTERS = 16_384


class TableDrawing(CodeDrawing):
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
        elif (
            len(table.rows) >= _TABLE_ROWS
            or len(table.rows) * len(table.aligned) >= _TABLE_CELLS
            or table.size > _TABLE_CHARACTERS
            or tables.widths(table.columns, self._margin().width) is None  # which more rows do not change
        ):
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
        self._wait(table.wanted, first, Drawn(table, side, None if last else tuple(widths)))
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
