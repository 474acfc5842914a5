"""The transcript in an app: what it shows, how it follows, moves, copies, and what it survives."""

from __future__ import annotations

from typing import Any

import pytest
from textual.strip import Strip

from screens import theme
from screens.widgets.transcript import Attached, Item, SourceLine, ToolCall, Transcript
from tests.conftest import run
from tests.screens.transcript_kit import ANSWER, WORDS, View, item, viewing


def chat(count: int, text: str = WORDS) -> list[Item]:
    return [item(number, text) for number in range(count)]


# ---- what is drawn


def test_a_message_has_its_head_and_its_foot() -> None:
    async def body() -> None:
        made = item(
            1,
            "An answer.",
            foot=(("qwen3:32b", "muted"), ("inference", "faint"), ("45 tok/s", "faint"), ("$0.0003", "faint")),
            sibling=2,
            siblings=3,
        )
        async with viewing([made]) as view:
            assert view.lines[0].split() == ["▌", "Model", "·", "14:02", "‹2/3›"]
            assert view.lines[1] == "▌ An answer."
            assert view.lines[2] == "▌ qwen3:32b · inference · 45 tok/s · $0.0003"
            assert view.lines[3] == ""

    run(body())


def test_a_narrow_window_breaks_the_foot_between_its_parts() -> None:
    async def body() -> None:
        foot = (("qwen3:32b", "muted"), ("inference", "faint"), ("45 tok/s", "faint"))
        async with viewing([item(1, "An answer.", foot=foot)], size=(20, 8)) as view:
            assert view.lines[2:5] == ["▌ qwen3:32b", "▌ inference", "▌ 45 tok/s"]

    run(body())


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({"state": "failed", "error": "The machine went away."}, ["✗ The machine went away.", "→ r asks again"]),
        ({"state": "failed"}, ["✗ The answer broke off."]),
        ({"state": "stopped"}, ["■ Stopped.", "→ c goes on from here"]),
        ({"state": "failed", "error": "No key.", "hint": "hawser key set openai"}, ["→ hawser key set openai"]),
        ({"excluded": True}, ["not sent"]),
        (
            {
                "sources": (
                    SourceLine(1, "handbook.pdf, page 12", "exact"),
                    SourceLine(2, "notes.md", "not found", "It sank."),
                )
            },
            ["[1] handbook.pdf, page 12  ✓ exact", "[2] notes.md  ✗ not found there", "not in it: “It sank.”"],
        ),
        ({"attachments": (Attached("a\x1b[31m.pdf", "application/pdf", 1_200_000),)}, ["▤ a␛[31m.pdf 1.2 MB"]),
        ({"head": "evil\x1b]0;x\x07 · 14:02"}, ["evil␛]0;x␇ · 14:02"]),
    ],
)
def test_states_are_drawn_with_what_to_do_next(more: dict[str, Any], shown: list[str]) -> None:
    async def body() -> None:
        async with viewing([item(1, "An answer.", **more)]) as view:
            for words in shown:
                assert words in view.screen

    run(body())


def test_thinking_and_tools_are_folded_and_unfold_by_key() -> None:
    async def body() -> None:
        made = item(
            1,
            "An answer.",
            thinking="Ropes are long.",
            thinking_s=3.2,
            tools=(ToolCall("search", '{"query": "rope"}', "three results"),),
        )
        async with viewing([item(0), made]) as view:
            assert "▸ thought for 3 s · 3 words" in view.screen
            assert '▸ search({"query": "rope"})' in view.screen
            assert "Ropes are long." not in view.screen

            await view.press("t")
            assert "▾ thought for 3 s" in view.screen
            assert "Ropes are long." in view.screen
            assert "three results" not in view.screen
            await view.press("t")
            assert "Ropes are long." not in view.screen

            await view.press("enter")
            assert "Ropes are long." in view.screen
            assert "three results" in view.screen

    run(body())


def test_a_click_unfolds_and_the_line_stays_under_the_mouse() -> None:
    async def body() -> None:
        items = chat(30)
        items[25] = items[25]._replace(thinking="Ropes are long.\n\n" * 10, thinking_s=61)
        async with viewing(items) as view:
            view.transcript.go_to("m24")
            await view.pilot.pause()
            row = view.row("▸ thought for 1 min 1 s")

            await view.pilot.click(Transcript, offset=(4, row))
            await view.pilot.pause()

            assert view.row("▾ thought for 1 min 1 s") == row
            assert "Ropes are long." in view.lines[row + 1]

    run(body())


def test_finished_code_gets_its_full_colours() -> None:
    async def body() -> None:
        code = '```python\nclass Rope:\n    """Holds\n    a ship."""\n```\n'
        async with viewing([item(1, code)]) as view:
            string = view.app.palette.syntax_string.color

            def is_coloured() -> bool:
                row = view.transcript._window.rows[view.row("a ship.")]
                return any("a ship." in each.text and each.style and each.style.color == string for each in row)

            await view.until(is_coloured)  # that this line is inside a string only a lexer knows

    run(body())


def test_thinking_unfolds_above_without_moving_what_is_read() -> None:
    async def body() -> None:
        items = chat(40)
        items[20] = items[20]._replace(thinking="Ropes are long.\n\n" * 10, text="line\n\n" * 40)
        async with viewing(items) as view:
            view.transcript.go_to("m20")
            await view.press("space")
            before = view.lines
            await view.press("enter")
            assert view.lines == before
            await view.press("t")
            assert view.lines == before
            await view.press("pageup", "pageup")
            assert "▾ thought" in view.screen or "Ropes are long." in view.screen

    run(body())


def test_the_raw_view_shows_what_was_written() -> None:
    async def body() -> None:
        async with viewing([item(1, ANSWER)]) as view:
            await view.press("w")
            assert "Here is **how** it goes." in view.screen
            assert "```python" in view.screen
            await view.press("w")
            assert "**how**" not in view.screen

    run(body())


# ---- growing and following


def test_a_streaming_answer_grows_and_stays_in_sight() -> None:
    async def body() -> None:
        async with viewing([*chat(9), item(9, "", state="streaming")]) as view:
            for number in range(40):
                view.transcript.grow("m9", f"line {number}\n\n")
            await view.until(lambda: "line 39" in view.screen)

            assert view.follows()
            last = view.transcript.items[-1]
            assert last.text == "".join(f"line {number}\n\n" for number in range(40))

    run(body())


def test_a_reader_who_went_up_is_left_alone() -> None:
    async def body() -> None:
        async with viewing([*chat(9), item(9, "", state="streaming")]) as view:
            await view.press("pageup")
            before = view.lines[:-1]
            assert "↓ more below, G" in view.lines[-1]
            assert not view.follows()

            view.transcript.grow("m9", "grown\n\n" * 50)
            await view.until(lambda: view.transcript.virtual_size.height > 60)
            assert view.lines[:-1] == before

            await view.press("G")
            assert view.follows()
            assert "grown" in "".join(view.lines[-4:])
            assert "more below" not in view.screen
            follow_changes = [told.follows for told in view.app.told if isinstance(told, Transcript.FollowChanged)]
            assert follow_changes == [False, True]

    run(body())


def test_many_pieces_are_one_frame() -> None:
    async def body() -> None:
        async with viewing([item(1, "", state="streaming")]) as view:
            frames: list[int] = []
            repaint = view.transcript._repaint
            view.transcript._repaint = lambda: (frames.append(1), repaint())[1]  # type: ignore[method-assign,func-returns-value]

            for _ in range(2_000):
                view.transcript.grow("m1", "word ")
            await view.until(lambda: "word" in view.screen)

            assert len(view.transcript.items[0].text) == 10_000
            assert len(frames) <= 3

    run(body())


def test_only_changed_rows_are_painted_again() -> None:
    async def body() -> None:
        async with viewing([*chat(4), item(5, "begun", state="streaming")]) as view:
            before = list(view.transcript._window.rows)

            view.transcript.grow("m5", " and gone on")
            await view.until(lambda: "and gone on" in view.screen)
            after = view.transcript._window.rows

            changed = [row for row in range(len(after)) if after[row] is not before[row]]
            assert changed == [view.row("and gone on")]

    run(body())


def test_thinking_is_counted_while_it_streams() -> None:
    async def body() -> None:
        async with viewing([item(1, "", state="streaming")]) as view:
            view.transcript.grow("m1", "", "one two thr")
            view.transcript.grow("m1", "", "ee four")
            await view.until(lambda: "thinking · 4 words" in view.screen)
            view.transcript.grow("m1", "", "teen five")
            await view.until(lambda: "thinking · 5 words" in view.screen)
            view.transcript.grow("m1", "Done.")
            await view.until(lambda: "▸ thought · 5 words" in view.screen and "Done." in view.screen)

    run(body())


def test_replacing_keeps_the_lines_of_a_text_that_only_went_on() -> None:
    async def body() -> None:
        async with viewing([item(1, "", state="streaming", foot=(("connecting", "muted"),))]) as view:
            assert "connecting" in view.screen
            view.transcript.grow("m1", "First.\n\nSecond")
            await view.until(lambda: "Second" in view.screen)
            first = view.transcript._window.rows[view.row("First.")]

            view.transcript.replace("m1", item(1, "First.\n\nSecond.", foot=(("12 tokens", "faint"),)))
            await view.pilot.pause()

            assert view.transcript._window.rows[view.row("First.")] is first
            assert "Second." in view.screen
            assert "12 tokens" in view.screen
            assert "connecting" not in view.screen

    run(body())


def test_the_foot_alone_can_change() -> None:
    async def body() -> None:
        async with viewing([item(1, "Text.", state="streaming")]) as view:
            view.transcript.set_foot("m1", (("waiting 3 s", "muted"),))
            view.transcript.set_foot("gone", (("nobody", "muted"),))
            await view.pilot.pause()

            assert view.lines[2] == "▌ waiting 3 s"
            assert "nobody" not in view.screen

    run(body())


def test_what_follows_a_message_can_be_removed() -> None:
    async def body() -> None:
        async with viewing(chat(12)) as view:
            view.transcript.remove_after("m3")
            await view.pilot.pause()
            assert [each.id for each in view.transcript.items] == ["m0", "m1", "m2", "m3"]
            assert await _current(view) == "m3"

            view.transcript.clear()
            await view.pilot.pause()
            assert view.screen.strip() == ""

    run(body())


def test_growth_of_a_message_that_is_gone_is_dropped() -> None:
    async def body() -> None:
        async with viewing([item(0), item(1, "", state="streaming")]) as view:
            view.transcript.grow("m1", "too late")
            view.transcript.remove_after("m0")
            view.transcript.grow("m1", "much too late")
            view.transcript.append(item(3, "The next one."))
            await view.until(lambda: "The next one." in view.screen)

            assert "late" not in view.screen

    run(body())


# ---- moving


async def _current(view: View) -> str | None:
    await view.pilot.pause()
    current = view.transcript.current
    return current.id if current is not None else None


def test_the_cursor_moves_by_message_and_keeps_it_in_sight() -> None:
    async def body() -> None:
        async with viewing(chat(30)) as view:
            assert await _current(view) == "m29"
            for expected in ("m28", "m27", "m26"):
                await view.press("k")
                assert await _current(view) == expected
            await view.press("up", "j", "down")
            assert await _current(view) == "m27"
            await view.press("g")
            assert await _current(view) == "m0"
            assert view.lines[0].startswith("▌ You")
            await view.press("k")
            assert await _current(view) == "m0"
            await view.press("end")
            assert await _current(view) == "m29"
            moved = [told.item.id for told in view.app.told if isinstance(told, Transcript.Moved) and told.item]
            assert moved == ["m29", "m28", "m27", "m26", "m25", "m26", "m27", "m0", "m29"]

    run(body())


def test_a_cursor_out_of_sight_comes_back_into_it() -> None:
    async def body() -> None:
        async with viewing(chat(40)) as view:
            await view.press("pageup", "pageup", "pageup")
            in_sight = {view.transcript._column.messages[index].item.id for index, _ in view.transcript._window.places}
            assert "m39" not in in_sight

            await view.press("k")

            assert await _current(view) in in_sight

    run(body())


def test_a_page_overlaps_by_two_lines() -> None:
    async def body() -> None:
        async with viewing([item(1, "\n\n".join(f"line {number}" for number in range(200)))]) as view:
            await view.press("g")
            before = view.lines
            await view.press("space")
            assert view.lines[:2] == [line.replace("↓ more below, G", "").rstrip() for line in before[-2:]]
            await view.press("pageup")
            assert view.lines == before

    run(body())


def test_going_to_a_message_brings_it_to_the_top() -> None:
    async def body() -> None:
        items = [item(number, f"message {number}") for number in range(200)]
        async with viewing(items) as view:
            view.transcript.go_to("m70")
            await view.pilot.pause()

            assert view.lines[1] == "▌ message 70"
            view.transcript.show(items, at="m150")
            await view.pilot.pause()
            assert view.lines[1] == "▌ message 150"

    run(body())


def test_what_stands_above_is_asked_for_once_when_the_reader_comes_near_it() -> None:
    async def body() -> None:
        items = [item(number, f"message {number}") for number in range(400)]
        async with viewing() as view:
            view.transcript.show(items[300:], earlier=300)
            await view.pilot.pause()
            assert view.wanted_earlier == []

            view.transcript.go_to("m310")
            await view.pilot.pause()
            before = view.lines
            assert before[1] == "▌ message 310"
            await view.press("up")
            assert view.wanted_earlier == [False]

            view.transcript.show(items[100:], earlier=100)
            await view.pilot.pause()
            assert view.wanted_earlier == [False]
            assert "message 309" in view.lines[1]

    run(body())


def test_the_top_and_a_search_bring_all_that_stands_above() -> None:
    async def body() -> None:
        items = [item(number, f"message {number}") for number in range(300)]
        async with viewing() as view:
            view.transcript.show(items[200:], earlier=200)
            assert view.transcript.find("message 29") == 10
            await view.pilot.pause()
            assert view.wanted_earlier == [True]
            here, (at, count) = view.lines, view.transcript.found
            assert count == 10

            view.transcript.show(items)
            await view.pilot.pause()
            assert view.transcript.found == (at + 1, count + 1)
            assert view.lines == here

            view.transcript.end_find()
            view.transcript.show(items[200:], earlier=200)
            await view.press("home")
            await view.until(lambda: sum(view.wanted_earlier) == 2)
            view.transcript.show(items)
            await view.pilot.pause()
            assert view.lines[1] == "▌ message 0"

    run(body())


def test_a_stream_never_lays_the_screen_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with viewing([item(0, "", role="assistant", state="streaming")]) as view:
            layouts: list[int] = []
            lay_out = view.app.screen._refresh_layout

            def counting(*given: Any, **named: Any) -> None:
                layouts.append(1)
                lay_out(*given, **named)

            monkeypatch.setattr(view.app.screen, "_refresh_layout", counting)
            for number in range(60):
                view.transcript.grow("m0", f"line {number}\n\n")
                await view.until(lambda number=number: f"line {number}" in view.screen)  # type: ignore[misc]

            assert layouts == []
            assert view.transcript.virtual_size.height > 100
            assert view.transcript.vertical_scrollbar.window_virtual_size == view.transcript.virtual_size.height
            assert view.transcript.follows

    run(body())


def test_the_wheel_scrolls_and_comes_back() -> None:
    async def body() -> None:
        async with viewing(chat(40)) as view:
            before = view.lines
            for _ in range(3):
                view.transcript._scroll_up_for_pointer(animate=False)
            await view.pilot.pause()
            assert not view.follows()
            assert view.lines != before

            for _ in range(3):
                view.transcript._scroll_down_for_pointer(animate=False)
            await view.pilot.pause()
            assert view.follows()
            assert view.lines == before

    run(body())


def test_a_click_on_the_hint_goes_to_the_end() -> None:
    async def body() -> None:
        async with viewing(chat(40)) as view:
            await view.press("g")
            await view.pilot.click(Transcript, offset=(view.lines[-1].index("more"), 19))
            await view.pilot.pause()
            assert view.follows()

    run(body())


def test_a_question_that_was_asked_comes_in_sight() -> None:
    async def body() -> None:
        async with viewing(chat(40)) as view:
            await view.press("g")
            view.transcript.append(item(41, "An answer."))
            assert not view.follows()
            view.transcript.append(item(42, "Another question."))
            await view.pilot.pause()
            assert view.follows()
            assert "Another question." in view.screen

    run(body())


def test_keys_before_the_first_frame_do_not_move_anything() -> None:
    async def body() -> None:
        async with viewing() as view:
            await view.press(
                "k", "j", "g", "G", "space", "pageup", "y", "1", "Y", "o", "t", "w", "enter", "e", "n", "escape"
            )
            view.transcript.show(chat(3))
            await view.pilot.pause()
            assert view.lines[0].endswith("You · 14:02")

    run(body())


def test_other_actions_are_asked_of_the_room() -> None:
    async def body() -> None:
        async with viewing(chat(4)) as view:
            await view.press("k", "e", "r", "x", "left_square_bracket")
            wanted = [(told.action, told.item.id) for told in view.app.told if isinstance(told, Transcript.Wanted)]
            assert wanted == [("edit", "m2"), ("regenerate", "m2"), ("exclude", "m2"), ("branch_left", "m2")]

    run(body())


def test_enter_on_a_message_without_folds_goes_to_writing() -> None:
    async def body() -> None:
        async with viewing(chat(2)) as view:
            await view.press("enter")
            assert [told.action for told in view.app.told if isinstance(told, Transcript.Wanted)] == ["write"]

    run(body())


# ---- copying


def test_a_message_and_its_code_blocks_are_copied_as_written() -> None:
    async def body() -> None:
        async with viewing([item(0, "Question?"), item(1, ANSWER)]) as view:
            await view.press("y", "2", "1", "3", "k", "y")
            assert view.copied == [
                (ANSWER, "the message"),
                ("ls  -l", "code block 2 (sh)"),
                ('print("one")', "code block 1 (python)"),
                ("Question?", "the question"),
            ]
            assert [each.message for each in view.app._notifications] == ["This message has 2 code blocks."]

    run(body())


def test_code_blocks_are_copied_from_the_raw_view_too() -> None:
    async def body() -> None:
        async with viewing([item(1, ANSWER)]) as view:
            await view.press("w", "2")
            assert view.copied == [("ls  -l", "code block 2 (sh)")]

    run(body())


def test_one_of_many_code_blocks_is_picked() -> None:
    async def body() -> None:
        async with viewing([item(1, ANSWER)]) as view:
            await view.press("Y")
            assert "Copy a code block" in view.screen
            await view.press("down", "enter")
            assert view.copied == [("ls  -l", "code block 2 (sh)")]

    run(body())


def test_a_link_opens_by_key_and_by_click() -> None:
    async def body() -> None:
        async with viewing([item(1, ANSWER)]) as view:
            await view.press("o")
            row = view.row("a page")
            await view.pilot.click(Transcript, offset=(view.lines[row].index("a page") + 1, row))
            opened = [told.url for told in view.app.told if isinstance(told, Transcript.LinkOpened)]
            assert opened == ["https://example.org/a", "https://example.org/a"]

    run(body())


def test_one_of_many_links_is_picked() -> None:
    async def body() -> None:
        text = "[one](https://example.org/1) and [two](https://example.org/2)"
        async with viewing([item(1, text)]) as view:
            await view.press("o")
            assert "https://example.org/2" in view.screen
            await view.press("down", "enter")
            opened = [told.url for told in view.app.told if isinstance(told, Transcript.LinkOpened)]
            assert opened == ["https://example.org/2"]

    run(body())


# ---- what it survives


@pytest.mark.parametrize("size", [(20, 3), (10, 1), (4, 2), (200, 60)])
def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    async def body() -> None:
        items = [*chat(6, ANSWER), item(7, "x" * 3000, thinking="y" * 300, siblings=2, state="failed")]
        async with viewing(items, size=size) as view:
            await view.press("g", "space", "j", "t", "w", "G")
            assert all(len(line) <= size[0] for line in view.lines)
            assert len(view.lines) == size[1]

    run(body())


def test_a_storm_of_sizes_while_an_answer_streams() -> None:
    async def body() -> None:
        async with viewing([*chat(20, ANSWER), item(21, "", state="streaming")]) as view:
            for number in range(40):
                view.transcript.grow("m21", f"word {number} " * 5)
                await view.pilot.resize_terminal(20 + number * 7 % 90, 3 + number * 5 % 30)
            await view.pilot.resize_terminal(70, 25)
            await view.until(lambda: "word 39" in view.screen)

            assert view.follows()
            assert len(view.transcript._window.rows) == 25
            assert all(
                strip.cell_length == view.transcript._window.rows[0].cell_length
                for strip in view.transcript._window.rows
            )

    run(body())


def test_of_five_megabytes_the_end_and_the_beginning_are_there_at_once() -> None:
    async def body() -> None:
        text = "The very first words. " + WORDS * 90_000 + "\n\nThe very last words."
        async with viewing([item(1, text)]) as view:
            message = view.transcript._column.messages[0]
            assert len(message.item.text) > 5_000_000
            assert message.waits > 4_900_000
            assert "▌ The very last words." in view.lines

            await view.press("g")
            assert view.lines[1].startswith("▌ The very first words.")
            assert message.waits > 4_900_000  # nobody came near the rest

    run(body())


def test_the_middle_of_a_long_message_is_laid_out_when_somebody_comes_there() -> None:
    async def body() -> None:
        text = "".join(f"line {number}\n\n" for number in range(8_000))
        async with viewing([item(1, text)]) as view:
            message = view.transcript._column.messages[0]
            assert message.waits
            assert "line 7999" in view.screen

            view.transcript.scroll_to(y=view.transcript.max_scroll_y / 2, animate=False)
            await view.until(lambda: "line" in view.lines[0] + view.lines[1] and "⋯" not in view.screen)
            assert message.waits  # not more than is near
            await view.press("pageup")
            assert "⋯" not in view.screen
            await view.press("G")
            assert "line 7999" in view.screen
            numbers = [line.text for line in view.transcript._window.rows if "line" in line.text]
            assert [int(each.split()[-1]) for each in numbers] == list(range(8_000 - len(numbers), 8_000))

    run(body())


def test_a_long_answer_streams_on_while_its_beginning_waits() -> None:
    async def body() -> None:
        begun = "".join(f"line {number}\n\n" for number in range(8_000)) + "```python\n"
        async with viewing([item(1, begun, state="streaming")]) as view:
            view.transcript.grow("m1", "x = 'the newest'\n")
            await view.until(lambda: "x = 'the newest'" in view.screen)
            assert view.transcript._column.messages[0].waits
            view.transcript.replace("m1", item(1, begun + "x = 'the newest'\n```\nEnd."))
            await view.pilot.pause()
            assert view.lines[-2] == "▌ End."

    run(body())


def test_ten_thousand_messages() -> None:
    async def body() -> None:
        async with viewing(chat(10_000)) as view:
            assert "↓" not in view.screen
            await view.press("g")
            assert view.lines[0].startswith("▌ You")
            view.transcript.scroll_to(y=view.transcript.max_scroll_y / 2, animate=False)
            await view.pilot.pause()
            assert 4_900 < view.transcript._column.place.message < 5_100

    run(body())


def test_a_change_of_theme_repaints_everything() -> None:
    async def body() -> None:
        async with viewing(chat(4)) as view:
            before = view.transcript._window.rows[0]
            view.app.theme = theme.LIGHT
            view.transcript.set_palette(view.app.palette)
            await view.pilot.pause()

            after = view.transcript._window.rows[0]
            assert after.text == before.text
            assert _background(after) != _background(before)

    run(body())


def _background(strip: Strip) -> object:
    style = list(strip)[-1].style
    assert style is not None
    return style.bgcolor
