"""What is sent: a question with its material and attachments, the branch above it, and the window to ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from providers.chat.base import Image, Message

if TYPE_CHECKING:
    from console.chat.attachments import Attachment
    from console.chat.router import Candidate
    from console.history.messages import StoredAttachment, StoredMessage

OLLAMA_USUAL_WINDOW = 4096
"""What an Ollama server gives a model that nothing was asked for."""


def question_message(text: str, attachments: Sequence[Attachment | StoredAttachment]) -> Message:
    """A question as it is sent: its words, then the text of what is attached, and the images beside them."""
    if not attachments:
        return Message("user", text)
    from console.chat.attachments import as_material

    parts = [text, *(as_material(each.name, each.text) for each in attachments if each.text)]
    images = tuple(Image(each.media_type, each.content) for each in attachments if each.media_type.startswith("image/"))
    return Message("user", "\n\n".join(part for part in parts if part), images)


def sendable(path: Sequence[StoredMessage]) -> list[Message]:
    """A stored branch as the messages of a request.

    An answer that holds nothing is left out with its question, and so is a turn of which either half is excluded.
    """
    messages: list[Message] = []
    is_question_out = False
    for stored in path:
        if stored.role == "assistant":
            if stored.text and not stored.excluded and not is_question_out:
                messages.append(Message("assistant", stored.text))
            elif messages and messages[-1].role == "user" and not is_question_out:
                messages.pop()
            continue
        is_question_out = stored.excluded
        if stored.excluded:
            continue
        if stored.role == "user":
            messages.append(question_message(stored.text, stored.attachments))
        else:
            messages.append(Message("system", stored.text))
    return messages


UNSEEN = "(An image was shown here, which you cannot see.)"


def without_images(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The same for a model that cannot see: a word stands where an image was."""
    return tuple(
        message._replace(text=f"{message.text}\n\n{UNSEEN}".lstrip(), images=()) if message.images else message
        for message in messages
    )


def summary_prompt(dropped: Sequence[Message], most_tokens: int) -> str:
    said = "\n\n".join(f"{message.role}: {message.text}" for message in dropped)
    return (
        f"Summarise this conversation in at most {most_tokens * 2 // 3} words, for the one who goes on with it: facts, "
        f"decisions, names, open questions. Only the summary.\n\n{said}"
    )


def with_material(text: str, material: str | None) -> str:
    if not material:
        return text
    return f"{text}\n\n{material}" if text.strip() else material


def window_to_ask_for(candidate: Candidate, needed: int, window: int | None) -> int | None:
    """The window to name in a request: what the endpoint is set to, or on Ollama what this chat needs.

    Ollama cuts a longer prompt in silence. A larger window makes it load the model anew, so the steps are coarse.
    """
    if candidate.endpoint.context_tokens is not None or candidate.endpoint.wire != "ollama":
        return candidate.endpoint.context_tokens
    if needed <= OLLAMA_USUAL_WINDOW * 9 // 10:
        return None
    step = OLLAMA_USUAL_WINDOW
    while step < needed * 10 // 9:
        step *= 2
    return min(step, window) if window is not None else step
