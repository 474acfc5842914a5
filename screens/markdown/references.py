"""Reference definitions, and what was drawn before they came."""

from __future__ import annotations

from screens.markdown import tables
from screens.markdown.blocks import Quote
from screens.markdown.clean import clean
from screens.markdown.drawing import Drawn, Waiting
from screens.markdown.drawing_tables import TableDrawing
from screens.markdown.inline import normal_label
from screens.markdown.leaves import Plain, Table
from screens.markdown.lines import Line, wrap

_MOST_REFERENCES = 1_000
_MOST_REDRAWN = 400_000


class References(TableDrawing):
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

    def _redraw(self, waiting: Waiting) -> None:
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

    def _table_again(self, drawn: Drawn) -> list[Line]:
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
