"""What is on screen before the app: where it is kept, what is trusted, and an outline for every size."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from console.paths import find_paths
from screens.early import (
    FRAME_FILE,
    LARGEST_FRAME,
    EarlyScreen,
    colour_manner,
    frame_form,
    outline,
    read_frame,
    state_folder,
)

INK = ("#101010", "#202020", "#c0c0c0", "#404040", "#60a0e0")
FULL_COLOUR = "xterm-256color/truecolor"


@pytest.mark.parametrize(
    "settled",
    [
        {"HAWSER_HOME": "/srv/hawser"},
        {"HAWSER_HOME": "~/of-mine"},
        {"HAWSER_HOME": "beside/it"},
        {"XDG_STATE_HOME": "/var/state"},
        {"XDG_STATE_HOME": "not/absolute"},
        {},
    ],
    ids=str,
)
def test_state_folder_is_the_programs(settled: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HAWSER_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path), **settled}.items():
        monkeypatch.setenv(name, value)

    assert f"{state_folder(os.environ)}/{FRAME_FILE}" == str(find_paths(os.environ).last_screen)


def test_frame_is_read_as_it_was_kept(tmp_path: Path) -> None:
    file = kept(tmp_path, frame_form((80, 24), FULL_COLOUR, INK, b"\x1b[1;1Hhello\nthere"))

    assert read_frame(str(file)) == ("80x24", FULL_COLOUR, [*INK], b"\x1b[1;1Hhello\nthere")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hawser-screen 1 80x24\n",
        b"hawser-screen 2 80x24 xterm/ #101010 #202020 #c0c0c0 #404040 #60a0e0\nhello",
        b"hawser-screen 1 80x24 xterm/ #101010 #202020 red #404040 #60a0e0\nhello",
        b"hawser-screen 1 80x24 xterm/ #101010 #202020 #c0c0c0 #404040 #60a0e0",
        b"\xff" * 100,
        frame_form((80, 24), FULL_COLOUR, INK, b" " * LARGEST_FRAME),
    ],
    ids=["empty", "short", "later", "no colour", "no content", "no text", "large"],
)
def test_what_is_no_frame_is_none(tmp_path: Path, content: bytes) -> None:
    assert read_frame(str(kept(tmp_path, content))) is None


def test_frame_that_others_can_write_is_not_shown(tmp_path: Path) -> None:
    file = kept(tmp_path, frame_form((80, 24), FULL_COLOUR, INK, b"hello"))
    file.chmod(0o620)

    assert read_frame(str(file)) is None


@pytest.mark.parametrize("kind", ["link", "folder", "fifo", "nothing"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "last-screen"
    if kind == "link":
        place.symlink_to(kept(tmp_path, frame_form((80, 24), FULL_COLOUR, INK, b"hello"), "other"))
    elif kind == "folder":
        place.mkdir()
    elif kind == "fifo":
        os.mkfifo(place)

    assert read_frame(str(place)) is None


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (19, 8), (20, 8), (40, 15), (80, 24), (200, 60)], ids=str)
@pytest.mark.parametrize("manner", [FULL_COLOUR, "none", "linux/"])
def test_outline_stays_within_the_screen(size: tuple[int, int], manner: str) -> None:
    columns, rows = size

    drawn = outline(columns, rows, manner, INK).decode()

    for place in re.split(r"(?=\x1b\[(?:\d+;\d+)?H)", drawn)[1:]:
        at = re.match(r"\x1b\[(?:(\d+);(\d+))?H", place)
        assert at is not None
        row, column = int(at[1] or 1), int(at[2] or 1)
        text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", place)
        assert 1 <= row <= rows
        assert column - 1 + cell_len(text) <= columns


def test_outline_has_colours_only_where_they_are_wanted() -> None:
    def colours(environment: dict[str, str]) -> list[str]:
        return re.findall(r"\x1b\[[0-9;]*[34]8;2;[0-9;]*m", outline(80, 24, colour_manner(environment), INK).decode())

    in_colour = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}

    assert colours(in_colour)
    assert not colours({"TERM": "xterm-256color"})
    assert not colours({**in_colour, "NO_COLOR": "1"})


def test_nothing_in_the_environment_breaks_the_first_line_of_the_file() -> None:
    manner = colour_manner({"TERM": "x term\n\x1b", "COLORTERM": "true color"})

    assert manner == "xterm/truecolor"


def test_close_without_a_paint_does_nothing(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    EarlyScreen({"TERM": "xterm"}).close()

    assert capfdbinary.readouterr() == (b"", b"")


def test_without_a_terminal_it_says_what_else_there_is() -> None:
    refused = EarlyScreen({"TERM": "xterm"}).refusal

    assert refused is not None
    assert "--prompt" in refused[1]


def kept(folder: Path, content: bytes, name: str = "last-screen") -> Path:
    file = folder / name
    file.write_bytes(content)
    file.chmod(0o600)
    return file
