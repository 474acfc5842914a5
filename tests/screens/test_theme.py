"""The colours: what they are made of, and that they can be read in every theme."""

from __future__ import annotations

import pytest
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from screens.theme import THEMES, contrast, palette

EVERY = {theme.name: theme for theme in (*THEMES, *BUILTIN_THEMES.values()) if "ansi" not in theme.name}
MAY_BE_OVERLOOKED = ("faint", "rule")


def style_contrasts(theme: Theme) -> dict[str, float]:
    """How far each text style is from what it stands on."""
    variables = theme.to_color_system().generate()
    background = Color.parse(variables["background"])
    found = {}
    for name, style in palette(variables, dark=theme.dark)._asdict().items():
        if style.color is not None:
            paper = Color.from_rich_color(style.bgcolor) if style.bgcolor is not None else background
            found[name] = contrast(Color.from_rich_color(style.color), paper)
    return found


@pytest.mark.parametrize("name", EVERY)
def test_what_is_read_can_be_read(name: str) -> None:
    found = style_contrasts(EVERY[name])

    assert len(found) >= 25
    assert {style for style, far in found.items() if far < 4.2 and style not in MAY_BE_OVERLOOKED} == set()
    assert found["faint"] >= 2.9
    assert found["rule"] >= 1.5


def test_contrast_is_counted_as_the_guidelines_do() -> None:
    white, black = Color(255, 255, 255), Color(0, 0, 0)

    assert contrast(white, black) == pytest.approx(21)
    assert contrast(black, white) == pytest.approx(21)
    assert contrast(white, white) == 1
    assert contrast(Color.parse("#767676"), white) == pytest.approx(4.54, abs=0.01)


def test_the_terminals_own_colours_are_left_alone() -> None:
    theme = BUILTIN_THEMES["ansi-dark"]
    styles = palette(theme.to_color_system().generate(), dark=True)

    assert styles.muted.dim
    assert styles.selection.reverse
    assert styles.text.color is not None
    assert styles.text.color.is_default
