"""What goes with a question before it is asked: read, measured, and looked through for secrets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from console.text import plural, size_words

if TYPE_CHECKING:
    from console.chat.attachments import Attachment

PASTED = "pasted text"


class Attached(NamedTuple):
    attachment: Attachment
    tokens: int
    """About how many it will be when it is sent."""
    secret: str | None = None
    """What kind of secret it seems to hold."""

    @property
    def words(self) -> str:
        """Its size and its tokens, or an image's pixels, in a few characters."""
        it = self.attachment
        size = size_words(len(it.content))
        if it.is_image:
            return f"{it.width}×{it.height} · {size}"
        return f"{size} · ~{short_count(self.tokens)} tokens"


def attach_file(path: Path) -> Attached:
    """Read a file; raises `AttachmentRefused`. Blocks, for a document up to a minute."""
    from console.chat.attachments import read_attachment

    return measure(read_attachment(path))


def attach_text(text: str) -> Attached:
    from console.chat.attachments import Attachment

    return measure(Attachment(PASTED, "text/plain", text.encode("utf-8", "replace"), text))


def measure(attachment: Attachment) -> Attached:
    from console.chat.context import IMAGE_TOKENS, estimate_tokens
    from console.secret_marks import secret_in

    if attachment.is_image:
        return Attached(attachment, IMAGE_TOKENS)
    return Attached(attachment, estimate_tokens(attachment.text), secret_in(attachment.text))


def short_count(count: int) -> str:
    if count < 1_000:
        return str(count)
    if count < 999_500:
        return f"{count / 1_000:.0f}k" if count >= 10_000 else f"{count / 1_000:.1f}k"
    return f"{count / 1_000_000:.1f}M"


def paste_words(text: str) -> str:
    """How a long paste is called: by its lines, or its characters where it has hardly any lines."""
    lines = text.count("\n") + (not text.endswith("\n"))
    return f"pasted {plural(lines, 'line')}" if lines > 1 else f"pasted {plural(len(text), 'character')}"
