from hypothesis import given
from hypothesis import strategies as st

from console.text import neutralise, shorten, size_words


def test_escape_codes_become_visible_and_harmless() -> None:
    assert neutralise("\x1b[31mred\x07") == "␛[31mred␇"


def test_newlines_and_tabs_stay_and_windows_line_ends_become_plain() -> None:
    assert neutralise("a\tb\nc\r\nd") == "a\tb\nc\nd"


def test_text_that_would_turn_its_direction_is_defused() -> None:
    assert neutralise("user\u202egpj.exe") == "user\ufffdgpj.exe"


@given(st.text())
def test_nothing_that_a_terminal_acts_on_is_left(text: str) -> None:
    safe = neutralise(text)

    assert all(letter in "\n\t" or not (ord(letter) < 0x20 or 0x7F <= ord(letter) <= 0x9F) for letter in safe)
    assert neutralise(safe) == safe


@given(st.text(), st.integers(min_value=1, max_value=80))
def test_a_shortened_line_fits(text: str, width: int) -> None:
    line = shorten(text, width)

    assert len(line) <= width
    assert "\n" not in line


def test_sizes_have_two_digits_and_the_unit_that_fits() -> None:
    sizes = (0, 999, 1_000, 9_940, 9_960, 999_499, 999_501, 12_345_678, 2_500_000_000, 70_400_000_000)

    assert [size_words(size) for size in sizes] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "9.9 kB",
        "10 kB",
        "999 kB",
        "1.0 MB",
        "12 MB",
        "2.5 GB",
        "70.4 GB",
    ]
