"""A text as it grows: pieces, headings and pages, and where each stands.

Every piece is cleaned before it is counted, so an offset is right for good.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from rag.documents import Kind, PageSpan, Section
from rag.errors import NoText
from rag.reading.limits import MOST_SECTIONS, Limits

_ESCAPES = re.compile(
    "\x1b(?:"
    r"\[[0-?]{0,64}[ -/]{0,8}[@-~]"  # colours and cursor moves
    "|[\\]PX^_][^\x07\x1b\n]{0,4096}(?:\x07|\x1b\\\\)"  # titles, links and other strings
    r"|[ -/]?[0-~])"
)
_CONTROLS: dict[int, int | None] = {code: None for code in (*range(32), *range(0x7F, 0xA0)) if code not in (9, 10)}
_CONTROLS[0x85] = 10  # the line end of mainframes
_CONTROLS[0x0B] = _CONTROLS[0x0C] = 10
_ANY_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
LONGEST_HEADING = 200


class Reading(NamedTuple):
    """What a reader found."""

    media_type: str
    text: str
    sections: tuple[Section, ...] = ()
    spans: tuple[PageSpan, ...] = ()
    """Pages that have text."""
    pages: int | None = None
    """How many there are; None where there are no pages."""
    title: str = ""
    notes: tuple[str, ...] = ()


def clean(text: str) -> str:
    """With plain line ends, and without what would control a terminal."""
    if _ANY_CONTROL.search(text) is None:
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    if _ANY_CONTROL.search(text) is None:
        return text
    return text.translate(_CONTROLS).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def one_line(text: str, most: int = LONGEST_HEADING) -> str:
    """A heading or title: blanks drawn together, not longer than one cares to read."""
    joined = " ".join(clean(text[: most * 8]).split())
    return joined if len(joined) <= most else joined[: most - 1].rstrip() + "…"


class Layout:
    """Grows by `add`; `begin` starts a section, `page` a page."""

    def __init__(self, name: str, limits: Limits) -> None:
        self.length = 0
        self.title = ""
        self.after_code = False
        """Whether the paragraph before was a line of code; the next one then follows it closely."""
        self.notes: list[str] = []
        self._name = name
        self._limits = limits
        self._pieces: list[str] = []
        self._marks: list[tuple[int, tuple[str, ...], Kind]] = [(0, (), "prose")]
        self._path: list[tuple[int, str]] = []
        self._pages: list[PageSpan] = []
        self._page_start: int | None = None
        self.page_count = 0
        """How many pages there are, those without text included."""

    def add(self, text: str) -> None:
        text = clean(text)
        self.length += len(text)
        if self.length > self._limits.characters:
            raise self._limits.too_many_characters(self._name)
        self._pieces.append(text)

    def refuse_depth(self, most: int) -> NoReturn:
        raise self._limits.nests_too_deep(self._name, most)

    def gap(self, wanted: str = "\n\n") -> None:
        """What is between two blocks; nothing at the very beginning."""
        if self.length:
            self.add(wanted)

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(heading for _, heading in self._path)

    def heading(self, level: int, text: str, *, shown: bool = True) -> None:
        """A section under this heading, which also stands in the text where `shown`."""
        heading = one_line(text)
        if not heading:
            return
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._path.append((level, heading))
        if shown:
            self.gap()
        self.begin(self.path)
        if shown:
            self.add(heading)

    def under(self, headings: Sequence[tuple[int, str]]) -> None:
        """Forget the path of headings and stand under this one."""
        self._path = [(level, heading) for level, text in headings if (heading := one_line(text))]

    def begin(self, headings: tuple[str, ...], kind: Kind = "prose") -> None:
        """What comes from here on is another section."""
        if len(self._marks) > MOST_SECTIONS:
            return
        if self._marks[-1][0] == self.length:
            self._marks[-1] = (self.length, headings, kind)
        elif self._marks[-1][1:] != (headings, kind) or self._marks[-1][0] < self.length:
            self._marks.append((self.length, headings, kind))

    def page(self, number: int) -> None:
        """What comes from here on stands on this page."""
        if number > self._limits.pages:
            raise self._limits.too_many_pages(self._name)
        self.end_page()
        self.gap()
        self.page_count = number
        self._page_start = self.length

    def end_page(self) -> None:
        if self._page_start is not None and self.length > self._page_start:
            self._pages.append(PageSpan(self.page_count, self._page_start, self.length))
        self._page_start = None

    def written_pages(self) -> list[PageSpan]:
        """Those that have something on them."""
        self.end_page()
        return self._pages

    def finish(self, media_type: str) -> Reading:
        self.end_page()
        text = "".join(self._pieces)
        if not text.strip():
            raise NoText(f"{self._name!r} holds no text.")
        return Reading(
            media_type,
            text,
            sections_of(self._marks, text),
            tuple(span for span in self._pages if text[span.start : span.end].strip()),
            self.page_count or None,
            one_line(self.title),
            tuple(self.notes),
        )


def sections_of(marks: Sequence[tuple[int, tuple[str, ...], Kind]], text: str) -> tuple[Section, ...]:
    """Sections that follow each other without gaps, from where each begins; one of blanks goes with its neighbour."""
    ends = [*(mark[0] for mark in marks[1:]), len(text)]
    found: list[Section] = []
    begin = 0
    for (start, headings, kind), end in zip(marks, ends, strict=True):
        if end > start and not text[start:end].isspace():
            found.append(Section(headings, begin, end, kind))
            begin = end
        elif found:
            found[-1] = found[-1]._replace(end=end)
            begin = end
    return tuple(found)
