"""The composer: text, chips, and the help that opens while one types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from console.chat.drafts import AddedDocuments, AttachedFile, Chip, Collection, Draft, History, PastedText, is_asked
from console.chat.questions import Question
from console.errors import ConsoleError
from console.text import neutralise, plural
from screens.keys import bindings
from screens.widgets.composer.area import PromptArea
from screens.widgets.composer.chips import ChipRow, ShownChip
from screens.widgets.composer.choices import Choices
from screens.widgets.composer.commands import Command as SlashCommand
from screens.widgets.composer.commands import nearest, written_command
from screens.widgets.composer.helping import Help
from screens.widgets.composer.intake import Intake
from screens.widgets.composer.past import Walk
from screens.widgets.composer.pastes import clean, fits, is_quick
from screens.widgets.composer.question import DropQuestion
from screens.widgets.composer.shelf import ChipShelf

if TYPE_CHECKING:
    from console.chat.attachments import Attachment

CHANGED_AFTER_S = 0.25
"""How long a draft may be newer than what the app was told."""

_STYLES = {"muted": "$text-muted", "ok": "$text-success", "warn": "$text-warning", "bad": "$text-error"}


class Composer(Widget):
    """`commands`, `collections` and `has_library` are asked whenever they matter, and must answer at once."""

    DEFAULT_CSS = """
    Composer {
        height: auto; width: 1fr; layout: vertical; background: $surface;
        border: round $border; border-title-color: $text-muted; border-subtitle-color: $text-muted; padding: 0 1;
    }
    Composer:focus-within { border: round $primary; }
    Composer.-ok { border-subtitle-color: $text-success; }
    Composer.-warn { border-subtitle-color: $text-warning; }
    Composer.-bad { border-subtitle-color: $text-error; }
    Composer PromptArea {
        height: auto; min-height: 1; max-height: 33vh; background: $surface; border: none; padding: 0;
    }
    Composer ChipRow { display: none; }
    Composer .note { display: none; height: auto; max-height: 2; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("composer")]

    class Sent(Message):
        """The question to ask. `draft` is all of it as it was written, to be put back if it cannot be asked."""

        def __init__(self, question: Question, collections: tuple[str, ...], draft: Draft) -> None:
            super().__init__()
            self.question = question
            self.collections = collections
            self.draft = draft

    class Changed(Message):
        """The draft is another one; told a quarter of a second after the last change at the latest."""

        def __init__(self, draft: Draft) -> None:
            super().__init__()
            self.draft = draft

    class Command(Message):
        def __init__(self, name: str, rest: str) -> None:
            super().__init__()
            self.name = name
            self.rest = rest

    class ForDocuments(Message):
        """Files that were dropped shall go to the documents."""

        def __init__(self, paths: tuple[Path, ...]) -> None:
            super().__init__()
            self.paths = paths

    class Left(Message):
        """To the messages: Esc with nothing open, or a key that means nothing else."""

        def __init__(self, *, by_escape: bool) -> None:
            super().__init__()
            self.by_escape = by_escape

    def __init__(
        self,
        *,
        history: History,
        folder: Path,
        commands: Callable[[], Sequence[SlashCommand]] = tuple,
        collections: Callable[[], Sequence[str]] = tuple,
        has_library: Callable[[], bool] = bool,
        image_from_clipboard: Callable[[], Awaitable[Path | None]] | None = None,
        enter_sends: bool = True,
        id: str | None = None,  # noqa: A002 - Textual's name
    ) -> None:
        super().__init__(id=id)
        self.history = history
        self._commands = commands
        self._enter_sends = enter_sends
        self._image_from_clipboard = image_from_clipboard
        self._walk = Walk(lambda: history.recent)
        self._told: Draft = Draft()
        self._telling: Timer | None = None
        self._sends_when_read = False
        self._is_off_the_record = False
        self.area = PromptArea(self)
        self.row = ChipRow()
        self.choices = Choices()
        self.question = DropQuestion()
        self._note = Static("", classes="note", markup=False)
        self._shelf = ChipShelf(self._chips_changed, self._chip_refused)
        self._help = Help(
            self.area,
            self.choices,
            history,
            folder,
            commands=commands,
            collections=collections,
            send=self.action_send,
            add=self._add,
            write=self._write_past,
            note=self.note,
        )
        self._intake = Intake(
            self.area,
            self.question,
            has_library=has_library,
            add=self._add,
            to_documents=self._to_documents,
            note=self.note,
        )
        self._doubted = ""
        """A text that looks like a command nobody knows, which was said."""

    def compose(self) -> ComposeResult:
        yield self.choices
        yield self.row
        yield self.question
        yield self.area
        yield self._note

    def on_mount(self) -> None:
        self.set_enter_sends(self._enter_sends)
        later = getattr(self.app, "after_first_frame", self.call_later)
        later(self._load_history)

    def _load_history(self) -> None:
        self.run_worker(self._storing(self.history.load()), group="history")

    async def on_unmount(self) -> None:
        await self._help.close()
        await self._shelf.close()

    # ---- what others read and set

    @property
    def text(self) -> str:
        return self.area.text

    @property
    def selected_text(self) -> str:
        return self.area.selected_text

    @property
    def chips(self) -> tuple[Chip, ...]:
        return self._shelf.chips

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """What has been read so far, for estimates."""
        return tuple(each.attachment for each in self._shelf.attached)

    def draft(self) -> Draft:
        return Draft(self.text, self.chips)

    def set_draft(self, draft: Draft) -> None:
        """Another chat's draft: there is no way back to the one before, which has been told."""
        self._intake.answer("insert")
        self._tell()
        self._walk.end()
        self.area.load_text(draft.text)
        self.area.move_cursor(self.area.document.end)
        self._help.be_quiet()
        self._shelf.put(draft.chips)
        self._told = draft

    def set_off_the_record(self, off_the_record: bool) -> None:
        """What is sent off the record is found again with Up only until one is back on it, and nowhere is it stored."""
        if self._is_off_the_record and not off_the_record:
            self._walk.end()
            self.history.forget()
        self._is_off_the_record = off_the_record

    def set_estimate(self, text: str, style: str = "muted") -> None:
        """What sending would cost, at the lower edge."""
        self.border_subtitle = Content(neutralise(text))
        for each in _STYLES:
            self.set_class(each == style, f"-{each}")

    def set_enter_sends(self, enter_sends: bool) -> None:
        self._enter_sends = enter_sends
        self.area.placeholder = (
            "Enter sends · Ctrl+J new line · / commands · @ files"
            if enter_sends
            else "Ctrl+S sends · Enter new line · / commands · @ files"
        )

    def note(self, text: str, style: str = "muted") -> None:
        """One line below the text, until something is typed."""
        shown = neutralise(text)
        self._note.update(Content(shown) if style == "muted" else Content.styled(shown, _STYLES[style]))
        self._note.display = bool(text)

    def _tell_error(self, error: ConsoleError) -> None:
        self.note(f"{error.text} {error.hint or ''}".rstrip(), "bad")

    def focus(self, scroll_visible: bool = True) -> Composer:
        self.area.focus(scroll_visible)
        return self

    def clear_to_history(self) -> bool:
        """Put what is written away, to be found again with Up; False if there is nothing."""
        draft = self.draft()
        if not self._says_something(draft):
            return False
        self._clear(draft)
        return True

    @staticmethod
    def _says_something(draft: Draft) -> bool:
        """Documents that are asked are no question by themselves."""
        return bool(draft.text) or not all(map(is_asked, draft.chips))

    # ---- sending

    def action_enter(self) -> None:
        if self.area.before_cursor.endswith("\\") and self.area.cursor_at_end_of_line:
            self.area.action_delete_left()
            self.action_newline()
        elif self._enter_sends:
            self.action_send()
        else:
            self.action_newline()

    def other_enter(self) -> None:
        if self._enter_sends:
            self.action_newline()
        else:
            self.action_send()

    action_other_enter = other_enter

    def action_newline(self) -> None:
        self.area.type("\n")

    def action_send(self) -> None:
        draft = self.draft()
        if self.question.is_open or (not draft.text.strip() and all(map(is_asked, draft.chips))):
            return
        command = written_command(draft.text)
        if command is not None and self._knows(command[0]):
            self.post_message(self.Command(*command))
            self._clear(Draft(draft.text), keep_chips=True)
        elif self._intake.may_be_dropped(draft.text):
            self.run_worker(self._send_unless_dropped(draft.text), group="dropped", exclusive=True)
        elif command is not None and draft.text != self._doubted:
            near = nearest(command[0], self._commands())
            meant = f" Did you mean /{near}?" if near else ""
            self.note(f"There is no command /{command[0]}.{meant} Enter once more sends it as text.", "warn")
            self._doubted = draft.text
        elif self._shelf.is_reading:
            self._sends_when_read = True
            self.note("Sent as soon as the attachments are read.")
        else:
            question = Question(draft.text.strip("\n"), self.attachments)
            self.post_message(self.Sent(question, self._shelf.collections, draft))
            self._clear(draft)

    def _knows(self, name: str) -> bool:
        return any(command.name == name for command in self._commands())

    async def _send_unless_dropped(self, text: str) -> None:
        if not await self._intake.is_dropped(text):
            self.action_send()

    def _clear(self, put_away: Draft, *, keep_chips: bool = False) -> None:
        if self._is_off_the_record:
            self.history.remember(put_away)
        else:
            self.history.put_away(put_away)
            self.run_worker(self._storing(self.history.write()), group="history")
        self._sends_when_read = False
        self._walk.end()
        self._help.shut()
        self.area.replace_all("")
        if not keep_chips:
            self._shelf.put(self._shelf.asked)
        self.note("")
        self._tell()

    async def _storing(self, work: Awaitable[None]) -> None:
        """History is a comfort: without it one can write all the same."""
        try:
            await work
        except ConsoleError as error:
            self.note(error.text, "warn")

    # ---- editing

    def action_clear_line(self) -> None:
        self.area.action_delete_to_start_of_line()

    def action_undo(self) -> None:
        self.area.undo()

    def action_redo(self) -> None:
        self.area.redo()

    def action_edit_in_editor(self) -> None:
        self._help.shut()
        self.run_worker(self._edit_in_editor(), group="editor", exclusive=True)

    async def _edit_in_editor(self) -> None:
        from screens.widgets.composer.elsewhere import write_in_editor

        before = self.text
        try:
            after = clean(await write_in_editor(self.app, before))
        except ConsoleError as error:
            self._tell_error(error)
        else:
            if after != before:
                self._write_past(after if is_quick(after) else "")
                if not is_quick(after):
                    self._add(PastedText(after))
        self.area.focus()

    async def action_paste(self) -> None:
        """Ctrl+V, from terminals that pass it on: an image from the clipboard, else what was copied in here."""
        self.run_worker(self._paste(), group="clipboard", exclusive=True)

    async def _paste(self) -> None:
        image = None
        if self._image_from_clipboard is not None:
            try:
                image = await self._image_from_clipboard()
            except ConsoleError as error:
                self._tell_error(error)
                return
        if image is not None:
            self._add(AttachedFile(str(image)))
        elif self.app.clipboard:
            await self.takes_paste(self.app.clipboard)
        else:
            self.note("There is no image in the clipboard that can be read from here.")

    # ---- keys and pastes

    def takes_key(self, event: events.Key) -> bool:
        if self._note.display:
            self.note("")
        return self._intake.takes_key(event) or self._help.takes_key(event)

    async def takes_paste(self, text: str) -> None:
        self._help.shut()
        await self._intake.paste(text)

    @on(DropQuestion.Answered)
    def _answered_by_mouse(self, event: DropQuestion.Answered) -> None:
        event.stop()
        self._intake.answer(event.answer)

    def add(self, *chips: Chip) -> None:
        """Put chips behind the others."""
        self._add(*chips)

    def look_again(self) -> None:
        """What can be completed is more, or less, than it was."""
        self._help.look()

    def tell_of(self, chip: Chip, words: str) -> None:
        """Say something of a chip, behind its name, as long as it is there."""
        self._shelf.tell(chip, words)

    def _to_documents(self, paths: tuple[Path, ...]) -> None:
        self.post_message(self.ForDocuments(paths))

    # ---- chips

    def _add(self, *chips: Chip) -> None:
        without_room = self._shelf.add(*chips)
        if without_room:
            self.note(f"There is no room for {plural(without_room, 'more chip')}.", "warn")

    # ---- the past

    def at_edge(self, step: int) -> None:
        if step < 0 and self._shelf.shown and not self._walk.is_on:
            self.row.focus()
        else:
            self._walk_by(-step)

    def _walk_by(self, by: int) -> None:
        draft = self._walk.step(self.draft(), by)
        if draft is None:
            return
        self.area.replace_all(draft.text)
        if by > 0:  # at the end of the first line, so that the next Up goes on
            self.area.move_cursor((0, len(self.area.document.get_line(0))))
        self._shelf.put(tuple(dict.fromkeys((*self._shelf.asked, *draft.chips))))
        self._help.be_quiet()

    def action_search_history(self) -> None:
        self._help.open_past()

    def _write_past(self, text: str) -> None:
        self._walk.end()
        self.area.replace_all(text)
        self._help.be_quiet()

    def action_leave(self) -> None:
        self.post_message(self.Left(by_escape=True))

    def action_messages(self) -> None:
        self.post_message(self.Left(by_escape=False))

    def _chips_changed(self) -> None:
        self.row.show_chips(self._shelf.shown)
        if not self._shelf.shown and self.row.has_focus:
            self.area.focus()
        self._plan_telling()
        if self._sends_when_read and not self._shelf.is_reading:
            self._sends_when_read = False
            self.action_send()

    def _chip_refused(self, chip: Chip, error: ConsoleError) -> None:
        self._sends_when_read = False
        if isinstance(chip, AttachedFile):
            self.area.type(chip.path)
        self._tell_error(error)

    @on(ChipRow.Removed)
    def _remove_chip(self, event: ChipRow.Removed) -> None:
        event.stop()
        self._shelf.remove(event.number)

    @on(ChipRow.Expanded)
    def _expand_chip(self, event: ChipRow.Expanded) -> None:
        event.stop()
        shown = self._shelf.find(event.number)
        if shown is not None:
            self._expand(shown)

    def _expand(self, shown: ShownChip) -> None:
        match shown.chip:
            case PastedText(text) if fits(self.area, text):
                self._shelf.remove(shown.number)
                self.area.type(text)
                self.area.focus()
            case PastedText():
                self.note("This is too long to be written in here; it is sent whole.")
            case AttachedFile():
                self.note(shown.chip.path)
            case Collection():
                self.note(f"Every question of this chat is put to the documents of {shown.chip.name}.")
            case AddedDocuments():
                self.note(f"Every question of this chat is put to {shown.chip.name}.")

    @on(ChipRow.LeftRow)
    def _leave_chips(self, event: ChipRow.LeftRow) -> None:
        event.stop()
        self.area.focus()
        if event.step < 0:
            self._walk_by(1)

    def action_remove_last(self) -> None:
        if self._shelf.shown:
            self._shelf.remove(self._shelf.shown[-1].number)
        else:
            self.area.action_delete_word_left()

    # ---- telling of changes

    @on(PromptArea.Changed)
    def _text_changed(self, event: PromptArea.Changed) -> None:
        event.stop()
        self.call_after_refresh(self._help.catch_up)  # the key is seen first
        self._plan_telling()

    @on(Choices.Picked)
    def _picked(self, event: Choices.Picked) -> None:
        event.stop()
        self._help.take(runs=True)

    @on(PromptArea.SelectionChanged)
    def _cursor_moved(self, event: PromptArea.SelectionChanged) -> None:
        event.stop()
        self._help.moved()

    def _plan_telling(self) -> None:
        if self._telling is None and self.is_mounted:
            self._telling = self.set_timer(CHANGED_AFTER_S, self._tell, name="draft")

    def _tell(self) -> None:
        if self._telling is not None:
            self._telling.stop()
            self._telling = None
        draft = self.draft()
        if draft != self._told:
            self._told = draft
            self.post_message(self.Changed(draft))
