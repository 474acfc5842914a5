"""Files that go with a question: what they are, whether they may, and how their text stands in the prompt.

What a file is follows from its first bytes, never from its name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from console.errors import AttachmentRefused
from console.text import neutralise, shorten

if TYPE_CHECKING:
    from console.history.messages import StoredAttachment

LARGEST_IMAGE_BYTES = 20_000_000
LARGEST_IMAGE_SIDE = 16_000
LARGEST_FILE_BYTES = 100_000_000
LONGEST_NAME = 120


class Attachment(NamedTuple):
    name: str
    """The file's own name, safe to show; never its folder, which is nobody's business at the other side."""
    media_type: str
    content: bytes
    text: str = ""
    """What was read from it, with pages, slides and sheets marked; empty for an image."""
    notes: tuple[str, ...] = ()
    """What the user should know about the reading."""
    width: int | None = None
    height: int | None = None

    @property
    def is_image(self) -> bool:
        return self.media_type.startswith("image/")

    def stored(self) -> StoredAttachment:
        from console.history.messages import StoredAttachment

        return StoredAttachment(self.name, self.media_type, self.content, self.text)


def read_attachment(path: Path) -> Attachment:
    """Read one file, or say why it cannot be attached. Blocks while a document is parsed; call it in a thread."""
    from rag.errors import RagError
    from rag.readers import Limits, document_text, read_file

    name = safe_name(path.name or str(path))
    limits = Limits(size_bytes=LARGEST_FILE_BYTES)
    try:
        content = read_file(path.expanduser(), limits)
        image = image_kind(content)
        if image is not None:
            return _image(name, image, content)
        document = document_text(name, content, limits, as_source=True)
    except RagError as error:
        raise AttachmentRefused(error.text, hint=error.hint) from error
    except RuntimeError as error:  # a ~ without a home
        raise AttachmentRefused(f"There is no file {str(path)!r}.") from error
    if not document.pages:
        return Attachment(name, document.media_type, content, document.text, document.notes)
    pages = "\n\n".join(f"[page {page.number}]\n{page.text}" for page in document.pages)
    return Attachment(name, document.media_type, content, pages, document.notes)


def _image(name: str, media_type: str, content: bytes) -> Attachment:
    if len(content) > LARGEST_IMAGE_BYTES:
        raise AttachmentRefused(
            f"{name!r} has {len(content):,} bytes; images are sent up to {LARGEST_IMAGE_BYTES:,}.",
            hint="Make it smaller first.",
        )
    size = image_size(content)
    if size is None:
        raise AttachmentRefused(f"{name!r} begins like an image, but is damaged.")
    width, height = size
    if not (0 < width <= LARGEST_IMAGE_SIDE and 0 < height <= LARGEST_IMAGE_SIDE):
        raise AttachmentRefused(
            f"{name!r} is {width:,} by {height:,} pixels; images are sent up to {LARGEST_IMAGE_SIDE:,} a side.",
            hint="Make it smaller first.",
        )
    return Attachment(name, media_type, content, width=width, height=height)


def image_kind(content: bytes) -> str | None:
    """The media type of an image that models see, by its first bytes."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return None


def image_size(content: bytes) -> tuple[int, int] | None:
    """Width and height as the header tells them; None when the header is cut or broken."""
    match image_kind(content):
        case "image/png" if content[12:16] == b"IHDR" and len(content) >= 24:
            return _big(content, 16, 4), _big(content, 20, 4)
        case "image/gif" if len(content) >= 10:
            return _little(content, 6, 2), _little(content, 8, 2)
        case "image/webp":
            return _webp_size(content)
        case "image/jpeg":
            return _jpeg_size(content)
        case _:
            return None


def _big(content: bytes, at: int, length: int) -> int:
    return int.from_bytes(content[at : at + length], "big")


def _little(content: bytes, at: int, length: int) -> int:
    return int.from_bytes(content[at : at + length], "little")


def _webp_size(content: bytes) -> tuple[int, int] | None:
    if len(content) < 30:
        return None
    match content[12:16]:
        case b"VP8 " if content[23:26] == b"\x9d\x01\x2a":
            return _little(content, 26, 2) & 0x3FFF, _little(content, 28, 2) & 0x3FFF
        case b"VP8L" if content[20] == 0x2F:
            bits = _little(content, 21, 4)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return _little(content, 24, 3) + 1, _little(content, 27, 3) + 1
        case _:
            return None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _big(content, at + 7, 2), _big(content, at + 5, 2)
        else:
            at += 2 + max(_big(content, at + 2, 2), 2)
    return None


def safe_name(name: str) -> str:
    """A file's name as one line that can neither control a terminal nor pretend to be the end of a block."""
    readable = neutralise(name.encode("utf-8", "replace").decode())
    return shorten(readable.replace("`", "'").replace('"', "'"), LONGEST_NAME) or "unnamed"


def as_material(name: str, text: str) -> str:
    """A text as a block of a prompt, under its name, between fences that do not occur in it."""
    longest = max((len(run) for run in re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f'File "{safe_name(name)}":\n{fence}text\n{text.rstrip()}\n{fence}'
