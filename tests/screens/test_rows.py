"""The list of any length: what is drawn, where the cursor goes, and that only rows in sight are asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, overload

import pytest
from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from screens.widgets.rows import Painted, Rows
from tests.conftest import run


class Lazy(Sequence[str]):
    """Rows made when they are asked for; remembers which ones were."""

    def __init__(self, count: int) -> None:
        self.size = count
        self.asked: set[int] = set()

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        assert isinstance(index, int)
        self.asked.add(index)
        return f"row {index}"


class ListApp(App[None]):
    CSS = "Rows { width: 1fr; height: 1fr; }"

    def __init__(
        self,
        rows: Sequence[str] = (),
        paint: Callable[[str, int, bool], Painted] = lambda row, width, here: row,
        **how: Any,
    ) -> None:
        super().__init__()
        self.first_rows = rows
        self.list: Rows[str] = Rows(paint, **how)
        self.moved: list[str | None] = []
        self.chosen: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.list

    def on_mount(self) -> None:
        self.list.show(self.first_rows)
        self.list.focus()

    @on(Rows.Moved)
    def on_moved(self, event: Rows.Moved[str]) -> None:
        self.moved.append(event.row)

    @on(Rows.Chosen)
    def on_chosen(self, event: Rows.Chosen[str]) -> None:
        self.chosen.append(event.row)

    def lines(self) -> list[str]:
        return [self.list.render_line(y).text.rstrip() for y in range(self.list.size.height)]


def drive(app: ListApp, story: Callable[[Pilot[None]], Awaitable[None]], size: tuple[int, int] = (30, 10)) -> None:
    async def body() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await story(pilot)

    run(body())


def test_of_many_rows_only_those_in_sight_are_asked_for() -> None:
    rows = Lazy(100_000)
    app = ListApp(rows)

    async def story(pilot: Pilot[None]) -> None:
        assert app.lines() == [f"row {number}" for number in range(10)]
        await pilot.press("end")
        assert app.lines()[-1] == "row 99999"
        await pilot.press("home", "pagedown")
        assert app.list.cursor == "row 9"
        assert len(rows.asked) < 60

    drive(app, story)


@pytest.mark.parametrize(
    ("keys", "ends_at"),
    [
        (["down"], 1),
        (["j", "j", "k"], 1),
        (["up"], 0),
        (["end"], 99),
        (["end", "down"], 99),
        (["pagedown"], 9),
        (["pagedown", "pagedown", "pageup"], 9),
        (["end", "pageup"], 90),
        (["end", "home"], 0),
    ],
)
def test_keys_move_the_cursor_and_keep_it_in_sight(keys: list[str], ends_at: int) -> None:
    app = ListApp(Lazy(100))

    async def story(pilot: Pilot[None]) -> None:
        await pilot.press(*keys)
        assert app.list.cursor_index == ends_at
        assert ends_at in app.list.in_sight
        assert f"row {ends_at}" in app.lines()

    drive(app, story)


def test_enter_and_click_choose() -> None:
    app = ListApp(["a", "b", "c"])

    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("down", "enter")
        await pilot.click(Rows, offset=(1, 2))
        await pilot.click(Rows, offset=(1, 7))  # below the last row
        assert app.chosen == ["b", "c"]
        assert app.moved == ["a", "b", "c"]

    drive(app, story)


def test_click_counts_from_what_is_in_sight() -> None:
    app = ListApp(Lazy(100))

    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("end")
        await pilot.click(Rows, offset=(1, 0))
        assert app.chosen == ["row 90"]

    drive(app, story)


def test_cursor_passes_over_headings() -> None:
    app = ListApp(["TODAY", "a", "BEFORE", "b", "OLD"], can_choose=lambda row: not row.isupper())

    async def story(pilot: Pilot[None]) -> None:
        assert app.list.cursor == "a"
        await pilot.press("down")
        assert app.list.cursor == "b"
        await pilot.press("down")
        assert app.list.cursor == "b"
        await pilot.press("up", "up")
        assert app.list.cursor == "a"
        await pilot.press("end", "enter")
        await pilot.click(Rows, offset=(1, 2))
        assert app.chosen == ["b"]

    drive(app, story)


def test_heading_above_the_first_row_comes_into_sight_with_it() -> None:
    rows = ["HEADING", *(f"row {number}" for number in range(40))]
    app = ListApp(rows, can_choose=lambda row: row != "HEADING")

    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("end", "home")
        assert app.lines()[:2] == ["HEADING", "row 0"]

    drive(app, story)


def test_cursor_stays_on_the_row_of_the_same_key() -> None:
    app = ListApp(Lazy(50))

    async def story(pilot: Pilot[None]) -> None:
        await pilot.press(*["down"] * 20)
        line = app.lines().index("row 20")
        app.moved.clear()
        app.list.show(["fresh", *(f"row {number}" for number in range(50))], keep=str)
        await pilot.pause()
        assert app.list.cursor == "row 20"
        assert app.lines().index("row 20") == line
        assert app.moved == []
        app.list.show([f"row {number}" for number in range(50) if number != 20], keep=str)
        await pilot.pause()
        assert app.list.cursor == "row 22"
        assert app.moved == ["row 22"]

    drive(app, story)


def test_other_rows_begin_at_the_top() -> None:
    app = ListApp(Lazy(50))

    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("end")
        app.list.show(["x", "y"])
        await pilot.pause()
        assert (app.list.cursor, app.list.scroll_offset.y) == ("x", 0)
        assert app.lines()[:3] == ["x", "y", ""]

    drive(app, story)


def test_empty_list_says_what_to_do_and_takes_keys() -> None:
    app = ListApp([], empty="There are no chats yet.\nCtrl+N begins one.")

    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("down", "end", "pageup", "enter")
        await pilot.click(Rows, offset=(3, 3))
        assert app.list.cursor is None
        assert app.chosen == []
        drawn = "\n".join(line.strip() for line in app.lines())
        assert "There are no chats yet.\nCtrl+N begins one." in drawn
        app.list.show([], empty="Nothing matches.")
        await pilot.pause()
        assert "Nothing matches." in "".join(app.lines())

    drive(app, story)


def test_rows_of_several_lines() -> None:
    app = ListApp(Lazy(20), lambda row, width, here: (row, "> more" if here else "  more"), lines=2)

    async def story(pilot: Pilot[None]) -> None:
        assert app.lines()[:4] == ["row 0", "> more", "row 1", "  more"]
        await pilot.press("end")
        assert app.lines()[-2:] == ["row 19", "> more"]
        await pilot.click(Rows, offset=(1, 1))
        assert app.chosen == ["row 15"]

    drive(app, story)


def test_changed_row_is_painted_again_and_others_are_not() -> None:
    names = {f"row {number}": f"row {number}" for number in range(5)}
    painted: list[str] = []

    def paint(row: str, width: int, here: bool) -> Painted:
        painted.append(row)
        return names[row]

    app = ListApp(list(names), paint)

    async def story(pilot: Pilot[None]) -> None:
        painted.clear()
        names["row 3"] = "renamed"
        app.list.repaint(3)
        await pilot.pause()
        assert app.lines()[3] == "renamed"
        assert set(painted) == {"row 3"}

    drive(app, story)


def test_control_codes_and_wide_words_stay_inside_the_line() -> None:
    rows = ["\x1b[31mred\x07", "two\nlines\tand a tab", "漢字" * 30, "\u202egnp.exe", "e\u0301" * 40]
    app = ListApp(rows, lambda row, width, here: Text(row))

    async def story(pilot: Pilot[None]) -> None:
        strips = [app.list.render_line(y) for y in range(len(rows))]
        assert {strip.cell_length for strip in strips} == {app.list.scrollable_content_region.width}
        drawn = "".join(strip.text for strip in strips)
        assert not set(drawn) & set("\x1b\x07\n\t\u202e")
        assert "␛[31mred" in drawn

    drive(app, story)


def test_survives_sizes_without_room() -> None:
    app = ListApp(Lazy(100))

    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("end")
        await pilot.resize_terminal(1, 1)
        await pilot.press("up")
        await pilot.resize_terminal(30, 10)
        assert app.list.cursor == "row 98"
        assert 98 in app.list.in_sight

    drive(app, story)
