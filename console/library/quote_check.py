"""Whether an answer's sentences stand in the passages that they cite, found out without a model.

A sentence with a mark such as [2] is compared with passage 2. What it puts in quotation marks must stand there word for
word; otherwise most of its telling words must stand close together there, and all of its numbers. This finds what was
made up; it cannot find a sentence that uses the passage's words to say the contrary.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from console.history.sources import Claim, Verdict
from console.library.sentences import Sentence, cited_sentences
from console.library.words import NUMBER_WORDS, content_words, stem, words_of

LEAST_SHARE = 0.6
"""How much of a sentence's telling words must stand in the passage."""
LEAST_QUOTED_SHARE = 0.8
"""The same for what stands in quotation marks and is not there word for word."""
LEAST_PART = 0.25
"""What one of several cited passages must give."""
SHORTEST_QUOTE = 12
"""Shorter words in quotation marks are names or irony."""
SHORTEST_SENTENCE = 8
LONGEST_PASSAGE = 200_000

_QUOTED = re.compile(r"“([^”]{1,2000})”|«([^»]{1,2000})»|„([^“”]{1,2000})[“”]|\"([^\"]{1,2000})\"")
_GAP = re.compile(r"\s*(?:\[\s*(?:\.\.\.|…)\s*\]|\.\.\.|…)\s*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SAME = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "−": "-"}
)
_MARKUP = "*_`#>|"


class Checked(NamedTuple):
    """One sentence that cites."""

    start: int
    end: int
    numbers: tuple[int, ...]
    verdict: Verdict
    where: Mapping[int, tuple[int, int]]
    """What was found of it, by the number of the passage and as characters of its text."""
    verdicts: Mapping[int, Verdict]
    """By the number of the passage; of one that is not there too."""


def check(text: str, passages: Mapping[int, str], names: Mapping[int, str] | None = None) -> tuple[Checked, ...]:
    """Every sentence of `text` that cites. `names` of the documents tell a list of sources from a sentence."""
    if not passages:
        return ()
    read: dict[int, _Passage] = {}

    def passage(number: int) -> _Passage:
        if number not in read:
            read[number] = _Passage(passages[number][:LONGEST_PASSAGE])
        return read[number]

    found = []
    for sentence in cited_sentences(text):
        known = [passage(number) for number in sentence.numbers if number in passages]
        checked = _check(sentence, known, names or {}, [n for n in sentence.numbers if n in passages])
        if checked is not None:
            found.append(checked)
    return tuple(found)


def claims(checked: Sequence[Checked]) -> dict[int, tuple[Claim, ...]]:
    """What was found by the number of the passage."""
    by_number: dict[int, list[Claim]] = {}
    for each in checked:
        for number, verdict in each.verdicts.items():
            by_number.setdefault(number, []).append(Claim(each.start, each.end, verdict, each.where.get(number)))
    return {number: tuple(found) for number, found in by_number.items()}


class _Passage:
    """A text made ready for being searched."""

    def __init__(self, text: str) -> None:
        self.plain, self.places = _plain(text)
        self.words = [(stem(word), start, end) for word, start, end in words_of(text)]
        self.at: dict[str, list[int]] = {}
        for position, (word, _, _) in enumerate(self.words):
            self.at.setdefault(word, []).append(position)
        self.numbers = {each for match in _NUMBER.finditer(text) for each in _readings(match[0])}
        self.numbers.update(NUMBER_WORDS[word] for word, _, _ in self.words if word in NUMBER_WORDS)

    def exactly(self, plain: str) -> tuple[int, int] | None:
        at = self.plain.find(plain)
        while at >= 0:
            end = at + len(plain)
            if _is_edge(self.plain, at) and _is_edge(self.plain, end):
                return self.places[at], self.places[end - 1] + 1
            at = self.plain.find(plain, at + 1)
        return None

    def nearest(self, wanted: Sequence[str]) -> tuple[frozenset[str], tuple[int, int] | None]:
        """The most of these words that stand close together, and where."""
        places = sorted((position, word) for word in wanted for position in self.at.get(word, ()))
        if not places:
            return frozenset(), None
        reach = 3 * len(wanted) + 12
        best: tuple[int, int, int, int] = (0, 0, 0, 0)
        counts: dict[str, int] = {}
        first = 0
        for last, (position, word) in enumerate(places):
            counts[word] = counts.get(word, 0) + 1
            while position - places[first][0] > reach or counts[places[first][1]] > 1:
                left = places[first][1]
                counts[left] -= 1
                if not counts[left]:
                    del counts[left]
                first += 1
            width = position - places[first][0]
            best = max(best, (len(counts), -width, -first, last))
        _, _, minus_first, last = best
        taken = places[-minus_first : last + 1]
        where = self.words[taken[0][0]][1], self.words[taken[-1][0]][2]
        return frozenset(word for _, word in taken), where


def _check(
    sentence: Sentence, passages: Sequence[_Passage], names: Mapping[int, str], numbers: Sequence[int]
) -> Checked | None:
    said = sentence.text
    wanted = tuple(dict.fromkeys(stem(word) for word in content_words(said)))
    figures = [match[0] for match in _NUMBER.finditer(said)]
    if passages and not wanted and not figures:
        return None  # "Yes [1]." says nothing that could be looked for
    if passages and _only_names(wanted, [names.get(number, "") for number in numbers]):
        return None
    verdicts: dict[int, Verdict] = dict.fromkeys(sentence.numbers, "not found")
    where: dict[int, tuple[int, int]] = {}
    covered: frozenset[str] = frozenset()
    parts: dict[int, frozenset[str]] = {}
    quotes = [plain for quote in _quotes(said) if len(plain := _plain(quote)[0].strip()) >= SHORTEST_QUOTE]
    whole = _plain(said)[0].strip(" .!?:;,-。！？")
    for number, passage in zip(numbers, passages, strict=True):
        if (place := _exactly(passage, quotes, whole)) is not None:
            verdicts[number], where[number] = "exact", place
            continue
        part, place = passage.nearest(wanted)
        parts[number] = part
        covered |= part
        if place is not None and len(part) >= LEAST_PART * len(wanted):
            where[number] = place
        share = LEAST_QUOTED_SHARE if quotes else LEAST_SHARE
        if _is_enough(len(part), len(wanted), share) and _has_numbers(figures, [passage]):
            verdicts[number] = "close"
    if len(parts) > 1 and _is_enough(len(covered), len(wanted), LEAST_SHARE) and _has_numbers(figures, passages):
        for number, part in parts.items():
            if len(part) >= LEAST_PART * len(wanted):
                verdicts[number] = "close"
    where = {number: place for number, place in where.items() if verdicts[number] != "not found"}
    told = set(verdicts.values())
    verdict: Verdict = "exact" if "exact" in told else "close" if "close" in told else "not found"
    return Checked(sentence.start, sentence.end, sentence.numbers, verdict, where, verdicts)


def _exactly(passage: _Passage, quotes: Sequence[str], whole: str) -> tuple[int, int] | None:
    """Where all that is quoted stands word for word; without quotes the sentence itself."""
    if not quotes:
        return passage.exactly(whole) if len(whole) >= SHORTEST_SENTENCE else None
    places = [passage.exactly(quote) for quote in quotes]
    found = [place for place in places if place is not None]
    return (found[0][0], found[0][1]) if len(found) == len(quotes) else None


def _quotes(text: str) -> Iterator[str]:
    """What stands in quotation marks; a quote with a gap in it is several."""
    for match in _QUOTED.finditer(text):
        yield from filter(None, _GAP.split(next(filter(None, match.groups()))))


def _is_enough(found: int, wanted: int, share: float) -> bool:
    return found == wanted if wanted <= 2 else found >= share * wanted


def _has_numbers(figures: Sequence[str], passages: Sequence[_Passage]) -> bool:
    return all(any(_readings(figure) & passage.numbers for passage in passages) for figure in figures)


@lru_cache(4096)
def _readings(figure: str) -> frozenset[str]:
    """A number in the ways it may be meant: 1,000 is 1000, and 1,5 is 1.5."""
    found = {figure, figure.replace(",", "").rstrip("."), figure.replace(",", ".")}
    found |= {each.rstrip("0").rstrip(".") for each in found if each.count(".") == 1}
    return frozenset(found)


def _only_names(wanted: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a line lists sources, rather than says something."""
    named = {stem(word) for name in names for word, _, _ in words_of(name)}
    return bool(named) and any(word in named for word in wanted) and all(word in named | _OF_LISTS for word in wanted)


_OF_LISTS = frozenset(
    stem(word) for word in ("source", "reference", "page", "line", "document", "passage", "see", "pp")
)


def _plain(text: str) -> tuple[str, list[int]]:
    """Small letters, single blanks, plain quotes and dashes, no markup; and where each character stood."""
    pieces: list[str] = []
    places: list[int] = []
    is_blank = True
    for place, character in enumerate(text.translate(_SAME)):
        if character.isspace():
            if not is_blank:
                pieces.append(" ")
                places.append(place)
            is_blank = True
        elif character not in _MARKUP:
            small = character.lower()
            if len(small) == 1:
                pieces.append(small)
                places.append(place)
                is_blank = False
    if is_blank and pieces:
        pieces.pop()
        places.pop()
    return "".join(pieces), places


def _is_edge(text: str, at: int) -> bool:
    return not (0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum())
