"""Which words of a found passage are lit: whole ones that were looked for, in any of their forms."""

from __future__ import annotations

import re

from rag.lexical import terms

_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef]")
"""Of writing without blanks between words, where a part of a word is lit."""
_ENDINGS = ("ings", "ing", "ies", "ed", "es", "s", "e", "y")
_LEAST = 3


def lit(text: str, question: str) -> list[tuple[int, int]]:
    """From where to where, in the order of the text. Words such as `a` and `of` count only if there are no others."""
    labels = [term.label.casefold() for term in terms(question)]
    stems = {_stem(word) for label in labels for word in _WORD.findall(label)}
    parts = [label for label in labels if _UNSPACED.search(label)]
    found = []
    for match in _WORD.finditer(text):
        word = match[0].casefold()
        if _stem(word) in stems:
            found.append(match.span())
        elif len(word) == len(match[0]):
            found += [
                (match.start() + at.start(), match.start() + at.end())
                for part in parts
                for at in re.finditer(re.escape(part), word)
            ]
    return sorted(found)


def _stem(word: str) -> str:
    """Cut as short as its other forms are; good for telling, not for finding."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST:
            word = word[: -len(ending)]
            break
    if len(word) > _LEAST and word[-1] == word[-2] and word[-1] not in "ls":
        word = word[:-1]
    return word
