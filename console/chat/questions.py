"""Questions as they come from the composer, and how one that has to wait is written down."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

from console.history.among import Among

if TYPE_CHECKING:
    from console.chat.attachments import Attachment

LARGEST_KEPT_BYTES = 32_000_000
"""Attachments of a waiting question beyond this are lost with the process; its words never are."""


class Question(NamedTuple):
    text: str
    attachments: tuple[Attachment, ...] = ()
    material: str | None = None
    """Text that goes with it and was not typed, such as a long paste."""
    among: Among | None = None
    """The documents that are asked; None leaves it to the chat, and others become those of the chat."""
    without: tuple[bytes, ...] = ()
    """Hashes of chunks that are not to be given."""


class Waiting(NamedTuple):
    """A question whose turn has not come, and who is to answer it; several are compared."""

    question: Question
    models: tuple[str | None, ...]


def as_document(waiting: Waiting) -> dict[str, Any]:
    question = waiting.question
    is_small = sum(len(each.content) for each in question.attachments) <= LARGEST_KEPT_BYTES
    return {
        "text": question.text,
        "material": question.material,
        "models": list(waiting.models),
        "among": None if question.among is None else question.among._asdict(),
        "without": [each.hex() for each in question.without],
        "attachments": [
            {"name": each.name, "media_type": each.media_type, "text": each.text, "content": _encoded(each.content)}
            for each in question.attachments
            if is_small
        ],
    }


def from_document(document: dict[str, Any]) -> Waiting:
    from console.chat.attachments import Attachment

    attachments = tuple(
        Attachment(each["name"], each["media_type"], b64decode(each["content"]), each["text"])
        for each in document["attachments"]
    )
    among = document.get("among")
    question = Question(
        document["text"],
        attachments,
        document["material"],
        None if among is None else Among(tuple(among["collections"]), tuple(among["documents"])),
        tuple(map(bytes.fromhex, document.get("without", ()))),
    )
    return Waiting(question, tuple(document["models"]))


def _encoded(content: bytes) -> str:
    return b64encode(content).decode()
