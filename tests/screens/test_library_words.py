"""Which words of a found passage are lit."""

from __future__ import annotations

import pytest

from screens.library_words import lit


@pytest.mark.parametrize(
    ("text", "question", "words"),
    [
        ("A machine costs what machines cost.", "cost of a machine", ["machine", "costs", "machines", "cost"]),
        ("Added to all of it", "cost of a machine", []),
        ("a splice of ropes", "of a", ["a", "of"]),
        ("The policies are stopped", "stopping policy", ["policies", "stopped"]),
        ("HAWSER_MACHINE_DAY", "machine", ["MACHINE"]),
        ("停泊料金について", "料金", ["料金"]),
        ("nothing", "", []),
    ],
)
def test_whole_words_that_count_are_lit_in_any_of_their_forms(text: str, question: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in lit(text, question)] == words
