"""Every action with its key, in one table: bindings, footer, help, palette and the README's key table come from it.

What costs or destroys sits on a capital, on Ctrl, or asks first. Keys that some terminals cannot tell from others
(Ctrl+I, Ctrl+M, Ctrl+H, Ctrl+[) and the prefixes of tmux and screen (Ctrl+B, Ctrl+A) are nobody's. Letters are for
places where nothing is typed. `[keys]` in the settings gives an action other keys, by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias

from textual.binding import Binding
from textual.keys import key_to_character

Place: TypeAlias = Literal[
    "everywhere", "chat", "composer", "messages", "compare", "list", "chats", "library", "reading", "viewer", "log"
]

TRAPS: Mapping[str, str] = {
    "ctrl+i": "terminals send it as Tab",
    "ctrl+m": "terminals send it as Enter",
    "ctrl+h": "terminals send it as Backspace",
    "ctrl+left_square_bracket": "terminals send it as Esc",
    "ctrl+b": "tmux keeps it for itself",
    "ctrl+a": "screen keeps it for itself",
}
"""Keys that arrive as another one, or not at all, and why."""

ROOM_OF: Mapping[str, str] = {
    "chat": "chat",
    "composer": "chat",
    "messages": "chat",
    "compare": "chat",
    "library": "documents",
    "log": "logs",
}
"""The room that a place is in; places without one are in several."""

PLACES: Mapping[Place, str] = {
    "everywhere": "Everywhere",
    "chat": "Chat",
    "composer": "Chat, writing",
    "messages": "Chat, on a message",
    "compare": "Comparing",
    "list": "Lists",
    "chats": "The list of chats",
    "library": "Documents",
    "reading": "Reading a document",
    "viewer": "A document and its citations",
    "log": "Logs",
}


class Action(NamedTuple):
    """Something that a key does. `name` is what settings and tests call it; its method is `action_` and `does`."""

    place: Place
    name: str
    keys: tuple[str, ...]
    """As Textual names them; the first one is shown."""
    words: str
    """What the footer and the palette say."""
    help: str
    """A sentence for the help."""
    does: str = ""
    """The action string; empty means the name."""
    dangerous: bool = False
    """Costs or destroys: asks first, and is not bound in read-only mode."""
    first: bool = False
    """Comes before what the widget with the focus would do with the key."""
    footer: int = 0
    """How early the footer shows it, 1 first; 0 leaves it to the help."""

    @property
    def id(self) -> str:
        return f"{self.place}.{self.name}"


_ROOMS = (("Chat", "chat"), ("Machines", "machines"), ("Documents", "documents"), ("Images", "images"),
          ("Gateway", "gateway"), ("Costs", "costs"), ("Logs", "log"))  # fmt: skip

ACTIONS: tuple[Action, ...] = (
    # Everywhere
    Action("everywhere", "help", ("f1", "question_mark"), "Help", "The keys that work here and what they do; ? where "
           "nothing is typed.", footer=90),
    Action("everywhere", "palette", ("ctrl+p",), "Commands", "Every action by name.", footer=91),
    *(
        Action("everywhere", f"room_{words.lower()}", (f"f{number + 1}", f"alt+{number}"), words, f"Go to the {name}.",
               f"room('{words.lower()}')", first=True)
        for number, (words, name) in enumerate(_ROOMS, 1)
    ),
    Action("everywhere", "cancel", ("ctrl+c",), "Cancel", "Copy what is selected, else stop the answer, else clear the "
           "text (it stays in the history), else leave on a second press.", first=True),
    Action("everywhere", "quit", ("ctrl+q",), "Quit", "Leave; asks first while something bills.", "leave", first=True,
           footer=92),
    Action("everywhere", "suspend", ("ctrl+z",), "Suspend", "Back to the shell; fg comes back here.", "suspend_process",
           first=True),
    Action("everywhere", "theme", (), "Theme", "Choose the colours.", "choose_theme"),
    Action("everywhere", "dismiss_toasts", ("alt+d",), "Dismiss", "Take away the messages in the corner."),
    # Lists
    Action("list", "up", ("up", "k"), "Up", "To the row above.", "move(-1)"),
    Action("list", "down", ("down", "j"), "Down", "To the row below.", "move(1)"),
    Action("list", "page_up", ("pageup",), "Page up", "A page up.", "page(-1)"),
    Action("list", "page_down", ("pagedown",), "Page down", "A page down.", "page(1)"),
    Action("list", "first", ("home", "g"), "First", "To the first row."),
    Action("list", "last", ("end", "G"), "Last", "To the last row."),
    Action("list", "choose", ("enter",), "Choose", "Choose the row."),
    # The list of chats, while its filter is typed: letters go there
    Action("chats", "title", ("ctrl+r",), "Rename", "Give the chat another title.", first=True, footer=1),
    Action("chats", "pin", ("ctrl+s",), "Pin", "Keep the chat on top of the list, or no longer.", first=True, footer=2),
    Action("chats", "tags", ("ctrl+t",), "Tags", "Give the chat tags; #tag in the filter finds them.", first=True,
           footer=3),
    Action("chats", "save_as", ("ctrl+o",), "Export", "Write the chat to a file, Markdown or JSON.", first=True,
           footer=4),
    Action("chats", "remove", ("ctrl+d",), "Delete", "Delete the chat; it can be brought back for a week.",
           dangerous=True, first=True, footer=5),
    Action("chats", "bring_back", ("ctrl+y", "alt+u"), "Undo", "Bring back the chat that was deleted last.", first=True,
           footer=6),
    Action("chats", "removed", ("ctrl+g",), "Deleted", "Show the deleted chats, or the others again.", first=True,
           footer=7),
    # Chat
    Action("chat", "new_chat", ("ctrl+n",), "New chat", "Begin a new chat.", footer=20),
    Action("chat", "off_record", ("alt+n",), "Off the record",
           "Begin a chat of which nothing is kept but what it cost, or come back to it."),
    Action("chat", "model", ("ctrl+l",), "Model", "Choose the model that answers.", footer=10),
    Action("chat", "chats", ("ctrl+g",), "Chats", "The list of chats.", footer=15),
    Action("chat", "search", ("ctrl+f",), "Search", "Search in everything that was said.", footer=16),
    Action("chat", "stop", ("escape",), "Stop", "Stop the answer; once more drops the questions that wait."),
    Action("chat", "sidebar", ("ctrl+backslash",), "Sidebar", "Show or hide the list of chats at the left."),
    Action("chat", "parameters", ("ctrl+t",), "Parameters", "Temperature and the like, for this chat."),
    Action("chat", "system", ("ctrl+y",), "System prompt", "The instruction of this chat, and personas."),
    Action("chat", "compare", ("ctrl+k",), "Compare", "Put one question to several models, side by side.",
           dangerous=True),
    Action("chat", "rename", ("f9",), "Rename", "Give this chat another title."),
    Action("chat", "export", (), "Export", "Write this chat to a file."),
    Action("chat", "delete_chat", (), "Delete chat", "Delete this chat; it can be brought back for a week.",
           dangerous=True),
    # Chat, writing
    Action("composer", "enter", ("enter",), "Send", "Send; with `[chat] enter_sends = false` a new line.", footer=1),
    Action("composer", "other_enter", ("shift+enter", "alt+enter", "ctrl+enter"), "New line or send",
           "Where the terminal tells it from Enter: a new line; with `enter_sends = false` it sends."),
    Action("composer", "newline", ("ctrl+j",), "New line", "A new line, in every terminal.", footer=2),
    Action("composer", "send", ("ctrl+s",), "Send now", "Send, in every terminal and whatever Enter does."),
    Action("composer", "edit_in_editor", ("ctrl+o",), "Editor", "Write in $VISUAL or $EDITOR.", footer=5),
    Action("composer", "search_history", ("ctrl+r",), "History", "Find a prompt among those of the past.", footer=6),
    Action("composer", "paste", ("ctrl+v",), "Paste", "Paste, or attach the image that is in the clipboard."),
    Action("composer", "clear_line", ("ctrl+u",), "Clear line", "Remove what stands before the cursor in its line."),
    Action("composer", "undo", ("ctrl+underscore", "ctrl+slash", "alt+z", "super+z"), "Undo",
           "Take the last edit back."),
    Action("composer", "redo", ("alt+y", "alt+shift+z", "super+shift+z"), "Redo", "Make the undone edit again."),
    Action("composer", "remove_last", ("ctrl+backspace",), "Remove chip",
           "Remove the last chip; without chips the word before the cursor."),
    Action("composer", "leave", ("escape",), "Messages", "Close what is open, else stop the answer, else go to the "
           "messages.", footer=8),
    Action("composer", "messages", ("alt+up",), "Up", "Go to the messages, whatever is under way."),
    # Chat, on a message
    Action("messages", "write", ("tab",), "Write", "Back to writing.", footer=1),
    Action("messages", "unfold", ("enter",), "Unfold", "Open or fold what the model thought and which tools it used; "
           "without any of it back to writing."),
    Action("messages", "older", ("k", "up"), "Older", "The message above."),
    Action("messages", "newer", ("j", "down"), "Newer", "The message below."),
    Action("messages", "top", ("g", "home"), "First", "To the first message."),
    Action("messages", "bottom", ("G", "end"), "Last", "To the end, and stay there."),
    Action("messages", "page_down", ("space", "pagedown"), "Page down", "A page down."),
    Action("messages", "page_up", ("shift+space", "pageup"), "Page up", "A page up."),
    Action("messages", "copy", ("y",), "Copy", "Copy the message as it was written.", footer=3),
    Action("messages", "copy_block", tuple("123456789"), "Copy code", "Copy the code block of this number."),
    Action("messages", "pick_block", ("Y",), "Copy code …", "Choose the code block to copy."),
    Action("messages", "edit", ("e",), "Edit", "Write the question anew, as a branch.", footer=4),
    Action("messages", "regenerate", ("r",), "Again", "Another answer by the same model, as a branch.", footer=5),
    Action("messages", "regenerate_with", ("R",), "Again with …", "Another answer by a model you choose.",
           dangerous=True),
    Action("messages", "go_on", ("c",), "Continue", "Go on with an answer that was cut off."),
    Action("messages", "branch_left", ("left_square_bracket",), "Branch ‹", "The branch before this one."),
    Action("messages", "branch_right", ("right_square_bracket",), "Branch ›", "The branch after this one."),
    Action("messages", "branches", ("b",), "Branches", "The whole chat as a tree."),
    Action("messages", "beside", ("equals_sign",), "Side by side", "Lay the answers to one question side by side."),
    Action("messages", "exclude", ("x",), "Exclude", "Leave the message out of what is sent, or put it back."),
    Action("messages", "thinking", ("t",), "Thinking", "Unfold or fold what models thought."),
    Action("messages", "raw", ("w",), "Raw", "Show messages as they were written."),
    Action("messages", "details", ("i",), "Details", "Model, machine, tokens, times and money of the message."),
    Action("messages", "view", ("v",), "Source", "Open the document at the place that the answer cites."),
    Action("messages", "sources", ("s",), "Sources", "What was found for the question, and why; x there puts a passage "
           "away and asks again."),
    Action("messages", "open_link", ("o",), "Open", "Open a link of the message."),
    Action("messages", "find", ("slash",), "Find", "Find in this chat.", footer=6),
    Action("messages", "find_next", ("n",), "Next", "The next place found."),
    Action("messages", "find_back", ("N",), "Previous", "The place found before."),
    Action("messages", "end_find", ("escape",), "End", "End the search."),
    # Comparing
    Action("compare", "left", ("left", "h"), "Left", "To the answer at the left.", "side(-1)", footer=2),
    Action("compare", "right", ("right", "l", "tab"), "Right", "To the answer at the right.", "side(1)", footer=3),
    Action("compare", "keep", ("enter",), "Keep", "Go on from this answer; the others stay beside it.",
           first=True, footer=1),
    Action("compare", "back", ("escape", "q"), "Back", "Back to the chat, and keep what was shown.", footer=4),
    # Documents
    Action("library", "search", ("slash",), "Search", "Look for passages in the collection; Tab looks in all of them.",
           footer=1),
    Action("library", "add", ("a",), "Add", "Add files, a folder or an address; so does what is dropped or pasted "
           "here.", footer=2),
    Action("library", "create", ("n",), "New", "Make a collection.", footer=6),
    Action("library", "watch", ("w",), "Watch", "Keep a folder in the collection as its files change.", footer=5),
    Action("library", "read", ("v",), "Read", "Open the document as it was read.", footer=3),
    Action("library", "original", ("o",), "Original", "Open the file in the program of this computer."),
    Action("library", "pick_names", ("f",), "Filter", "Show only documents whose names hold these words."),
    Action("library", "mark", ("space",), "Mark", "Mark the document, or no longer; deeds are for all marked ones."),
    Action("library", "title", ("r",), "Rename", "Give the collection another name."),
    Action("library", "move_to", ("m",), "Move", "Put documents into another collection."),
    Action("library", "tags", ("t",), "Tags", "Give the documents, or the collection, tags."),
    Action("library", "export", ("e",), "Export", "Write the text of all documents of the collection to a folder."),
    Action("library", "remove", ("D", "delete"), "Remove", "Take documents, a collection or a watched folder out; the "
           "files stay where they are.", dangerous=True, footer=7),
    Action("library", "bring_back", ("u",), "Undo", "Add again the documents that were removed last."),
    Action("library", "reindex", ("R",), "Reindex", "Cut and embed the collection anew; the old answers meanwhile."),
    Action("library", "check", ("C",), "Check", "Look whether what is stored and what is found agree, and repair it."),
    Action("library", "get_model", ("M",), "Model", "Get the model that compares by meaning, if it is not here; asks "
           "first."),
    Action("library", "pause", ("p",), "Pause", "Let the reading and embedding rest, or go on with it.", footer=8),
    Action("library", "cancel_work", ("X",), "Cancel", "Leave out what waits to be read or embedded.",
           dangerous=True),
    Action("library", "details", ("i",), "Details", "All that is known of the document or the collection.", footer=4),
    Action("library", "copy_path", ("y",), "Copy", "Copy the path of the document, or the passage."),
    Action("library", "other_list", ("tab",), "Other list", "From the collections to the documents, and back."),
    Action("library", "back", ("escape",), "Back", "End the search, take the filter and the marks away."),
    # Reading
    Action("reading", "up", ("k", "up"), "Up", "A row up.", "by(-1)"),
    Action("reading", "down", ("j", "down"), "Down", "A row down.", "by(1)"),
    Action("reading", "page_up", ("shift+space", "pageup"), "Page up", "A screen up.", "page(-1)"),
    Action("reading", "page_down", ("space", "pagedown"), "Page down", "A screen down.", "page(1)"),
    Action("reading", "top", ("g", "home"), "First", "To the beginning."),
    Action("reading", "bottom", ("G", "end"), "Last", "To the end."),
    # A document and its citations
    Action("viewer", "next_place", ("right_square_bracket",), "Next", "The next place that is cited, in "
           "another document where this one has no more.", footer=1),
    Action("viewer", "previous_place", ("left_square_bracket",), "Previous", "The place that is cited before "
           "this one.", footer=2),
    Action("viewer", "here", ("enter",), "Here", "Back to the place that is cited.", footer=7),
    Action("viewer", "find", ("slash",), "Find", "Find in this document.", footer=4),
    Action("viewer", "next", ("n",), "Next", "The next place found; without a search the next citation.", "step(1)"),
    Action("viewer", "previous", ("N",), "Previous", "The place found before, or the citation before.", "step(-1)"),
    Action("viewer", "copy", ("y",), "Copy", "Copy what is selected, or what is cited and where it is.", footer=5),
    Action("viewer", "original", ("o",), "Original", "Open the file in the program of this computer.", footer=6),
    Action("viewer", "leave", ("escape", "q"), "Close", "End the search, else close the document.", footer=3),
    # Logs
    Action("log", "log_filter", ("slash",), "Filter", "Show only entries in which a pattern is found.", "filter",
           footer=1),
    Action("log", "log_level", ("l",), "Level", "The least level that is shown: debug, info, warning, error.", "level",
           footer=2),
    Action("log", "log_wrap", ("w",), "Wrap", "Break long entries over several lines, or cut them.", "wrap", footer=3),
    Action("log", "log_copy", ("y",), "Copy", "Copy the entry.", "copy", footer=4),
    Action("log", "log_copy_all", ("Y",), "Copy all", "Copy all entries that are shown.", "copy_all"),
    Action("log", "log_save", ("s",), "Save", "Write the entries that are shown to a file.", "save", footer=5),
    Action("log", "log_all", ("escape",), "All", "Take the filter away.", "all"),
)  # fmt: skip


def actions_of(place: Place) -> Iterable[Action]:
    return (action for action in ACTIONS if action.place == place)


def unbound(action: Action) -> str:
    """What stands for a key where an action has none: no key event has such a name, but the settings can replace it."""
    return f"none-{action.id}"


def bindings(place: Place) -> list[Binding]:
    """What a widget or screen of this place binds. The id lets the settings put other keys in their place."""
    return [
        Binding(
            ",".join(action.keys) or unbound(action),
            action.does or action.name,
            action.words,
            id=action.id,
            show=action.footer > 0,
            priority=action.first,
            tooltip=action.help,
        )
        for action in actions_of(place)
    ]


def key_name(key: str) -> str:
    """A key as a person reads it: ^P, Alt+N, F1, Esc, [."""
    *held, last = key.split("+")
    character = key_to_character(last) if len(last) > 1 else None
    last = _NAMES.get(last) or (character if character is not None and character.isprintable() else last)
    if held == ["ctrl"] and len(last) == 1:
        return f"^{last.upper()}"
    if len(last) > 1 or held:
        last = last[:1].upper() + last[1:]
    return "+".join([*(each.capitalize() for each in held), last])


_NAMES = {
    "escape": "Esc",
    "space": "Space",
    "slash": "/",
    "backslash": "\\",
    "underscore": "_",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
}
