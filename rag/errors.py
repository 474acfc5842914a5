"""What can go wrong with a document.

    RagError
    ├── Unreadable    it is not there, not a file, or may not be opened
    ├── TooLarge      more bytes, pages, characters or time than the limits allow
    ├── Locked        it wants a password
    ├── Damaged       it cannot be parsed, or parsing it crashed
    ├── NoText        it holds no text: empty, or scanned pages only
    ├── NotText       neither text nor a kind of document that can be read here
    ├── NoModel       the model that embeds is not on this computer
    ├── EmbedderFailed  it is there and did not answer, or with something else than vectors of its size
    ├── RerankerFailed  passages were not put in order: it does not answer, not in time, or with nonsense
    ├── IndexBroken   the vector index is damaged, foreign or gone; it can be made anew from what is stored
    │   └── IndexUnreachable   it is somewhere else and does not answer, or another process has it: nothing is lost
    ├── LibraryBroken the store of the documents cannot be read or written
    │   ├── LibraryFull  the disk has no room for what is to be written; what was stored is safe
    │   └── LibraryBusy  another process writes, and did not let go of it in time
    └── UnknownName   there is no such collection or document

Each has a plain sentence and, where there is one, a hint that names the next step.
"""

from __future__ import annotations


class RagError(Exception):
    def __init__(self, text: str, *, hint: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


class Unreadable(RagError):
    pass


class TooLarge(RagError):
    pass


class Locked(RagError):
    pass


class Damaged(RagError):
    pass


class NoText(RagError):
    pass


class NotText(RagError):
    pass


class NoModel(RagError):
    pass


class EmbedderFailed(RagError):
    def __init__(self, text: str, *, hint: str | None = None, retry_after_s: float | None = None) -> None:
        """`retry_after_s` is how long the service asked to be left alone."""
        super().__init__(text, hint=hint)
        self.retry_after_s = retry_after_s


class RerankerFailed(RagError):
    pass


class IndexBroken(RagError):
    pass


class IndexUnreachable(IndexBroken):
    pass


class LibraryBroken(RagError):
    pass


class LibraryFull(LibraryBroken):
    pass


class LibraryBusy(LibraryBroken):
    pass


class UnknownName(RagError):
    pass
