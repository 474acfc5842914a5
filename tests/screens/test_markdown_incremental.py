"""Generated text: however a stream is cut, its lines are those of the whole."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from screens.markdown import Line, Rendering, render
from tests.screens.markdown_corpus import PALETTE

_PIECES = [
    *(
        "a",
        "word ",
        "two words",
        "\n",
        "\n\n",
        "    ",
        "  ",
        "\t",
        "\r",
        "\r\n",
        "漢字",
        "👨‍👩‍👧",
        "e\u0301",
        "\u200b",
        "\x1b[31m",
    ),
    *("# ", "## x\n", "===\n", "---\n", "***\n", "- ", "* ", "1. ", "2) ", "- [x] ", "> ", ">> ", ">"),
    *("```", "```py\n", "~~~\n", "x = 1\n", "`", "``", "|", "| a | b |\n|--|:-:|\n", "| x | y |\n", "| z"),
    *(
        "*",
        "**",
        "_",
        "~~",
        "[",
        "]",
        "[x]",
        "[1]",
        "](http://b.example)",
        "[x]: http://d.example\n",
        "[1]: http://e.example\n",
        "![",
    ),
    *(
        "$",
        "$$",
        "$$\n",
        "\\(",
        "\\)",
        "\\[",
        "\\]",
        "\\frac{a}{b}",
        "\\",
        "\\\n",
        "<div>\n",
        "<br>",
        "<",
        "&amp;",
        "https://x.example/y",
    ),
]
_TEXTS = st.lists(st.one_of(st.sampled_from(_PIECES), st.text(max_size=4)), max_size=40).map("".join)
_LONG = st.sampled_from(["", "b c " * 1_100, "d" * 4_200, "**e** " * 800 + "\n", "> " * 2_100, " " * 4_100])


def _key(rendering: Rendering) -> tuple[list[Line], list[object]]:
    return list(rendering.lines), list(rendering.blocks)


@given(
    before=_TEXTS,
    long=_LONG,
    after=_TEXTS,
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    width=st.sampled_from([1, 4, 12, 30, 80]),
)
@settings(max_examples=80, deadline=None)
def test_any_split_gives_the_lines_of_the_whole(
    before: str, long: str, after: str, cuts: list[int], width: int
) -> None:
    text = before + long + after
    rendering = Rendering(width, PALETTE)
    shown: list[Line] = []

    position = turn = 0
    while position < len(text):
        size = cuts[turn % len(cuts)] * (40 if long else 1)
        first = rendering.feed(text[position : position + size])
        position += size
        turn += 1
        if turn % 2:
            settled = rendering.settle()
            assert first <= settled <= len(rendering.lines)
            assert all(old is new for old, new in zip(shown[:settled], rendering.lines, strict=False))
            assert settled <= len(shown)
            shown = list(rendering.lines)
        if turn in (1, 4, 9, 20):
            fresh = Rendering(width, PALETTE)
            fresh.feed(text[:position])
            assert _key(rendering) == _key(fresh)
    rendering.close()

    assert _key(rendering) == _key(render(text, width, PALETTE))
    assert all(line.strip.cell_length <= width for line in rendering.lines)
