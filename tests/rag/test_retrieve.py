from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import pytest

from rag import lexical
from rag.documents import Build, Filters, Passage, Wanted
from rag.errors import UnknownName
from rag.retrieve import Near, Rerank, Weights, retrieve
from tests.rag.shelf import COUNTER, Shelf


def _near(*ids: int) -> Near:
    """An index that finds these, in this order."""

    def nearest(builds: Sequence[Build], count: int, only: Collection[int] | None) -> list[tuple[int, float]]:
        return [(chunk, 0.9 - at / 100) for at, chunk in enumerate(ids)][:count]

    return nearest


def _names(passages: Sequence[Passage]) -> list[str]:
    return [passage.document for passage in passages]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def _long(shelf: Shelf, path: str, count: int = 6) -> tuple[str, list[int]]:
    """A document in chunks of one paragraph; its text too."""
    paragraphs = [
        f"Paragraph {at} of it says {' '.join(f'thing{at}x{word}' for word in range(8))}." for at in range(count)
    ]
    chunks = shelf.document("docs", path, "\n\n".join(paragraphs))
    assert len(chunks) == count
    return "\n\n".join(paragraphs), chunks


def test_words_and_vectors_are_fused(shelf: Shelf) -> None:
    (by_words,) = shelf.document("docs", "/words.md", "The zygote divides.")
    (by_meaning,) = shelf.document("docs", "/meaning.md", "A cell becomes two.")
    (both,) = shelf.document(
        "docs", "/both.md", "Another zygote of many words that are here to make it worse for BM25."
    )

    found = retrieve(shelf.connection, Wanted("zygote"), near=_near(by_meaning, both))

    assert found.method == "hybrid"
    assert found.notes == ()
    assert _names(found.passages) == ["both.md", "meaning.md", "words.md"]
    assert found.passages[0].score > found.passages[1].score > found.passages[2].score
    assert (found.passages[0].lexical_rank, found.passages[0].vector_rank) == (2, 2)
    assert found.passages[1].vector_score == 0.9
    assert (found.passages[1].lexical_rank, found.passages[2].vector_rank) == (None, None)
    assert by_words != both


def test_the_first_place_everywhere_scores_one(shelf: Shelf) -> None:
    (chunk,) = shelf.document("docs", "/a.md", "The zygote divides.")

    assert retrieve(shelf.connection, Wanted("zygote"), near=_near(chunk)).passages[0].score == pytest.approx(1)
    assert retrieve(shelf.connection, Wanted("zygote"), near=None).passages[0].score == pytest.approx(1)


def test_why_is_said_in_plain_words(shelf: Shelf) -> None:
    (chunk,) = shelf.document("docs", "/a.md", "Zygotes divide quickly.", headings=["Biology"])

    (passage,) = retrieve(shelf.connection, Wanted("How do zygotes divide in biology?"), near=_near(chunk)).passages

    assert passage.why == "1st by words (zygotes, divide, biology), 1st by meaning (0.90)"
    assert passage.headings == ("Biology",)
    assert passage.tokens == COUNTER.count([passage.text])[0]


def test_without_vectors_words_answer_and_a_note_says_so(shelf: Shelf) -> None:
    shelf.document("docs", "/a.md", "The zygote divides.")

    found = retrieve(shelf.connection, Wanted("zygote"), near=None)

    assert found.method == "lexical"
    assert found.notes == ("Found by words only; there are no vectors to compare with.",)


def test_weights_decide(shelf: Shelf) -> None:
    shelf.document("docs", "/words.md", "The zygote divides.")
    (meaning,) = shelf.document("docs", "/meaning.md", "A cell becomes two.")

    for weights, first in ((Weights(1.0, 0.2), "meaning.md"), (Weights(0.2, 1.0), "words.md")):
        found = retrieve(shelf.connection, Wanted("zygote"), near=_near(meaning), weights=weights)
        assert found.passages[0].document == first


def test_neighbours_become_one_passage_in_the_words_of_the_document(shelf: Shelf) -> None:
    text, chunks = _long(shelf, "/a.md")

    found = retrieve(shelf.connection, Wanted("nothing of it"), near=_near(chunks[3], chunks[1], chunks[2], chunks[5]))

    first, second = found.passages
    assert first.text == text[first.span.start : first.span.end]
    assert first.text.startswith("Paragraph 1")
    assert first.text.endswith("thing3x7.")
    assert (first.span.first_line, first.span.last_line) == (3, 7)
    assert first.hashes == tuple(shelf.hash_of(chunk) for chunk in chunks[1:4])
    assert "3 neighbours joined" in first.why
    assert second.text.startswith("Paragraph 5")
    assert found.tokens == first.tokens + second.tokens


def test_what_overlaps_is_not_told_twice(shelf: Shelf) -> None:
    text, chunks = _long(shelf, "/a.md", 2)
    shelf.connection.execute(
        "UPDATE chunks SET text = ?, char_from = 20, line_from = 1 WHERE id = ?", (text[20:], chunks[1])
    )

    (passage,) = retrieve(shelf.connection, Wanted("nothing"), near=_near(*chunks)).passages

    assert passage.text == text


def test_the_same_passage_is_not_given_twice(shelf: Shelf) -> None:
    words = " ".join(f"w{at}" for at in range(20))
    chunks = [
        shelf.document("docs", path, body)[0]
        for path, body in (("/a.md", words), ("/b.md", words), ("/c.md", f"{words} more"), ("/d.md", "Something else."))
    ]

    found = retrieve(shelf.connection, Wanted("nothing"), near=_near(*chunks))

    assert _names(found.passages) == ["a.md", "d.md"]


def test_one_document_does_not_push_others_out(shelf: Shelf) -> None:
    (best,) = shelf.document("docs", "/best.md", "The best of all.")
    _, chunks = _long(shelf, "/long.md", 12)
    (other,) = shelf.document("docs", "/other.md", "The other one.")

    found = retrieve(shelf.connection, Wanted("nothing"), near=_near(best, *chunks[::2], other))

    assert _names(found.passages) == ["best.md", "long.md", "long.md", "long.md", "other.md"]


def test_the_document_of_the_best_passage_may_fill_the_answer(shelf: Shelf) -> None:
    _, chunks = _long(shelf, "/long.md", 12)
    (other,) = shelf.document("docs", "/other.md", "The other one.")

    found = retrieve(shelf.connection, Wanted("nothing"), near=_near(*chunks[::2], other))

    assert _names(found.passages) == ["long.md"] * 5
    assert _names(found.considered) == ["long.md", "other.md"]


def test_passages_are_packed_to_a_budget(shelf: Shelf) -> None:
    _, chunks = _long(shelf, "/a.md", 12)
    (small,) = shelf.document("docs", "/small.md", "Five words are in here.")

    found = retrieve(shelf.connection, Wanted("nothing", budget_tokens=110), near=_near(*chunks[::2], small))

    # What is too large for the rest does not keep a smaller one from it.
    assert _names(found.passages) == ["a.md", "a.md", "small.md"]
    assert found.tokens == sum(passage.tokens for passage in found.passages) <= 110
    assert len(found.considered) == 4


def test_top_k_is_a_limit_of_its_own(shelf: Shelf) -> None:
    _, chunks = _long(shelf, "/a.md", 12)

    found = retrieve(shelf.connection, Wanted("nothing", top_k=2, budget_tokens=5_000), near=_near(*chunks[::2]))

    assert len(found.passages) == 2


def test_a_reranker_decides_the_order(shelf: Shelf) -> None:
    _, chunks = _long(shelf, "/a.md", 12)
    seen: list[str] = []

    def rerank(question: str, texts: Sequence[str]) -> list[float]:
        seen.append(question)
        return [float("Paragraph 4" in text) for text in texts]

    found = retrieve(shelf.connection, Wanted("what"), near=_near(*chunks[::2]), rerank=rerank)

    assert seen == ["what"]
    assert found.passages[0].text.startswith("Paragraph 4")
    assert found.passages[0].why.endswith("was 3rd before reranking")
    assert found.passages[1].text.startswith("Paragraph 0")


def _failing(question: str, texts: Sequence[str]) -> list[float]:
    raise ConnectionError("gone")


def _short(question: str, texts: Sequence[str]) -> list[float]:
    return [1.0]


@pytest.mark.parametrize(("rerank", "note"), [(_failing, "ConnectionError"), (_short, "1 scores for 2 passages")])
def test_a_reranker_that_fails_costs_nothing_but_a_note(shelf: Shelf, rerank: Rerank, note: str) -> None:
    ids = [shelf.document("docs", f"/{name}.md", f"About {name}.")[0] for name in ("one", "two")]

    found = retrieve(shelf.connection, Wanted("nothing"), near=_near(*ids), rerank=rerank)

    assert _names(found.passages) == ["one.md", "two.md"]
    assert len(found.notes) == 1
    assert note in found.notes[0]


def test_collections_of_two_embedders_are_fused_by_rank(shelf: Shelf) -> None:
    shelf.collection("first", embedder="one")
    shelf.collection("second", embedder="two")
    shelf.collection("third", embedder="one")
    ids = {name: shelf.document(name, f"/{name}.md", f"About {name} things.")[0] for name in shelf.builds}
    asked: list[list[int]] = []

    def near(builds: Sequence[Build], count: int, only: Collection[int] | None) -> list[tuple[int, float]]:
        asked.append([build.id for build in builds])
        return [(ids["first"], 0.2), (ids["third"], 0.1)] if builds[0].embedder == "one" else [(ids["second"], 0.9)]

    found = retrieve(shelf.connection, Wanted("nothing"), near=near)

    assert asked == [[1, 3], [2]]
    assert [passage.collection for passage in found.passages] == ["first", "second", "third"]
    assert found.passages[0].score == found.passages[1].score


def test_only_the_collections_that_are_named_are_asked(shelf: Shelf) -> None:
    for name in ("Notes", "docs"):
        shelf.document(name, f"/{name}.md", "The zygote.")

    found = retrieve(shelf.connection, Wanted("zygote", collections=("notes",)), near=None)

    assert [passage.collection for passage in found.passages] == ["Notes"]


def test_an_unknown_collection_is_named_with_the_nearest(shelf: Shelf) -> None:
    shelf.collection("manuals")

    with pytest.raises(UnknownName, match=r"no collection 'manual'") as raised:
        retrieve(shelf.connection, Wanted("x", collections=("manual",)), near=None)

    assert raised.value.hint == "Did you mean 'manuals'?"


def test_what_is_not_read_yet_is_said(shelf: Shelf) -> None:
    (chunk,) = shelf.document("docs", "/a.md", "The zygote.")
    shelf.document("docs", "/b.md", state="waiting")
    shelf.document("docs", "/c.md", "Half of it.", state="lexical")

    found = retrieve(shelf.connection, Wanted("zygote"), near=_near(chunk))

    assert found.notes == (
        "1 document is not read yet.",
        "1 document is found by words only until the vectors are there.",
    )


class Limits(NamedTuple):
    listed: int
    few: int
    nearest: int


@pytest.mark.parametrize(
    ("limits", "counts"),
    [
        (Limits(20_000, 2_000, 4_000), [60, "by id"]),
        (Limits(20_000, 0, 120), [60, 120, "by id"]),
        (Limits(0, 0, 480), [60, 480]),
    ],
)
def test_a_filter_holds_for_vectors_too(
    shelf: Shelf, limits: Limits, counts: list[int | str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few chunks are asked for by their ids; of many, the index is first asked for more."""
    monkeypatch.setattr(lexical, "_FEW_CHUNKS", limits.listed)
    monkeypatch.setattr("rag.retrieve._FEW", limits.few)
    monkeypatch.setattr("rag.retrieve._NEAREST_AT_MOST", limits.nearest)
    many = [shelf.document("docs", f"/many/{at}.md", f"Number {at}.")[0] for at in range(200)]
    (chunk,) = shelf.document("docs", "/few/a.md", "The one.")
    asked: list[int | str] = []

    def near(builds: Sequence[Build], count: int, only: Collection[int] | None) -> list[tuple[int, float]]:
        asked.append(count if only is None else "by id")
        return [(one, 0.5) for one in [*many, chunk] if only is None or one in only][:count]

    found = retrieve(shelf.connection, Wanted("nothing", filters=Filters(paths=("/few",))), near=near)

    assert _names(found.passages) == ["a.md"]
    assert asked == counts


def test_vectors_of_chunks_that_are_gone_are_passed_over(shelf: Shelf) -> None:
    (chunk,) = shelf.document("docs", "/a.md", "The zygote.")

    found = retrieve(shelf.connection, Wanted("nothing"), near=_near(999, chunk))

    assert _names(found.passages) == ["a.md"]


def test_nothing_found_is_an_empty_answer(shelf: Shelf) -> None:
    assert retrieve(shelf.connection, Wanted("x"), near=None).passages == ()
    shelf.document("docs", "/a.md", "The zygote.")
    assert retrieve(shelf.connection, Wanted("", filters=Filters(paths=("/b",))), near=_near(1)).passages == ()
