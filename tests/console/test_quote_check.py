"""Which sentences of an answer stand in the passages that they cite."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from console.library.quote_check import Checked, check, claims
from console.library.sentences import cited_sentences

PASSAGES = {
    1: "A hawser is a thick rope of five inches or more around, laid left. It moors or tows a ship.",
    2: "The bowline does not slip or bind under load. It was known in 1627, and holds 1,000 kg.",
    3: "大綱は太いロープです。船を岸につなぐ。",
}
NAMES = {1: "ropes.pdf", 2: "knots.md"}


def found(text: str) -> list[tuple[str, str]]:
    return [(text[each.start : each.end], each.verdict) for each in check(text, PASSAGES, NAMES)]


def only(text: str) -> Checked:
    (checked,) = check(text, PASSAGES, NAMES)
    return checked


@pytest.mark.parametrize(
    ("sentence", "verdict"),
    [
        ("It moors or tows a ship [1].", "exact"),
        ("A **hawser** is a _thick_ rope of five inches or more around [1].", "exact"),
        ("The manual says “does not slip or bind under load” [2].", "exact"),
        ('It "does not slip […] holds 1,000 kg" [2].', "exact"),
        ("Hawsers are thick ropes, five inches or more around [1].", "close"),
        ("It holds 1000 kg [2].", "close"),
        ("It holds 2,000 kg [2].", "not found"),
        ("A hawser is 5 inches around or more [1].", "close"),
        ("A hawser is 7 inches around or more [1].", "not found"),
        ('The book says "does not slip and never jams at all" [2].', "not found"),
        ("Monks in Tibet make cheese of yak milk [1].", "not found"),
        ("The bowline does not slip [1].", "not found"),
        ("Whatever it says [9].", "not found"),
        ("大綱は太いロープです[3]。", "exact"),
    ],
)
def test_a_sentence_is_compared_with_the_passage_that_it_cites(sentence: str, verdict: str) -> None:
    assert only(sentence).verdict == verdict


def test_what_was_found_is_shown_in_the_passage() -> None:
    checked = only("The bowline “does not slip or bind under load” [2].")

    start, end = checked.where[2]
    assert PASSAGES[2][start:end] == "does not slip or bind under load"
    assert checked.verdicts == {2: "exact"}


def test_a_paraphrase_is_placed_where_its_words_stand() -> None:
    checked = only("In 1627 it was known that the bowline under load will never slip [2].")

    start, end = checked.where[2]
    assert checked.verdict == "close"
    assert PASSAGES[2][start:end].startswith("bowline does not slip")


MARKS = ("[1][2]", "[1, 2]", "[1] [2]", "[1; 2]", "[1-2]", "[1–2]", "[Source 1][Source 2]", "[^1][^2]", "【1】【2】")


@pytest.mark.parametrize("marks", [*MARKS, "【1†ropes】【2†knots】"])
def test_marks_are_understood_however_a_model_writes_them(marks: str) -> None:
    checked = only(f"Hawsers moor a ship, and the bowline was known in 1627 {marks}.")

    assert checked.numbers == (1, 2)
    assert checked.verdict == "close"


def test_a_mark_behind_the_full_stop_belongs_to_the_sentence_before_it() -> None:
    text = "It moors or tows a ship. [1] The bowline does not slip or bind under load. [2]\n\nNothing is cited here."

    assert found(text) == [
        ("It moors or tows a ship. [1]", "exact"),
        ("The bowline does not slip or bind under load. [2]", "exact"),
    ]


def test_items_of_a_list_and_cells_are_sentences_of_their_own() -> None:
    items = "- It moors or tows a ship [1]\n- It holds 9 kg [2]\n1. It was known in 1627 [2]"
    text = f"Ropes:\n{items}\n\n| a | It moors a ship [1] |\n"

    assert [verdict for _, verdict in found(text)] == ["exact", "not found", "exact", "close"]


def test_a_line_break_in_a_paragraph_does_not_end_a_sentence() -> None:
    assert only("A hawser is a thick rope\nof five inches or more around [1].").verdict == "exact"


def test_code_links_and_lists_of_sources_cite_nothing() -> None:
    text = (
        "Use `rope[1]` here.\n\n```python\nrope[2] = 'It moors a ship [1].'\n```\n"
        "See [1](https://example.com) and\n[2]: https://example.com\n\nSources:\n[1] ropes.pdf, page 3\n"
    )

    assert found(text) == []


def test_abbreviations_do_not_end_a_sentence() -> None:
    text = "According to Dr. Smith, e.g. in vol. 2, a hawser moors or tows a ship [1]."

    assert [sentence.start for sentence in cited_sentences(text)] == [0]


def test_what_says_nothing_is_not_judged() -> None:
    assert found("Yes [1].") == []


def test_claims_are_told_by_source() -> None:
    text = "It moors or tows a ship [1]. It holds 9 kg [2]. Nothing else [7]."

    by_number = claims(check(text, PASSAGES))

    assert {number: [claim.verdict for claim in each] for number, each in by_number.items()} == {
        1: ["exact"],
        2: ["not found"],
        7: ["not found"],
    }


def test_without_passages_nothing_is_checked() -> None:
    assert check("It moors a ship [1].", {}) == ()


@given(some.text('ab[](1.2,) -\n`*"“”|#', max_size=200))
def test_any_text_is_checked_within_its_bounds(text: str) -> None:
    for checked in check(text, PASSAGES):
        assert 0 <= checked.start < checked.end <= len(text)
        assert checked.verdicts.keys() == set(checked.numbers)
        for number, (start, end) in checked.where.items():
            assert 0 <= start < end <= len(PASSAGES[number])


@pytest.mark.parametrize(
    "piece", ["[1] ", "[", "`", "```\n", '"', "“", "(*_", "[1, ", ". [x]", "| ", "~~~\n", "a [1].", "[1-9]", "\n- "]
)
def test_long_answers_of_any_kind_take_no_time(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    began = time.process_time()

    check(text, PASSAGES, NAMES)

    assert time.process_time() - began < 3.0
