"""What shows nothing but its background: the ground that other widgets stand on.

Textual draws every row of a container by itself and holds each, with its seven caches; rows that are all the same are
made once here. That is a tenth of the first frame, and a megabyte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Horizontal, Vertical
from textual.strip import Strip

if TYPE_CHECKING:
    from textual.geometry import Region
    from textual.widget import Widget


def ground(widget: Widget, crop: Region) -> list[Strip]:
    """The rows of a widget without border, padding and content."""
    strip = Strip.blank(crop.width, widget.visual_style.rich_style)
    _, background = widget.background_colors
    for each in widget.get_line_filters():
        strip = strip.apply_filter(each, background)
    return [strip] * crop.height


class Across(Horizontal):
    """Widgets side by side."""

    def render_lines(self, crop: Region) -> list[Strip]:
        return ground(self, crop)


class Down(Vertical):
    """Widgets one under the other."""

    def render_lines(self, crop: Region) -> list[Strip]:
        return ground(self, crop)
