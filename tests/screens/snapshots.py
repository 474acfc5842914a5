"""Pictures of the running app as text that can be reviewed, stored in tests/data/screens.

A picture is a file NAME.WIDTHxHEIGHT.THEME.txt: the characters of the screen line by line, then for each line how many
cells have which style, and what those styles are. A test takes several pictures of one running app:

    shots = Shots(app, pilot, writes=writes)
    await shots.take("models", sizes=((80, 24), (120, 40)), themes=("dark", "light"))
    shots.check()

    pytest tests/screens/test_snapshots.py --write-screens

writes them anew. Read the difference before it is committed. A picture is taken when the screen has come to look like
the stored one; what never comes to look like it is told line by line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from string import ascii_letters
from typing import Any, NamedTuple

from rich.style import Style
from textual.pilot import Pilot

from tests.screens.kit import screen_of, until

FOLDER = Path(__file__).parents[1] / "data" / "screens"
THEMES = {"dark": "hawser-dark", "light": "hawser-light", "ansi-dark": "ansi-dark", "textual-dark": "textual-dark"}
SMALL, USUAL, LARGE, PANE = (80, 24), (120, 40), (200, 60), (40, 15)

PATIENCE_S = 4.0
"""How long a screen may take to look like its picture; only a wrong one takes so long."""
STILL_S = 0.4
"""How long a screen stays as it is before it is written as a picture."""
_NAMES = [*ascii_letters, *(a + b for a in ascii_letters for b in ascii_letters)]
_BARRIER = "-" * 8


class Run(NamedTuple):
    """Cells beside each other that look alike."""

    cells: int
    style: str


class Line(NamedTuple):
    text: str
    runs: tuple[Run, ...]


class Picture(NamedTuple):
    lines: tuple[Line, ...]

    def written(self) -> str:
        """As it is stored."""
        styles = list(dict.fromkeys(run.style for line in self.lines for run in line.runs))
        names = dict(zip(styles, _NAMES, strict=False))
        rows: list[str] = []
        numbered = enumerate(" ".join(f"{names[run.style]}{run.cells}" for run in line.runs) for line in self.lines)
        for runs, group in groupby(numbered, lambda each: each[1]):
            numbers = [number for number, _ in group]
            which = f"{numbers[0] + 1}" if len(numbers) == 1 else f"{numbers[0] + 1}-{numbers[-1] + 1}"
            rows.append(f"{which:>7} {runs}")
        legend = [f"{name:>7} {style}" for style, name in names.items()]
        parts = [[line.text.rstrip() for line in self.lines], [_BARRIER], rows, [_BARRIER], legend]
        return "\n".join(line for part in parts for line in part) + "\n"


def read(text: str) -> Picture:
    """What `written` wrote."""
    drawn, styled, legend = (part.split("\n") for part in text.removesuffix("\n").split(f"\n{_BARRIER}\n"))
    styles = dict(line.split(maxsplit=1) for line in legend)
    runs: list[tuple[Run, ...]] = []
    for line in styled:
        which, *pieces = line.split()
        first, _, last = which.partition("-")
        its = tuple(Run(int(piece.lstrip(ascii_letters)), styles[piece.rstrip("0123456789")]) for piece in pieces)
        runs += [its] * (int(last or first) - int(first) + 1)
    return Picture(tuple(Line(text, its) for text, its in zip(drawn, runs, strict=True)))


def stored(file: Path) -> Picture | None:
    return read(file.read_text()) if file.exists() else None


def store(file: Path, picture: Picture) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(picture.written())


def picture_of(app: Any) -> Picture:
    """What is on the screen."""
    lines: list[Line] = []
    for strip in app.screen._compositor.render_strips():
        runs: list[Run] = []
        for segment in strip:
            style = _words(segment.style)
            cells = segment.cell_length
            if not cells:
                continue
            if runs and runs[-1].style == style:
                cells += runs.pop().cells
            runs.append(Run(cells, style))
        lines.append(Line(strip.text.rstrip(), tuple(runs)))
    return Picture(tuple(lines))


def _words(style: Style | None) -> str:
    """A style in words; what cannot be seen of it (links, meta) is left out."""
    if style is None:
        return "plain"
    attributes = [name for name in ("bold", "dim", "italic", "underline", "strike", "reverse") if getattr(style, name)]
    ink = style.color.name if style.color is not None else "default"
    paper = style.bgcolor.name if style.bgcolor is not None else "default"
    return " ".join([ink, "on", paper, *attributes])


def differences(expected: Picture, got: Picture) -> Iterable[str]:
    """Line by line what is another one than expected, in words or in style."""
    if len(expected.lines) != len(got.lines):
        yield f"{len(expected.lines)} lines expected, {len(got.lines)} drawn"
    for number, (old, new) in enumerate(zip(expected.lines, got.lines, strict=False), 1):
        if old.text != new.text:
            yield f"{number:>4} - {old.text}"
            yield f"{'':>4} + {new.text}"
        elif old.runs != new.runs:
            yield f"{number:>4}   {new.text}"
            for start, end, before, after in _restyled(old.runs, new.runs):
                yield f"{'':>4} ~ cells {start}-{end}: {before}  ->  {after}"


def _restyled(old: Sequence[Run], new: Sequence[Run]) -> Iterable[tuple[int, int, str, str]]:
    """From which cell to which the style is another one."""
    before = [run.style for run in old for _ in range(run.cells)]
    after = [run.style for run in new for _ in range(run.cells)]
    pairs = enumerate(zip(before, after, strict=False))
    for (was, became), group in groupby(pairs, lambda each: each[1]):
        cells = [cell for cell, _ in group]
        if was != became:
            yield cells[0], cells[-1], was, became


class Shots:
    """Takes pictures of one app. `writes` says to store what is drawn in place of comparing it."""

    def __init__(self, app: Any, pilot: Pilot[int], *, writes: bool) -> None:
        self.app = app
        self.pilot = pilot
        self._writes = writes
        self._wrong: list[str] = []

    async def take(
        self, name: str, *, sizes: Sequence[tuple[int, int]] = (USUAL,), themes: Sequence[str] = ("dark",)
    ) -> None:
        """The screen at every size in the first theme, and at the usual size in the others; then back to how it was."""
        before = self.app.size
        for size in sizes:
            if self.app.size != size:
                await self.pilot.resize_terminal(*size)
            for theme in themes if size == USUAL else themes[:1]:
                self.app.theme = THEMES[theme]
                await self.pilot.pause()
                await self._take(FOLDER / f"{name}.{size[0]}x{size[1]}.{theme}.txt")
        self.app.theme = THEMES["dark"]
        if self.app.size != before:
            await self.pilot.resize_terminal(*before)

    async def sees(self, words: str) -> None:
        """Go on when these words are on the screen."""
        await until(self.pilot, lambda: words in screen_of(self.app))

    async def _take(self, file: Path) -> None:
        if self._writes:
            store(file, await self._when_still())
            return
        expected = stored(file)
        if expected is None:
            self._wrong.append(f"{file.name}: there is no such picture; --write-screens makes it")
            return
        try:
            await until(self.pilot, lambda: self._now() == expected, patience_s=PATIENCE_S)
        except AssertionError:
            self._wrong.append("\n".join([f"{file.name} is drawn otherwise:", *differences(expected, self._now())]))

    def _now(self) -> Picture:
        for widget in (self.app.screen, *self.app.screen.walk_children()):
            if getattr(widget, "cursor_blink", False):
                widget.cursor_blink = False
        return picture_of(self.app)

    async def _when_still(self) -> Picture:
        loop = asyncio.get_running_loop()
        last, since = self._now(), loop.time()
        while loop.time() - since < STILL_S:
            await self.pilot.pause(0.02)
            if (now := self._now()) != last:
                last, since = now, loop.time()
        return last

    def check(self) -> None:
        """Fail if any picture was another one."""
        assert not self._wrong, "\n\n".join(self._wrong)
