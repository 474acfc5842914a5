"""The sidebar: a function of what it is given; and how times, groups and lines of chats read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from console.history.listing import ChatRow
from screens.theme import DARK, THEMES, Palette, palette
from screens.widgets.cells import clip, fit, one_line
from screens.widgets.chat_line import chat_line
from screens.widgets.sidebar import Heading, More, Sidebar, grouped
from screens.widgets.times import group_of, short_time
from tests.conftest import run

NOW = datetime(2026, 11, 20, 14, 2, tzinfo=UTC)  # a Friday


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def chat(title: str, ago: timedelta = timedelta(0), **how: object) -> ChatRow:
    values = {
        "seq": abs(hash(title)),
        "id": f"id of {title}",
        "title": title,
        "model": "qwen3:8b",
        "message_count": 4,
        "tags": (),
        "pinned": False,
        "updated_at": NOW - ago,
        "deleted_at": None,
        **how,
    }
    return ChatRow(**values)  # type: ignore[arg-type]


def days(count: float) -> timedelta:
    return timedelta(days=count)


@pytest.mark.parametrize(
    ("ago", "short", "group"),
    [
        (timedelta(0), "14:02", "Today"),
        (timedelta(hours=14), "00:02", "Today"),
        (timedelta(hours=15), "Thu", "Yesterday"),
        (days(6), "Sat", "This week"),
        (days(7), "13 Nov", "November"),
        (days(30), "21 Oct", "October"),
        (days(330), "Dec 2025", "December 2025"),
        (-timedelta(hours=1), "15:02", "Today"),
        (-days(3), "23 Nov", "Today"),  # a clock was wrong
    ],
)
def test_times_are_short_and_groups_follow_the_calendar(ago: timedelta, short: str, group: str) -> None:
    assert (short_time(NOW - ago, NOW), group_of(NOW - ago, NOW)) == (short, group)


def test_times_follow_the_clock_of_this_place(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()

    assert short_time(NOW, NOW) == "23:02"
    assert short_time(NOW - timedelta(hours=23, minutes=3), NOW) == "Thu"


def test_chats_are_grouped_with_what_is_left_out_at_the_end() -> None:
    chats = [chat("a", days(9), pinned=True), chat("b"), chat("c"), chat("d", days(1)), chat("e", days(400))]

    assert grouped(chats, 99, NOW) == [
        Heading("Pinned"),
        chats[0],
        Heading("Today"),
        chats[1],
        chats[2],
        Heading("Yesterday"),
        chats[3],
        Heading("October 2025"),
        chats[4],
        More(94),
    ]


class Room(App[None]):
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal")]  # noqa: RUF012 - as Textual declares it
    CSS = ".-narrow Sidebar { display: none; } .-narrow Sidebar.-on { display: block; }"

    def __init__(self) -> None:
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DARK
        self.picked: list[str] = []

    @property
    def palette(self) -> Palette:
        return palette(self.theme_variables, dark=True)

    def compose(self) -> ComposeResult:
        yield Sidebar(self.palette)

    @property
    def sidebar(self) -> Sidebar:
        return self.query_one(Sidebar)

    def lines(self) -> list[str]:
        return [self.sidebar.render_line(y).text.rstrip() for y in range(self.sidebar.size.height)]

    def on_sidebar_picked(self, event: Sidebar.Picked) -> None:
        self.picked.append(event.chat_id)

    def on_sidebar_all_wanted(self) -> None:
        self.picked.append("all")


def drive(story: Callable[[Room, Pilot[None]], Awaitable[None]], size: tuple[int, int] = (120, 20)) -> None:
    async def body() -> None:
        app = Room()
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await story(app, pilot)

    run(body())


def test_it_shows_groups_and_marks() -> None:
    async def story(app: Room, pilot: Pilot[None]) -> None:
        chats = [chat("pinned", days(9), pinned=True), chat("open"), chat("answering"), chat("older", days(1))]
        app.sidebar.show_chats(chats, 4, NOW, current="id of open", live=["id of answering"])
        await pilot.pause()

        assert [" ".join(line.split()) for line in app.lines()[:8]] == [
            "Pinned",
            "★ pinned 11 Nov",
            "Today",
            "▸ open 14:02",
            "● answering 14:02",
            "Yesterday",
            "older Thu",
            "",
        ]
        assert app.sidebar.cursor == chats[1]
        app.sidebar.set_live(["id of open"])
        await pilot.pause()
        assert app.lines()[3].startswith("● open")
        assert app.lines()[4].startswith("  answering")

    drive(story)


def test_a_choice_is_told() -> None:
    async def story(app: Room, pilot: Pilot[None]) -> None:
        app.sidebar.show_chats([chat("one"), chat("two")], 500, NOW, current="id of one")
        app.sidebar.focus()
        await pilot.pause()
        await pilot.press("down", "enter", "end", "enter")
        await pilot.click(Sidebar, offset=(4, 1))
        await pilot.click(Sidebar, offset=(4, 0))  # a heading

        assert app.picked == ["id of two", "all", "id of one"]

    drive(story)


def test_the_cursor_stays_while_chats_change_around_it() -> None:
    async def story(app: Room, pilot: Pilot[None]) -> None:
        chats = [chat("one"), chat("two"), chat("three")]
        app.sidebar.show_chats(chats, 3, NOW, current="id of one")
        app.sidebar.focus()
        await pilot.pause()
        await pilot.press("down", "down")
        app.sidebar.show_chats([chat("new"), *chats], 4, NOW, current="id of one")
        await pilot.pause()
        assert app.sidebar.cursor == chats[2]

        app.sidebar.show_chats([chat("new"), *chats], 4, NOW, current="id of new")
        await pilot.pause()
        cursor = app.sidebar.cursor
        assert isinstance(cursor, ChatRow)
        assert cursor.title == "new"

    drive(story)


def test_without_chats_it_says_what_comes_here() -> None:
    async def story(app: Room, pilot: Pilot[None]) -> None:
        app.sidebar.show_chats([], 0, NOW)
        await pilot.pause()
        assert "No chats yet." in "".join(app.lines())
        app.sidebar.say("The history is locked.")
        await pilot.pause()
        assert "The history is locked." in "".join(app.lines())

    drive(story)


@pytest.mark.parametrize(("width", "at_first"), [(80, False), (99, False), (100, True), (160, True)])
def test_it_hides_in_narrow_terminals_and_toggles_in_all(width: int, at_first: bool) -> None:
    async def story(app: Room, pilot: Pilot[None]) -> None:
        assert app.sidebar.display is at_first
        for _ in range(2):
            assert app.sidebar.toggle() is not at_first
            await pilot.pause()
            assert app.sidebar.display is not at_first
            assert app.sidebar.toggle() is at_first
            await pilot.pause()
            assert app.sidebar.display is at_first

    drive(story, (width, 20))


# Lines


def text_of(line: object) -> str:
    return "".join(segment.text for segment in line)  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [1, 3, 8, 19, 20, 30, 43, 44, 61, 84, 120, 200])
@pytest.mark.parametrize("title", ["", "short", "long " * 80, "漢字" * 60, "\x1b[31m\nred\x00", "e\u0301\u200b" * 40])
def test_a_line_has_exactly_its_width(width: int, title: str) -> None:
    colours = palette({}, dark=True)
    row = chat(title, tags=("work", "a tag that is rather long", "漢字"), pinned=True, message_count=123_456)

    line = text_of(chat_line(row, width, colours, NOW, query="re sh"))

    assert cell_len(line) == width or width < 5
    assert not set(line) & set("\x1b\n\x00\u200b")
    assert title or width < 12 or "Untitled" in line


def test_a_wide_line_tells_more() -> None:
    colours = palette({}, dark=True)
    row = chat("Ropes of steel", tags=("gpu",), message_count=1234)

    wide = text_of(chat_line(row, 100, colours, NOW))
    narrow = text_of(chat_line(row, 30, colours, NOW))

    assert all(words in wide for words in ("Ropes of steel", "#gpu", "qwen3:8b", "1,234", "14:02"))
    assert "14:02" in narrow
    assert "qwen3" not in narrow


def test_words_of_the_filter_are_marked_in_the_title() -> None:
    colours = palette({}, dark=True)

    line = chat_line(chat("Ropes of Röping"), 40, colours, NOW, query="rop #tag")

    assert [segment.text for segment in line if segment.style and segment.style.bgcolor] == ["Rop", "Röp"]


@pytest.mark.parametrize(
    ("text", "width", "cut"),
    [
        ("hawser", 6, "hawser"),
        ("hawser", 5, "haws…"),
        ("漢字漢字", 5, "漢字…"),
        ("漢字漢字", 4, "漢…"),
        ("x", 0, ""),
        ("", 3, ""),
    ],
)
def test_words_are_cut_by_cells(text: str, width: int, cut: str) -> None:
    assert clip(text, width) == cut
    assert cell_len(fit(text, width)) == width


def test_one_line_keeps_what_joins_letters() -> None:
    assert one_line(" a\tb\r\nc\u200bd \u202e ") == "a b cd \ufffd"
    assert one_line("👩‍🚀") == "👩‍🚀"
