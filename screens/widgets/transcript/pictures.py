"""Pictures as half-blocks: two pixels in each cell, drawn with the colours of the terminal."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import NamedTuple

from rich.color import Color
from rich.segment import Segment
from rich.style import Style

from screens.markdown import Line
from screens.markdown.lines import LineStrip

COLUMNS = 32
ROWS = 10
"""The largest thumbnail, in cells."""
MOST_BYTES = 40_000_000
MOST_PIXELS = 80_000_000
"""A larger picture gets no thumbnail: decoding it would take too much memory."""


class Pixels(NamedTuple):
    """Three bytes for each pixel, row after row."""

    width: int
    height: int
    rgb: bytes


class NotAPicture(Exception):
    """What was given cannot be shown as a thumbnail."""


def decode(content: bytes, background: tuple[int, int, int]) -> Pixels:
    """The picture, small enough for a thumbnail. Called in a thread: it takes milliseconds, and loads Pillow."""
    from PIL import Image, UnidentifiedImageError

    if len(content) > MOST_BYTES:
        raise NotAPicture(f"{len(content):,} bytes are too many for a thumbnail")
    try:
        with Image.open(BytesIO(content)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise NotAPicture(f"{picture.width} × {picture.height} pixels are too many for a thumbnail")
            picture.draft("RGB", (COLUMNS * 4, ROWS * 8))  # JPEG decodes a smaller one quicker
            small = picture.convert("RGBA")
            small.thumbnail((COLUMNS, ROWS * 2), Image.Resampling.BILINEAR, reducing_gap=2.0)
            flat = Image.new("RGBA", small.size, (*background, 255))
            flat.alpha_composite(small)
            return Pixels(flat.width, flat.height, flat.convert("RGB").tobytes())
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise NotAPicture("this is no picture that can be read") from error


def half_blocks(pixels: Pixels, background: tuple[int, int, int]) -> list[Line]:
    """One line for two rows of pixels. Copying leaves them out."""
    width, height, rgb = pixels
    lines = []
    for top in range(0, height, 2):
        segments: list[Segment] = []
        last: Style | None = None
        for column in range(width):
            upper = (top * width + column) * 3
            lower = upper + width * 3
            below = rgb[lower : lower + 3] if top + 1 < height else bytes(background)
            style = _style(_coarse(rgb[upper : upper + 3]), _coarse(below))
            if style is last:
                segments[-1] = Segment(segments[-1].text + "▀", style)
            else:
                segments.append(Segment("▀", style))
                last = style
        lines.append(Line(strip=LineStrip(segments, width), indent=width))
    return lines


def _coarse(pixel: bytes) -> int:
    """Five bits of each channel: nobody sees the difference in a cell, and few styles are made."""
    return (pixel[0] >> 3) << 10 | (pixel[1] >> 3) << 5 | pixel[2] >> 3


@lru_cache(maxsize=4096)
def _style(upper: int, lower: int) -> Style:
    return Style(color=_colour(upper), bgcolor=_colour(lower))


def _colour(coarse: int) -> Color:
    red, green, blue = coarse >> 10, coarse >> 5 & 31, coarse & 31
    return Color.from_rgb(*(channel << 3 | channel >> 2 for channel in (red, green, blue)))
