"""Which rows fit what was typed, the best first.

Every word must be in the row: as it stands, best at the start of a word, else letter by letter in order. Pure and
quick enough to run at every key over some thousands of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
LONGEST = 400
"""How much of a row's text is looked at."""


def fitting(words: str, rows: Sequence[T], text_of: Callable[[T], str]) -> list[T]:
    """The rows that have all the words, the best first; among equals the order stays. No words: all rows."""
    wanted = words.casefold().split()
    if not wanted:
        return list(rows)
    found: list[tuple[int, int]] = []
    for number, row in enumerate(rows):
        text = text_of(row)[:LONGEST].casefold()
        cost = 0
        for word in wanted:
            its = _cost(word, text)
            if its is None:
                break
            cost += its
        else:
            found.append((cost, number))
    return [rows[number] for _, number in sorted(found)]


def _cost(word: str, text: str) -> int | None:
    """How badly a word fits; None where it does not."""
    if word in text:
        if text.startswith(word):
            return 0
        at = text.find(word)
        while at >= 0:
            if not text[at - 1].isalnum():
                return 1
            at = text.find(word, at + 1)
        return 100
    first = at = text.find(word[0])
    for letter in word[1:]:
        if at < 0:
            return None
        at = text.find(letter, at + 1)
    return None if at < 0 else 300 + min(at - first, 300)
