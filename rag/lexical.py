"""Chunks by their words: exact names, numbers and rare terms, which vectors are bad at.

A question is asked strictly first: all its words. When too few chunks have them all, any of its rarest words will do,
as many as together stand in a bounded number of chunks; common words only cost time and bring everything. Words are
stemmed by the index. A name of several parts (`os.path.join`, `max_length`) is looked for as a phrase. Scripts without
blanks between words are kept by their characters and looked for in pairs.

Nothing of a question is ever taken for the index's own query language.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from rag import path_patterns
from rag.documents import Build, Filters
from rag.stop_words import STOP_WORDS

_HEADINGS_WEIGHT, _TEXT_WEIGHT = 2.0, 1.0
_MOST_CHARACTERS = 8_000
_MOST_TERMS = 24
_COMMON = 2_000
"""A word that stands in this many chunks is not counted further."""
_MOST_ROWS = 2_000
"""Chunks that the words of a widened question may stand in together."""
_FEW_CHUNKS = 20_000
"""Up to so many, those that may be found are listed before the search, else looked up after it."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_UNSPACED_RUN = re.compile(rf"[{_UNSPACED}\U00020000-\U0003ffff]+")
_UNSPACED_PART = re.compile(r"[\u30a0-\u30ff]{2,}|[\u3040-\u309f]+|[^\u3040-\u30ff]+|[\u30a0-\u30ff]")
_QUOTED = re.compile(r'["“”„»«]([^"“”„»«]{2,200})["“”„»«]')
_NAME = re.compile(r"[^\W_]+(?:(?:[._]|::)[^\W_]+)*")
_PART = re.compile(r"[^\W_]+")
_HUMPS = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]+|[a-z]+|\d+")


EVERYTHING = Filters()


class Term(NamedTuple):
    """Something of a question that can be looked for."""

    label: str
    """As it stands in the question."""
    phrases: tuple[str, ...]
    """Any of them will do; the words of each are separated by blanks."""
    parts: tuple[str, ...] = ()
    """Looked for one by one when the question is widened."""
    is_strict: bool = True
    """Whether it is asked for when all words are."""


def spaced(text: str) -> str | None:
    """The text with blanks between the characters of scripts that have none between words; None without any."""
    if _UNSPACED_RUN.search(text) is None:
        return None
    return _UNSPACED_RUN.sub(lambda run: f" {' '.join(run[0])} ", text)


def terms(question: str) -> list[Term]:
    """What of a question is worth looking for, in its order; without any meaning words, what there is."""
    question = question[:_MOST_CHARACTERS]
    found: dict[str, Term] = {}
    common: dict[str, Term] = {}

    def quoted(match: re.Match[str]) -> str:
        words = " ".join(_words(match[1]))
        if words:
            found.setdefault(words, Term(match[1].strip(), (words,), tuple(words.split())))
        return " "

    rest = _QUOTED.sub(quoted, question)
    for name in _NAME.findall(rest):
        if _UNSPACED_RUN.search(name):
            for run in _UNSPACED_RUN.findall(name):
                for pair in _pairs(run):
                    found.setdefault(pair, Term(pair.replace(" ", ""), (pair,), is_strict=len(run) <= 4))
            names: Iterable[str] = _PART.findall(_UNSPACED_RUN.sub(" ", name))
        else:
            names = (name,)
        for one in names:
            term = _term(one)
            is_common = term.phrases[0] in STOP_WORDS or (len(one) == 1 and not one.isupper() and not one.isdigit())
            (common if is_common else found).setdefault(term.phrases[0], term)
    chosen = list((found or common).values())
    if len(chosen) > _MOST_TERMS:
        # Long words are the rare ones; whoever pastes a page means what is particular about it.
        longest = sorted(chosen, key=lambda term: -len(term.label))[:_MOST_TERMS]
        chosen = [term._replace(is_strict=False) for term in chosen if term in longest]
    return chosen


def search(
    connection: sqlite3.Connection, text: str, builds: Sequence[Build], count: int, filters: Filters = EVERYTHING
) -> list[tuple[int, float]]:
    """Ids of chunks of these builds, the best first, with their BM25; higher is better. Never raises for a text."""
    return ranked(connection, text, Scope(connection, builds, filters), count)


def ranked(connection: sqlite3.Connection, text: str, scope: Scope, count: int) -> list[tuple[int, float]]:
    """The same within what was already settled to be searched."""
    if scope.is_empty or count < 1:
        return []
    counted = [(_rows(connection, _any(term.phrases)), term) for term in terms(text)]
    strict = [term for rows, term in counted if rows and term.is_strict]
    hits: dict[int, float] = {}
    if strict:
        hits.update(_ranked(connection, scope, " AND ".join(_any(term.phrases) for term in strict), count))
    if len(hits) < count:
        widened = _rarest(connection, counted)
        if widened and not (len(strict) == 1 and widened == [_any(strict[0].phrases)]):
            for chunk, score in _ranked(connection, scope, " OR ".join(widened), count):
                if len(hits) == count:
                    break
                hits.setdefault(chunk, score)
    return list(hits.items())


class Scope:
    """Which chunks may be found: of the given builds, and what the filters leave of them."""

    def __init__(self, connection: sqlite3.Connection, builds: Sequence[Build], filters: Filters) -> None:
        self._connection = connection
        self._builds = {build.id for build in builds}
        self._without = frozenset(filters.without)
        self.documents = documents_within(connection, builds, filters)
        others = connection.execute(
            f"SELECT EXISTS (SELECT 1 FROM builds WHERE id NOT IN ({_marks(self._builds)}))",  # noqa: S608
            tuple(self._builds),
        ).fetchone()[0]
        self._is_everything = self.documents is None and not others and not self._without
        self.few = self._listed() if others or self.documents is not None else None
        """The ids, when they are few."""

    @property
    def is_empty(self) -> bool:
        return not self._builds or (self.few is not None and not self.few)

    def allowed(self, ids: Sequence[int]) -> list[int]:
        """Those of the ids that may be found, in their order."""
        if self._is_everything:
            return list(ids)
        if self.few is not None:
            ids = [chunk for chunk in ids if chunk in self.few]
            if not self._without:
                return list(ids)
        rows = self._connection.execute(
            "SELECT id, build_id, document_id, hash FROM chunks WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(ids)),),
        )
        good = {
            chunk
            for chunk, build, document, hash_ in rows
            if build in self._builds
            and (self.documents is None or document in self.documents)
            and hash_ not in self._without
        }
        return [chunk for chunk in ids if chunk in good]

    def _listed(self) -> frozenset[int] | None:
        wanted = f"SELECT id FROM chunks WHERE build_id IN ({_marks(self._builds)})"  # noqa: S608
        values: list[int | str] = list(self._builds)
        if self.documents is not None:
            wanted += " AND document_id IN (SELECT value FROM json_each(?))"
            values.append(json.dumps(list(self.documents)))
        ids = self._connection.execute(f"{wanted} LIMIT {_FEW_CHUNKS + 1}", values).fetchall()
        return frozenset(row[0] for row in ids) if len(ids) <= _FEW_CHUNKS else None


def documents_within(
    connection: sqlite3.Connection, builds: Sequence[Build], filters: Filters
) -> frozenset[int] | None:
    """Documents that the filters leave; None when they say nothing about documents.

    One with the same bytes as another stands for that one too, because it is there that its chunks are.
    """
    collections = {build.collection_id for build in builds}
    conditions, values = [], list[int | str]()
    if filters.paths:
        meant, named = path_patterns.condition(connection, filters.paths, collections)
        conditions.append(meant)
        values += named
    if filters.documents:
        conditions.append("d.id IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(filters.documents))
    if filters.tags:
        tagged = "SELECT 1 FROM json_each({}.tags) WHERE value IN (SELECT value FROM json_each(?))"
        conditions.append(f"EXISTS ({tagged.format('d')}) OR EXISTS ({tagged.format('c')})")
        values += [json.dumps(filters.tags)] * 2
    changed_ms = "coalesce(d.modified_ns / 1000000, d.added_at)"
    if filters.since is not None:
        conditions.append(f"{changed_ms} >= ?")
        values.append(int(filters.since.timestamp() * 1000))
    if filters.until is not None:
        conditions.append(f"{changed_ms} <= ?")
        values.append(int(filters.until.timestamp() * 1000))
    if not conditions:
        return None
    where = " AND ".join(f"({condition})" for condition in conditions)
    rows = connection.execute(
        "SELECT d.id, d.same_as FROM documents d JOIN collections c ON c.id = d.collection_id"  # noqa: S608
        f" WHERE d.collection_id IN ({_marks(collections)}) AND {where}",
        (*collections, *values),
    )
    return frozenset(id_ for row in rows for id_ in row if id_ is not None)


def _marks(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)


def _words(text: str) -> list[str]:
    return _PART.findall((spaced(text) or text).lower())


def _term(name: str) -> Term:
    words = _PART.findall(name)
    together = " ".join(words).lower()
    humps = _HUMPS.findall(name)
    if len(words) > 1:
        parts = tuple(word.lower() for word in words if word.lower() not in STOP_WORDS and len(word) > 1)
        return Term(name, (together,), parts)
    if len(humps) > 1 and not name.isupper():
        return Term(name, (together, " ".join(humps).lower()))
    return Term(name, (together,))


def _pairs(run: str) -> Iterator[str]:
    """Two characters each, a Japanese loan word as a whole, and no endings in hiragana unless there is nothing else."""
    parts = _UNSPACED_PART.findall(run)
    meaning = [part for part in parts if not "\u3040" <= part[0] <= "\u309f"] or parts
    for part in meaning:
        if len(part) <= 2 or "\u30a0" <= part[0] <= "\u30ff":
            yield " ".join(part)
        else:
            yield from (f"{one} {next_}" for one, next_ in pairwise(part))


def _any(phrases: Sequence[str]) -> str:
    """As the index wants it. Only letters, digits and blanks come here, so that quoting them is enough."""
    quoted = [f'"{phrase}"' for phrase in phrases]
    return quoted[0] if len(quoted) == 1 else f"({' OR '.join(quoted)})"


def _rows(connection: sqlite3.Connection, expression: str) -> int:
    """How many chunks have it, counted up to the point where it is just common.

    Asking the index itself takes its own stemming, knows phrases, and is bounded; the table of word counts has only
    stems, and walks through all places of a common word (2.9 ms against 0.2 at 100,000 chunks).
    """
    wanted = f"SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT {_COMMON})"  # noqa: S608
    return int(connection.execute(wanted, (expression,)).fetchone()[0])


def _rarest(connection: sqlite3.Connection, counted: list[tuple[int, Term]]) -> list[str]:
    """Expressions of the rarest words that together stand in a bounded number of chunks; one at least."""
    every: dict[str, int] = {}
    for rows, term in counted:
        if rows:
            every[_any(term.phrases)] = rows
        for part in term.parts:
            expression = _any((part,))
            every[expression] = every.get(expression) or _rows(connection, expression)
        if not rows and not term.parts and len(term.label) > 2:
            # Nobody has written it so far; perhaps the word is not finished.
            begun = f"{_any(term.phrases[:1])}*"
            every[begun] = _rows(connection, begun)
    chosen: list[str] = []
    total = 0
    for expression, rows in sorted(every.items(), key=lambda item: item[1]):
        if rows and (not chosen or total + rows <= _MOST_ROWS):
            chosen.append(expression)
            total += rows
    return chosen


def _ranked(connection: sqlite3.Connection, scope: Scope, expression: str, count: int) -> list[tuple[int, float]]:
    rows = connection.execute(
        f"SELECT rowid, -bm25(words, {_HEADINGS_WEIGHT}, {_TEXT_WEIGHT}) AS score FROM words"  # noqa: S608
        " WHERE words MATCH ? ORDER BY score DESC, rowid",
        (expression,),
    )
    best: list[tuple[int, float]] = []
    take = count
    while len(best) < count:
        batch = rows.fetchmany(take)
        if not batch:
            break
        scores = dict(batch)
        best.extend((chunk, scores[chunk]) for chunk in scope.allowed(list(scores)))
        take = min(take * 4, 5_000)
    return best[:count]
