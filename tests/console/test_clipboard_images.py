"""Images from the clipboard: small shell scripts stand for the desktop's programs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from console import clipboard_images
from console.clipboard_images import ClipboardImages
from console.errors import AttachmentRefused
from tests.conftest import run
from tests.pictures import png


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.fixture
def desktop(tmp_path: Path) -> tuple[ClipboardImages, Path]:
    """What takes images, and the folder of the programs that it finds."""
    programs = tmp_path / "bin"
    programs.mkdir()
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}
    return ClipboardImages(tmp_path / "kept", environment), programs


def test_an_image_is_kept_in_a_private_file(desktop: tuple[ClipboardImages, Path], tmp_path: Path) -> None:
    images, programs = desktop
    (tmp_path / "image").write_bytes(png(4, 2))
    program(programs, "wl-paste", f'[ "$3" = image/png ] && cat {tmp_path}/image')

    file = run(images.take())

    assert file is not None
    assert file.read_bytes() == png(4, 2)
    assert file.suffix == ".png"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert run(images.take()) == file


def test_the_next_program_is_asked_when_one_has_nothing(desktop: tuple[ClipboardImages, Path], tmp_path: Path) -> None:
    images, programs = desktop
    (tmp_path / "image").write_bytes(b"\xff\xd8\xff" + bytes(40))
    program(programs, "wl-paste", "echo only text")
    program(programs, "xclip", f'[ "$4" = image/jpeg ] && cat {tmp_path}/image')

    file = run(images.take())

    assert file is not None
    assert file.suffix == ".jpg"


def test_without_a_desktop_there_is_nothing(tmp_path: Path) -> None:
    assert run(ClipboardImages(tmp_path, {"PATH": str(tmp_path)}).take()) is None


def test_a_program_that_fails_has_nothing(desktop: tuple[ClipboardImages, Path], tmp_path: Path) -> None:
    images, programs = desktop
    (tmp_path / "image").write_bytes(png(4, 2))
    program(programs, "wl-paste", f"cat {tmp_path}/image; exit 1")
    program(programs, "xclip", "exit 1")

    assert run(images.take()) is None


def test_a_program_that_never_ends_is_ended(
    desktop: tuple[ClipboardImages, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, programs = desktop
    program(programs, "wl-paste", "exec sleep 600")
    program(programs, "xclip", "exit 1")
    monkeypatch.setattr("console.clipboard_images.LIMIT_S", 0.05)

    assert run(images.take()) is None


def test_an_endless_image_is_refused(desktop: tuple[ClipboardImages, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    images, programs = desktop
    program(programs, "wl-paste", "exec cat /dev/zero")
    monkeypatch.setattr("console.clipboard_images.LARGEST_IMAGE_BYTES", 3_000_000)

    with pytest.raises(AttachmentRefused, match="more than 3,000,000 bytes"):
        run(images.take())


def test_old_images_go(desktop: tuple[ClipboardImages, Path], tmp_path: Path) -> None:
    images, programs = desktop
    (tmp_path / "image").write_bytes(png(4, 2))
    program(programs, "wl-paste", f"cat {tmp_path}/image")
    old = tmp_path / "kept" / "clipboard-old.png"
    old.parent.mkdir(mode=0o700)
    old.write_bytes(b"x")
    then = old.stat().st_mtime - clipboard_images.KEPT_S - 60
    os.utime(old, (then, then))

    file = run(images.take())

    assert not old.exists()
    assert file is not None
    assert file.exists()
