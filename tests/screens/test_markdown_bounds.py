"""Work that grows with the text and no faster, counted in calls, so that no clock is needed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from screens.markdown import Rendering, render
from tests.screens.markdown_corpus import PALETTE

_CONSTRUCTS: dict[str, Callable[[int], str]] = {
    "words": lambda size: "word " * (size // 5),
    "one word": lambda size: "x" * size,
    "wide word": lambda size: "漢" * size,
    "lines": lambda size: "a b\n" * (size // 4),
    "paragraphs": lambda size: "a\n\n" * (size // 3),
    "quote": lambda size: "> a\n" * (size // 4),
    "quote marks": lambda size: ">" * size,
    "list": lambda size: "- item\n" * (size // 7),
    "list in list": lambda size: "".join(["  " * (n % 60) + "- x\n" for n in range(size // 64)]),
    "list marks": lambda size: "- " * (size // 2),
    "open fence": lambda size: "```py\n" + "x = f(1)  # y\n" * (size // 14),
    "fence of one line": lambda size: "```py\n" + "f(1) " * (size // 5),
    "indented code": lambda size: "    x\n\n" * (size // 7),
    "table": lambda size: "| a | b |\n|--|--|\n" + "| x | y |\n" * (size // 10),
    "table of many columns": lambda size: (
        "|" + "a|" * 400 + "\n|" + "-|" * 400 + "\n" + ("|" + "x|" * 400 + "\n") * (size // 800)
    ),
    "table heads": lambda size: "a|b\n--|--\n" * (size // 10),
    "stars": lambda size: "*a " * (size // 3),
    "stars both ways": lambda size: "a**b*" * (size // 5),
    "signs mixed": lambda size: "*a_b~~c " * (size // 8),
    "back-ticks": lambda size: "".join(["`" * (n % 90 + 1) + " " for n in range(size // 46)]),
    "brackets": lambda size: "[" * size,
    "bracket pairs": lambda size: "[a]" * (size // 3),
    "link openings": lambda size: "[a](" * (size // 4),
    "images and links": lambda size: ("![" * 900 + "[a](b)" * 370) * (size // 4_020 + 1),
    "dollars": lambda size: "$a" * (size // 2),
    "formula openings": lambda size: "\\(" * (size // 2),
    "fractions": lambda size: "$$" + "\\frac{" * (size // 6),
    "fractions without braces": lambda size: "\\(" + "\\frac" * (size // 5),
    "angles": lambda size: "<" * size,
    "addresses": lambda size: "http://" * (size // 7),
    "references": lambda size: "[a][b]\n\n" * (size // 16) + "".join([f"[{n}]: http://x\n" for n in range(size // 32)]),
    "stacked marks": lambda size: "a" + "\u0301" * size,
    "blank lines": lambda size: "\n" * size,
    "backslashes": lambda size: "\\" * size,
}


def _calls(work: Callable[[], object]) -> int:
    """How many functions are called, Python's and built-in ones."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("construct", _CONSTRUCTS)
def test_twice_the_text_is_twice_the_work(construct: str) -> None:
    make = _CONSTRUCTS[construct]
    short, long = make(6_000), make(12_000)

    few, many = _calls(lambda: render(short, 60, PALETTE)), _calls(lambda: render(long, 60, PALETTE))

    assert many < 2.6 * few + 500
    assert many < 120 * len(long)


@pytest.mark.parametrize("construct", _CONSTRUCTS)
def test_a_delta_costs_the_same_late_as_early(construct: str) -> None:
    text = _CONSTRUCTS[construct](12_000)
    rendering = Rendering(60, PALETTE)
    costs = []

    for position in range(0, len(text), 300):
        rendering.feed(text[position : position + 300])
        costs.append(_calls(rendering.settle))

    # Whatever is open is bounded, so the dearest delta of the second half is no dearer than what fills the bounds.
    half = len(costs) // 2
    assert max(costs[half:]) < 1.5 * max(costs[:half]) + 2_000


def test_feeding_does_not_draw() -> None:
    rendering = Rendering(80, PALETTE)
    rendering.feed("A paragraph that is open and **grows** ")

    calls = _calls(lambda: [rendering.feed("tok ") for _ in range(500)])

    assert calls < 20 * 500


def test_five_million_characters_of_one_line_are_drawn() -> None:
    rendering = render("x" * 5_000_000, 100, PALETTE)

    assert len(rendering.lines) == 50_000
    assert all(line.continues for line in rendering.lines[1:])


def test_ten_thousand_quotes_in_each_other_are_drawn() -> None:
    lines = render(">" * 10_000 + " deep\n" + "> " * 10_000 + "deeper", 80, PALETTE).lines

    assert [line.strip.text.strip("▎ ") for line in lines] == ["deep", "deeper"]


def test_a_list_of_any_length_is_drawn() -> None:
    assert len(render("- item\n" * 20_000, 80, PALETTE).lines) == 20_000


def test_finished_lines_stay_the_same_objects() -> None:
    rendering = Rendering(60, PALETTE)
    rendering.feed("# Head\n\nFirst paragraph.\n\n- item\n- open")
    rendering.settle()
    before = list(rendering.lines)

    first = rendering.feed(" item that goes on")
    settled = rendering.settle()

    assert first <= settled == len(before) - 1
    assert all(old is new for old, new in zip(before[:-1], rendering.lines, strict=False))
    assert rendering.lines[-1].strip.text == "• open item that goes on"
