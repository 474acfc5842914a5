"""The words that begin with a slash in the composer: what they are called, and what they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from screens import chat_choices
from screens.widgets.composer import Command

if TYPE_CHECKING:
    from screens.chat import ChatRoom


class Slash(NamedTuple):
    name: str
    words: str
    does: Callable[[ChatRoom, str], object]
    arguments: str = ""
    choices: Callable[[ChatRoom], Sequence[str]] | None = None


def _model(room: ChatRoom, name: str) -> None:
    if name:
        chat_choices.name_model(room, name)
    else:
        chat_choices.choose_model(room)


SLASHES: tuple[Slash, ...] = (
    Slash("new", "a new chat", lambda room, _: room.run_action("screen.new_chat")),
    Slash("off", "a chat off the record: nothing is kept but what it cost",
          lambda room, _: room.run_action("screen.off_record")),
    Slash("model", "who answers", _model, "NAME", lambda room: room.model_names),
    Slash("compare", "ask several models at once", lambda room, _: chat_choices.compare(room)),
    Slash("persona", "an instruction, model and parameters from a file",
          lambda room, name: chat_choices.take_template(room, name, persona=True), "NAME", lambda r: r.template_names),
    Slash("template", "a prompt from a file, with variables",
          lambda room, name: chat_choices.take_template(room, name, persona=False), "NAME", lambda r: r.template_names),
    Slash("system", "the instruction of this chat", lambda room, _: chat_choices.write_system(room)),
    Slash("parameters", "temperature and the like", lambda room, _: chat_choices.set_parameters(room)),
    Slash("send", "send the questions that wait", lambda room, _: chat_choices.send_waiting(room)),
    Slash("chats", "the list of chats", lambda room, _: chat_choices.find_chat(room)),
    Slash("search", "search in everything that was said", chat_choices.search, "WORDS"),
    Slash("rename", "give this chat another title", chat_choices.rename, "TITLE"),
    Slash("export", "write this chat to a file", chat_choices.export, "FILE"),
    Slash("delete", "delete this chat; it can be brought back", lambda room, _: chat_choices.delete(room)),
    Slash("undo", "bring back the chat that was deleted last", lambda room, _: chat_choices.undo_delete(room)),
    Slash("theme", "the colours", lambda room, _: room.hawser.action_choose_theme()),
    Slash("help", "the keys", lambda room, _: room.hawser.action_help()),
    Slash("quit", "leave", lambda room, _: room.run_worker(room.hawser.action_leave(), group="leave")),
)  # fmt: skip


def commands(room: ChatRoom) -> list[Command]:
    """As the composer lists them."""

    def choices(slash: Slash) -> Callable[[], Sequence[str]] | None:
        given = slash.choices
        return None if given is None else lambda: given(room)

    return [Command(each.name, each.words, each.arguments, choices(each)) for each in SLASHES]


def run_command(room: ChatRoom, name: str, rest: str) -> None:
    slash = next(each for each in SLASHES if each.name == name)
    done = slash.does(room, rest)
    if hasattr(done, "__await__"):

        async def finish() -> None:
            await done

        room.run_worker(finish(), group="command")
