"""The list that helps while one types: which one is open, what the keys do to it, what is taken from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from textual import events
from textual.document._document import Location

from console.chat.drafts import AttachedFile, Chip, Collection, History
from console.errors import ConsoleError
from screens.fuzzy import fitting
from screens.widgets.composer.area import PromptArea
from screens.widgets.composer.choices import Choice, Choices
from screens.widgets.composer.commands import Command
from screens.widgets.composer.completion import Files, Token, argument_choices, command_choices, token_at

COLLECTION = "collection:"
_FOR_THE_LIST = frozenset({"up", "down", "tab", "enter", "escape"})


class Help:
    """`send` sends what is written, `add` makes a chip, `write` puts a past prompt in place of the text."""

    def __init__(
        self,
        area: PromptArea,
        choices: Choices,
        history: History,
        folder: Path,
        *,
        commands: Callable[[], Sequence[Command]],
        collections: Callable[[], Sequence[str]],
        send: Callable[[], None],
        add: Callable[[Chip], None],
        write: Callable[[str], None],
        note: Callable[[str, str], None],
    ) -> None:
        self._area = area
        self._choices = choices
        self._history = history
        self._commands = commands
        self._collections = collections
        self._send = send
        self._add = add
        self._write = write
        self._note = note
        self._files = Files(folder, self.look)
        self._token: Token | None = None
        self._refused: tuple[str, int, int] | None = None
        """The place of a token whose list was closed with Esc."""
        self._quiet_text = ""
        self._looked_at: tuple[str, Location] = ("", (0, 0))
        self._past_words: str | None = None
        """What is looked for among past prompts, while that list is open."""
        self._search: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._choices.is_open

    def shut(self) -> None:
        self._choices.shut()
        self._past_words = None
        self._token = None
        self._files.stop()

    def be_quiet(self) -> None:
        """The present text was not typed: no list opens over it until it is changed."""
        self.shut()
        self._quiet_text = self._area.text

    async def close(self) -> None:
        if self._search is not None:
            self._search.cancel()
            await asyncio.wait([self._search])
        await self._files.close()

    # ---- completing

    def catch_up(self) -> None:
        """Look, unless the present text has been looked at: after a key has been drawn, or before one for the list."""
        if self._looked_at != (self._area.text, self._area.cursor_location):
            self.look()

    def look(self) -> None:
        """See what stands before the cursor, and open, refresh or close the list."""
        self._looked_at = (self._area.text, self._area.cursor_location)
        if self._past_words is not None:
            return
        token = None
        if self._area.selection.is_empty and self._area.text != self._quiet_text:
            row = self._area.cursor_location[0]
            token = token_at(row, self._area.before_cursor)
        if token is None or token.place != self._refused:
            self._refused = None
        if token is None or self._refused is not None:
            if self.is_open:
                self.shut()
            return
        self._token = token
        rows = self._rows(token)
        if rows:
            self._choices.open(rows)
        else:
            self._choices.shut()

    def moved(self) -> None:
        """The cursor is elsewhere: a list that is open must fit, but none opens."""
        if self.is_open:
            self.look()

    def _rows(self, token: Token) -> list[Choice]:
        match token.kind:
            case "command":
                return command_choices(token.words, self._commands())
            case "argument":
                return argument_choices(token, self._commands())
            case "collection":
                return self._collection_rows(token.words)
            case "file":
                self._files.want()
                return [*self._collection_rows(token.words), *self._files.choices(token.words)]

    def _collection_rows(self, words: str) -> list[Choice]:
        found = fitting(words, self._collections(), str)[:5]
        return [Choice(COLLECTION + name, f"#{name}", "documents") for name in found]

    def take(self, *, runs: bool) -> None:
        """Take what is chosen in the list that is open; `runs` lets a command that is complete do its work."""
        choice, is_past, token = self._choices.chosen, self._past_words is not None, self._token
        if is_past:
            self.shut()
            if choice is not None:
                self._write(choice.value)
            return
        if token is None or choice is None:
            return
        self._choices.shut()
        match token.kind:
            case "command":
                command = next(each for each in self._commands() if each.name == choice.value)
                is_ready = runs and not command.arguments
                self._replace(token, choice.value if is_ready else f"{choice.value} ")
                if is_ready:
                    self._send()
            case "argument":
                self._replace(token, choice.value)
                if runs:
                    self._send()
            case "collection":
                self._replace(token, "")
                self._add(Collection(choice.value.removeprefix(COLLECTION)))
            case "file" if choice.value.startswith(COLLECTION):
                name = choice.value.removeprefix(COLLECTION)
                self._replace(token, f"{name} ")
                self._add(Collection(name))
            case "file":
                self._replace(token, f"{choice.value} ")
                self._add(AttachedFile(str(self._files.path(choice.value))))

    def _replace(self, token: Token, text: str) -> None:
        area = self._area
        end = area.cursor_location
        if area.document.get_line(token.row)[end[1] :].startswith(" "):
            text = text.rstrip(" ")
        area.history.checkpoint()
        result = area.replace(text, (token.row, token.start), end, maintain_selection_offset=False)
        area.move_cursor(result.end_location)
        area.history.checkpoint()

    # ---- past prompts

    def open_past(self) -> None:
        if self._past_words is not None:
            self._choices.step(1)
            return
        self.shut()
        self._past_words = ""
        self._look_for_past()

    def _look_for_past(self) -> None:
        if self._search is not None:
            self._search.cancel()
        self._search = asyncio.get_running_loop().create_task(self._show_past(), name="past prompts")

    async def _show_past(self) -> None:
        words = self._past_words
        if words is None:
            return
        try:
            found = await self._history.search(words)
        except ConsoleError as error:
            self.shut()
            self._note(error.text, "warn")
            return
        if words == self._past_words:
            self._choices.open([Choice(text, text) for text in found], head=f"Past prompts: {words}▏")

    # ---- keys

    def takes_key(self, event: events.Key) -> bool:
        if self._past_words is not None:
            return self._past_takes(event)
        if event.key in _FOR_THE_LIST:
            self.catch_up()
        return self.is_open and self._list_takes(event.key)

    def _list_takes(self, key: str) -> bool:
        match key:
            case "up" | "down":
                self._choices.step(-1 if key == "up" else 1)
            case "tab":
                self.take(runs=False)
            case "enter":
                if self._is_written_out():
                    self.shut()
                    return False
                self.take(runs=True)
            case "escape":
                self._refused = self._token.place if self._token is not None else None
                self.shut()
            case _:
                return False
        return True

    def _is_written_out(self) -> bool:
        """A whole command was typed and nothing else was chosen: Enter means that command as it stands."""
        token = self._token
        if token is None or self._choices.here:
            return False
        if token.kind == "command":
            return any(token.words == command.name for command in self._commands())
        return token.kind == "argument" and not token.words

    def _past_takes(self, event: events.Key) -> bool:
        assert self._past_words is not None
        match event.key:
            case "up" | "down":
                self._choices.step(-1 if event.key == "up" else 1)
            case "ctrl+r":
                self._choices.step(1)
            case "enter" | "tab":
                self.take(runs=False)
            case "escape":
                self.shut()
            case "backspace":
                self._past_words = self._past_words[:-1]
                self._look_for_past()
            case "ctrl+u" | "ctrl+w":
                self._past_words = ""
                self._look_for_past()
            case _ if event.is_printable and event.character is not None:
                self._past_words += event.character
                self._look_for_past()
            case _:
                return False
        return True
