"""Thumbnails as half-blocks."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from screens.widgets.transcript import Attached
from screens.widgets.transcript.pictures import COLUMNS, ROWS, NotAPicture, Pixels, decode, half_blocks
from tests.conftest import run
from tests.screens.transcript_kit import item, viewing

DARK = (16, 22, 29)


def picture(width: int, height: int, kind: str = "PNG", mode: str = "RGB") -> bytes:
    made = BytesIO()
    Image.new(mode, (width, height), (255, 0, 0) if mode == "RGB" else (255, 0, 0, 0)).save(made, kind)
    return made.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_every_usual_kind_becomes_small(kind: str) -> None:
    pixels = decode(picture(640, 480, kind), DARK)

    assert pixels.width <= COLUMNS
    assert pixels.height <= ROWS * 2
    assert len(pixels.rgb) == pixels.width * pixels.height * 3
    assert pixels.rgb[0] > 240


def test_what_is_transparent_shows_the_background() -> None:
    assert decode(picture(8, 8, mode="RGBA"), DARK).rgb[:3] == bytes(DARK)


@pytest.mark.parametrize("content", [b"", b"no picture", picture(64, 64)[:60], b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(NotAPicture):
        decode(content, DARK)


def test_a_picture_that_would_fill_the_memory_is_refused() -> None:
    huge = bytearray(picture(1, 1, "BMP"))
    huge[18:26] = (30_000).to_bytes(4, "little") + (30_000).to_bytes(4, "little")

    with pytest.raises(NotAPicture):
        decode(bytes(huge), DARK)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 32), st.integers(1, 20), st.binary(min_size=3, max_size=3))
def test_half_blocks_cover_every_pixel(width: int, height: int, colour: bytes) -> None:
    lines = half_blocks(Pixels(width, height, colour * (width * height)), DARK)

    assert len(lines) == (height + 1) // 2
    assert all(line.strip.text == "▀" * width for line in lines)
    assert all(line.indent == width for line in lines)  # nothing of it is copied


def test_two_pixels_share_a_cell() -> None:
    (line,) = half_blocks(Pixels(1, 2, bytes((255, 0, 0, 0, 0, 255))), DARK)

    style = next(iter(line.strip)).style
    assert style is not None
    assert style.color is not None
    assert style.bgcolor is not None
    assert tuple(style.color.get_truecolor()) == (255, 0, 0)
    assert tuple(style.bgcolor.get_truecolor()) == (0, 0, 255)


def test_a_picture_that_comes_in_sight_gets_its_thumbnail_and_moves_nothing() -> None:
    async def body() -> None:
        loaded: list[str] = []

        def content() -> bytes:
            loaded.append("once")
            return picture(64, 64)

        items = [item(number) for number in range(60)]
        attached = Attached("rope.png", "image/png", 12_000, content)
        items[30] = items[30]._replace(attachments=(attached,))
        async with viewing(items) as view:
            assert loaded == []
            view.transcript.go_to("m30")
            await view.until(lambda: "▀" in view.screen)

            assert view.lines[0] == "▌ You · 14:02"
            assert view.lines[1] == "▌ ▣ rope.png 12 kB"
            assert view.lines[2].strip("▌ ") == "▀" * 20
            await view.press("w", "w")
            await view.until(lambda: "▀" in view.screen)

    run(body())


def test_a_picture_that_cannot_be_loaded_is_only_its_chip() -> None:
    async def body() -> None:
        def gone() -> bytes:
            raise FileNotFoundError("rope.png")

        bad = Attached("rope.png", "image/png", 12_000, gone)
        good = Attached("ship.png", "image/png", 12_000, lambda: picture(8, 8))
        async with viewing([item(0, attachments=(bad, good))]) as view:
            await view.until(lambda: "▀" in view.screen)
            assert "▣ rope.png 12 kB   ▣ ship.png 12 kB" in view.screen

    run(body())
