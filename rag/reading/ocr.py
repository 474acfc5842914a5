"""Text recognition by the program `tesseract`, where one is installed and the user wants it."""

from __future__ import annotations

import subprocess
from typing import Any

from rag.errors import Unreadable

_DOTS_PER_INCH = 200
_MOST_DOTS = 25_000_000
_PAGE_SECONDS = 60.0


def page_text(page: Any, program: str, seconds: float) -> str:
    """The words on one page, or nothing when there are none or it took too long."""
    width, height = page.get_size()
    scale = _DOTS_PER_INCH / 72
    scale = min(scale, (_MOST_DOTS / max(width * height, 1)) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True)
    picture = _graymap(bitmap.width, bitmap.height, bitmap.stride, bytes(bitmap.buffer))
    bitmap.close()
    try:
        done = subprocess.run(  # noqa: S603 - the program the user named
            [program, "stdin", "stdout"],
            input=picture,
            capture_output=True,
            timeout=min(seconds, _PAGE_SECONDS),
            check=False,
            env={"OMP_THREAD_LIMIT": "1", "PATH": "/usr/bin:/bin"},
        )
    except subprocess.TimeoutExpired:
        return ""
    except OSError as error:
        raise Unreadable(f"{program!r} cannot be run: {error.strerror or error}.") from error
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())[:200]
        raise Unreadable(f"Text recognition failed: {said or f'tesseract ended with {done.returncode}'}.")
    return done.stdout.decode("utf-8", "replace")


def _graymap(width: int, height: int, stride: int, content: bytes) -> bytes:
    """A picture in the simplest format there is (PGM)."""
    if stride != width:
        content = b"".join(content[row * stride : row * stride + width] for row in range(height))
    return b"P5 %d %d 255\n" % (width, height) + content
