"""What stands left of a block's text: bars of quotes, bullets and numbers of lists."""

from __future__ import annotations

from typing import NamedTuple

from rich.style import Style

from screens.markdown.blocks import Container, Item, Quote
from screens.markdown.lines import Row
from screens.theme import Palette

_BULLETS = "•◦▪"
_BAR = "▎ "


class Margin(NamedTuple):
    """Both rows are `cells` wide. `copied` is where a copy of the first line begins, so that bullets come along."""

    first: Row
    rest: Row
    cells: int
    width: int
    """What is left for the text."""
    copied: int
    quoted: bool


def margin(containers: tuple[Container, ...], fresh: int, width: int, palette: Palette) -> Margin:
    """The margin of a block in these containers. The markers of those from `fresh` on were not drawn yet.

    At least a third of the width is kept for text: the outermost decoration is left out where there is too much.
    """
    parts: list[tuple[Row, Row, int, bool]] = []
    for index, container in enumerate(containers):
        match container:
            case Quote():
                parts.append(([(_BAR, palette.rule)], [(_BAR, palette.rule)], len(_BAR), True))
            case Item():
                sign, style = _sign(container, palette)
                blank: Row = [(" " * len(sign), palette.text)]
                parts.append(([(sign, style)] if index >= fresh else blank, blank, len(sign), False))
    room = width - max(1, min(width, max(width // 3, 8)))
    used = sum(size for _, _, size, _ in parts)
    while used > room:
        used -= parts.pop(0)[2]
    first = [run for row, _, _, _ in parts for run in row]
    rest = [run for _, row, _, _ in parts for run in row]
    copied = position = 0
    for _, _, size, bar in parts:
        position += size
        if bar:
            copied = position
    quoted = any(isinstance(container, Quote) for container in containers)
    return Margin(first, rest, used, width - used, copied, quoted)


def _sign(item: Item, palette: Palette) -> tuple[str, Style]:
    if item.task is not None:
        return ("☑ ", palette.ok) if item.task else ("☐ ", palette.muted)
    if item.number is not None:
        return f"{item.number}{item.sign} ", palette.accent
    return f"{_BULLETS[min(item.depth, len(_BULLETS) - 1)]} ", palette.accent


def common(before: tuple[Container, ...], after: tuple[Container, ...]) -> tuple[Container, ...]:
    """The outer containers that both are in."""
    count = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        count += 1
    return after[:count]
