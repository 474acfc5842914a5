"""The raw view: the source of a message as it is, wrapped and made harmless."""

from __future__ import annotations

from screens.markdown.clean import clean_code
from screens.markdown.lines import Line, to_strip, wrap
from screens.theme import Palette

_PIECE = 16_384


def raw_lines(text: str, width: int, palette: Palette) -> list[Line]:
    """Lines of the source. Pieces of a very long one are broken apart from each other."""
    lines: list[Line] = []
    for source in text.replace("\r\n", "\n").split("\n"):
        for start in range(0, max(len(source), 1), _PIECE):
            shown = clean_code(source[start : start + _PIECE]).expandtabs(4)
            for row, joint in wrap([(shown, palette.text)], max(width, 1)):
                continues = joint is not None or start > 0
                lines.append(Line(to_strip(row), continues, 0, joint or ""))
    return lines
