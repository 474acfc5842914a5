"""`NO_COLOR`: no colour at all, and what a colour alone would have set apart is set apart by reverse video."""

from __future__ import annotations

from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

SET_APART = 0.06
"""From which difference in brightness on a background means something, as a cursor or a selection does."""


class Colourless(LineFilter):
    """The last filter of an app that may not use colours."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            Segment(text, _without_colour(style, background) if style else None, control)
            for text, style, control in segments
        ]


@lru_cache(4096)
def _without_colour(style: Style, background: Color) -> Style:
    is_set_apart = style.bgcolor is not None and not style.bgcolor.is_default
    if is_set_apart:
        assert style.bgcolor is not None
        behind = Color.from_rich_color(style.bgcolor)
        is_set_apart = abs(behind.brightness - background.brightness) >= SET_APART
    return Style(
        bold=style.bold,
        italic=style.italic,
        underline=style.underline,
        strike=style.strike,
        reverse=bool(style.reverse) != is_set_apart or None,
        link=style.link,
        meta=style.meta or None,
    )
