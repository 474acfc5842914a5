"""How a document is laid out, and what is lit in it."""

from __future__ import annotations

import random
import time

import pytest
from rich.cells import cell_len

from screens.widgets.document.layout import Layout, lay

ROPE = "A hawser is a thick rope of five inches or more around, laid left.\n\n\tIt moors or tows a ship.\n"


def rows(text: str, layout: Layout) -> list[str]:
    return [text[slice(*layout.row(number))] for number in range(layout.height)]


@pytest.mark.parametrize("width", [8, 20, 31, 80])
@pytest.mark.parametrize("text", [ROPE, "", "\n", "x" * 500, "船を係留する太い綱。" * 40, "é\u0301" * 90, " " * 300])
def test_rows_are_the_whole_text_in_its_order_and_none_is_wider_than_there_is_room(text: str, width: int) -> None:
    layout = lay(text, width)

    assert "".join(rows(text, layout)) == text
    assert all(cell_len(row.rstrip().expandtabs(4)) <= width for row in rows(text, layout) if "\t" not in row)


def test_words_stay_whole_where_they_fit() -> None:
    assert rows("a hawser is a rope", lay("a hawser is a rope", 10)) == ["a hawser ", "is a rope"]


def test_every_character_is_found_in_its_row_and_line() -> None:
    made = random.Random(7)
    text = "".join(made.choice("abc  \n綱") for _ in range(3_000))

    layout = lay(text, 24)

    for at in range(0, len(text), 7):
        first, last = layout.row(layout.row_at(at))
        assert first <= at < last
        assert layout.line_at(at) == text.count("\n", 0, at) + 1


def test_ten_million_characters_are_laid_out_at_once() -> None:
    text = (
        "The hawser is led through the fairlead and made fast to the bitts; it takes the surge. " * 4 + "\n"
    ) * 28_000
    began = time.process_time()

    layout = lay(text, 100)

    assert time.process_time() - began < 1.5  # a tenth of it where nothing else runs
    assert layout.row_at(len(text) - 2) == layout.height - 2
