"""What is done to one message of a chat, by the name of the action in the table of keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from console.errors import ConsoleError
from screens.chat_items import details_of, is_waiting

if TYPE_CHECKING:
    from console.chat.branches import Branch
    from console.chat.open_chat import Entry, OpenChat
    from screens.chat import ChatRoom
    from screens.compare import CompareScreen
    from screens.widgets.transcript import Item


def do(room: ChatRoom, action: str, item: Item) -> None:
    """Do it beside the screen, and tell what went wrong."""
    deed = DEEDS[action]
    room.run_worker(_telling(room, deed, item), group="message", exclusive=action in _ONE_AT_A_TIME)


_ONE_AT_A_TIME = frozenset({"branch_left", "branch_right", "branches", "details", "regenerate_with", "sources"})


async def _telling(room: ChatRoom, deed: Callable[[ChatRoom, OpenChat, Item], Awaitable[None]], item: Item) -> None:
    chat = room.chat
    if chat is None or is_waiting(item.id):
        return
    try:
        await deed(room, chat, item)
    except ConsoleError as error:
        room.hawser.tell(error)


def entry_of(chat: OpenChat, message_id: str) -> Entry | None:
    return next((entry for entry in chat.entries if entry.message.id == message_id), None)


async def write(room: ChatRoom, _chat: OpenChat, _item: Item) -> None:
    room.composer.focus()


async def edit(room: ChatRoom, chat: OpenChat, item: Item) -> None:
    """A question is written anew; of an answer, the question above it."""
    entry = entry_of(chat, item.id)
    while entry is not None and entry.message.role != "user":
        entry = entry_of(chat, entry.message.parent_id) if entry.message.parent_id is not None else None
    if entry is not None:
        room.begin_editing(entry.message.id, entry.message.text)


async def regenerate(room: ChatRoom, chat: OpenChat, item: Item) -> None:
    await chat.regenerate(item.id)
    room.transcript.to_end()


async def regenerate_with(room: ChatRoom, chat: OpenChat, item: Item) -> None:
    from screens.chat_choices import ask_model

    entry = entry_of(chat, item.id)
    current = None
    if entry is not None and entry.message.model:
        current = f"{entry.message.endpoint}/{entry.message.model}"
    model = await ask_model(room, "Ask again", current=current or chat.model)
    if model is not None:
        await chat.regenerate(item.id, model)
        room.transcript.to_end()


async def go_on(room: ChatRoom, chat: OpenChat, item: Item) -> None:
    await chat.go_on(item.id)


async def branch_left(room: ChatRoom, chat: OpenChat, item: Item) -> None:
    await _step(room, chat, item, -1)


async def branch_right(room: ChatRoom, chat: OpenChat, item: Item) -> None:
    await _step(room, chat, item, 1)


async def _step(room: ChatRoom, chat: OpenChat, item: Item, by: int) -> None:
    entry = entry_of(chat, item.id)
    if entry is None:
        return
    if entry.siblings == 1:  # the nearest fork is meant: of an answer without siblings, its question's
        parent = entry_of(chat, entry.message.parent_id) if entry.message.parent_id is not None else None
        if parent is None or parent.siblings == 1:
            room.hawser.say("There is no other branch here. e and r make one.")
            return
        entry = parent
    await chat.step(entry.message.id, by)
    siblings = [each.id for each in chat.siblings(entry.message.id)]
    shown = {each.message.id for each in chat.entries}
    at = next((each for each in siblings if each in shown), None)
    if at is not None and room.chat is chat:
        room.show_message(at)


async def branches(room: ChatRoom, chat: OpenChat, item: Item) -> None:
    from screens.dialogs.branches import BranchesDialog

    tree = await chat.tree()
    if not tree:
        return
    dialog = BranchesDialog(tree, item.id)
    branch = await room.app.push_screen_wait(dialog)
    if branch is None:
        return
    if dialog.is_to_be_deleted:
        await _delete(room, chat, branch)
    else:
        await chat.show(branch.message.id)
        if room.chat is chat:
            room.show_message(branch.message.id)


async def _delete(room: ChatRoom, chat: OpenChat, branch: Branch) -> None:
    from screens.dialogs.confirm import ConfirmDialog

    lines = [
        "This message and everything below it is removed.",
        "There is no way back; what it cost stays in the books.",
    ]
    if await room.app.push_screen_wait(ConfirmDialog("Delete a branch", lines, "Delete the branch", key="D")):
        await chat.delete_branch(branch.message.id)


async def exclude(room: ChatRoom, chat: OpenChat, item: Item) -> None:
    await chat.exclude(item.id, not item.excluded)


async def view(room: ChatRoom, chat: OpenChat, item: Item) -> None:
    from screens import chat_documents

    entry = _answer_entry(chat, item)
    if entry is not None:
        chat_documents.view(room, entry.message)


async def sources(room: ChatRoom, chat: OpenChat, item: Item) -> None:
    from screens import chat_documents

    entry = _answer_entry(chat, item)
    if entry is None or not entry.message.sources:
        room.hawser.say("This answer has no sources. # in a question names the documents to ask.")
    else:
        await chat_documents.sources(room, chat, entry.message)


def _answer_entry(chat: OpenChat, item: Item) -> Entry | None:
    """The entry of an answer; of a question, the one below it that is shown."""
    entry = entry_of(chat, item.id)
    if entry is not None and entry.message.role == "user":
        entry = next((each for each in chat.entries if each.message.parent_id == item.id), None)
    return entry


async def details(room: ChatRoom, chat: OpenChat, item: Item) -> None:
    from screens.dialogs.details import DetailsDialog

    entry = entry_of(chat, item.id)
    if entry is not None:
        await room.app.push_screen_wait(DetailsDialog("Message", details_of(entry.message)))


async def beside(room: ChatRoom, chat: OpenChat, item: Item) -> None:
    from screens.compare import CompareScreen

    entry = entry_of(chat, item.id)
    if entry is None or entry.siblings < 2:
        room.hawser.say("There is nothing to lay beside this. Ctrl+K asks several models at once.")
        return
    await chat.beside(item.id)
    kept = await room.app.push_screen_wait(CompareScreen(chat, item.id))
    if kept is not None:
        await chat.keep(kept)


DEEDS: dict[str, Callable[[ChatRoom, OpenChat, Item], Awaitable[None]]] = {
    "write": write,
    "edit": edit,
    "regenerate": regenerate,
    "regenerate_with": regenerate_with,
    "go_on": go_on,
    "branch_left": branch_left,
    "branch_right": branch_right,
    "branches": branches,
    "exclude": exclude,
    "details": details,
    "view": view,
    "sources": sources,
    "beside": beside,
}


def open_link(room: ChatRoom | CompareScreen, url: str) -> None:
    room.run_worker(_open_link(room, url), group="link")


async def _open_link(room: ChatRoom | CompareScreen, url: str) -> None:
    """In the browser where there is one to see; else it is copied."""
    from console.browser import open_url

    try:
        if await open_url(url, room.hawser.runtime.environment):
            room.hawser.say(f"Opened {url}")
        else:
            room.hawser.copy(url, "the link, for there is no browser here")
    except ConsoleError as error:
        room.hawser.tell(error)
