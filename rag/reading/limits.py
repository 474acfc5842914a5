"""How much of a document is read, and what is said when it is more."""

from __future__ import annotations

from typing import NamedTuple

from rag.errors import TooLarge


class Limits(NamedTuple):
    size_bytes: int = 100_000_000
    pages: int = 5_000
    characters: int = 10_000_000
    seconds: float = 60.0
    memory_bytes: int = 2 << 30
    expanded_bytes: int = 500_000_000
    """Of all that is unpacked from one document or archive."""
    members: int = 20_000
    """Files in one archive."""
    depth: int = 3
    """Archives in archives."""
    ocr: str = ""
    """The path of a `tesseract` to read scanned pages with; empty leaves them unread."""
    ocr_seconds: float = 600.0
    """More time for a document whose pages are recognised."""
    wants_ocr: bool = False
    """Whether the user asked for that, be there a `tesseract` or not."""
    from_settings: bool = False
    """Whether the user can raise these in the settings; then errors say where."""

    @property
    def all_seconds(self) -> float:
        return self.seconds + (self.ocr_seconds if self.ocr else 0.0)

    def size_hint(self) -> str | None:
        return "Split it, or raise max_file_mb under [rag] in the settings." if self.from_settings else None

    def pages_hint(self) -> str | None:
        return "Split it, or raise max_pages under [rag] in the settings." if self.from_settings else None

    def time_hint(self) -> str | None:
        return "Split it, or save it in a simpler format." if self.from_settings else None

    def scans_hint(self) -> str:
        if self.from_settings and not self.ocr:
            if self.wants_ocr:
                return "[rag] ocr is on, but tesseract is not installed. Install it, and add the document again."
            return "Install tesseract and set ocr = true under [rag] in the settings, and add it again."
        return "Run it through text recognition (OCR) first, or attach its pages as images."

    def too_many_bytes(self, name: str, size_bytes: int) -> TooLarge:
        return TooLarge(
            f"{name!r} has {size_bytes:,} bytes; files are read up to {self.size_bytes:,}.", hint=self.size_hint()
        )

    def too_many_characters(self, name: str) -> TooLarge:
        return TooLarge(f"{name!r} holds more than {self.characters:,} characters.", hint=self.size_hint())

    def too_many_pages(self, name: str) -> TooLarge:
        return TooLarge(f"{name!r} has more than {self.pages:,} pages.", hint=self.pages_hint())

    def nests_too_deep(self, name: str, most: int) -> TooLarge:
        return TooLarge(
            f"{name!r} has marks within marks more than {most:,} deep.", hint="Save it as plain text and add that."
        )

    def unpacks_to_too_much(self, name: str) -> TooLarge:
        return TooLarge(f"{name!r} unpacks to more than {self.expanded_bytes:,} bytes, like a bomb.")


USUAL = Limits()
MOST_SECTIONS = 50_000
"""Of one document; the text behind the last of them stays with it."""
