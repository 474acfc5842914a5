"""The text of one message as lines, laid out as far as it is needed.

Of a long text the beginning and the end are laid out at once; what is between is an estimate until somebody comes near
it, and is then laid out slice by slice. The end is laid out by itself, so that it is there with the first frame, and
gives way to the whole when the whole is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from rich.segment import Segment

from screens import markdown
from screens.markdown import CodeBlock, Line
from screens.theme import Palette
from screens.widgets.transcript.rows import line

FIRST_CHARACTERS = 16_000
LAST_CHARACTERS = 12_000
LAST_LINES = 300
"""How much of a long text is laid out before it is shown: of its beginning, and of its end."""
MOST_GROWN = 128_000
GROWN_END = 48_000
"""How much of a text that grows is held as lines while only its end is looked at, and how much of it is when that is
too much; many lines cost many times what they say."""
BLANK = line([])
_FENCE = "\n```"


class Look(NamedTuple):
    """What the lines of every message depend on."""

    width: int
    """Cells of the text, without the gutter."""
    palette: Palette
    raw: bool = False
    thinking: bool = False
    """Whether thinking is unfolded."""


class Body(Protocol):
    """Growing text as lines: `screens.markdown.Rendering`, or the raw view."""

    @property
    def lines(self) -> Sequence[Line]: ...
    @property
    def blocks(self) -> Sequence[CodeBlock]: ...
    def feed(self, text: str) -> int: ...
    def close(self) -> int: ...


class RawBody:
    """Text as it was written. Only what stands after the last newline is wrapped again when more comes."""

    def __init__(self, width: int, palette: Palette) -> None:
        self._width = width
        self._palette = palette
        self._rest = ""
        self._settled = 0
        self.lines: list[Line] = []
        self.blocks: Sequence[CodeBlock] = ()

    def feed(self, text: str) -> int:
        changed = self._settled
        done, newline, self._rest = (self._rest + text).rpartition("\n")
        del self.lines[changed:]
        if newline:
            self.lines.extend(markdown.raw_lines(done, self._width, self._palette))
            self._settled = len(self.lines)
        if self._rest:
            self.lines.extend(markdown.raw_lines(self._rest, self._width, self._palette))
        return changed

    def close(self) -> int:
        return len(self.lines)


class KeptEnd:
    """Lines of a text that is complete."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = list(lines)
        self.blocks: Sequence[CodeBlock] = ()

    def feed(self, text: str) -> int:
        raise AssertionError(f"nothing comes after a text that is complete: {text[:20]!r}")

    def close(self) -> int:
        return len(self.lines)


def body(look: Look) -> Body:
    return RawBody(look.width, look.palette) if look.raw else markdown.Rendering(look.width, look.palette)


class Text:
    __slots__ = ("_complete", "_fed", "_look", "_newlines", "_source", "_tail", "_tail_start", "body")

    def __init__(
        self,
        look: Look,
        source: str,
        *,
        complete: bool,
        end: Sequence[Line] = (),
        first: int = FIRST_CHARACTERS,
        last: int = LAST_CHARACTERS,
    ) -> None:
        """`end` are its last lines, where they are known from before; `first` and `last` say how much is laid out."""
        self._look = look
        self._source = source
        self._complete = complete
        self._newlines = source.count("\n")
        self._fed = 0
        self.body = body(look)
        self._tail: Body | None = None
        self._tail_start = len(source)
        if len(source) > FIRST_CHARACTERS + 2 * LAST_CHARACTERS:
            if end:
                self._tail = KeptEnd(end)
                self._tail_start = max(len(source) - sum(len(each.strip.text) + 1 for each in end), FIRST_CHARACTERS)
            else:
                self._lay_tail(last)
            self.lay_more(first)
        else:
            self.lay_more(len(source))

    @property
    def waits(self) -> int:
        """Characters that are not laid out yet, in the order of the text."""
        return len(self._source) - self._fed

    @property
    def gap(self) -> tuple[int, int]:
        """The lines that are an estimate: the first one, and the one after the last. Equal where there are none."""
        first = len(self.body.lines)
        if not self.waits:
            return first, first
        characters = max(self._tail_start - self._fed, 0)
        newlines = characters * self._newlines // max(len(self._source), 1)
        return first, first + 1 + newlines + characters // self._look.width

    @property
    def height(self) -> int:
        return self.gap[1] + (len(self._tail.lines) if self._tail is not None else 0)

    def line(self, number: int) -> Line:
        laid = self.body.lines
        if number < len(laid):
            return laid[number]
        first, last = self.gap
        if number >= last:
            assert self._tail is not None
            return self._tail.lines[number - last]
        return self._not_yet() if number == first else BLANK

    def append(self, text: str, source: str) -> None:
        """More of a text that was not complete; `source` is all of it, so that there are no two of it."""
        was_whole = not self.waits
        self._source = source
        self._newlines += text.count("\n")
        if self._tail is not None:
            self._tail.feed(text)
        elif was_whole:
            self.lay_more(len(text))

    def bounded(self) -> Text:
        """This text while it grows, or one of its beginning and end where too much of it is laid out: what is between
        is an estimate again."""
        start = self._tail_start if self._tail is not None else 0
        if self._complete or len(self._source) - start <= MOST_GROWN:
            return self
        return Text(self._look, self._source, complete=False, first=LAST_CHARACTERS // 4, last=GROWN_END)

    def complete(self, source: str) -> None:
        """Nothing more comes. `source` is all of it, as whoever has it for long holds it."""
        self._source = source
        self._complete = True
        if self._tail is not None:
            self._tail.close()
        if not self.waits:
            self.body.close()

    def shortened(self) -> Text:
        """This text, complete and long, with its beginning and its end; what is between is an estimate again. The end
        is made of the same lines as before."""
        if len(self._source) <= FIRST_CHARACTERS + 2 * LAST_CHARACTERS or not self._complete:
            return self
        laid = self._tail.lines if self._tail is not None else self.body.lines
        if self.waits and len(laid) <= LAST_LINES:
            return self
        return Text(self._look, self._source, complete=True, end=laid[-LAST_LINES:])

    def lay_more(self, characters: int) -> None:
        """Lay out so much more of it."""
        until = self._fed + characters
        if until >= self._tail_start:
            until = len(self._source)  # the rest at once: the end must not be there twice
        piece = self._source[self._fed : until]
        self._fed += len(piece)
        if piece:
            self.body.feed(piece)
        if not self.waits:
            self._tail = None
            self._tail_start = len(self._source)
            if self._complete:
                self.body.close()

    def _lay_tail(self, characters: int) -> None:
        earliest = len(self._source) - characters
        latest = earliest + LAST_CHARACTERS // 4
        cuts = (self._source.find(end, earliest, latest) for end in ("\n\n", "\n", " "))
        self._tail_start = next((cut + 1 for cut in cuts if cut >= 0), earliest)
        self._tail = body(self._look)
        if not self._look.raw:
            opener = self._open_fence()
            if opener:
                self._tail.feed(opener + "\n")
        self._tail.feed(self._source[self._tail_start :])
        if self._complete:
            self._tail.close()

    def _open_fence(self) -> str:
        """The line that opened the code block that the end begins in; found by counting, which is quick."""
        before = "\n" + self._source[: self._tail_start]
        if before.count(_FENCE) % 2 == 0:
            return ""
        start = before.rindex(_FENCE) + 1
        return before[start:].partition("\n")[0][:100]

    def _not_yet(self) -> Line:
        share = self._fed / max(len(self._source), 1)
        return line([Segment(f"⋯ laying out, {share:.0%}", self._look.palette.faint)])
