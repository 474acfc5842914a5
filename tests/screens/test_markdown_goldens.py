"""The stored corpus: what is drawn of it, however it arrives and however narrow the screen is."""

from __future__ import annotations

import random
import unicodedata

import pytest

from screens.markdown import Rendering, raw_lines, render
from tests.screens.markdown_corpus import PALETTE, drawing, golden, source, sources

NAMES = sources()


def test_the_corpus_is_there() -> None:
    assert len(NAMES) >= 40


@pytest.mark.parametrize("name", NAMES)
def test_drawing_is_the_stored_one(name: str) -> None:
    assert drawing(source(name)) == golden(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [1, 2])
def test_deltas_draw_what_the_whole_draws(name: str, seed: int) -> None:
    text = source(name)
    chance = random.Random(seed)
    rendering = Rendering(40, PALETTE)

    position = 0
    while position < len(text):
        size = chance.choice([1, 2, 3, 5, 40]) if len(text) < 3_000 else chance.choice([7, 200, 900])
        rendering.feed(text[position : position + size])
        position += size
        if chance.random() < 0.3:
            rendering.settle()
    rendering.close()

    whole = render(text, 40, PALETTE)
    assert list(rendering.lines) == list(whole.lines)
    assert rendering.blocks == whole.blocks


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [1, 2, 3, 7, 15, 40, 200])
def test_lines_fit_and_do_nothing_to_a_terminal(name: str, width: int) -> None:
    text = source(name)

    for line in [*render(text, width, PALETTE).lines, *raw_lines(text, width, PALETTE)]:
        assert line.strip.cell_length <= width
        assert line.indent <= width
        assert not [c for c in line.strip.text if _is_harmful(c)], ascii(line.strip.text)


def _is_harmful(character: str) -> bool:
    """Control codes, line ends, direction overrides and everything that takes no part in a word and cannot be seen."""
    joins = character in "\u200c\u200d"
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and not joins


@pytest.mark.parametrize("name", NAMES)
def test_raw_view_joined_again_is_the_source(name: str) -> None:
    text = source(name)
    if any(_is_harmful(character) and character != "\n" for character in text) or "\u0301" in text:
        assert raw_lines(text, 30, PALETTE)
        return

    joined: list[str] = []
    for line in raw_lines(text, 30, PALETTE):
        if line.continues:
            joined[-1] += line.joint + line.strip.text
        else:
            joined.append(line.strip.text)

    assert [row.rstrip() for row in joined] == [row.rstrip() for row in text.split("\n")]
