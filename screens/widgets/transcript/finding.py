"""Finding words in a chat, whether its messages are laid out or not.

How often and in which message is counted in the source, which is quick for any number of messages. Where on the screen
is looked for in the lines of the few messages in sight. A word that only the source has (in the address of a link)
counts, and leads to the head of its message.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from screens.markdown import Line
from screens.widgets.transcript.message import Message

MOST_HITS = 100_000


def fold(text: str) -> str:
    """The text as it is compared: no case, no accents, every kind of white space a blank."""
    if not text.isascii():
        text = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
        text = text.casefold()
    return text.lower().translate(_BLANKS)


_BLANKS = {ord(each): " " for each in "\t\n\r\u00a0\u2028\u2029"}


def spans(text: str, needle: str) -> list[tuple[int, int]]:
    """Where the folded `needle` stands in `text`: from which character to which."""
    folded = fold(text)
    if len(folded) == len(text):
        back: Callable[[int], int] = int
    else:
        starts: list[int] = []
        for number, character in enumerate(text):
            starts.extend([number] * len(fold(character)))
        starts.append(len(text))
        back = starts.__getitem__
    found = []
    at = folded.find(needle)
    while at >= 0:
        end = back(at + len(needle) - 1) + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        found.append((back(at), end))
        at = folded.find(needle, at + len(needle))
    return found


def line_text(line: Line) -> str:
    """What a line says, without its decoration."""
    return line.strip.text[line.indent :]


def logical(message: Message, number: int) -> tuple[int, list[Line]]:
    """The rows that wrapping made of one line: the number of the first one, and all of them."""
    first = number
    while first > 0 and message.line(first).continues:
        first -= 1
    rows = [message.line(first)]
    height = message.height
    while first + len(rows) < height and (following := message.line(first + len(rows))).continues:
        rows.append(following)
    return first, rows


def row_spans(rows: Sequence[Line], needle: str) -> list[list[tuple[int, int, int]]]:
    """For each row of one logical line the pieces of matches in it: which match, and from where to where."""
    text, starts = "", []
    for number, row in enumerate(rows):
        text += row.joint if number else ""
        starts.append(len(text))
        text += line_text(row)
    result: list[list[tuple[int, int, int]]] = [[] for _ in rows]
    for which, (start, end) in enumerate(spans(text, needle)):
        for number, row in enumerate(rows):
            size = len(line_text(row))
            first, last = max(start - starts[number], 0), min(end - starts[number], size)
            if first < last:
                result[number].append((which, first + row.indent, last + row.indent))
    return result


class Search:
    """One search: how often the words occur, and which of the places is the one that is looked at."""

    def __init__(self, begins: int = 0) -> None:
        """`begins` is the message where the reader was."""
        self.needle = ""
        self.hits: list[int] = []
        """The message of each hit, in their order."""
        self.at = -1
        self._begins = begins
        self._folded: dict[Message, tuple[str, str]] = {}

    def look_for(self, words: str, messages: Sequence[Message]) -> int:
        """The hit that is looked at is then the first one from where the reader was."""
        self.needle = fold(words)
        self.hits = []
        self.at = -1
        if not self.needle.strip():
            self.needle = ""
            return 0
        self._count(messages)
        if self.hits:
            self.at = bisect_left(self.hits, self._begins) % len(self.hits)
        return len(self.hits)

    def shift(self, by: int) -> None:
        """So many messages came before the first one."""
        self._begins += by
        self.hits = [hit + by for hit in self.hits]

    def _count(self, messages: Sequence[Message]) -> None:
        self.hits = []
        for number, message in enumerate(messages):
            count = self._text(message).count(self.needle)
            if count:
                self.hits.extend([number] * min(count, MOST_HITS - len(self.hits)))
                if len(self.hits) >= MOST_HITS:
                    return

    def _text(self, message: Message) -> str:
        """The folded source, kept as long as the search goes on."""
        text = message.item.text
        kept = self._folded.get(message)
        if kept is None or kept[0] is not text:
            kept = self._folded[message] = (text, fold(text))
        return kept[1]

    def step(self, by: int, messages: Sequence[Message]) -> None:
        """To the next one, or the one before. Counted again, for messages grow and go."""
        if not self.needle:
            return
        self._count(messages)
        self.at = (self.at + by) % len(self.hits) if self.hits else -1

    @property
    def here(self) -> tuple[int, int] | None:
        """The message of the hit that is looked at, and which of its hits it is."""
        if not 0 <= self.at < len(self.hits):
            return None
        message = self.hits[self.at]
        return message, self.at - bisect_left(self.hits, message)


def locate(message: Message, needle: str, which: int) -> tuple[int, int, int] | None:
    """Where the hit of this number stands: the first row of its logical line, which hit in it, and its own row."""
    last: tuple[int, int, int] | None = None
    for first, rows in _logical_lines(message):
        in_line: set[int] = set()
        for offset, pieces in enumerate(row_spans(rows, needle)):
            for number, _, _ in pieces:
                if number not in in_line:
                    in_line.add(number)
                    last = (first, number, first + offset)
                    if which == 0:
                        return last
                    which -= 1
    return last


def _logical_lines(message: Message) -> Iterator[tuple[int, list[Line]]]:
    number = message.body_start
    end = number + message.body_height
    while number < end:
        _, rows = logical(message, number)
        yield number, rows
        number += len(rows)
