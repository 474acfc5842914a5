"""The bookkeeping of heights, and that what somebody reads stays where it is while they are corrected."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from screens import theme
from screens.widgets.transcript.column import KEPT_MESSAGES, Column, Place
from screens.widgets.transcript.heights import Heights
from screens.widgets.transcript.item import Item
from screens.widgets.transcript.text import Look

PALETTE = theme.palette({}, dark=True)
WORDS = "The rope that holds a ship to its berth is called a hawser. "

heights = st.lists(st.integers(0, 40), max_size=60)


def item(number: int, text: str = WORDS * 3) -> Item:
    return Item(f"m{number}", "assistant" if number % 2 else "user", text, head="Somebody · 14:02")


def column(count: int, *, width: int = 40, room: int = 20, text: str = WORDS * 3) -> Column:
    made = Column(Look(width, PALETTE))
    made.room = room
    made.show([item(number, text) for number in range(count)])
    made.settle()
    return made


def line_at(made: Column, row: int) -> tuple[str, int]:
    index, line = list(made.visible())[row]
    return made.messages[index].item.id, line


# ---- heights


@given(heights)
def test_starts_are_sums_of_heights(given_heights: list[int]) -> None:
    made = Heights(given_heights)

    assert [made.start(index) for index in range(len(given_heights) + 1)] == [
        sum(given_heights[:index]) for index in range(len(given_heights) + 1)
    ]
    assert made.total == sum(given_heights)


@given(heights, st.lists(st.tuples(st.sampled_from("aces"), st.integers(0, 60), st.integers(0, 40)), max_size=60))
def test_heights_agree_with_a_list_through_any_changes(
    given_heights: list[int], changes: list[tuple[str, int, int]]
) -> None:
    made, plain = Heights(given_heights), list(given_heights)

    for what, index, height in changes:
        if what == "a":
            made.append(height)
            plain.append(height)
        elif what == "c":
            made.cut(min(index, len(plain)))
            del plain[index:]
        elif what == "e":
            made.reset([*plain, height])
            plain = [*plain, height]
        elif plain:
            made.set(index % len(plain), height)
            plain[index % len(plain)] = height

    assert len(made) == len(plain)
    assert [made[index] for index in range(len(plain))] == plain
    assert [made.start(index) for index in range(len(plain) + 1)] == [
        sum(plain[:index]) for index in range(len(plain) + 1)
    ]
    for line in range(made.total):
        index, inside = made.find(line)
        assert made.start(index) + inside == line
        assert 0 <= inside < plain[index]


@given(heights, st.integers(-50, 3000))
def test_a_line_outside_belongs_to_the_outermost(given_heights: list[int], line: int) -> None:
    made = Heights(given_heights)

    index, inside = made.find(line)

    assert made.start(index) + inside == max(0, min(line, made.total - 1))


# ---- the column

moves = st.lists(
    st.one_of(
        st.tuples(st.just("scroll"), st.integers(-120, 120)),
        st.tuples(st.just("jump"), st.integers(-10, 3000)),
        st.tuples(st.just("to"), st.integers(0, 30)),
        st.tuples(st.just("reveal"), st.integers(0, 30)),
        st.tuples(st.just("end"), st.just(0)),
        st.tuples(st.just("append"), st.integers(0, 30)),
        st.tuples(st.just("grow"), st.integers(0, 30)),
        st.tuples(st.just("cut"), st.integers(0, 30)),
        st.tuples(st.just("width"), st.integers(1, 90)),
        st.tuples(st.just("room"), st.integers(1, 60)),
        st.tuples(st.just("raw"), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), moves)
@example(3, [("scroll", -1), ("cut", 0)])
def test_the_window_is_always_full_of_the_chat(count: int, steps: list[tuple[str, int]]) -> None:
    made = column(count)
    number = count

    for what, how in steps:
        size = len(made)
        if what == "scroll":
            made.scroll(how)
        elif what == "jump":
            made.jump(how)
        elif what == "to" and size:
            made.to(how % size)
        elif what == "reveal" and size:
            made.reveal(how % size)
        elif what == "end":
            made.to_end()
        elif what == "append":
            number += 1
            made.append(item(number, WORDS * how))
        elif what == "grow" and size:
            made.grow(how % size, WORDS * how, "")
        elif what == "cut":
            made.cut(min(how, size))
        elif what == "width":
            made.relook(made.look._replace(width=how))
        elif what == "room":
            made.room = how
        elif what == "raw":
            made.relook(made.look._replace(raw=not made.look.raw))
        made.settle()

        rows = list(made.visible())
        assert len(rows) == min(made.room, made.heights.total)
        assert rows == [made.heights.find(made.top + row) for row in range(len(rows))]
        assert made.heights.total == sum(made.heights[index] for index in range(len(made)))
        for index, line in rows:
            assert made.messages[index].is_laid
            assert made.heights[index] == made.messages[index].height
            made.messages[index].line(line)
        assert made.follows == (not rows or made.top + len(rows) == made.heights.total)


def test_wrong_estimates_above_do_not_move_what_is_read() -> None:
    made = column(200)
    made.to(100)
    before = line_at(made, 0)

    # What is above is looked at for the first time, line by line, and then we come back.
    for _ in range(150):
        made.scroll(-1)
    for _ in range(150):
        made.scroll(1)

    assert line_at(made, 0) == before


def test_each_line_up_shows_one_more_line() -> None:
    made = column(60)
    made.to(50)

    for _ in range(200):
        above = line_at(made, 0)
        made.scroll(-1)
        assert line_at(made, 1) == above


def test_what_grows_above_does_not_move_what_is_read() -> None:
    made = column(30)
    made.to(20, 2)
    before = line_at(made, 0)

    made.grow(19, WORDS * 40, "")
    made.grow(3, WORDS * 40, "")
    made.settle()

    assert line_at(made, 0) == before


def test_the_end_is_followed_only_by_a_reader_who_is_there() -> None:
    made = column(30)

    made.grow(29, WORDS * 10, "")
    made.settle()
    at_end = line_at(made, -1)
    made.scroll(-1)
    left = line_at(made, 0)
    made.grow(29, WORDS * 10, "")
    made.append(item(30))
    made.settle()

    assert at_end[0] == "m29"
    assert not made.follows
    assert line_at(made, 0) == left
    made.scroll(10_000)
    assert made.follows


@given(st.integers(8, 90), st.integers(8, 90), st.integers(0, 29), st.integers(0, 6))
@settings(max_examples=40, deadline=None)
def test_another_width_keeps_the_line_at_the_top(first: int, second: int, index: int, line: int) -> None:
    made = column(30, width=first)
    made.to(index, line)
    message = made.messages[made.place.message]

    def logical_line() -> tuple[int, int]:
        above = message.lines(0, made.place.line + 1)
        return made.place.message, sum(not each.continues for each in above)

    before = logical_line()
    made.relook(made.look._replace(width=second))
    made.settle()

    if not made.follows:
        assert logical_line() == before


def test_only_so_many_messages_stay_laid_out() -> None:
    made = column(2000, text="short")

    for _ in range(300):
        made.scroll(-18)
        made.forget()

    assert made.laid <= KEPT_MESSAGES
    assert sum(message.is_laid for message in made.messages) == made.laid


def test_messages_never_shown_are_not_laid_out() -> None:
    made = column(5000)

    assert made.laid < 20
    made.jump(made.heights.total // 2)
    assert made.laid < 40


def test_showing_the_same_chat_again_keeps_the_place() -> None:
    made = column(40)
    made.to(20)
    before = line_at(made, 0)

    made.show([item(number) for number in range(45)])
    made.settle()

    assert line_at(made, 0) == before


def test_a_chat_that_was_cut_under_the_reader_shows_its_end() -> None:
    made = column(40)
    made.to(30)

    made.cut(5)
    made.settle()

    assert made.follows
    assert line_at(made, -1)[0] == "m4"
    made.cut(0)
    made.settle()
    assert list(made.visible()) == []
    assert made.place == Place(0, 0)
