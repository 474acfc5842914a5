"""The words of a text, as the looking up of questions and the check of quotes need them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache

_STOP_WORDS = """
a about above after again against all also although always am an and another any anybody anyone anything are
around as at be because been before being below between both but by can cannot could did do does doing don done
down during each either else etc even ever every few for from further get give given gives had has have having
he her here hers him his how however i if in into is it its itself just let many may me might more most much
must my myself neither no nor not now of off often on once one only onto or other others our ours out over own
per perhaps please quite rather really same say says shall she should since so some such tell than that the
their theirs them themselves then there therefore these they this those though through thus to too under until
up upon us use used uses very via was we were what when where whether which while who whom whose why will with
within without would yes yet you your yours according states stated passage source document
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())

_COUNTED = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty
"""
_TENS = {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
NUMBER_WORDS = {word: str(value) for value, word in enumerate(_COUNTED.split())}
NUMBER_WORDS.update((word, str(value)) for word, value in _TENS.items())

_ENDINGS = ("ations", "ation", "ments", "ment", "ingly", "ness", "ings", "ing", "edly", "ies", "ed", "ly", "es", "s")


@cache
def _word() -> re.Pattern[str]:
    """Where words are not parted by blanks each character counts as one. Made when it is used: it takes 3 ms."""
    return re.compile(r"[぀-ヿ㐀-鿿가-힣]|[^\W_぀-ヿ㐀-鿿가-힣]+(?:['’-][^\W_]+)*")


def words_of(text: str) -> Iterator[tuple[str, int, int]]:
    """Each word in small letters, and where it stands."""
    for match in _word().finditer(text):
        yield match[0].lower().replace("’", "'"), match.start(), match.end()


def content_words(text: str) -> list[str]:
    """The words that tell something, numbers not among them."""
    return [word for word, _, _ in words_of(text) if word not in STOP_WORDS and not word[0].isdigit()]


@lru_cache(32_768)
def stem(word: str) -> str:
    """A word without its ending, so that `coiled` and `coils` are the same; no more than that."""
    word = word.removesuffix("'s")
    if word in NUMBER_WORDS:
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            cut = word[: -len(ending)]
            if ending == "ies":
                return cut + "i"
            if len(cut) > 3 and cut[-1] == cut[-2] and cut[-1] not in "lsz":
                return cut[:-1]
            return cut.removesuffix("e")
    return (
        word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word.removesuffix("e") if len(word) > 3 else word
    )
