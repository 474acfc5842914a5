"""Single properties of rendered Markdown: links, copies, code, colours, tables."""

from __future__ import annotations

import subprocess
import sys

from rich.segment import Segment

from screens.markdown import CodeBlock, Rendering, raw_lines, render
from screens.markdown.highlight import highlight, is_worth_it
from tests.screens.markdown_corpus import PALETTE


def _texts(rendering: Rendering) -> list[str]:
    return [line.strip.text for line in rendering.lines]


def _meta(rendering: Rendering, name: str) -> list[tuple[str, object]]:
    return [
        (segment.text, segment.style.meta[name])
        for line in rendering.lines
        for segment in line.strip
        if segment.style and name in segment.style.meta
    ]


def _copied(rendering: Rendering) -> str:
    """What copying all lines gives, by the rules of `Line`."""
    rows: list[str] = []
    for line in rendering.lines:
        text = line.strip.crop(line.indent).text if line.indent else line.strip.text
        if line.continues:
            rows[-1] += line.joint + text
        else:
            rows.append(text)
    return "\n".join(rows)


def test_links_say_where_they_go() -> None:
    rendering = render("A [link](https://a.example/x) and https://b.example/(y), <c@d.example>.", 80, PALETTE)

    assert _meta(rendering, "link") == [
        ("link", "https://a.example/x"),
        ("https://b.example/(y)", "https://b.example/(y)"),
        ("c@d.example", "mailto:c@d.example"),
    ]


def test_a_link_that_claims_another_host_shows_its_own() -> None:
    assert _texts(render("[bank.example](https://evil.example/)", 80, PALETTE)) == [
        "bank.example (https://evil.example/)"
    ]


def test_only_addresses_that_can_be_opened_become_targets() -> None:
    rendering = render("[a](javascript:alert(1)) [b](file:///etc/passwd) [c](data:text/html,x)", 120, PALETTE)

    assert _meta(rendering, "link") == []
    assert "javascript:alert(1)" in _texts(rendering)[0]


def test_a_definition_that_comes_later_makes_links_of_earlier_words() -> None:
    rendering = Rendering(80, PALETTE)
    rendering.feed("# Head\n\nSee [guide] and [1].\n\nBetween\n\n")
    rendering.settle()
    assert _meta(rendering, "link") == []
    assert _meta(rendering, "source") == [("[1]", "1")]

    rendering.feed("[guide]: https://g.example\n[1]: https://one.example\n")
    changed = rendering.settle()

    assert changed == 2
    assert ("guide", "https://g.example") in _meta(rendering, "link")
    assert ("[1]", "https://one.example") in _meta(rendering, "link")


def test_each_number_of_a_mark_is_a_target() -> None:
    assert [number for _, number in _meta(render("so [2, 13]", 80, PALETTE), "source")] == ["2", "13"]


def test_open_emphasis_looks_as_it_will() -> None:
    rendering = Rendering(80, PALETTE)
    rendering.feed("This is **stro")
    assert _texts(rendering) == ["This is stro"]

    rendering.feed("ng** and `co")
    assert _texts(rendering) == ["This is strong and co"]

    rendering.feed("de` and [words](https://x.exa")
    assert _texts(rendering) == ["This is strong and code and words"]


def test_a_line_that_may_yet_be_anything_is_held_back() -> None:
    rendering = Rendering(80, PALETTE)
    rendering.feed("A paragraph\n")
    heights = []
    for sign in "---":
        rendering.feed(sign)
        heights.append(len(rendering.lines))

    assert heights == [1, 1, 1]
    assert rendering.close() == 0
    assert _texts(rendering) == ["A paragraph"]


def test_copying_joins_what_was_wrapped() -> None:
    text = "Some words that are long enough to be wrapped.\nA line of its own 漢字漢字漢字漢字漢字漢字漢字 too."

    assert _copied(render(text, 17, PALETTE)) == text


def test_copying_leaves_out_bars_and_gutters() -> None:
    code = "a = 1\n" + "b" * 50
    rendering = render(f"> quoted words that wrap here\n\n- item that wraps as well\n\n```\n{code}\n```", 20, PALETTE)

    assert _copied(rendering).split("\n") == [
        "quoted words that wrap here",
        "",
        "• item that wraps as well",
        "",
        "",
        *code.split("\n"),
    ]


def test_code_is_kept_as_it_was_sent() -> None:
    code = "def f():\n\treturn '\u200b\x1b[0m'\n\n\n# 漢字  "
    rendering = render(f"1. Item\n\n   ```py\n   x\n   ```\n\n```Python title\n{code}\n```\n", 20, PALETTE)

    assert [block.text for block in rendering.blocks] == ["x", code]
    second = rendering.blocks[1]
    assert (second.number, second.language) == (2, "python")
    assert _texts(rendering)[second.first_line].split() == ["Python", "2"]
    assert _texts(rendering)[second.first_line + 1].strip() == "def f():"
    assert second.last_line == len(rendering.lines) - 1


def test_code_that_is_open_can_be_copied_already() -> None:
    rendering = Rendering(60, PALETTE)
    rendering.feed("```py\na = 1\nb = ")

    assert rendering.blocks == [CodeBlock(1, "py", "a = 1\nb = ", 0, 2)]
    assert rendering.to_highlight() == []

    rendering.feed("2\n```\n")
    assert rendering.blocks[0].text == "a = 1\nb = 2"
    assert [block.number for block in rendering.to_highlight()] == [1]
    assert rendering.to_highlight() == []


def test_full_colours_change_styles_and_nothing_else() -> None:
    text = 'Words\n\n```python\n@wraps\ndef f(x):\n    """Two\n    lines."""\n    return "' + "y" * 80 + '"\n```\n\nend'
    rendering = render(text, 40, PALETTE)
    before = list(rendering.lines)
    (block,) = rendering.to_highlight()

    changed = rendering.highlighted(block.number, highlight(block.text, block.language, PALETTE))

    assert changed == block.first_line + 1
    assert [line.strip.text for line in rendering.lines] == [line.strip.text for line in before]
    inside = rendering.lines[changed + 3].strip
    assert {segment.style and segment.style.color for segment in inside if segment.text.strip()} == {
        PALETTE.syntax_string.color
    }, "the second line of a text of several lines"
    assert rendering.lines[-1] is before[-1]


def test_colours_of_another_text_are_refused() -> None:
    rendering = render("```py\na = 1\n```\n```py\nb\n```", 40, PALETTE)
    before = list(rendering.lines)

    assert rendering.highlighted(1, [[Segment("something else")]]) == len(before)
    assert rendering.highlighted(1, []) == len(before)
    assert rendering.highlighted(3, [[Segment("a = 1")]]) == len(before)
    assert list(rendering.lines) == before


def test_colours_can_be_made_when_a_fence_closes() -> None:
    asked: list[tuple[str, str]] = []

    def colour(text: str, language: str) -> list[list[Segment]]:
        asked.append((text, language))
        return highlight(text, language, PALETTE)

    with_lexer = Rendering(40, PALETTE, highlight=colour)
    for character in "```py\nx = '''a\nb'''\n```\n":
        with_lexer.feed(character)
        with_lexer.settle()

    assert asked == [("x = '''a\nb'''", "py")]
    assert (
        with_lexer.lines[2].strip
        == render("```py\nx = '''a\nb'''\n```\n", 40, PALETTE, highlight=colour).lines[2].strip
    )


def test_an_unknown_language_keeps_the_quick_colours() -> None:
    rendering = render("```nosuchlanguage\nreturn 1\n```", 40, PALETTE)
    before = list(rendering.lines)
    (block,) = rendering.to_highlight()

    assert highlight(block.text, block.language, PALETTE) == []
    assert rendering.highlighted(1, []) == len(before)
    assert list(rendering.lines) == before


def test_long_code_is_not_given_to_a_lexer() -> None:
    assert is_worth_it("py", "x\n" * 1_000)
    assert not is_worth_it("py", "x\n" * 3_000)
    assert not is_worth_it("py", "x" * 300_000)
    assert render("```py\n" + "x\n" * 3_000 + "```\n", 40, PALETTE).to_highlight() == []


def test_a_row_of_code_that_goes_on_is_marked() -> None:
    lines = render("```\n" + "x" * 60 + "\n```", 40, PALETTE).lines

    assert [line.continues for line in lines] == [False, False, True]
    assert lines[2].strip.text.startswith("↪ x")
    assert all(line.fill == PALETTE.code_block for line in lines)


def test_a_table_that_does_not_fit_becomes_lists() -> None:
    table = "| Name | Price | Memory | Region |\n|--|--|--|--|\n| Machine one | 1.00 | 80 GB | Europe |"

    assert "│" in _texts(render(table, 60, PALETTE))[0]
    assert _texts(render(table, 20, PALETTE)) == [
        "Name: Machine one",
        "Price: 1.00",
        "Memory: 80 GB",
        "Region: Europe",
    ]


def test_raw_view_shows_the_signs() -> None:
    lines = raw_lines("# **a**\n\x1b[1m", 80, PALETTE)

    assert [line.strip.text for line in lines] == ["# **a**", "␛[1m"]


def test_importing_it_loads_no_lexers() -> None:
    code = (
        "import sys, screens.markdown; print([n for n in sys.modules if n.startswith(('pygments.lex', 'markdown_it'))])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
