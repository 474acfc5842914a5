"""The image in the clipboard of the desktop, where there is a program that hands it out."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from console.chat.attachments import LARGEST_IMAGE_BYTES, image_kind
from console.errors import AttachmentRefused
from console.paths import private_folder, write_privately

LIMIT_S = 5.0
KEPT_S = 14 * 24 * 3600.0
"""How long an image is kept for drafts that name it; a question that was sent has its own copy."""

_ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp"}


class ClipboardImages:
    """`folder` is where images that were taken are kept, privately."""

    def __init__(self, folder: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._folder = folder
        self._environment = environment

    async def take(self) -> Path | None:
        """The image as a file, or None if there is none or no way to it. Raises `AttachmentRefused`."""
        for command in self._commands():
            content = await _output(command, self._environment)
            kind = image_kind(content)
            if kind is not None:
                return await asyncio.to_thread(self._keep, content, kind)
        return None

    def _commands(self) -> list[list[str]]:
        """Every way that exists here, the likeliest first."""
        environment = self._environment
        ways: list[list[str]] = []
        if environment.get("WAYLAND_DISPLAY"):
            ways += [["wl-paste", "--no-newline", "--type", kind] for kind in ("image/png", "image/jpeg")]
        if environment.get("DISPLAY"):
            ways += [["xclip", "-selection", "clipboard", "-t", kind, "-o"] for kind in ("image/png", "image/jpeg")]
        if sys.platform == "darwin":
            ways.append(["pngpaste", "-"])
        found = ((shutil.which(way[0], path=environment.get("PATH")), way) for way in ways)
        return [[program, *way[1:]] for program, way in found if program is not None]

    def _keep(self, content: bytes, kind: str) -> Path:
        from hashlib import sha256

        folder = private_folder(self._folder)
        before = time.time() - KEPT_S
        for old in folder.iterdir():
            try:
                if old.is_file() and old.stat().st_mtime < before:
                    old.unlink()
            except OSError:
                continue  # another instance was quicker
        file = folder / f"clipboard-{sha256(content).hexdigest()[:12]}{_ENDINGS[kind]}"
        write_privately(file, content)
        return file


async def _output(command: Sequence[str], environment: Mapping[str, str]) -> bytes:
    """What a program writes; empty if it fails, or takes too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=dict(environment),
        )
    except OSError:
        return b""
    assert process.stdout is not None
    content = b""
    is_whole = False
    try:
        async with asyncio.timeout(LIMIT_S):
            while len(content) <= LARGEST_IMAGE_BYTES:
                piece = await process.stdout.read(1 << 20)
                if not piece:
                    is_whole = True
                    break
                content += piece
    except TimeoutError:
        return b""
    finally:
        if process.returncode is None and not is_whole:
            process.kill()
        code = await process.wait()
    if len(content) > LARGEST_IMAGE_BYTES:
        raise AttachmentRefused(
            f"The image in the clipboard has more than {LARGEST_IMAGE_BYTES:,} bytes.", hint="Make it smaller first."
        )
    return content if code == 0 else b""
