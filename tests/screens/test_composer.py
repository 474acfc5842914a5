"""Writing and sending."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.chat.drafts import Draft, PastedText
from screens.widgets.composer import Composer
from tests.conftest import run
from tests.screens.composer_kit import composing, paste, press, screen_of, type_text, until


def test_enter_sends_and_leaves_an_empty_field(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await type_text(pilot, "hello there")
            await press(pilot, "enter")

            assert app.sent == ["hello there"]
            assert composer.text == ""

    run(body())


def test_nothing_but_blanks_is_not_sent(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await press(pilot, "space", "space", "enter")

            assert app.sent == []
            assert composer.text == "  "

    run(body())


@pytest.mark.parametrize("key", ["ctrl+j", "shift+enter", "alt+enter", "ctrl+enter"])
def test_new_line_keys_make_a_new_line(tmp_path: Path, key: str) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await press(pilot, "a", key, "b")

            assert composer.text == "a\nb"
            assert app.sent == []

    run(body())


def test_shift_enter_of_older_terminals_makes_a_new_line(tmp_path: Path) -> None:
    from textual import events

    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await press(pilot, "a")
            app.post_message(events.Key("shift+\r", None))
            await pilot.pause()
            await press(pilot, "b")

            assert composer.text == "a\nb"
            assert app.sent == []

    run(body())


def test_a_backslash_at_the_end_of_the_line_turns_enter_into_a_new_line(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await press(pilot, "a", "backslash", "enter", "b")

            assert composer.text == "a\nb"
            assert app.sent == []

    run(body())


def test_with_enter_for_lines_other_keys_send(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path, enter_sends=False) as (app, composer, pilot):
            for key in ("ctrl+s", "alt+enter", "ctrl+enter", "shift+enter"):
                await press(pilot, "a", "enter", "b", key)

            assert app.sent == ["a\nb"] * 4
            await press(pilot, "a", "ctrl+j", "b")
            assert composer.text == "a\nb"

    run(body())


def test_the_field_grows_with_the_text_to_a_third_of_the_screen(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path, size=(80, 24)) as (_app, composer, pilot):
            heights = []
            for _ in range(12):
                heights.append(composer.area.size.height)
                await press(pilot, "x", "ctrl+j")

            assert heights[:6] == [1, 2, 3, 4, 5, 6]
            assert max(heights) <= 24 // 3
            assert composer.area.size.height == max(heights)

    run(body())


def test_up_and_down_at_the_edges_walk_through_the_past_and_the_draft_comes_back(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path, past=["first", "second\nof two lines"]) as (_app, composer, pilot):
            await type_text(pilot, "draft")
            seen = []
            for key in ("up", "up", "up", "down"):
                await press(pilot, key)
                seen.append(composer.text)
            assert seen == ["second\nof two lines", "first", "first", "second\nof two lines"]

            await press(pilot, "down", "down")
            assert composer.text == "draft"

    run(body())


def test_an_edit_of_a_past_prompt_is_kept_while_walking(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path, past=["first", "second"]) as (app, composer, pilot):
            await press(pilot, "up", "X", "up", "down")
            assert composer.text == "secondX"

            await press(pilot, "enter", "up")
            assert app.sent == ["secondX"]
            assert composer.text == "secondX"

    run(body())


def test_what_is_cleared_can_be_found_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (_app, composer, pilot):
            assert not composer.clear_to_history()
            await type_text(pilot, "half a thought")
            await paste(_app, pilot, "line\n" * 30)

            assert composer.clear_to_history()
            await pilot.pause()
            assert composer.draft() == Draft()

            await press(pilot, "up")
            assert composer.draft() == Draft("half a thought", (PastedText("line\n" * 30),))

    run(body())


def test_clear_line_undo_and_redo(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (_app, composer, pilot):
            await type_text(pilot, "one\ntwo")
            await press(pilot, "ctrl+u")
            assert composer.text == "one\n"
            await press(pilot, "ctrl+underscore")
            assert composer.text == "one\ntwo"
            await press(pilot, "alt+y")
            assert composer.text == "one\n"

    run(body())


def test_a_change_is_told_soon_and_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, _composer, pilot):
            await type_text(pilot, "some words")
            await until(pilot, lambda: [each.draft for each in app.of(Composer.Changed)][-1:] == [Draft("some words")])

            assert len(app.of(Composer.Changed)) < len("some words")

    run(body())


def test_another_draft_takes_the_place_of_the_one_before_which_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await type_text(pilot, "of chat one")
            composer.set_draft(Draft("of chat two", (PastedText("a\n" * 40),)))
            await pilot.pause()

            assert [message.draft.text for message in app.of(Composer.Changed)][-1] == "of chat one"
            assert composer.draft() == Draft("of chat two", (PastedText("a\n" * 40),))
            assert "pasted 40 lines" in screen_of(app)

    run(body())


def test_escape_goes_to_the_messages(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, _composer, pilot):
            await press(pilot, "escape")
            await press(pilot, "alt+up")

            assert len(app.of(Composer.Left)) == 2

    run(body())


def test_the_estimate_stands_at_the_lower_edge(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            composer.set_estimate("~1,204 tokens · $0.02", "warn")
            await pilot.pause()

            assert "~1,204 tokens · $0.02" in screen_of(app).splitlines()[-1]

    run(body())


def test_keys_that_come_in_one_burst_keep_their_order(tmp_path: Path) -> None:
    from textual import events

    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            keys = ["a", "x", "backspace", "ctrl+j", "b", "left", "c", "end", "enter"]
            for key in [*keys, "d", "ctrl+u", "e", "ctrl+s", "f"]:
                app.post_message(events.Key(key, key if len(key) == 1 else None))
            await until(pilot, lambda: composer.text == "f")

            assert app.sent == ["a\ncb", "e"]

    run(body())


def test_what_is_sent_off_the_record_is_not_in_the_history(tmp_path: Path) -> None:
    async def body() -> None:
        async with composing(tmp_path, past=["said before"]) as (app, composer, pilot):
            composer.set_off_the_record(True)
            await type_text(pilot, "between us")
            await press(pilot, "enter", "up")
            assert composer.text == "between us"

            composer.set_draft(Draft())
            composer.set_off_the_record(False)
            await press(pilot, "up")
            assert composer.text == "said before"
            await press(pilot, "ctrl+u", "ctrl+r")
            await until(pilot, lambda: composer.choices.rows)
            assert [choice.value for choice in composer.choices.rows] == ["said before"]
            assert app.sent == ["between us"]

    run(body())
