"""What is done to collections and documents, by the name of the action in the table of keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from console.errors import ConsoleError
from console.text import plural, size_words
from screens.library_lines import collection_facts, document_facts, path_words, place_words
from screens.viewer import CitedPlace, Viewer
from screens.widgets.cells import clip

if TYPE_CHECKING:
    from console.library.model import Tell, Way
    from console.library.model_fetch import Places
    from rag.documents import Document, Folder, Passage, Skipped
    from screens.app import HawserApp
    from screens.library import LibraryRoom


class Removed(NamedTuple):
    """What was taken out last, so that it can be added again."""

    collection: str
    documents: tuple[Document, ...]


def do(room: LibraryRoom, name: str) -> None:
    _begin(room, DEEDS[name](room))


def _begin(room: LibraryRoom, work: Coroutine[None, None, None]) -> None:
    """One at a time; what goes wrong is told."""

    async def telling() -> None:
        try:
            await work
        except ConsoleError as error:
            room.hawser.tell(error)

    room.run_worker(telling(), group="deed", exclusive=True)


# ---- adding


async def add(room: LibraryRoom) -> None:
    from screens.dialogs.files import FilesDialog

    collection = await _collection_or_usual(room)
    label = f"What is chosen is read into {collection}; the files stay where they are."
    paths = await room.app.push_screen_wait(FilesDialog(f"Add to {collection}", label, here=Path.cwd()))
    if paths:
        await _add(room, paths, collection)


async def _collection_or_usual(room: LibraryRoom) -> str:
    return room.chosen or await room.library.default_collection(None)


async def _add(room: LibraryRoom, paths: Sequence[str | Path], collection: str) -> None:
    from screens.adding import add_documents

    added = await add_documents(room.hawser, room.library, paths, collection)
    if added is not None and added.document_ids:
        room.chosen = room.chosen or collection
        await room.library.follow(start=True)


def add_pasted(room: LibraryRoom, text: str) -> None:
    _begin(room, _add_pasted(room, text))


async def _add_pasted(room: LibraryRoom, text: str) -> None:
    from console.aside import aside
    from console.dropped import dropped_paths

    words = text.strip()
    paths: Sequence[str | Path] = await aside(partial(dropped_paths, text), "dropped")
    if not paths and words.startswith(("http://", "https://")) and len(words.split()) == 1:
        paths = [words]
    if paths:
        await _add(room, paths, await _collection_or_usual(room))
    else:
        room.hawser.say("What was pasted is neither a file that is here nor an address.")


async def watch(room: LibraryRoom) -> None:
    from screens.adding import agreed
    from screens.dialogs.ask import AskDialog
    from screens.dialogs.files import FilesDialog

    collection = await _collection_or_usual(room)
    label = f"Its files are kept in {collection} as they change, come and go."
    folder = await room.app.push_screen_wait(FilesDialog("Watch a folder", label, here=Path.cwd(), folders=True))
    if not folder:
        return
    label = "Which files, as in *.md *.pdf !drafts/*; nothing means all that can be read."
    rules = await room.app.push_screen_wait(AskDialog(f"Watch {clip(path_words(folder[0]), 50)}", label))
    if rules is None or not await agreed(room.hawser, room.library, collection):
        return
    globs = rules.replace(",", " ").split()
    include = [each for each in globs if not each.startswith("!")]
    exclude = [each[1:] for each in globs if each.startswith("!") and len(each) > 1]
    watched = await room.library.watch(collection, folder[0], include=include, exclude=exclude)
    room.hawser.say(f"{path_words(watched.path)} is watched for {collection}.")
    await room.library.follow(start=True)


async def create(room: LibraryRoom) -> None:
    from screens.dialogs.ask import AskDialog

    dialog = AskDialog("New collection", "What shall it be called?", check=partial(_check_name, room))
    name = await room.app.push_screen_wait(dialog)
    if name:
        await room.library.create(name.strip())
        room.chosen = name.strip()


def _check_name(room: LibraryRoom, name: str) -> str:
    if not name.strip():
        return "A name has at least one letter."
    if any(name.strip().casefold() == each.casefold() for each in room.names):
        return "There is one of this name already."
    return ""


# ---- changing


async def title(room: LibraryRoom) -> None:
    from screens.dialogs.ask import AskDialog

    name = room.chosen
    if name is None:
        return
    dialog = AskDialog("Rename", "The name of the collection", name, check=partial(_check_name, room))
    new = await room.app.push_screen_wait(dialog)
    if new and new.strip() != name:
        await room.library.rename(name, new.strip())
        room.chosen = new.strip()


async def move_to(room: LibraryRoom) -> None:
    from screens.adding import agreed
    from screens.dialogs.pick import PickDialog

    picked = room.picked
    others = [each for each in room.names if each != room.chosen]
    if not picked or not others:
        room.hawser.say("There is no other collection; n makes one." if picked else "There is no document to move.")
        return
    what = clip(picked[0].name, 40) if len(picked) == 1 else plural(len(picked), "document")
    dialog = PickDialog(f"Move {what} to", others, lambda name, width, here: f" {clip(name, width - 2)}", str)
    name = await room.app.push_screen_wait(dialog)
    if name is not None and await agreed(room.hawser, room.library, name):
        await room.library.move([each.id for each in picked], name)
        room.marked.clear()
        room.hawser.say(f"{plural(len(picked), 'document')} moved to {name}.")


async def tags(room: LibraryRoom) -> None:
    from console.chat.shelf import parse_tags
    from screens.dialogs.ask import AskDialog

    collection = room.collection
    if collection is None:
        return
    picked = room.picked if room.is_on_documents else []
    what = collection.name if not picked else picked[0].name if len(picked) == 1 else plural(len(picked), "document")
    current = sorted({tag for each in picked for tag in each.tags}) if picked else collection.tags
    dialog = AskDialog("Tags", f"Of {clip(what, 50)}, with blanks or commas between.", " ".join(current))
    text = await room.app.push_screen_wait(dialog)
    if text is None:
        return
    if picked:
        await room.library.tag(parse_tags(text), document_ids=[each.id for each in picked])
    else:
        await room.library.tag(parse_tags(text), collection=collection.name)


async def export(room: LibraryRoom) -> None:
    from screens.dialogs.ask import AskDialog

    name = room.chosen
    if name is None:
        return
    suggested = str(Path.cwd() / f"{name}-text")
    label = "Into this folder: the text of each document, as it was read, as a file."
    folder = await room.app.push_screen_wait(AskDialog(f"Export {name}", label, suggested))
    if folder and folder.strip():
        count = await room.library.export(name, Path(folder.strip()))
        room.hawser.say(f"{plural(count, 'document')} written to {path_words(folder.strip())}.")


# ---- removing


async def remove(room: LibraryRoom) -> None:
    from rag.documents import Folder

    row = room.collections.cursor
    if room.is_on_documents:
        await _remove_documents(room)
    elif isinstance(row, Folder):
        await _unwatch(room, row)
    elif row is not None:
        await _remove_collection(room)


async def _remove_documents(room: LibraryRoom) -> None:
    from screens.dialogs.confirm import ConfirmDialog

    picked, collection = room.picked, room.chosen
    if not picked or collection is None:
        return
    if len(picked) > 1:
        lines = [f"{plural(len(picked), 'document')} and their chunks are taken out of {collection}.",
                 "The files stay where they are; u adds them again."]  # fmt: skip
        if not await room.app.push_screen_wait(ConfirmDialog("Remove documents", lines, "Remove them", key="D")):
            return
    await room.library.remove(collection, [each.id for each in picked])
    room.removed = Removed(collection, tuple(picked))
    room.marked.clear()
    what = clip(picked[0].name, 40) if len(picked) == 1 else plural(len(picked), "document")
    room.hawser.say(f"{what} removed from {collection}; u adds it again." if len(picked) == 1 else
                    f"{what} removed from {collection}; u adds them again.")  # fmt: skip


async def _remove_collection(room: LibraryRoom) -> None:
    from screens.dialogs.confirm import ConfirmDialog

    collection = room.collection
    if collection is None:
        return
    lines = [
        f"{plural(collection.documents, 'document')}, {plural(collection.chunks, 'chunk')} and their vectors go.",
        "There is no way back but adding them again. The files stay where they are,",
        "and answers keep the passages that they cite.",
    ]
    typed = collection.name if collection.documents else None
    dialog = ConfirmDialog(f"Remove {collection.name}", lines, "Remove the collection", typed, key="D")
    if await room.app.push_screen_wait(dialog):
        count = await room.library.remove(collection.name)
        room.hawser.say(f"{collection.name} with {plural(count, 'document')} is removed.")


async def _unwatch(room: LibraryRoom, folder: Folder) -> None:
    from screens.dialogs.confirm import ConfirmDialog

    lines = [f"{path_words(folder.path)} is not watched any longer.", "What was read of it stays in the collection."]
    if await room.app.push_screen_wait(ConfirmDialog("Watched folder", lines, "Watch it no longer")):
        await room.library.unwatch(folder.id)


async def bring_back(room: LibraryRoom) -> None:
    from console.library.pages import is_page

    removed = room.removed
    if removed is None:
        room.hawser.say("Nothing was removed here.")
        return
    room.removed = None
    by_tags: dict[tuple[str, ...], list[str]] = {}
    for each in removed.documents:
        by_tags.setdefault(each.tags, []).append(each.path)
    count = 0
    lost: list[Skipped] = []
    for its_tags, paths in by_tags.items():  # they were agreed to when they were added first
        files = [each for each in paths if not is_page(each)]
        found = [
            await room.library.add_page(each, removed.collection, tags=its_tags) for each in paths if is_page(each)
        ]
        if files:
            found.append(await room.library.add(files, removed.collection, tags=its_tags, allow_secrets=True))
        for added in found:
            count += len(added.document_ids)
            lost += added.skipped
    told = f"{plural(count, 'document')} added again to {removed.collection}."
    if lost:
        told += f" {plural(len(lost), 'file')} could not be: {lost[0][1]}"
    room.hawser.say(told)


# ---- the work


async def reindex(room: LibraryRoom) -> None:
    from screens.adding import agreed
    from screens.dialogs.confirm import ConfirmDialog

    collection = room.collection
    if collection is None:
        return
    lines = [
        f"{plural(collection.documents, 'document')} of {collection.name} are cut and embedded anew,",
        "as the settings say. Vectors of chunks that stay the same are kept.",
        "What is there answers until the new is whole; X leaves it.",
    ]
    dialog = ConfirmDialog(f"Reindex {collection.name}", lines, "Reindex it")
    if await room.app.push_screen_wait(dialog) and await agreed(room.hawser, room.library, collection.name):
        await room.library.reindex(collection.name)
        await room.library.follow(start=True)


async def check(room: LibraryRoom) -> None:
    from screens.dialogs.confirm import ConfirmDialog

    room.hawser.say("Looking at what is stored and at what is found …")
    findings = await room.library.check()
    if not findings:
        room.hawser.say("Everything is as it should be.")
        return
    lines = [clip(each.text, 100) for each in findings[:12]]
    if len(findings) > len(lines):
        lines.append(f"and {len(findings) - len(lines)} more")
    lines += ["", "Repairing makes anew what can be made from the stored documents."]
    if await room.app.push_screen_wait(ConfirmDialog("Check", lines, "Repair it")):
        left = [each for each in await room.library.check(repair=True) if not each.is_repaired]
        room.hawser.say(f"{plural(len(left), 'finding')} could not be repaired." if left else "Repaired.")


async def pause(room: LibraryRoom) -> None:
    if room.library.status.is_paused:
        await room.library.resume()
    else:
        await room.library.pause()


async def cancel_work(room: LibraryRoom) -> None:
    from screens.dialogs.confirm import ConfirmDialog

    status = room.library.status
    if not (status.waiting or status.reading or status.to_embed):
        room.hawser.say("Nothing is under way.")
        return
    lines = [
        f"{plural(status.waiting, 'document')} to be read and {plural(status.to_embed, 'chunk')} to be embedded"
        f"{f' in {room.chosen}' if room.chosen else ''} are left as they are.",
        "What is there stays and can be found by its words; R takes up the rest.",
    ]
    if await room.app.push_screen_wait(ConfirmDialog("Cancel", lines, "Leave the rest")):
        await room.library.cancel(room.chosen)


async def bytes_of_model(room: LibraryRoom) -> int:
    """How much there would be to fetch to find by meaning; 0 where the model is here, can be made of what is here, or
    is not wanted."""
    from console.library.model import has_model
    from console.library.model_fetch import DOWNLOAD_BYTES
    from rag.embedder import DEFAULT
    from rag.model_files import find_weights

    runtime = room.runtime
    if runtime.settings.rag.embedder != DEFAULT:
        return 0

    def is_here() -> bool:
        return has_model(runtime.paths) or find_weights(runtime.environment) is not None

    return 0 if await asyncio.to_thread(is_here) else DOWNLOAD_BYTES


async def get_model(room: LibraryRoom) -> None:
    from console.library import model
    from console.library.model_fetch import Places
    from screens.dialogs.confirm import ConfirmDialog

    runtime = room.runtime
    state = await asyncio.to_thread(model.model_state, runtime.paths, runtime.environment)
    if state.is_ready:
        room.hawser.say(f"The model is here: {state.identity}.")
        return
    if room.getting_model:
        return
    places = Places.of(runtime.environment)
    way = model.way_to_get(None, state.weights, places)
    if way.download_bytes:
        lines = [
            f"{state.identity} is {way.words}, {size_words(way.download_bytes)}.",
            "It runs on this computer and compares by meaning; nothing is sent anywhere.",
        ]
        if not await room.app.push_screen_wait(ConfirmDialog("Get the model", lines, "Fetch it")):
            return

    def tell(there: int, of: int | None) -> None:
        room.show_getting(f"getting the model{f' {there / of:.0%}' if of else ''}")

    room.show_getting("getting the model")
    room.run_worker(_fetch_model(room, way, places, tell), group="model")


async def _fetch_model(room: LibraryRoom, way: Way, places: Places, tell: Tell) -> None:
    from console.library import model
    from providers.errors import ProviderError
    from rag.errors import RagError

    try:
        await model.get_model(room.runtime.paths, way, places, tell, room.runtime.clock, room.runtime.environment)
    except (ConsoleError, ProviderError, RagError) as error:
        room.hawser.tell(error)
    else:
        room.hawser.say("The model is here. R embeds a collection that was read without it.")
    finally:
        room.show_getting("")
        room.looked_at_again()


# ---- looking


def read(room: LibraryRoom, document: Document) -> None:
    if document.chunks or document.same_as is not None or document.state in ("lexical", "ready"):
        show(room.hawser, [CitedPlace(document.id, document.name, document.path, 0, 0)], 0)
    else:
        state = " ".join(filter(None, (document.error, document.hint))) or "It is not read yet."
        room.hawser.say(state, title=clip(document.name, 50))


def read_passage(room: LibraryRoom, passages: Sequence[Passage], at: int) -> None:
    places = [
        CitedPlace(
            each.document_id, each.document, each.path, each.span.start, each.span.end,
            place_words(each.span), text=each.text,
        )
        for each in passages
    ]  # fmt: skip
    show(room.hawser, places, at)


def show(hawser: HawserApp, places: Sequence[CitedPlace], at: int) -> None:
    """Open the viewer on a place."""
    hawser.push_screen(Viewer(places, at, hawser.runtime.library.text, partial(open_original, hawser), hawser.palette))


async def open_original(hawser: HawserApp, path: str) -> None:
    from console.open_file import open_original

    try:
        if await open_original(path, hawser.runtime.environment):
            hawser.say(f"Opened {path_words(path)}")
        else:
            hawser.copy(path, "the path, for there is no program here that would be seen")
    except ConsoleError as error:
        hawser.tell(error)


async def original(room: LibraryRoom) -> None:
    path = _path(room)
    if path is not None:
        await open_original(room.hawser, path)


def _path(room: LibraryRoom) -> str | None:
    if room.passages.display:
        found = room.passages.cursor
        return found.passage.path if found is not None else None
    row = room.documents.cursor
    return row.path if row is not None else None


async def copy_path(room: LibraryRoom) -> None:
    found = room.passages.cursor if room.passages.display else None
    if found is not None:
        passage = found.passage
        room.hawser.copy(f"{passage.text}\n({passage.document}, {place_words(passage.span)})", "the passage")
    elif (path := _path(room)) is not None:
        room.hawser.copy(path, "the path")


async def details(room: LibraryRoom) -> None:
    from screens.dialogs.details import DetailsDialog

    found = room.passages.cursor if room.passages.display else None
    document = room.documents.cursor if room.is_on_documents else None
    if found is not None:
        document = await room.library.document(found.passage.document_id)
    if document is not None:
        await room.app.push_screen_wait(DetailsDialog("Document", document_facts(document)))
    elif (collection := room.collection) is not None:
        await room.app.push_screen_wait(DetailsDialog("Collection", collection_facts(collection, room.folders)))


DEEDS: dict[str, Callable[[LibraryRoom], Coroutine[None, None, None]]] = {
    "add": add,
    "watch": watch,
    "create": create,
    "title": title,
    "move_to": move_to,
    "tags": tags,
    "export": export,
    "remove": remove,
    "bring_back": bring_back,
    "reindex": reindex,
    "check": check,
    "get_model": get_model,
    "pause": pause,
    "cancel_work": cancel_work,
    "original": original,
    "copy_path": copy_path,
    "details": details,
}
