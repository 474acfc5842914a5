"""Selecting text with the mouse."""

from __future__ import annotations

from textual import events
from textual.geometry import Offset

from screens.widgets.transcript import Item, Transcript
from tests.conftest import run
from tests.screens.transcript_kit import View, item, viewing

LONG = "one two three four five six seven eight nine ten eleven twelve"


async def drag(view: View, start: tuple[int, int], end: tuple[int, int]) -> None:
    await view.pilot.mouse_down(Transcript, offset=start)
    await view.pilot.hover(Transcript, offset=end)
    await view.pilot.mouse_up(Transcript, offset=end)
    await view.pilot.pause()


def test_a_drag_selects_and_wrapped_lines_are_joined() -> None:
    async def body() -> None:
        async with viewing([item(1, LONG)], size=(30, 10)) as view:
            first, last = view.row("one"), view.row("twelve")
            assert last > first

            await drag(view, (2, first), (28, last))

            assert view.transcript.selected_text() == LONG

    run(body())


def test_a_selection_goes_over_messages_without_gutter_and_padding() -> None:
    async def body() -> None:
        items = [item(0, "first question"), item(1, "first answer"), item(2, "second question")]
        async with viewing(items) as view:
            await drag(view, (2 + 6, view.row("first question")), (2 + 5, view.row("second question")))

            assert view.transcript.selected_text() == ("question\n\nModel · 14:02\nfirst answer\n\nYou · 14:02\nsecond")
            assert view.app.screen.get_selected_text() == view.transcript.selected_text()
            await view.press("y")
            assert view.copied == [(view.transcript.selected_text(), "the selection")]

    run(body())


def test_what_is_selected_is_painted_so() -> None:
    async def body() -> None:
        async with viewing([item(1, "some words here")]) as view:
            row = view.row("some words")
            await drag(view, (2 + 5, row), (2 + 9, row))

            selection = view.app.palette.selection
            painted = [
                segment.text
                for segment in view.transcript._window.rows[row]
                if segment.style is not None and segment.style.bgcolor == selection.bgcolor
            ]
            assert painted == ["words"]
            await view.pilot.click(Transcript, offset=(2, view.row("Model")))
            assert view.transcript.selected_text() == ""

    run(body())


def test_a_selection_that_begins_in_the_gutter_begins_with_the_line() -> None:
    async def body() -> None:
        async with viewing([item(1, "some words here")]) as view:
            row = view.row("some words")
            await drag(view, (0, row), (2 + 3, row))
            assert view.transcript.selected_text() == "some"

    run(body())


def test_two_clicks_select_a_word_and_three_the_line() -> None:
    async def body() -> None:
        async with viewing([item(1, LONG)], size=(30, 10)) as view:
            row = view.row("two")
            await view.pilot.click(Transcript, offset=(2 + 5, row), times=2)
            await view.pilot.pause()
            assert view.transcript.selected_text() == "two"
            await view.pilot.click(Transcript, offset=(2 + 5, row), times=3)
            await view.pilot.pause()
            assert view.transcript.selected_text() == LONG

    run(body())


def test_a_selection_stays_on_its_text_while_an_answer_streams() -> None:
    async def body() -> None:
        items: list[Item] = [item(0, "some words here"), item(1, "", state="streaming")]
        async with viewing(items) as view:
            row = view.row("some words")
            await drag(view, (2, row), (2 + 3, row))
            view.transcript.grow("m1", "line\n\n" * 40)
            await view.until(lambda: "some words" not in view.screen)

            assert view.transcript.selected_text() == "some"

    run(body())


def test_everything_can_be_selected_seen_or_not() -> None:
    async def body() -> None:
        async with viewing([item(number, f"message {number}") for number in range(1000)]) as view:
            view.transcript.text_select_all()
            text = view.transcript.selected_text()
            for number in (0, 500, 999):
                assert f"message {number}\n" in text + "\n"

    run(body())


def test_text_in_the_hit_test_is_where_it_is_drawn() -> None:
    async def body() -> None:
        async with viewing([item(1, "宽字 and more")]) as view:
            row = view.row("and more")
            widget, offset = view.app.screen.get_widget_and_offset_at(2 + 5, row)
            assert widget is view.transcript
            assert offset is not None
            assert Offset(offset.x, 0) == Offset(3, 0)  # after two wide characters and a blank

    run(body())


def test_a_drag_over_the_edge_scrolls_and_selects_on() -> None:
    async def body() -> None:
        async with viewing([item(number, f"message {number}") for number in range(100)], size=(60, 12)) as view:
            view.transcript.go_to("m50")
            await view.pilot.pause()
            await view.pilot.mouse_down(Transcript, offset=(2, 6))
            for row in (2, 0):
                moved = events.MouseMove(
                    view.transcript, 10, row, 0, -2, 1, False, False, False, screen_x=10, screen_y=row
                )
                view.app.screen._forward_event(moved)
            await view.until(lambda: view.transcript._column.place.message < 47)
            await view.pilot.mouse_up(Transcript, offset=(10, 0))
            await view.pilot.pause()

            text = view.transcript.selected_text()
            assert "message 50" in text
            assert "message 48" in text

    run(body())
