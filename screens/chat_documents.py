"""Documents in the chat: adding what is dropped, which of them are asked, and the sources under answers.

The room has this from its first frame on; what speaks to the documents is loaded when they are first touched.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from console.chat.drafts import AddedDocuments, Chip, Collection, Draft
from console.errors import ConsoleError
from console.history.among import Among
from console.text import plural

if TYPE_CHECKING:
    from console.chat.open_chat import OpenChat
    from console.history.messages import StoredMessage
    from screens.chat import ChatRoom
    from screens.viewer import CitedPlace

log = logging.getLogger(__name__)

MOST_BY_THEMSELVES = 200
"""With more documents added at once their whole collection is asked."""


def among(draft: Draft) -> Among:
    """The documents that the chips of a draft stand for."""
    collections = [chip.name for chip in draft.chips if isinstance(chip, Collection)]
    documents = [each for chip in draft.chips if isinstance(chip, AddedDocuments) for each in chip.ids]
    return Among(tuple(dict.fromkeys(collections)), tuple(dict.fromkeys(documents)))


async def chips_of(room: ChatRoom, wanted: Among, draft: Draft) -> tuple[Chip, ...]:
    """What stands for these documents and is not among the chips of a draft."""
    there = among(draft)
    chips: list[Chip] = [Collection(name) for name in wanted.collections if name not in there.collections]
    missing = [each for each in wanted.documents if each not in there.documents]
    if missing:
        name = plural(len(missing), "document")
        if len(missing) == 1:
            try:
                name = (await room.runtime.library.document(missing[0])).name
            except ConsoleError as error:
                log.info("a document of this chat is gone: %s", error.text)
                return tuple(chips)
        chips.append(AddedDocuments(tuple(missing), name))
    return tuple(chips)


# ---- adding what was dropped


def add_dropped(room: ChatRoom, paths: Sequence[Path]) -> None:
    room.run_worker(_add_dropped(room, paths), group="to documents")


async def _add_dropped(room: ChatRoom, paths: Sequence[Path]) -> None:
    from console.library.library import USUAL
    from screens.adding import add_documents

    asked = among(room.composer.draft())
    collection = asked.collections[0] if asked.collections else USUAL
    try:
        added = await add_documents(room.hawser, room.runtime.library, paths, collection)
    except ConsoleError as error:
        room.hawser.tell(error)
        return
    room.composer.focus()
    if added is None or not added.document_ids:
        return
    ids = tuple(added.document_ids)
    name = paths[0].name if len(paths) == 1 else plural(len(ids), "document")
    chip: Chip = AddedDocuments(ids, name) if len(ids) <= MOST_BY_THEMSELVES else Collection(collection)
    room.composer.add(chip)
    await _tell_of(room, chip, ids)


def follow(room: ChatRoom, chips: Sequence[Chip]) -> None:
    """Say of documents that came back with a draft how far they are, if they are not read yet."""
    for chip in chips:
        if isinstance(chip, AddedDocuments):
            room.run_worker(_follow(room, chip), group="documents read")


async def _follow(room: ChatRoom, chip: AddedDocuments) -> None:
    library = room.runtime.library
    try:
        unread = await library.unread(Among((), chip.ids))
    except ConsoleError as error:
        log.info("how far documents are is not known: %s", error.text)
        return
    if unread:
        await _tell_of(room, chip, chip.ids)


async def _tell_of(room: ChatRoom, chip: Chip, ids: Sequence[int]) -> None:
    """Behind the chip: being read, being embedded, what could not be read; nothing once all is there."""
    library, composer = room.runtime.library, room.composer
    composer.tell_of(chip, "reading …")
    try:
        documents = await library.wait(ids, "lexical")
        failed = [each for each in documents if each.state == "failed"]
        told = f"✗ {plural(len(failed), 'document')} not read" if failed else ""
        if any(each.state == "lexical" for each in documents):
            composer.tell_of(chip, told or "can be asked · embedding …")
            await library.wait(ids, "ready")
        composer.tell_of(chip, told)
        for each in failed[:1]:
            room.hawser.warn(" ".join(filter(None, (each.error, each.hint))), title=each.name)
    except ConsoleError as error:
        composer.tell_of(chip, "✗ not read")
        room.hawser.tell(error)


# ---- the names of collections


async def names(room: ChatRoom) -> Sequence[str]:
    try:
        return [each.name for each in await room.runtime.library.collections()]
    except ConsoleError as error:
        log.info("the names of collections are not known: %s", error.text)
        return ()


# ---- sources


def places_of(message: StoredMessage) -> list[CitedPlace]:
    from screens.viewer import CitedPlace

    return [
        CitedPlace(
            source.document_id,
            source.document,
            source.path,
            source.span.start,
            source.span.end,
            " ".join(filter(None, (f"[{source.n}]", source.verdict))),
            tuple(
                (source.span.start + claim.where[0], source.span.start + claim.where[1])
                for claim in source.claims
                if claim.where is not None
            ),
            source.text,
        )
        for source in message.sources
    ]


def view(room: ChatRoom, message: StoredMessage, number: int | None = None) -> None:
    """Open the document of a source; without a number of the first that the answer cites."""
    from screens.library_deeds import show

    if not message.sources:
        room.hawser.say("This answer has no sources. # in a question names the documents to ask.")
        return
    cited = [source.n for source in message.sources if source.claims and not source.excluded]
    wanted = number if number is not None else cited[0] if cited else message.sources[0].n
    at = next((index for index, source in enumerate(message.sources) if source.n == wanted), 0)
    show(room.hawser, places_of(message), at)


async def sources(room: ChatRoom, chat: OpenChat, message: StoredMessage) -> None:
    """What was found for a question, as a dialog; a passage put away there is not given again."""
    from screens.dialogs.sources import SourcesDialog

    question = chat.branches.messages.get(message.parent_id or "")
    dialog = SourcesDialog(room.runtime.library, message, question.text if question is not None else "", chat.among)
    answer = await room.app.push_screen_wait(dialog)
    if answer is None:
        return
    if answer.deed == "open":
        view(room, message, answer.number)
        return
    if answer.deed == "put away":
        await chat.ask_without(message.id, answer.number)
        room.transcript.to_end()
    else:
        await chat.exclude_source(message.id, answer.number, False)
