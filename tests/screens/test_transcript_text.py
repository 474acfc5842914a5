"""A text laid out in slices is in the end what it is when it is laid out at once."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screens import theme
from screens.markdown import Line, render
from screens.widgets.transcript.text import FIRST_CHARACTERS, LAST_CHARACTERS, LAST_LINES, MOST_GROWN, Look, Text

LOOK = Look(40, theme.palette({}, dark=True))
PIECES = (
    "# Head\n",
    "words and words ",
    "\n\n",
    "- item\n",
    "```python\n",
    "x = 1\n",
    "```\n",
    "> quote\n",
    "| a | b |\n",
)
LONG = "Some words of a paragraph that is wrapped, and\n\n- a list\n\n```python\nx = 1\n```\n\n" * 600


@cache
def whole() -> list[str]:
    return [each.strip.text for each in render(LONG, LOOK.width, LOOK.palette).lines]


def lines(text: Text) -> list[Line]:
    return [text.line(number) for number in range(text.height)]


def words(text: Text) -> list[str]:
    return [each.strip.text for each in lines(text)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.lists(st.integers(1, 60), max_size=20), st.booleans())
def test_growing_gives_the_lines_of_the_whole(pieces: list[str], cuts: list[int], raw: bool) -> None:
    source = "".join(pieces)
    look = LOOK._replace(raw=raw)
    grown = Text(look, "", complete=False)
    at = 0
    for size in cuts:
        grown.append(source[at : at + size], source[: at + size])
        at += size
    grown.append(source[at:], source)
    grown.complete(source)

    assert words(grown) == words(Text(look, source, complete=True))


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(100, 20_000), min_size=1, max_size=6))
def test_slices_of_a_long_text_end_in_the_whole(slices: list[int]) -> None:
    text = Text(LOOK, LONG, complete=True)
    assert text.waits
    for size in slices:
        text.lay_more(size)
        first, last = text.gap
        assert (first < last) == bool(text.waits)
        assert len(words(text)) == text.height
    while text.waits:
        text.lay_more(5_000)

    assert words(text) == whole()
    assert text.gap == (text.height, text.height)


def test_the_end_of_a_long_text_is_there_at_once() -> None:
    text = Text(LOOK, LONG + "The last words.", complete=True)

    assert words(text)[-1] == "The last words."
    assert text.waits > len(LONG) - FIRST_CHARACTERS - 10


def test_an_end_inside_a_code_block_is_drawn_as_code() -> None:
    source = LONG + "```python\n" + "x = 1  # not **bold**\n" * (2 * LAST_CHARACTERS // 20)
    text = Text(LOOK, source, complete=False)

    assert text.waits
    assert words(text)[-2].rstrip().endswith("not **bold**")


def test_a_short_text_has_no_gap() -> None:
    text = Text(LOOK, "Words.", complete=True)

    assert text.waits == 0
    assert text.gap == (1, 1)
    assert words(text) == ["Words."]


def test_every_length_has_its_end() -> None:
    for size in range(0, FIRST_CHARACTERS + 3 * LAST_CHARACTERS, 3_700):
        text = Text(LOOK, LONG[:size].rpartition("\n\n")[0] + "\n\nThe last words.", complete=True)

        assert words(text)[-1] == "The last words."


@pytest.mark.parametrize(
    "piece", ["Paragraph of a long answer.\n\n", "word ", "- item of a list\n", "| a | row |\n", "    code\n"]
)
def test_of_a_long_text_that_is_complete_the_middle_goes_and_the_end_stays_as_it_was(piece: str) -> None:
    source = piece * (60_000 // len(piece))
    whole = Text(LOOK, "", complete=False)
    whole.append(source, source)
    assert whole.shortened() is whole
    whole.complete(source)
    before = list(whole.body.lines)

    short = whole.shortened()

    assert len(short.body.lines) < len(before)
    ends = [short.line(short.height - back) for back in range(LAST_LINES, 0, -1)]
    assert all(one is other for one, other in zip(ends, before[-LAST_LINES:], strict=True))
    short.lay_more(len(source))
    assert short.waits == 0
    assert [line.strip.text for line in short.body.lines] == [line.strip.text for line in before]


@pytest.mark.parametrize("piece", ["Paragraph of a long answer.\n\n", "- item of a list\n", "    code\n"])
def test_of_a_long_text_that_grows_the_middle_goes_and_the_end_goes_on(piece: str) -> None:
    source = ""
    text = whole = Text(LOOK, "", complete=False)
    held = []
    while len(source) < 3 * MOST_GROWN:
        source += (more := piece * (20_000 // len(piece)))
        text.append(more, source)
        whole = text
        text = text.bounded()
        held.append(len(text.body.lines) + (text.height - text.gap[1]))

    assert text.waits
    assert words(text)[-20:] == words(whole)[-20:]

    text.append("\n\nThe last words.", source + "\n\nThe last words.")
    text.complete(source + "\n\nThe last words.")
    short = text.shortened()
    assert words(short)[-1] == "The last words."
    assert short.height - short.gap[1] == LAST_LINES
    short.lay_more(len(source) + 20)
    render_all = render(source + "\n\nThe last words.", LOOK.width, LOOK.palette)
    assert words(short) == [each.strip.text for each in render_all.lines]
    assert max(held) < len(render_all.lines) // 2
