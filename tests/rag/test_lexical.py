from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag import lexical
from rag.documents import Filters
from tests.rag.shelf import Shelf


def _found(shelf: Shelf, text: str, filters: Filters = lexical.EVERYTHING, count: int = 10) -> list[int]:
    builds = list(shelf.builds.values())
    return [chunk for chunk, _ in lexical.search(shelf.connection, text, builds, count, filters)]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def test_chunks_with_all_words_come_first(shelf: Shelf) -> None:
    (one,) = shelf.document("docs", "/a.md", "The tunnel tunnel tunnel tunnel is up.")
    (both,) = shelf.document(
        "docs", "/b.md", "A tunnel may be closed while something long is said about other matters."
    )
    shelf.document("docs", "/c.md", "Nothing of it.")

    assert _found(shelf, "closed tunnel") == [both, one]


def test_words_are_stemmed_and_accents_do_not_matter(shelf: Shelf) -> None:
    (chunk,) = shelf.document("docs", "/a.md", "Résumés were embedded in batches.")

    assert _found(shelf, "resume embedding batch") == [chunk]


def test_common_words_do_not_widen_a_question(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexical, "_MOST_ROWS", 3)
    common = [shelf.document("docs", f"/{at}.md", f"A machine number n{at}.")[0] for at in range(20)]
    (rare,) = shelf.document("docs", "/rare.md", "The zygote.")

    assert _found(shelf, "machine zygote") == [rare]
    assert set(_found(shelf, "machine", count=30)) == set(common)


def test_question_words_do_no_harm(shelf: Shelf) -> None:
    (chunk,) = shelf.document("docs", "/a.md", "Cancelling ends the request.")
    shelf.document("docs", "/b.md", "How do I what is the why? How how how do do do I can you.")

    assert _found(shelf, "How do I cancel requests?") == [chunk]
    assert _found(shelf, "Wie kann ich das request canceln?")[0] == chunk


def test_a_question_of_common_words_alone_is_still_asked(shelf: Shelf) -> None:
    (chunk,) = shelf.document("docs", "/a.md", "To be or not to be.")

    assert _found(shelf, "to be or not to be") == [chunk]


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("os.path.join", "Call os.path.join with two parts."),
        ("max_length", "The max_length of a line."),
        ("ThreadPoolExecutor", "A ThreadPoolExecutor runs calls."),
        ("ThreadPoolExecutor", "The thread pool executor runs calls."),
        ("std::vector", "A std::vector grows."),
        ("HTTP2 timeout_s", "HTTP2 has timeout_s."),
    ],
)
def test_identifiers_are_found(shelf: Shelf, asked: str, text: str) -> None:
    shelf.document("docs", "/other.md", "A path to join, a length of at most three, a vector.")
    (chunk,) = shelf.document("docs", "/a.md", text)

    assert _found(shelf, f"what is {asked}?")[0] == chunk


def test_an_identifier_that_nobody_wrote_is_looked_for_by_its_parts(shelf: Shelf) -> None:
    (chunk,) = shelf.document("docs", "/a.md", "The path is made absolute.")

    assert _found(shelf, "absolute_path") == [chunk]


def test_quoted_words_are_one(shelf: Shelf) -> None:
    shelf.document("docs", "/a.md", "The key is public, said the host.")
    (chunk,) = shelf.document("docs", "/b.md", "A public key.")

    assert _found(shelf, '"public key"')[0] == chunk


def test_a_word_that_is_not_finished_finds_its_beginning(shelf: Shelf) -> None:
    (chunk,) = shelf.document("docs", "/a.md", "Zeppelins fly.")

    assert _found(shelf, "zepp") == [chunk]


@pytest.mark.parametrize("asked", ["连接", "怎么连接数据库?", "データベース", "接続の方法"])
def test_scripts_without_blanks_are_found_by_a_part(shelf: Shelf, asked: str) -> None:
    shelf.document("docs", "/other.md", "天气很好。")
    (chunk,) = shelf.document("docs", "/a.md", "首先连接数据库，然后查询。データベースに接続する方法。")

    assert _found(shelf, asked) == [chunk]


@given(st.text(max_size=60) | st.text('"*()^:-+ANDORNT{}ab', max_size=30))
@settings(max_examples=200, deadline=None)
def test_no_text_is_taken_for_a_query_language(text: str) -> None:
    shelf = _one_shelf()

    found = _found(shelf, text)

    assert set(found) <= {1, 2}


def _one_shelf(kept: list[Shelf] = []) -> Shelf:  # noqa: B006 - made once, only read
    if not kept:
        kept.append(Shelf())
        kept[0].document("docs", "/a.md", "alpha beta and or not near 123")
        kept[0].document("docs", "/b.md", "gamma 数据")
    return kept[0]


def test_a_pasted_page_is_no_trouble(shelf: Shelf) -> None:
    (chunk,) = shelf.document("docs", "/a.md", "The idiosyncratic hovercraft.")

    assert _found(shelf, "word " * 5_000 + "x" * 5_000) == []
    assert _found(shelf, " ".join(f"w{at}" for at in range(200)) + " idiosyncratic") == [chunk]


def test_only_the_builds_that_are_asked_are_searched(shelf: Shelf) -> None:
    shelf.document("one", "/a.md", "The same words.")
    (chunk,) = shelf.document("two", "/a.md", "The same words.")

    found = lexical.search(shelf.connection, "same words", [shelf.builds["two"]], 10)

    assert [id_ for id_, _ in found] == [chunk]
    assert lexical.search(shelf.connection, "same words", [], 10) == []


@pytest.mark.parametrize("few", [20_000, 0])
@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (Filters(paths=("/home/a/docs",)), {"guide.md", "x.pdf"}),
        (Filters(paths=("/home/a/docs/",)), {"guide.md", "x.pdf"}),
        (Filters(paths=("docs/sub",)), {"x.pdf"}),
        (Filters(paths=("*.md",)), {"guide.md", "notes[1].md"}),
        (Filters(paths=("notes[1].md",)), {"notes[1].md"}),
        (Filters(paths=("/home/a/notes[1].md",)), {"notes[1].md"}),
        (Filters(paths=("/home/a/b.zip",)), {"in.txt"}),
        (Filters(paths=("guide.md", "*.pdf")), {"guide.md", "x.pdf"}),
        (Filters(paths=("/home/a/doc",)), set()),
        (Filters(paths=("docs",)), {"guide.md", "x.pdf"}),
        (Filters(paths=("b.zip",)), {"in.txt"}),
        (Filters(paths=("home*.md", "g*/x.pdf", "doc*")), set()),
        (Filters(paths=("/home/*/*.md",)), {"notes[1].md"}),
        (Filters(paths=("docs/*",)), {"guide.md"}),
        (Filters(paths=("docs/**",)), {"guide.md", "x.pdf"}),
        (Filters(paths=("/home/*/docs/",)), {"guide.md", "x.pdf"}),
        (Filters(paths=("/home/**/*.md",)), {"guide.md", "notes[1].md"}),
        (Filters(paths=("a/[!d]*", "/[")), {"notes[1].md"}),
        (Filters(documents=(2,)), {"x.pdf"}),
        (Filters(tags=("work", "none")), {"x.pdf"}),
        (Filters(tags=("shared",)), {"guide.md", "x.pdf", "notes[1].md", "in.txt"}),
        (Filters(since=datetime(2020, 1, 1, tzinfo=UTC)), {"notes[1].md", "in.txt"}),
        (Filters(until=datetime(2020, 1, 1, tzinfo=UTC)), {"guide.md", "x.pdf"}),
        (Filters(paths=("*.md",), since=datetime(2020, 1, 1, tzinfo=UTC)), {"notes[1].md"}),
    ],
)
def test_filters_are_exact(
    shelf: Shelf, filters: Filters, names: set[str], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexical, "_FEW_CHUNKS", few)
    shelf.collection("docs", tags=["shared"])
    later_ms = 1_600_000_000_000
    chunks = {
        "guide.md": shelf.document("docs", "/home/a/docs/guide.md", "A word."),
        "x.pdf": shelf.document("docs", "/home/a/docs/sub/x.pdf", "A word here.", tags=["work"]),
        "notes[1].md": shelf.document("docs", "/home/a/notes[1].md", "A word there.", modified_ms=later_ms),
        "in.txt": shelf.document("docs", "/home/a/b.zip!/in.txt", "A word inside.", modified_ms=later_ms),
    }

    found = _found(shelf, "word", filters)

    assert set(found) == {chunk for name in names for chunk in chunks[name]}


def test_a_document_with_the_same_bytes_stands_for_the_one_with_the_chunks(shelf: Shelf) -> None:
    (chunk,) = shelf.document("docs", "/a/one.md", "A word.")
    shelf.document("docs", "/b/copy.md", same_as=1)

    assert _found(shelf, "word", Filters(paths=("/b",))) == [chunk]


@pytest.mark.parametrize("few", [20_000, 0])
def test_what_was_excluded_is_not_found_again(shelf: Shelf, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexical, "_FEW_CHUNKS", few)
    (one,) = shelf.document("docs", "/a.md", "A word.")
    (other,) = shelf.document("docs", "/b.md", "Another word.")

    assert _found(shelf, "word", Filters(without=(shelf.hash_of(one),))) == [other]


def test_a_filter_looks_past_better_ones_that_it_does_not_let_through(shelf: Shelf) -> None:
    for at in range(60):
        shelf.document("docs", f"/many/{at}.md", f"tunnel tunnel {at}")
    (chunk,) = shelf.document("docs", "/few/a.md", "About a tunnel among a good many other words in a long sentence.")

    assert _found(shelf, "tunnel", Filters(paths=("/few",)), count=5) == [chunk]


def test_words_go_when_their_chunk_goes(shelf: Shelf) -> None:
    (chunk,) = shelf.document("docs", "/a.md", "数据库 and words")

    shelf.connection.execute("DELETE FROM documents")

    assert _found(shelf, "数据库 words") == []
    shelf.connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    assert shelf.connection.execute("SELECT count(*) FROM word_counts").fetchone() == (0,)
    assert chunk == 1
