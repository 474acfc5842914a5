"""A question as it is looked up: one that refers back takes the telling words of the question before it along.

Done without a model, so that it costs nothing and is the same each time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from console.library.words import content_words, words_of

MOST_BEFORE = 4
"""How many questions back one may refer."""
MOST_WORDS = 24
"""How many telling words of earlier questions go along."""
LONGEST = 2_000
"""Characters of a question that are looked at; behind them stands pasted material."""

_SHORT = 2
"""With so few telling words a question may be about something that was counted before."""
_LOOSE = 8
"""With more a pronoun most likely points into the question itself."""
_POINTING_WORDS = """
it its they them their theirs he she him his her hers this these those one ones former latter there same such
ihm ihn ihr ihre ihren deren dessen davon dazu dafür damit darin
"""
_POINTING = frozenset(_POINTING_WORDS.split())
_COUNTING = frozenset(["first", "second", "third", "last", "next", "previous", "other", "others"])
"""These point somewhere only where little else is said."""
_OPENINGS = frozenset(["and", "but", "so", "then", "or", "und", "aber", "also"])
_OPENING_WORDS = ("what about", "how about", "why not", "how so", "tell me more", "go on", "what else", "was ist mit")
_THAT = (
    r"\b(?:of|about|for|with|in|is|does|do|did|to|than|like|from|on|why|how|mean|means|was)\s+that\b|\bthat\s*[?.!]*$"
)


def standalone(question: str, earlier: Sequence[str]) -> str:
    """`question`, with words from `earlier` questions (the latest last) if it refers to them."""
    if not earlier:
        return question[:LONGEST].strip()
    looked_up = ""
    for each in [*earlier[-MOST_BEFORE:], question]:
        looked_up = _joined(each[:LONGEST].strip(), looked_up)
    return looked_up


def refers_back(question: str) -> bool:
    words = [word for word, _, _ in words_of(question)]
    if not words:
        return True
    telling = len(content_words(question))
    if telling <= _SHORT and not _COUNTING.isdisjoint(words):
        return True
    return telling == 0 or (telling <= _LOOSE and _points(question, words))


def _points(question: str, words: Sequence[str]) -> bool:
    opening = " ".join(words[:3])
    return (
        words[0] in _OPENINGS
        or opening.startswith(_OPENING_WORDS)
        or not _POINTING.isdisjoint(words)
        or re.search(_THAT, question, re.IGNORECASE) is not None
    )


def _joined(question: str, before: str) -> str:
    if not before or not refers_back(question):
        return question
    has = set(content_words(question))
    added = [word for word in dict.fromkeys(content_words(before)) if word not in has]
    return " ".join([question, *added[:MOST_WORDS]])
