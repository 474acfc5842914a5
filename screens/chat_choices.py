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

    from console.chat.open_chat import OpenChat
    from console.chat.templates import Template
    from screens.chat import ChatRoom
    from screens.dialogs.chats import Place
    from screens.dialogs.system import Persona


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
    from screens.dialogs.models import ModelsDialog, Offer

    on_hand = await room.runtime.on_hand()
    listing = await on_hand.listed()
    now = room.runtime.clock.now()
    row = await room.app.push_screen_wait(ModelsDialog(on_hand, listing, now, current=current, title=title))
    return row.row.name if isinstance(row, Offer) else None


def choose_model(room: ChatRoom) -> None:
    async def choose() -> None:
        chat = room.chat
        if chat is None:
            return
        model = await ask_model(room, "Model", current=chat.model or room.runtime.settings.chat.model)
        if model is not None:
            await set_model(room, chat, model)

    _begin(room, choose())


def name_model(room: ChatRoom, name: str) -> None:
    """The same without a list: a wrong name is told at once, with the near ones."""

    async def take() -> None:
        if room.chat is not None:
            on_hand = await room.runtime.on_hand()
            model, note = await on_hand.resolve(name)
            await set_model(room, room.chat, model, note)

    _begin(room, take())


async def set_model(room: ChatRoom, chat: OpenChat, model: str, note: str = "") -> None:
    """Let a model answer from here on, and say what one would not expect of it; waits for no network."""
    from console.chat import parameters

    on_hand = await room.runtime.on_hand()
    listing = await on_hand.listed()
    await chat.set_model(model)
    said = [note]
    row = listing.find(model)
    if row is not None:
        group = listing.groups[row.group]
        if group.why_silent:
            said.append(f"{group.name} did not answer when it was last asked: {group.why_silent}")
        elif group.outlook is not None and row.standing in ("off", "apart"):
            said.append(group.outlook.sentence(group.name))
        if row.sees_images is False and _has_images(room, chat):
            said.append(f"{model} cannot see images: those of this chat are not sent to it.")
    kind = on_hand.backend_of(model)
    if kind is not None:
        if dropped := parameters.left_out(chat.params, kind):
            said.append(f"{model} does not have {', '.join(dropped)}; this is kept for models that do.")
        said += parameters.for_wire(chat.params, kind).notes
    if told := "\n".join(filter(None, said)):
        room.hawser.say(told)


def _has_images(room: ChatRoom, chat: OpenChat) -> bool:
    stored = (each.media_type for entry in chat.entries for each in entry.message.attachments)
    written = (each.media_type for each in room.composer.attachments)
    return any(media_type.startswith("image/") for media_type in (*stored, *written))


def set_parameters(room: ChatRoom) -> None:
    from screens.dialogs.parameters import ParametersDialog

    async def choose() -> None:
        chat = room.chat
        if chat is None:
            return
        on_hand = await room.runtime.on_hand()
        await on_hand.listed()
        kind = on_hand.backend_of(chat.model)
        answers = chat.model or room.runtime.settings.chat.model or "whoever answers"
        wishes = await room.app.push_screen_wait(ParametersDialog(chat.params, kind, answers))
        if wishes is not None:
            await chat.set_params(wishes)

    _begin(room, choose())


def write_system(room: ChatRoom) -> None:
    from screens.dialogs.system import SystemDialog

    async def ask_persona() -> Persona | None:
        try:
            return await _ask_filled(room, "", persona=True)
        except ConsoleError as error:
            room.hawser.tell(error)
            return None

    async def write() -> None:
        chat = room.chat
        if chat is None:
            return
        usual = room.runtime.settings.chat.system
        written = await room.app.push_screen_wait(SystemDialog(chat.system or "", usual=usual, persona=ask_persona))
        if written is None:
            return
        if written.persona is not None:
            await _take_on(room, chat, written.persona)
        if written.text != (chat.system or ""):
            name = written.persona.name if written.persona is not None else chat.persona
            await chat.set_system(written.text or None, name if written.text else None)

    _begin(room, write())


# ---- templates and personas


def take_template(room: ChatRoom, name: str, *, persona: bool) -> None:
    """Put a template's prompt into the composer, and its instruction, model and parameters over the chat; of a persona
    only these."""

    async def take() -> None:
        chat = room.chat
        taken = await _ask_filled(room, name, persona=persona)
        if chat is None or taken is None:
            return
        await _take_on(room, chat, taken)
        if not persona and taken.filled.prompt:
            room.composer.set_draft(Draft(taken.filled.prompt, room.composer.chips))
        room.composer.focus()

    _begin(room, take())


async def _ask_filled(room: ChatRoom, name: str, *, persona: bool) -> Persona | None:
    """A template, by its name or chosen from the list, with its variables asked for."""
    from console.chat import templates
    from screens.dialogs.system import Persona
    from screens.dialogs.templates import TemplatesDialog, VariablesDialog

    folder = room.runtime.paths.templates
    template: Template | None
    if name:
        template = templates.find_template(folder, name)
    else:
        found, broken = templates.readable(folder)
        for error in broken:
            room.hawser.tell(error)
        offered = [each for each in found if (each.system or each.params if persona else each.prompt)]
        title = "Personas" if persona else "Templates"
        template = await room.app.push_screen_wait(TemplatesDialog(title, offered, folder))
    if template is None:
        return None
    if persona:
        template = template._replace(prompt=None)  # nor are its variables asked for
    values: dict[str, str] | None = {}
    if template.variables:
        values = await room.app.push_screen_wait(VariablesDialog(template))
    if values is None:
        return None
    return Persona(template.name, templates.filled(template, values, "" if persona else room.composer.text))


async def _take_on(room: ChatRoom, chat: OpenChat, taken: Persona) -> None:
    """Give a chat the instruction, the model and the parameters of a template."""
    from console.chat import parameters

    filled = taken.filled
    wishes, unknown = parameters.from_names(filled.params)
    if filled.system is not None:
        await chat.set_system(filled.system, taken.name)
    if wishes:
        await chat.set_params({**chat.params, **wishes})
    note = f"{taken.name} sets {', '.join(unknown)}, which chats here do not have." if unknown else ""
    if filled.model is not None:
        on_hand = await room.runtime.on_hand()
        model, told = await on_hand.resolve(filled.model)
        await set_model(room, chat, model, "\n".join(filter(None, (note, told))))
    elif note:
        room.hawser.say(note)


# ---- several at once


def compare(room: ChatRoom) -> None:
    """Ask what is in the composer of several models, and show their answers side by side."""
    _begin(room, _compare(room))


async def _compare(room: ChatRoom) -> None:
    from screens.compare import CompareScreen
    from screens.dialogs.several import SeveralDialog

    chat, composer = room.chat, room.composer
    if chat is None:
        return
    if not composer.text.strip():
        composer.note("Write the question first; then Ctrl+K asks several models at once.")
        composer.focus()
        return
    on_hand = await room.runtime.on_hand()
    current = chat.model or room.runtime.settings.chat.model
    dialog = SeveralDialog(on_hand, await on_hand.listed(), room.runtime.clock.now(), current=current)
    if await room.app.push_screen_wait(dialog) is None:
        return
    question = Question(composer.text.strip("\n"), composer.attachments)
    has_to_wait = chat.is_busy
    await chat.compare(question, dialog.marked)
    composer.clear_to_history()
    room.transcript.to_end()
    answer = next((entry.message for entry in reversed(chat.entries) if entry.message.role == "assistant"), None)
    if has_to_wait:
        room.hawser.say("They are asked when this answer has ended; = on an answer lays them side by side.")
    elif answer is not None:
        kept = await room.app.push_screen_wait(CompareScreen(chat, answer.id))
        if kept is not None:
            await chat.keep(kept)


# ---- what becomes of the chat


def send_waiting(room: ChatRoom) -> None:
    """Let the questions that are held go on."""

    async def send() -> None:
        if room.chat is not None:
            await room.chat.send_waiting()

    _begin(room, send())


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
            room.hawser.say(_why_nothing(chat, "export"))
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


def _why_nothing(chat: OpenChat | None, deed: str) -> str:
    if chat is not None and chat.off_the_record:
        return f"This chat is off the record; there is nothing to {deed}."
    return f"This chat has not begun; there is nothing to {deed}."


def delete(room: ChatRoom) -> None:
    """Delete the open chat; it can be brought back, so nobody is asked."""

    async def remove() -> None:
        chat = room.chat
        if chat is None or chat.id is None:
            room.hawser.say(_why_nothing(chat, "delete"))
            return
        await chat.stop()
        await chat.settled()
        await room.runtime.shelf.delete(chat.id)
        if room.chat is chat:
            room.show_chat(room.runtime.desk.new())
        room.hawser.say("Deleted. /undo brings it back, and so does Ctrl+G for a week.")

    _begin(room, remove())


def undo_delete(room: ChatRoom) -> None:
    async def bring_back() -> None:
        row = await room.runtime.shelf.undo()
        if row is None:
            room.hawser.say("Nothing was deleted here. Ctrl+G lists what was deleted in the last week.")
        else:
            room.open_chat(row.id)

    _begin(room, bring_back())
