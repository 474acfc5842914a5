"""The chat room: the list of chats, the transcript, the composer. The desk does what is done; this shows it.

What is done to a message is in `chat_messages.py`, what is chosen for a whole chat in `chat_choices.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.timer import Timer

from console.chat.drafts import Draft, Drafts, History, is_asked
from console.chat.news import AnswerGrew, AnswerNotice, ChatChanged, ShelfChanged, TurnEnded
from console.chat.questions import Question
from console.errors import ConsoleError, NotFound, explain
from console.library.news import LibraryChanged
from screens import chat_choices, chat_documents, chat_messages, keys
from screens.app import Room
from screens.bridge import Happened
from screens.chat_commands import commands, run_command
from screens.chat_drafts import RoomDrafts, joined
from screens.chat_items import estimate_words, foot_of_live, item_of, waiting_item
from screens.keys import key_name
from screens.widgets.chat_title import ChatTitle
from screens.widgets.composer import Composer
from screens.widgets.composer.pastes import clean
from screens.widgets.footer import Footer
from screens.widgets.ground import Across, Down
from screens.widgets.sidebar import Sidebar
from screens.widgets.status import StatusLine
from screens.widgets.transcript import Item, Transcript
from screens.widgets.welcome import Welcome

if TYPE_CHECKING:
    from console.chat.live import Position
    from console.chat.on_hand import ModelsOnHand
    from console.chat.open_chat import Entry, OpenChat

log = logging.getLogger(__name__)

LISTED = 200
"""How many chats the sidebar shows."""
KEEP_S = 2.0
"""How long leaving waits for a store that somebody else holds, to keep what was being written."""
TICK_S = 1.0
"""How often the words under a growing answer are drawn anew."""


class ChatRoom(Room):
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("chat")]
    AUTO_FOCUS = "PromptArea"
    """From the first frame on; a focus that moves is drawn twice."""
    room_title = "Chat"

    # Made once and held: what is under way beside the screen may end after the widgets left it.
    sidebar: Sidebar
    transcript: Transcript
    composer: Composer
    title_line: ChatTitle
    welcome: Welcome

    def __init__(self) -> None:
        super().__init__()
        self.chat: OpenChat | None = None
        self.editing: str | None = None
        """The question that is being written anew."""
        self._edited = ""
        """Its words as they were."""
        self._set_aside = Draft()
        """What was being written before that."""
        self._is_open = asyncio.Event()
        self._ticker: Timer | None = None
        self._drafts: RoomDrafts | None = None
        self._asking: list[Draft] = []
        """What was sent and is not kept as a question yet."""
        self._sent_drafts: list[tuple[Question, Draft]] = []
        """How questions that may have to wait were written, for when they come back."""
        self._off_record: OpenChat | None = None
        """The chat off the record that was left last; nothing else leads back to it."""
        self._gone: OpenChat | None = None
        """A chat of which it was told that it is deleted."""
        self._on_hand: ModelsOnHand | None = None
        self._has_asked_names = False
        self._positions: dict[str, Position] = {}
        """How much of each growing answer the transcript has."""
        self._collections: Sequence[str] | None = None
        """The names of the collections, as they were read last."""

    def compose(self) -> ComposeResult:
        runtime = self.runtime
        self.sidebar, self.transcript = Sidebar(self.hawser.palette), Transcript(self.hawser.palette)
        self.title_line, self.welcome = ChatTitle(), Welcome()
        self.composer = Composer(
            history=History(runtime.store, runtime.clock),
            folder=Path.cwd(),
            commands=lambda: commands(self),
            collections=lambda: self._collections or (),
            has_library=lambda: True,
            image_from_clipboard=self._clipboard_image,
            enter_sends=runtime.settings.chat.enter_sends,
        )
        self._drafts = RoomDrafts(self.composer, Drafts(runtime.store, runtime.clock))
        yield StatusLine()
        with Across(id="body"):
            yield self.sidebar
            with Down(id="talk"):
                yield self.title_line
                yield self.welcome
                yield self.transcript
                yield self.composer
        yield Footer()

    def on_mount(self) -> None:
        self._ticker = self.set_interval(TICK_S, self._tick, pause=True)
        self.hawser.after_first_frame(self._begin)
        self.app.app_resume_signal.subscribe(self, lambda _: self.looked_at_again())

    def on_screen_resume(self) -> None:
        self.looked_at_again()

    def looked_at_again(self) -> None:
        if self.chat is not None:
            self._look_again()

    async def on_unmount(self) -> None:
        """What is being written is kept, however the app ends."""
        assert self._drafts is not None
        try:
            async with asyncio.timeout(KEEP_S):
                await self._drafts.end(self._set_aside if self.editing is not None else None, self._asking)
        except (ConsoleError, TimeoutError) as error:
            log.warning("the draft is not kept: %s", explain(error).text)

    # ---- which chat is shown

    @work(group="begin")
    async def _begin(self) -> None:
        """After the first frame: the store is opened, and the chat that was open last comes back."""
        desk = self.runtime.desk
        try:
            chat = await desk.latest()
        except ConsoleError as error:  # one can write all the same, and is told again when sending fails
            self.hawser.tell(error)
            chat = None
        if self.chat is None:  # nobody chose another one meanwhile
            self.show_chat(chat or desk.new())
        if chat is None and self.runtime.settings.chat.model is None:  # a first start says who there is
            self._has_asked_names = True
            self._learn_names()
        self._read_list()
        self._clear_out()

    @work(group="clear out")
    async def _clear_out(self) -> None:
        """What was deleted more than a week ago goes for good."""
        try:
            await self.runtime.shelf.clear_out()
        except ConsoleError as error:
            log.info("deleted chats could not be removed: %s", error.text)

    @work(exclusive=True, group="collections")
    async def _learn_collections(self) -> None:
        """What `#` can be followed by; once somebody writes, and again when it changes."""
        self._collections = await chat_documents.names(self)
        self.composer.look_again()

    @work(group="names")
    async def _learn_names(self) -> None:
        """What `/model` can be followed by. Endpoints are asked once somebody writes, and at a first start: until then
        nothing here needs the network, and what speaks to it need not be loaded; and it is there before the question is
        sent."""
        try:
            self._on_hand = await self.runtime.on_hand()
            await self._on_hand.listed()
            await asyncio.to_thread(self.runtime.load_providers)  # longer than a key may wait
            async for _ in self._on_hand.refresh():  # in the background, each with its own limit
                await self._on_hand.listed()
        except ConsoleError as error:
            log.info("the names of models are not known: %s", error.text)
        if self.chat is not None and self.welcome.display:
            self._draw_welcome(self.chat)

    @work(exclusive=True, group="open")
    async def open_chat(self, chat_id: str, message_id: str | None = None) -> None:
        """Show a stored chat, at a message of it or at its end."""
        try:
            chat = await self.runtime.desk.open(chat_id, message_id)
        except ConsoleError as error:
            self.hawser.tell(error)
            if self.chat is None:
                self.show_chat(self.runtime.desk.new())
        else:
            self.show_chat(chat, at=message_id)
        self._read_list()

    def show_chat(self, chat: OpenChat, *, at: str | None = None) -> None:
        """Show it now; what was being written in it comes as soon as it is read."""
        assert self._drafts is not None
        before = self.chat
        if before is chat:
            self.transcript.show(self._items(chat), at=at, earlier=chat.earlier)
            return
        self.workers.cancel_group(self, "look")
        self.end_editing()
        self._drafts.take_away(self.composer.draft())
        self._leave(before, chat)
        self.chat, self._gone = chat, None
        self._positions.clear()
        self.transcript.clear()
        self.transcript.show(self._items(chat), at=at, earlier=chat.earlier)
        self._draw_around(chat)
        self._is_open.set()
        self.composer.set_off_the_record(chat.off_the_record)
        self._bring_draft(chat)
        self._write_drafts()
        self._read_list()

    def _leave(self, before: OpenChat | None, chat: OpenChat) -> None:
        """A chat off the record is in no list, so the room holds the one that was left last."""
        if chat is self._off_record:
            self._off_record = None
        if before is None or not before.off_the_record or not before.entries:
            return
        if self._off_record is not None:
            self._end_unseen(self._off_record)
        self._off_record = before
        if not chat.off_the_record:
            key = next(iter(self.hawser.keys["chat.off_record"]), None)
            way = key_name(key) if key is not None else "/off"
            self.hawser.say(f"The chat off the record is there until you leave Hawser; {way} comes back to it.")

    @work(group="stop")
    async def _end_unseen(self, chat: OpenChat) -> None:
        """What arrives in a chat that nobody can come back to is not paid for."""
        await chat.stop()

    @work(exclusive=True, group="bring")
    async def _bring_draft(self, chat: OpenChat) -> None:
        assert self._drafts is not None
        draft = await self._drafts.bring(chat)
        chips = await chat_documents.chips_of(self, chat.among, draft)
        if self.chat is chat:
            self._drafts.place(chat, Draft(draft.text, (*draft.chips, *chips)))
            chat_documents.follow(self, (*draft.chips, *chips))
            self._write_drafts()
            self.estimate()

    @work(group="draft")
    async def _write_drafts(self) -> None:
        assert self._drafts is not None
        try:
            await self._drafts.write()
        except ConsoleError as error:
            log.warning("the draft is not kept: %s", error.text)
            self.composer.note(f"What you write is not kept: {error.text}", "warn")

    def put_back(self, draft: Draft) -> None:
        """Words that were sent and not asked, in front of what was written since."""
        self.composer.set_draft(joined(draft, self.composer.draft()))
        self._note_draft()

    def _note_draft(self) -> None:
        assert self._drafts is not None
        if self.editing is None and self._drafts.changed():
            self._write_drafts()

    @work(exclusive=True, group="look")
    async def _look_again(self) -> None:
        """Another window may have changed what is shown here."""
        chat = self.chat
        if chat is None:
            return
        self._read_list()
        try:
            await chat.read_again()
        except NotFound:
            if self.chat is chat and self._gone is not chat:
                self._gone = chat
                self.composer.note("This chat is deleted. What you ask next begins a new one.", "warn")
        except ConsoleError as error:
            log.info("the chat could not be read again: %s", error.text)
        else:
            self._gone = None

    def show_message(self, message_id: str) -> None:
        """Show the branch as it is now, at a message of it."""
        if self.chat is not None:
            self.transcript.show(self._items(self.chat), at=message_id, earlier=self.chat.earlier)

    def _items(self, chat: OpenChat) -> list[Item]:
        items = [self._item(chat, entry) for entry in chat.entries]
        count = len(chat.waiting)
        held = chat.is_held
        return items + [
            waiting_item(question, number, count, is_held=held) for number, question in enumerate(chat.waiting, 1)
        ]

    def _item(self, chat: OpenChat, entry: Entry) -> Item:
        message_id = entry.message.id
        live = chat.lives.get(message_id)
        if live is not None:
            *_, self._positions[message_id] = live.since()
        return item_of(entry, self.runtime.clock.now(), live)

    def _draw_around(self, chat: OpenChat) -> None:
        self.title_line.show(chat, self.runtime.settings.chat.model)
        if self._ticker is not None:
            if chat.is_busy:
                self._ticker.resume()
            else:
                self._ticker.pause()
        if not chat.is_busy:
            self.hawser.standing.set_speed(None)
        is_empty = not chat.entries and not chat.waiting
        self.transcript.display = not is_empty
        self.welcome.display = is_empty
        if is_empty:
            self._draw_welcome(chat)

    def _draw_welcome(self, chat: OpenChat) -> None:
        settings = self.runtime.settings
        endpoints = settings.endpoints
        model = chat.model or settings.chat.model
        is_alone = not endpoints
        if model is None and self._on_hand is not None and self._on_hand.latest.groups:
            listing = self._on_hand.latest
            models = [row for row in listing.rows if row.kind != "name"]
            is_alone = not models and all(listing.groups[name].standing == "silent" for name in endpoints)
            if models and len(endpoints) == 1:  # the router takes the first one of an only endpoint
                model = models[0].label
        self.welcome.show(model=model, is_alone=is_alone, off_the_record=chat.off_the_record)

    # ---- what happens

    def on_happened(self, happened: Happened) -> None:
        chat = self.chat
        match happened.event:
            case AnswerGrew(chat=key, message_id=message_id) if chat is not None and key == chat.key:
                self._grow(chat, message_id)
            case ChatChanged(key=key):
                if chat is not None and key == chat.key:
                    self.transcript.show(self._items(chat), earlier=chat.earlier)
                    self._draw_around(chat)
                    self._note_draft()  # it may be kept in another place from now on
                    self.estimate()
                self._read_list()
            case AnswerNotice(chat=key) if chat is not None and key == chat.key:
                self._notice(happened.event)
            case TurnEnded():
                self._read_list()
            case LibraryChanged() if self._collections is not None:
                self._learn_collections()
            case ShelfChanged(chat_id=chat_id, what=what):
                if chat is not None and chat_id == chat.id:
                    self._kept_otherwise(chat, what)
                self._read_list()
            case _:
                pass

    @work(exclusive=True, group="kept")
    async def _kept_otherwise(self, chat: OpenChat, what: str) -> None:
        """The open chat was renamed in the list of chats, or deleted there."""
        try:
            if what == "deleted":
                await chat.settled()
                if self.chat is chat:
                    self.show_chat(self.runtime.desk.new())
            elif what == "renamed" and chat.id is not None and (row := await self.runtime.shelf.row(chat.id)):
                chat.title, chat.titled_by = row.title, "person"
                if self.chat is chat:
                    self._draw_around(chat)
        except ConsoleError as error:
            self.hawser.tell(error)

    def _grow(self, chat: OpenChat, message_id: str) -> None:
        live = chat.lives.get(message_id)
        if live is None:  # it has ended, and the news of that is on its way
            return
        before = self._positions.get(message_id)
        text, thinking, position = live.since(before) if before is not None else live.since()
        self._positions[message_id] = position
        if before is None or before.era != position.era:
            self.transcript.show(self._items(chat), earlier=chat.earlier)
        else:
            self.transcript.grow(message_id, text, thinking)

    def _tick(self) -> None:
        """The words under what grows: what it waits for and for how long, how fast it comes."""
        chat = self.chat
        if chat is None:
            return
        fastest = None
        for message_id, live in chat.lives.items():
            self.transcript.set_foot(message_id, tuple(foot_of_live(live, self.runtime.clock.monotonic())))
            fastest = max(filter(None, (fastest, live.tokens_per_s)), default=None)
        self.hawser.standing.set_speed(fastest)

    def _notice(self, notice: AnswerNotice) -> None:
        """What concerns one answer is drawn under it; what concerns money, context or keeping is told beside."""
        if notice.kind == "documents":
            self._show_sources(notice.message_id)
        if notice.kind in ("money", "context", "store", "queue", "moved", "skipped", "fallback"):
            self.hawser.warn("\n".join(filter(None, (notice.text, notice.hint))))

    def _show_sources(self, message_id: str | None) -> None:
        """Those of an answer that has not begun to be written."""
        chat = self.chat
        entry = chat_messages.entry_of(chat, message_id) if chat is not None and message_id is not None else None
        if chat is not None and entry is not None and entry.message.id in self._positions:
            self.transcript.replace(entry.message.id, self._item(chat, entry))

    @work(exclusive=True, group="list")
    async def _read_list(self) -> None:
        await asyncio.sleep(0.05)  # many changes are one reading; a newer one takes the place of this
        if not self.sidebar.display:
            return
        try:
            rows, total = await self.runtime.shelf.recent(LISTED)
        except ConsoleError as error:
            self.sidebar.say(error.text)
            return
        live = {chat.id for chat in self.runtime.desk.busy if chat.id}
        current = self.chat.id if self.chat is not None else None
        self.sidebar.show_chats(rows, total, self.runtime.clock.now(), current=current, live=live)

    # ---- the composer

    async def _clipboard_image(self) -> Path | None:
        from console.clipboard_images import ClipboardImages

        return await ClipboardImages(self.runtime.paths.cache / "clipboard", self.runtime.environment).take()

    @on(Composer.Sent)
    def _sent(self, sent: Composer.Sent) -> None:
        sent.stop()
        editing = self.editing
        self.end_editing(bring_back=False)
        self._asking.append(sent.draft)
        self._ask(self.chat, sent, editing)

    @work(group="ask")
    async def _ask(self, chat: OpenChat | None, sent: Composer.Sent, editing: str | None) -> None:
        if chat is None:
            await self._is_open.wait()
            chat = self.chat
        assert chat is not None
        question = sent.question._replace(among=chat_documents.among(sent.draft))
        written = (question, sent.draft)
        self._sent_drafts.append(written)
        try:
            if editing is not None:
                await chat.edit(editing, sent.question.text)
                if not all(map(is_asked, sent.draft.chips)):
                    self.hawser.warn("A question that is written anew keeps the files it had. Send these with another.")
                    self.put_back(Draft("", sent.draft.chips))
            else:
                await chat.check(question)
                await chat.ask(question)
        except ConsoleError as error:  # nothing the user wrote disappears
            self.hawser.tell(error)
            self._asking.remove(sent.draft)
            self._sent_drafts.remove(written)
            if editing is not None and self.chat is chat and not self.composer.draft():
                self.begin_editing(editing, sent.draft.text)
            else:
                self.put_back(sent.draft)
            return
        self._asking.remove(sent.draft)
        waiting = [id(each) for each in chat.waiting]
        self._sent_drafts = [each for each in self._sent_drafts if id(each[0]) in waiting]
        if self.chat is chat:
            self.transcript.to_end()

    @on(Composer.Changed)
    def _changed(self, changed: Composer.Changed) -> None:
        changed.stop()
        if not self._has_asked_names and changed.draft.text:
            self._has_asked_names = True
            self._learn_names()
        if self._collections is None and changed.draft.text:
            self._collections = ()
            self._learn_collections()
        self._note_draft()
        self._note_among()
        self.estimate()

    @work(exclusive=True, group="among")
    async def _note_among(self) -> None:
        """Chips of documents that came or went are the chat's from now on."""
        chat, asked = self.chat, chat_documents.among(self.composer.draft())
        if chat is None or self.editing is not None or self._drafts is None or not self._drafts.shows(chat):
            return
        try:
            await chat.set_among(asked)
        except ConsoleError as error:
            log.info("the documents of this chat are not kept: %s", error.text)

    @on(Composer.ForDocuments)
    def _for_documents(self, dropped: Composer.ForDocuments) -> None:
        dropped.stop()
        chat_documents.add_dropped(self, dropped.paths)

    @on(Composer.Command)
    def _command(self, command: Composer.Command) -> None:
        command.stop()
        run_command(self, command.name, command.rest)

    @on(Composer.Left)
    def _left(self, left: Composer.Left) -> None:
        """Esc: what is under way is stopped first; without that, to the messages."""
        left.stop()
        if left.by_escape and (self.editing is not None or (self.chat is not None and self._can_stop(self.chat))):
            self.action_stop()
        elif self.transcript.items:
            self.transcript.focus()

    @work(exclusive=True, group="estimate")
    async def estimate(self) -> None:
        """What sending would take, at the edge of the composer, and how full the window is, in the title."""
        chat, composer = self.chat, self.composer
        if chat is None:
            return
        if not composer.draft() and not chat.entries:  # what would count has not to be loaded for nothing
            self.title_line.show_window(None)
            composer.set_estimate("", "muted")
            return
        asked = chat_documents.among(composer.draft())
        question = Question(composer.text, composer.attachments, among=asked)
        try:
            estimate = await chat.estimate(question)
        except ConsoleError as error:
            log.info("no estimate: %s", error.text)
            return
        self.title_line.show_window(estimate)
        composer.set_estimate(*estimate_words(estimate) if composer.draft() else ("", "muted"))

    def end_editing(self, *, bring_back: bool = True) -> None:
        """Leave the question as it was; what was being written before comes back."""
        if self.editing is None:
            return
        self.editing = None
        self.composer.note("")
        if bring_back and self.composer.text != self._edited:
            self.composer.clear_to_history()
        if bring_back or self._set_aside:
            self.composer.set_draft(self._set_aside)
        self._set_aside = Draft()

    def begin_editing(self, message_id: str, text: str) -> None:
        if self.editing is None:
            self._note_draft()
            self._set_aside = self.composer.draft()
        text = clean(text)
        self.editing, self._edited = message_id, text
        self.composer.set_draft(Draft(text))
        self.composer.note("Enter asks it in these words, beside the old question. Esc leaves it as it was.")
        self.composer.focus()

    # ---- what the keys do

    def _can_stop(self, chat: OpenChat) -> bool:
        return chat.is_busy or bool(chat.waiting)

    def action_stop(self) -> None:
        chat = self.chat
        if self.editing is not None:
            self.end_editing()
        elif chat is not None and self._can_stop(chat):
            self._stop(chat)
        else:
            self.composer.focus()

    @work(group="stop")
    async def _stop(self, chat: OpenChat) -> None:
        try:
            stopped = await chat.stop()
        except ConsoleError as error:
            self.hawser.tell(error)
            return
        if stopped.waiting:
            written = {id(question): draft for question, draft in self._sent_drafts}
            self.put_back(joined(*(written.get(id(each)) or Draft(each.text) for each in stopped.waiting)))

    def cancel_something(self) -> bool:
        """Ctrl+C: stop what is under way, else put what is written into the history."""
        if self.editing is not None or (self.chat is not None and self._can_stop(self.chat)):
            self.action_stop()
            return True
        return self.composer.clear_to_history()

    def action_sidebar(self) -> None:
        self.sidebar.toggle()

    def action_new_chat(self) -> None:
        self.show_chat(self.runtime.desk.new())
        self.composer.focus()

    def action_off_record(self) -> None:
        """Back to the chat off the record that was left; from one in which something was said, another one."""
        is_in_one = self.chat is not None and self.chat.off_the_record and bool(self.chat.entries)
        left = None if is_in_one else self._off_record
        self.show_chat(left or self.runtime.desk.new(off_the_record=True))
        self.composer.focus()

    def action_chats(self) -> None:
        chat_choices.find_chat(self)

    def action_search(self) -> None:
        chat_choices.search(self)

    def action_model(self) -> None:
        chat_choices.choose_model(self)

    def action_parameters(self) -> None:
        chat_choices.set_parameters(self)

    def action_system(self) -> None:
        chat_choices.write_system(self)

    def action_compare(self) -> None:
        chat_choices.compare(self)

    def action_rename(self) -> None:
        chat_choices.rename(self)

    def action_export(self) -> None:
        chat_choices.export(self)

    def action_delete_chat(self) -> None:
        chat_choices.delete(self)

    # ---- the lists and the messages

    @on(Sidebar.Picked)
    def _picked(self, picked: Sidebar.Picked) -> None:
        picked.stop()
        self.open_chat(picked.chat_id)
        self.composer.focus()

    @on(Sidebar.Shown)
    def _list_shown(self, shown: Sidebar.Shown) -> None:
        """By its key, or because the terminal became wide enough."""
        shown.stop()
        if self.chat is not None:  # else it is the first frame, which waits for no store
            self._read_list()

    @on(Sidebar.AllWanted)
    def _all_wanted(self, wanted: Sidebar.AllWanted) -> None:
        wanted.stop()
        chat_choices.find_chat(self)

    @on(Transcript.Wanted)
    def _wanted(self, wanted: Transcript.Wanted) -> None:
        wanted.stop()
        chat_messages.do(self, wanted.action, wanted.item)

    @on(Transcript.EarlierWanted)
    def _earlier_wanted(self, wanted: Transcript.EarlierWanted) -> None:
        wanted.stop()
        if self.chat is not None:
            self._read_earlier(self.chat, all_of_them=wanted.all)

    @work(group="earlier")
    async def _read_earlier(self, chat: OpenChat, *, all_of_them: bool) -> None:
        try:
            await (chat.read_earlier(None) if all_of_them else chat.read_earlier())
        except ConsoleError as error:
            self.hawser.tell(error)

    @on(Transcript.Copied)
    def _copied(self, copied: Transcript.Copied) -> None:
        copied.stop()
        self.hawser.copy(copied.text, copied.what)

    @on(Transcript.SourceOpened)
    def _source_opened(self, opened: Transcript.SourceOpened) -> None:
        opened.stop()
        entry = chat_messages.entry_of(self.chat, opened.item.id) if self.chat is not None else None
        if entry is not None:
            chat_documents.view(self, entry.message, opened.number)

    @on(Transcript.LinkOpened)
    def _link_opened(self, opened: Transcript.LinkOpened) -> None:
        opened.stop()
        chat_messages.open_link(self, opened.url)

    # ---- what slash commands can be followed by

    @property
    def model_names(self) -> Sequence[str]:
        """What `/model` can be followed by, as far as it is known without asking anybody."""
        return [row.name for row in self._on_hand.latest.rows] if self._on_hand is not None else []

    @property
    def template_names(self) -> Sequence[str]:
        from console.chat.templates import template_names

        return template_names(self.runtime.paths.templates)

    @property
    def is_private(self) -> bool:
        """Whether what is shown must leave no trace, such as the last frame."""
        return self.chat is not None and self.chat.off_the_record
