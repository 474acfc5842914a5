"""The list of 100,000 chats, the search, the sidebar, and a long chat that is opened: from a key to what it shows.

What a key shows is named, not guessed from silence: the row, the count, the word that was typed together with the rows
that it leaves. Beside each median stand the best and the CPU of the key and all that follows it, the preview too: those
say more than the median does on a machine that others use as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from benchmarks.pty_drive import PtyProgram
from benchmarks.tui_homes import LAST_WORDS, fill, long_chat, many_chats
from benchmarks.tui_rows import ENTER, QUIET_S, READY, Bench, Caused, Row, app, caused, median

CHATS, SEARCH, SIDEBAR, DOWN, ESCAPE = b"\x07", b"\x06", b"\x1c", b"\x1b[B", b"\x1b"
MANY = 100_000
NEWEST = MANY - 1
PART = "chats"


def chats(bench: Bench) -> Iterator[Row]:
    yield from opened(bench)
    environment = bench.new_home()
    fill(environment, many_chats(MANY))
    with app(environment) as program:
        yield from the_list(program, bench.rounds)
        yield from the_search(program, bench.rounds)
        shown = []
        for _ in range(bench.rounds):
            program.send(SIDEBAR)
            program.wait_until_quiet(QUIET_S)
            shown.append(caused(program, SIDEBAR, title(NEWEST)))
        yield row("sidebar: show", shown)


def opened(bench: Bench) -> Iterator[Row]:
    """A chat of 5,000 messages, from the list, in a program that has not read it before."""
    environment = bench.new_home()
    fill(environment, iter([("The long one", long_chat(5_000)), ("A short one", long_chat(2))]))
    shown = []
    for _ in range(bench.rounds):
        with app(environment) as program:
            caused(program, CHATS, b"2 chats")
            for number in range(1, 5):
                caused(program, b"long"[number - 1 : number], all_of("“long”"[: number + 1].encode(), b"The long one"))
            shown.append(caused(program, ENTER, all_of(LAST_WORDS.encode(), READY)))
    yield row("open a chat of 5,000 messages", shown, 80)


def the_list(program: PtyProgram, rounds: int) -> Iterator[Row]:
    shown: list[Caused] = []
    moved: list[Caused] = []
    one_letter: list[Caused] = []
    more: list[Caused] = []
    whole = all_of(title(NEWEST), f"{MANY:,} chats".encode(), b"Type to filter")
    for _ in range(rounds + 1):
        shown.append(caused(program, CHATS, whole))
        moved += [caused(program, DOWN, title(NEWEST - number)) for number in range(1, 6)]
        for number, letter in enumerate("cran"):
            # The count names what was typed, and it is drawn with the rows.
            what = all_of(f"“{'cran'[: number + 1]}”".encode(), title(NEWEST - 9 if number else NEWEST))
            (more if number else one_letter).append(caused(program, letter.encode(), what))
        caused(program, ESCAPE, READY)
    yield row(f"{MANY:,} chats: show, the first time", shown[:1])
    yield row(f"{MANY:,} chats: show", shown[1:], 30)
    yield row(f"{MANY:,} chats: move", moved, 8)
    yield row(f"{MANY:,} chats: filter, one letter", one_letter, 60)
    yield row(f"{MANY:,} chats: filter, each letter more", more, 25)


def the_search(program: PtyProgram, rounds: int) -> Iterator[Row]:
    shown, letters = [], []
    for _ in range(rounds + 1):
        shown.append(caused(program, SEARCH, b"Words that were said"))
        program.send(b"a")
        program.wait_until_quiet(QUIET_S)
        for number, letter in enumerate("nch", 2):
            what = all_of("anch"[:number].encode(), b"about")
            letters.append(caused(program, letter.encode(), what))
        caused(program, ESCAPE, READY)
    yield row("search: show", shown[1:])
    yield row(f"search in {2 * MANY:,} messages: each letter more", letters)


def title(number: int) -> bytes:
    """How the title of a chat of `many_chats` begins."""
    return f"Chat {number} ".encode()


def all_of(*pieces: bytes) -> Callable[[bytes], bool]:
    return lambda came: all(piece in came for piece in pieces)


def row(measure: str, keys: Sequence[Caused], most: float | None = None) -> Row:
    best = min(each.shown_ms for each in keys)
    cpu = median([each.cpu_ms for each in keys])
    times = median([each.shown_ms for each in keys])
    return Row(PART, measure, times, "ms", most, f"best {best:.0f}; {cpu:.0f} ms of CPU; {len(keys)} times")
