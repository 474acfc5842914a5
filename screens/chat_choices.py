"""What is chosen for a whole chat, each in a dialog: which one, who answers, how, and what becomes of it.

The room has this from its first frame on; what a choice needs is loaded when it is made.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from console.chat.drafts import Draft
from console.chat.questions import Question
from console.errors import ConsoleError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from console.chat import parameters
    from console.chat.open_chat import OpenChat
    from console.chat.templates import Template
    from screens.chat import ChatRoom
    from screens.dialogs.chats import Place


def _begin(room: ChatRoom, work: Coroutine[None, None, None]) -> None:
    """One choice at a time; what goes wrong is told."""

    async def telling() -> None:
        try:
            await work
        except ConsoleError as error:
            room.hawser.tell(error)

    room.run_worker(telling(), group="choice", exclusive=True)


# ---- which chat


def find_chat(room: ChatRoom) -> None:
    from screens.dialogs.base import HELD_S
    from screens.dialogs.chats import ChatsDialog

    runtime = room.runtime
    dialog = room.hawser.kept_dialogs.take(ChatsDialog, lambda: ChatsDialog(runtime.shelf, runtime.clock.now))
    current = room.chat.id if room.chat is not None else None
    dialog.hold_frame(HELD_S)
    dialog.begin(current=current, live={chat.id for chat in runtime.desk.busy if chat.id})
    room.app.push_screen(dialog, partial(_go, room))


def search(room: ChatRoom, words: str = "") -> None:
    from screens.dialogs.search import SearchDialog

    runtime = room.runtime
    dialog = room.hawser.kept_dialogs.take(SearchDialog, lambda: SearchDialog(runtime.shelf, runtime.clock.now))
    dialog.begin(words)
    room.app.push_screen(dialog, partial(_go, room))


def _go(room: ChatRoom, place: Place | None) -> None:
    if place is not None:
        room.open_chat(place.chat_id, place.message_id)


# ---- who answers, and how


async def ask_model(room: ChatRoom, title: str, *, current: str | None) -> str | None:
    """The name that was chosen."""
    from console.chat.on_hand import OnHand
    from screens.dialogs.models import ModelsDialog

    on_hand = await room.runtime.on_hand()
    listed = await on_hand.listed()
    now = room.runtime.clock.now()
    row = await room.app.push_screen_wait(ModelsDialog(on_hand, listed, now, current=current, title=title))
    return row.name if isinstance(row, OnHand) else None


def choose_model(room: ChatRoom) -> None:
    async def choose() -> None:
        chat = room.chat
        if chat is None:
            return
        model = await ask_model(room, "Model", current=chat.model or room.runtime.settings.chat.model)
        if model is not None:
            await set_model(room, chat, model)

    _begin(room, choose())


async def set_model(room: ChatRoom, chat: OpenChat, model: str) -> None:
    from console.chat import parameters

    await chat.set_model(model)
    kind = backend_of(room, model)
    if kind is not None and (dropped := parameters.left_out(chat.params, kind)):
        room.hawser.say(f"{model} does not have {', '.join(dropped)}; this is kept for models that do.")


def backend_of(room: ChatRoom, model: str | None) -> parameters.Backend | None:
    """Which parameters who answers has; None for a name that stands for several."""
    from console.chat import parameters

    name = model or room.runtime.settings.chat.model or ""
    endpoint = room.runtime.settings.endpoints.get(name.partition("/")[0])
    if endpoint is None:
        endpoints = list(room.runtime.settings.endpoints.values())
        endpoint = endpoints[0] if len(endpoints) == 1 else None
    return None if endpoint is None else parameters.backend(endpoint.wire, is_own=endpoint.is_own)


def set_parameters(room: ChatRoom) -> None:
    from screens.dialogs.parameters import ParametersDialog

    async def choose() -> None:
        chat = room.chat
        if chat is None:
            return
        kind = backend_of(room, chat.model)
        answers = chat.model or room.runtime.settings.chat.model or "whoever answers"
        wishes = await room.app.push_screen_wait(ParametersDialog(chat.params, kind, answers))
        if wishes is not None:
            await chat.set_params(wishes)

    _begin(room, choose())


def write_system(room: ChatRoom) -> None:
    from screens.dialogs.system import SystemDialog

    async def write() -> None:
        chat = room.chat
        if chat is None:
            return
        text = await room.app.push_screen_wait(SystemDialog(chat.system or "", usual=room.runtime.settings.chat.system))
        if text is not None:
            await chat.set_system(text or None)

    _begin(room, write())


# ---- templates and personas


def take_template(room: ChatRoom, name: str, *, persona: bool) -> None:
    """Put a template's prompt into the composer, or its instruction, model and parameters over the chat."""
    _begin(room, _take_template(room, name, persona=persona))


async def _take_template(room: ChatRoom, name: str, *, persona: bool) -> None:
    from console.chat import templates
    from screens.dialogs.templates import TemplatesDialog, VariablesDialog

    chat, folder = room.chat, room.runtime.paths.templates
    if chat is None:
        return
    template: Template | None
    if name:
        template = templates.find_template(folder, name)
    else:
        offered = [each for each in templates.templates(folder) if (each.system if persona else each.prompt)]
        title = "Personas" if persona else "Templates"
        template = await room.app.push_screen_wait(TemplatesDialog(title, offered, str(folder)))
    if template is None:
        return
    values: dict[str, str] | None = {}
    if template.variables:
        values = await room.app.push_screen_wait(VariablesDialog(template))
    if values is None:
        return
    filled = templates.fill(folder, template.name, values, room.composer.text)
    if filled.system is not None:
        await chat.set_system(filled.system, template.name)
    if filled.model is not None:
        await set_model(room, chat, filled.model)
    if filled.params:
        from console.chat import parameters

        known = {name: value for name, value in filled.params.items() if name in parameters.BY_NAME}
        await chat.set_params({**chat.params, **known})
    if not persona and filled.prompt:
        room.composer.set_draft(Draft(filled.prompt, room.composer.chips))
    room.composer.focus()


# ---- several at once


def compare(room: ChatRoom) -> None:
    """Ask what is in the composer of several models, and show their answers side by side."""
    _begin(room, _compare(room))


async def _compare(room: ChatRoom) -> None:
    from console.chat.on_hand import OnHand
    from screens.compare import CompareScreen
    from screens.dialogs.several import SeveralDialog

    chat, composer = room.chat, room.composer
    if chat is None:
        return
    if not composer.text.strip():
        composer.note("Write the question first; then ^K asks several models at once.")
        composer.focus()
        return
    on_hand = await room.runtime.on_hand()
    current = chat.model or room.runtime.settings.chat.model
    dialog = SeveralDialog(on_hand, await on_hand.listed(), room.runtime.clock.now(), current=current)
    row = await room.app.push_screen_wait(dialog)
    if row is None:
        return
    models = [*dialog.marked, *([row.name] if isinstance(row, OnHand) and row.name not in dialog.marked else [])]
    question = Question(composer.text.strip("\n"), composer.attachments)
    await chat.compare(question, models)
    composer.clear_to_history()
    answer = next((entry.message for entry in reversed(chat.entries) if entry.message.role == "assistant"), None)
    if answer is not None and len(models) > 1:
        kept = await room.app.push_screen_wait(CompareScreen(chat, answer.id))
        if kept is not None:
            await chat.keep(kept)


# ---- what becomes of the chat


def rename(room: ChatRoom, title: str = "") -> None:
    async def ask() -> None:
        chat = room.chat
        if chat is None:
            return
        new: str | None = title
        if not new:
            from screens.dialogs.ask import AskDialog

            new = await room.app.push_screen_wait(AskDialog("Rename", "The title of this chat", chat.title))
        if new:
            await chat.rename(new)

    _begin(room, ask())


def export(room: ChatRoom, file: str = "") -> None:
    from console.chat.shelf import suggested_path
    from screens.dialogs.ask import AskDialog

    async def ask() -> None:
        chat = room.chat
        if chat is None or chat.id is None:
            room.hawser.say("There is nothing to export yet.")
            return
        path: str | None = file
        if not path:
            suggested = suggested_path(Path.cwd(), chat.title, chat.id)
            label = "Into this file. A name in .md gets the branch that is shown, one in .json all there is."
            path = await room.app.push_screen_wait(AskDialog("Export", label, str(suggested)))
        if path:
            written = await room.runtime.shelf.export(chat.id, Path(path.strip()))
            room.hawser.say(f"Written to {written}")

    _begin(room, ask())


def delete(room: ChatRoom) -> None:
    """Delete the open chat; it can be brought back, so nobody is asked."""

    async def remove() -> None:
        chat = room.chat
        if chat is None or chat.id is None:
            room.hawser.say("This chat has not begun; there is nothing to delete.")
            return
        await chat.stop()
        await chat.settled()
        await room.runtime.shelf.delete(chat.id)
        await room.show_chat(room.runtime.desk.new())
        room.hawser.say("Deleted. /undo brings it back, and so does ^G for a week.")

    _begin(room, remove())


def undo_delete(room: ChatRoom) -> None:
    async def bring_back() -> None:
        row = await room.runtime.shelf.undo()
        if row is None:
            room.hawser.say("Nothing was deleted here. ^G lists what was deleted in the last week.")
        else:
            room.open_chat(row.id)

    _begin(room, bring_back())
