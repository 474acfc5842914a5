"""One message in the transcript: its source, and its lines once somebody has looked at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from rich.style import Style
from textual.strip import Strip

from screens import markdown
from screens.markdown import CodeBlock, Line
from screens.widgets.transcript import rows
from screens.widgets.transcript.item import Item
from screens.widgets.transcript.text import BLANK, Body, Look, Text, body

END = rows.line([])
"""The blank line after a message; the bar of the current message does not go over it."""


_NOTHING_UNFOLDED: Mapping[str, bool] = MappingProxyType({})


class Row(NamedTuple):
    """A line as it is painted, and what it was painted for."""

    line: Line
    base: Style
    bar: Style | None
    strip: Strip


class Message:
    """Lines are counted from 0 at the head to the blank line that parts it from the next message."""

    __slots__ = (
        "_after",
        "_before",
        "_text",
        "_thoughts",
        "_thoughts_fed",
        "_unfolded",
        "_words",
        "characters",
        "fixed",
        "item",
        "look",
        "newlines",
        "pictures",
        "rows",
    )

    def __init__(self, item: Item) -> None:
        # Most of the messages of a long chat are never looked at: they hold no container of their own.
        self.item = item
        self.look: Look | None = None
        self.rows: dict[int, Row] | None = None
        """Finished rows by the identity of their lines; the window fills this."""
        self.pictures: tuple[Sequence[Line], ...] | None = None
        """Thumbnails; None until somebody has tried to make them."""
        self._text: Text | None = None
        self._thoughts: Body | None = None
        self._before: Sequence[Line] = ()
        self._after: Sequence[Line] = ()
        self._thoughts_fed = 0
        self._unfolded: Mapping[str, bool] = _NOTHING_UNFOLDED
        self._words = -1
        self._count()

    # ---- how high

    @property
    def is_laid(self) -> bool:
        return self.look is not None

    @property
    def waits(self) -> int:
        """Characters that are not laid out yet."""
        return self._text.waits if self._text is not None else 0

    def _count(self) -> None:
        item = self.item
        around = (
            3
            + bool(item.foot)
            + bool(item.thinking)
            + len(item.tools)
            + sum(1 + bool(each.doubt) for each in item.sources)
            + len(item.notes)
            + bool(item.attachments)
        )
        self.characters = len(item.text)
        self.newlines = item.text.count("\n")
        self.fixed = around + self.newlines
        """Lines that it has at any width; with `characters` this gives an estimate of the height."""

    def estimate(self, width: int) -> int:
        """How high it may be, without looking closely."""
        return self.fixed + self.characters // width

    @property
    def height(self) -> int:
        """Of what is laid out, with an estimate for the rest."""
        assert self._text is not None
        return len(self._before) + self._text.height + len(self._after)

    # ---- laying out

    def lay(self, look: Look) -> None:
        """Make the lines. A long text is laid out in part; `lay_more` goes on."""
        if self.look == look:
            return
        self.rows = {}
        self.look = look
        self._lay_thoughts()
        self._lay_around()
        self._text = Text(look, self.item.text, complete=self.item.state != "streaming")

    def drop(self) -> None:
        """Forget the lines; the source stays."""
        self.look = None
        self._text = None
        self._thoughts = None
        self._before = self._after = ()
        self.pictures = None
        self.rows = None

    def lay_more(self, characters: int) -> None:
        """Lay out so much more of the text."""
        assert self._text is not None
        self._text.lay_more(characters)

    def is_wanted(self, first: int, last: int) -> bool:
        """Whether any of these lines is still an estimate."""
        if self._text is None:
            return False
        start, end = (self.body_start + number for number in self._text.gap)
        return start < last and first < end

    def _lay_thoughts(self) -> None:
        look = self.look
        assert look is not None
        self._thoughts = None
        self._thoughts_fed = 0
        if self.item.thinking and self._is_open("thinking", look.thinking):
            quiet = look.palette._replace(
                text=look.palette.thinking, strong=look.palette.thinking, heading=look.palette.thinking
            )
            self._thoughts = body(look._replace(width=max(look.width - 2, 1), palette=quiet))
            self._feed_thoughts()

    def _feed_thoughts(self) -> None:
        if self._thoughts is not None:
            self._thoughts.feed(self.item.thinking[self._thoughts_fed :])
            self._thoughts_fed = len(self.item.thinking)
            if self.item.text or self.item.state != "streaming":
                self._thoughts.close()

    def _lay_around(self) -> None:
        """The lines before and after the text."""
        self._lay_before()
        self._lay_after()

    def _lay_before(self) -> None:
        look, item = self.look, self.item
        assert look is not None
        width, palette = look.width, look.palette
        before = rows.head(item, width, palette)
        if item.thinking:
            if self._words < 0:
                self._words = len(item.thinking.split())
            words = rows.thinking_words(item, self._words)
            before.append(rows.fold(words, "thinking", self._thoughts is not None, width, palette.thinking))
            if self._thoughts is not None:
                before.extend(rows.shifted(self._thoughts.lines))
                before.append(BLANK)
        for number, call in enumerate(item.tools):
            before.extend(rows.tool(call, number, self._is_open(f"tool {number}", False), width, palette))
        if item.attachments:
            before.extend(rows.chips(item.attachments, width, palette))
            for picture in self.pictures or ():
                before.extend(picture)
        self._before = before

    def _lay_after(self) -> None:
        look, item = self.look, self.item
        assert look is not None
        width, palette = look.width, look.palette
        beneath = [*rows.sources(item.sources, width, palette), *rows.notes(item.notes, width, palette)]
        beneath += rows.trouble(item, width, palette)
        self._after = [
            *([BLANK] if beneath and item.text else []),
            *beneath,
            *rows.foot(item, width, palette),
            END,
        ]

    # ---- changing

    def take(self, text: str, thinking: str, *, at_end: bool = False) -> None:
        """More of a streaming answer. Where only its end is looked at, the lines of a long one go while it comes."""
        item = self.item
        self.item = item._replace(text=item.text + text, thinking=item.thinking + thinking)
        if text:
            newlines = text.count("\n")
            self.newlines += newlines
            self.fixed += newlines
            self.characters += len(text)
        if thinking and self._words >= 0:
            # a word that two pieces share is counted once
            goes_on = bool(item.thinking) and not item.thinking[-1].isspace() and not thinking[0].isspace()
            self._words += len(thinking.split()) - goes_on
        look = self.look
        if look is None:
            return
        if item.state != "streaming":  # it was said to be complete
            self._lay_again(look)
            return
        if thinking or (text and not item.text and item.thinking):
            if item.thinking:
                self._feed_thoughts()
            else:
                self._lay_thoughts()
            self._lay_before()
        if text:
            assert self._text is not None
            self._text.append(text, self.item.text)
            if at_end and (short := self._text.bounded()) is not self._text:
                self._text, self.rows = short, {}

    def change(self, item: Item, *, at_end: bool = False) -> None:
        """Another item in its place; text that only went on is not laid out again. Where only its end is looked at, the
        lines of a long answer that is complete go: they were needed while it came."""
        old, self.item = self.item, item
        self._count()
        if item.thinking != old.thinking:
            self._words = -1
        if item.attachments != old.attachments:
            self.pictures = None
        look = self.look
        if look is None:
            return
        grows = item.text.startswith(old.text)
        ended = old.state != "streaming" and (item.state == "streaming" or len(item.text) != len(old.text))
        if not grows or ended or item.excluded != old.excluded:
            self._lay_again(look)
            return
        if item.thinking != old.thinking or item.state != old.state:
            self._lay_thoughts()
        self._lay_around()
        assert self._text is not None
        if len(item.text) > len(old.text):
            self._text.append(item.text[len(old.text) :], item.text)
        if old.state == "streaming" and item.state != "streaming":
            self._text.complete(item.text)
            if at_end and (short := self._text.shortened()) is not self._text:
                self._text, self.rows = short, {}

    def _lay_again(self, look: Look) -> None:
        self.look = None
        self.lay(look)

    # ---- folds

    def _is_open(self, key: str, usual: bool) -> bool:
        return self._unfolded.get(key, usual)

    @property
    def folds(self) -> tuple[str, ...]:
        thinking = ("thinking",) if self.item.thinking else ()
        return (*thinking, *(f"tool {number}" for number in range(len(self.item.tools))))

    def toggle(self, key: str) -> None:
        """Open or fold one of them."""
        usual = self.look is not None and self.look.thinking and key == "thinking"
        self._unfolded = {**self._unfolded, key: not self._is_open(key, usual)}
        self._lay_folds()

    def toggle_all(self) -> None:
        """Open everything that can be folded, or fold it where something is open."""
        usual = self.look.thinking if self.look is not None else False
        to = not any(self._is_open(key, usual and key == "thinking") for key in self.folds)
        self._unfolded = dict.fromkeys(self.folds, to)
        self._lay_folds()

    def as_usual(self) -> None:
        """Thinking follows what the whole transcript does."""
        if self._unfolded:
            self._unfolded = {key: is_open for key, is_open in self._unfolded.items() if key != "thinking"}

    def _lay_folds(self) -> None:
        if self.is_laid:
            self._lay_thoughts()
            self._lay_before()

    def show_pictures(self, pictures: tuple[Sequence[Line], ...]) -> None:
        self.pictures = pictures
        self._lay_folds()

    # ---- reading

    def line(self, number: int) -> Line:
        assert self._text is not None
        if number < len(self._before):
            return self._before[number]
        number -= len(self._before)
        height = self._text.height
        return self._text.line(number) if number < height else self._after[number - height]

    def lines(self, first: int = 0, last: int | None = None) -> Iterator[Line]:
        for number in range(first, self.height if last is None else last):
            yield self.line(number)

    @property
    def body_start(self) -> int:
        return len(self._before)

    @property
    def tail_start(self) -> int:
        """The first line after those that are an estimate."""
        return self.body_start + self._text.gap[1] if self._text is not None else 0

    @property
    def body(self) -> Body | None:
        """The text from its beginning as far as it is laid out."""
        return self._text.body if self._text is not None else None

    @property
    def body_height(self) -> int:
        return self._text.height if self._text is not None else 0

    @property
    def blocks(self) -> Sequence[CodeBlock]:
        return self._text.body.blocks if self._text is not None else ()

    def to_colour(self) -> Sequence[CodeBlock]:
        """Finished code that a lexer can colour better. Each is given once."""
        body = self.body
        return body.to_highlight() if isinstance(body, markdown.Rendering) else ()

    @property
    def links(self) -> tuple[str, ...]:
        """Where the links of the message lead, each once, in their order."""
        found: dict[str, None] = {}
        if self._text is not None:
            for each in self._text.body.lines:
                for segment in each.strip:
                    if segment.style is not None and segment.style.meta and "link" in segment.style.meta:
                        found[str(segment.style.meta["link"])] = None
        return tuple(found)
