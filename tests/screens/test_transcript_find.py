"""Finding words in the chat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screens.widgets.transcript.finding import fold, spans
from tests.conftest import run
from tests.screens.transcript_kit import View, item, viewing


@pytest.mark.parametrize(
    ("text", "words", "found"),
    [
        ("Café au lait", "cafe", ["Café"]),
        ("cafe\u0301 noir", "CAFÉ", ["cafe\u0301"]),
        ("Straße", "STRASSE", ["Straße"]),
        ("ropes, Ropes", "rope", ["rope", "Rope"]),
        ("ＷＩＤＥ", "wide", ["ＷＩＤＥ"]),
        ("aaa", "aa", ["aa"]),
        ("two\nlines", "two lines", ["two\nlines"]),
        ("nothing", "x", []),
    ],
)
def test_case_and_accents_do_not_matter(text: str, words: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in spans(text, fold(words))] == found


@given(st.text(max_size=60), st.text(min_size=1, max_size=4))
def test_every_span_is_what_was_looked_for(text: str, words: str) -> None:
    needle = fold(words)
    if not needle:
        return
    last = 0
    for start, end in spans(text, needle):
        assert last <= start < end <= len(text) or start == last - 1
        assert needle in fold(text[start:end])
        last = end


def chat() -> list[object]:
    items = [item(number, f"message {number} about ropes") for number in range(300)]
    items[20] = item(20, "A **hawser** and a hawser.")
    items[150] = item(150, "Another\nHAWSER, in the middle")
    return list(items)


async def _type(view: View, words: str) -> None:
    await view.press("slash")
    await view.press(*("space" if each == " " else each for each in words))


def test_words_are_found_in_messages_nobody_has_seen() -> None:
    async def body() -> None:
        async with viewing(chat()) as view:  # type: ignore[arg-type]
            view.transcript.go_to("m0")
            await _type(view, "hawser")

            assert view.transcript.found == (1, 3)
            assert "1 of 3" in view.lines[-1]
            assert "hawser" in view.screen.lower()
            await view.press("enter", "n")
            assert view.transcript.found == (2, 3)
            await view.press("n")
            assert view.transcript.found == (3, 3)
            assert "HAWSER" in view.screen
            current = view.transcript.current
            assert current is not None
            assert current.id == "m150"
            await view.press("n")
            assert view.transcript.found == (1, 3)
            await view.press("N")
            assert view.transcript.found == (3, 3)

    run(body())


def test_hits_are_marked_and_the_one_looked_at_otherwise() -> None:
    async def body() -> None:
        async with viewing([item(1, "rope and rope and rope")]) as view:
            await _type(view, "rope")
            palette = view.app.palette

            def marked() -> list[str]:
                row = view.transcript._window.rows[view.row("rope and")]
                names = {palette.match.bgcolor: "match", palette.match_here.bgcolor: "here"}
                return [
                    names[segment.style.bgcolor]
                    for segment in row
                    if segment.text == "rope" and segment.style is not None and segment.style.bgcolor in names
                ]

            assert marked() == ["here", "match", "match"]
            await view.press("down")
            assert marked() == ["match", "here", "match"]
            await view.press("escape")
            assert marked() == []
            assert view.transcript.found == (0, 0)
            assert view.app.focused is view.transcript

    run(body())


def test_a_hit_over_a_wrapped_line_end_is_marked_in_both_rows() -> None:
    async def body() -> None:
        async with viewing([item(1, "a long rope " * 10)], size=(30, 20)) as view:
            await _type(view, "long rope a long rope a long rope")
            palette = view.app.palette
            colours = {palette.match.bgcolor, palette.match_here.bgcolor}
            rows = [
                number
                for number, strip in enumerate(view.transcript._window.rows)
                if any(segment.style is not None and segment.style.bgcolor in colours for segment in strip)
            ]
            assert len(rows) >= 2

    run(body())


def test_nothing_found_is_said() -> None:
    async def body() -> None:
        async with viewing([item(1, "rope")]) as view:
            await _type(view, "xyz")
            assert "nothing found" in view.lines[-1]
            await view.press("escape")
            assert "nothing found" not in view.screen

    run(body())


def test_escape_among_the_messages_ends_the_search() -> None:
    async def body() -> None:
        async with viewing([item(1, "rope")]) as view:
            await _type(view, "rope")
            await view.press("enter")
            assert view.transcript.found == (1, 1)
            await view.press("escape")
            assert view.transcript.found == (0, 0)

    run(body())


def test_the_find_line_counts_along_with_the_keys_of_the_messages() -> None:
    async def body() -> None:
        async with viewing([item(1, "rope rope rope")]) as view:
            await _type(view, "rope")
            await view.press("enter", "n", "n")
            assert "3 of 3" in view.lines[-1]
            await view.press("slash")
            assert "1 of 3" in view.lines[-1]
            assert "rope" in view.lines[-1]

    run(body())


def test_words_that_stream_in_are_found_by_the_next_step() -> None:
    async def body() -> None:
        async with viewing([item(1, "rope ", state="streaming")]) as view:
            await _type(view, "rope")
            view.transcript.grow("m1", "and rope")
            await view.press("enter", "n")
            assert view.transcript.found == (2, 2)

    run(body())
