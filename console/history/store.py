"""The only door to `hawser.db`: one connection, on one thread, used by many processes at once.

Opening reads the file's first page and nothing else, however large it is. A write is one immediate transaction and is
done when the call returns. What can go wrong with a file (locked, read-only, full, of a later version, damaged) comes
out as a `StoreError` with a plain sentence; a damaged file is kept aside and its contents are brought into a fresh one,
and `notices` says what became of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from console.clock import Clock
from console.errors import ConsoleError, SettingsError, StoreDamaged, StoreError, StoreReadOnly, StoreTooNew
from console.history import chats, messages, schema
from console.history.among import NO_DOCUMENTS, Among
from console.history.chats import Chat, ChatSummary, TitledBy
from console.history.messages import StoredAttachment, StoredMessage
from console.history.places import daily_copy, damage_mark
from console.history.rows import to_ms
from console.history.trouble import Busy, Damaged, IndexDamaged, Moved, locked, translate, translate_os
from console.paths import Paths, private_folder

if TYPE_CHECKING:
    from console.history.books import Limit, Spent
    from console.history.breakers import Breaker
    from console.history.models_seen import SeenModel
    from console.history.search import Hit
    from console.history.sources import Source
    from console.history.turns import BegunTurn, NewChat
    from console.money.ledger import LedgerEntry

_log = logging.getLogger(__name__)

T = TypeVar("T")

WAIT_S = 10.0
"""How long a call waits for another process to let go of the file."""

CACHE_KIB = 512
"""Pages that SQLite keeps in every process; the system's own cache, which all share, has the rest of the file."""

_BUSY_S = 0.05
"""How long SQLite itself waits before it says busy; between two tries the loop is free."""

SMALL_BYTES = 16 * 1024 * 1024
"""A store up to this size is copied when it is closed; a larger one by a process of its own."""


class Turn(NamedTuple):
    chat_id: str
    question_id: str
    answer_id: str


class Store:
    """Open it with `open`, close it with `close`. Every method may wait for other processes and raise `StoreError`."""

    def __init__(self, paths: Paths, clock: Clock, *, wait_s: float = WAIT_S) -> None:
        self.paths = paths
        self.read_only = False
        self.notices: list[str] = []
        """Plain sentences about what was repaired, restored or lost; whoever opened the store shows them."""
        self._clock = clock
        self._wait_s = wait_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._connection: sqlite3.Connection | None = None
        self._file_id: tuple[int, int] | None = None
        self._write_turn = asyncio.Lock()
        self._has_written = False

    @classmethod
    async def open(cls, paths: Paths, clock: Clock, *, wait_s: float = WAIT_S) -> Store:
        store = cls(paths, clock, wait_s=wait_s)
        try:
            await store._patiently(store._connect)
        except BaseException:
            await store._stop()
            raise
        return store

    async def close(self, *, leave: bool = False) -> None:
        """End in a few milliseconds; on a day's first writes a copy is made, or begun if the store is large.

        A process that ends right after may `leave` the file as it is: everything is committed, and SQLite's tidying up
        at the last close (writing the log back and syncing the disk, 10 ms and more) is left to who opens it next.
        """
        try:
            if self._has_written:
                await self._on_thread(self._daily_backup)
        finally:
            if leave:
                self._thread.shutdown(wait=False)
            else:
                await self._stop()

    async def run(self, work: Callable[[sqlite3.Connection], T], *, write: bool = False) -> T:
        """Run `work` on the store's thread, in one transaction, and again from its start while the file is locked.

        With `write` the transaction is an immediate one; it is committed when `work` returns and undone if it raises.
        """
        if not write:
            return await self._patiently(lambda: self._attempt(work, "BEGIN"))
        if self.read_only:
            raise StoreReadOnly(
                f"The history {str(self.paths.store_file)!r} can be read but not written.",
                hint="Set HAWSER_HOME to a folder that can be written.",
            )
        # Writers of one process go in the order in which they asked, also when one of them has to try again.
        async with self._write_turn:
            result = await self._patiently(lambda: self._attempt(work, "BEGIN IMMEDIATE"))
        self._has_written = True
        return result

    async def back_up_if_due(self) -> None:
        """Make the day's copy unless there is one. `close` does too; a program that runs for days calls it itself."""
        await self._on_thread(self._daily_backup)

    # Chats and messages

    async def add_chat(self, title: str = "", *, system: str | None = None, client: str) -> Chat:
        return await self._write(lambda c: chats.add(c, self._now(), title, system=system, client=client))

    async def chat(self, id_or_prefix: str) -> Chat:
        return await self.run(lambda c: chats.get(c, id_or_prefix))

    async def latest_chat(self) -> Chat | None:
        return await self.run(lambda c: chats.latest(c, self._now()))

    async def chats(self, limit: int | None = None) -> list[ChatSummary]:
        return await self.run(lambda c: chats.summaries(c, limit))

    async def rename_chat(self, chat_id: str, title: str, by: TitledBy = "person") -> bool:
        return await self._write(lambda c: chats.rename(c, chat_id, title, by))

    async def set_system(self, chat_id: str, system: str | None) -> None:
        await self._write(lambda c: chats.set_system(c, chat_id, system))

    async def set_model(self, chat_id: str, model: str | None) -> None:
        await self._write(lambda c: chats.set_model(c, chat_id, model))

    async def set_params(self, chat_id: str, params: Mapping[str, Any]) -> None:
        await self._write(lambda c: chats.set_params(c, chat_id, params))

    async def set_persona(self, chat_id: str, persona: str | None) -> None:
        await self._write(lambda c: chats.set_persona(c, chat_id, persona))

    async def set_among(self, chat_id: str, among: Among) -> None:
        await self._write(lambda c: chats.set_among(c, chat_id, among))

    async def pin_chat(self, chat_id: str, pinned: bool) -> None:
        await self._write(lambda c: chats.pin(c, self._now(), chat_id, pinned))

    async def tag_chat(self, chat_id: str, tags: Sequence[str]) -> None:
        await self._write(lambda c: chats.tag(c, chat_id, tuple(tags)))

    async def put_away_chat(self, chat_id: str) -> None:
        """Delete a chat so that `bring_back_chat` finds it as it was, until `purge_chats`."""
        await self._write(lambda c: chats.put_away(c, self._now(), chat_id))

    async def bring_back_chat(self, chat_id: str) -> None:
        await self._write(lambda c: chats.bring_back(c, chat_id))

    async def purge_chats(self, before: datetime) -> int:
        return await self._write(lambda c: chats.purge(c, to_ms(before)))

    async def delete_chat(self, chat_id: str) -> int:
        return await self._write(lambda c: chats.delete(c, chat_id))

    async def add_question(
        self, chat_id: str, parent_id: str | None, text: str, *, attachments: Sequence[StoredAttachment] = ()
    ) -> str:
        return await self._write(
            lambda c: messages.add_question(c, self._now(), chat_id, parent_id, text, attachments=attachments)
        )

    async def begin_answer(
        self,
        chat_id: str,
        parent_id: str | None,
        *,
        model: str | None,
        endpoint: str | None,
        machine: str | None = None,
    ) -> str:
        return await self._write(
            lambda c: messages.begin_answer(
                c, self._now(), chat_id, parent_id, model=model, endpoint=endpoint, machine=machine
            )
        )

    async def begin_turn(
        self,
        chat_id: str | None,
        parent_id: str | None,
        text: str,
        *,
        client: str,
        title: str = "",
        system: str | None = None,
        attachments: Sequence[StoredAttachment] = (),
        model: str | None = None,
        endpoint: str | None = None,
        machine: str | None = None,
        among: Among = NO_DOCUMENTS,
    ) -> Turn:
        """Question and begun answer in one transaction; without `chat_id` in a fresh chat."""

        def work(connection: sqlite3.Connection) -> Turn:
            now_ms = self._now()
            chat = chat_id or chats.add(connection, now_ms, title, system=system, client=client, among=among).id
            question = messages.add_question(connection, now_ms, chat, parent_id, text, attachments=attachments)
            answer = messages.begin_answer(
                connection, now_ms, chat, question, model=model, endpoint=endpoint, machine=machine
            )
            return Turn(chat, question, answer)

        return await self._write(work)

    async def begin_answers(
        self,
        chat: str | NewChat,
        parent_id: str | None,
        text: str,
        *,
        attachments: Sequence[StoredAttachment] = (),
        attachments_of: str | None = None,
        answers: int = 1,
    ) -> BegunTurn:
        """A question with one or several empty answers in one transaction, perhaps in a fresh chat."""
        from console.history import turns

        return await self._write(
            lambda c: turns.begin(
                c,
                self._now(),
                chat,
                parent_id,
                text,
                attachments=attachments,
                attachments_of=attachments_of,
                answers=answers,
            )
        )

    async def answer_again(self, chat_id: str, question_id: str, answers: int = 1) -> BegunTurn:
        from console.history import turns

        return await self._write(lambda c: turns.answer(c, self._now(), chat_id, question_id, answers))

    async def take_up_answer(self, message_id: str) -> StoredMessage:
        from console.history import turns

        return await self._write(lambda c: turns.take_up(c, message_id))

    async def note_answerer(self, message_id: str, model: str, endpoint: str) -> None:
        from console.history import turns

        await self._write(lambda c: turns.note_answerer(c, message_id, model, endpoint))

    async def cut_branch(self, chat_id: str, message_id: str) -> str | None:
        from console.history import turns

        return await self._write(lambda c: turns.cut_branch(c, chat_id, message_id))

    async def append_answer(self, message_id: str, text: str, thinking: str = "") -> None:
        await self._write(lambda c: messages.append_answer(c, message_id, text, thinking))

    async def void_answer(self, message_id: str) -> None:
        await self._write(lambda c: messages.void_answer(c, message_id))

    async def end_answer(
        self,
        message_id: str,
        *,
        state: Literal["complete", "stopped", "failed"],
        text: str = "",
        thinking: str = "",
        finish: str | None = None,
        error: str | None = None,
        model: str | None = None,
        endpoint: str | None = None,
        machine: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        estimated: bool = False,
        cost_usd: Decimal | None = None,
        first_token_ms: float | None = None,
        total_ms: float | None = None,
        notes: Mapping[str, Any] | None = None,
        entry: LedgerEntry | None = None,
    ) -> None:
        """Close an answer: what was appended, then `text` and `thinking`, become its text.

        An `entry` is booked in the same transaction.
        """

        def work(connection: sqlite3.Connection) -> None:
            messages.end_answer(
                connection,
                self._now(),
                message_id,
                state=state,
                text=text,
                thinking=thinking,
                finish=finish,
                error=error,
                model=model,
                endpoint=endpoint,
                machine=machine,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                estimated=estimated,
                cost_usd=cost_usd,
                first_token_ms=first_token_ms,
                total_ms=total_ms,
                notes=notes,
            )
            if entry is not None:
                from console.history import books

                books.book(connection, entry)

        await self._write(work)

    async def path(self, chat_id: str, leaf: str | None = None, *, contents: bool = True) -> list[StoredMessage]:
        """From the first message to `leaf`, or to the active leaf; without `contents` attachments come empty."""
        return await self.run(lambda c: messages.path(c, chat_id, leaf, contents=contents))

    async def tree(self, chat_id: str, *, contents: bool = True) -> list[StoredMessage]:
        return await self.run(lambda c: messages.tree(c, chat_id, contents=contents))

    async def message(self, message_id: str) -> StoredMessage:
        return await self.run(lambda c: messages.get(c, message_id))

    async def siblings(self, message_id: str) -> list[str]:
        return await self.run(lambda c: messages.siblings(c, message_id))

    async def exclude(self, message_ids: Sequence[str], excluded: bool) -> None:
        await self._write(lambda c: messages.exclude(c, message_ids, excluded))

    async def put_sources(self, message_id: str, found: Sequence[Source]) -> None:
        """Keep the passages that an answer is given, or those with what the check of its quotes found."""
        from console.history import sources

        await self._write(lambda c: sources.put(c, message_id, found))

    async def exclude_source(self, message_id: str, n: int, excluded: bool) -> None:
        """Put a passage away, or take it back: what is put away is not given to a model again in its chat."""
        from console.history import sources

        await self._write(lambda c: sources.exclude(c, message_id, n, excluded))

    async def excluded_passages(self, chat_id: str) -> tuple[bytes, ...]:
        """The hashes of the chunks that were put away in a chat."""
        from console.history import sources

        return await self.run(lambda c: sources.excluded_hashes(c, chat_id))

    async def show_branch(self, chat_id: str, message_id: str) -> str:
        return await self._write(lambda c: messages.show_branch(c, chat_id, message_id))

    async def recover(self) -> list[StoredMessage]:
        """Close the answers that dead processes left behind; one look at an empty index where there are none."""
        if not await self.run(messages.unfinished):
            return []
        return await self._write(lambda c: messages.recover(c, self._now()))

    async def search(self, query: str, *, limit: int = 20, chat: str | None = None) -> list[Hit]:
        from console.history import search

        return await self.run(lambda c: search.search(c, query, limit=limit, chat_id=chat))

    # What all processes share: models, breakers and books. Loaded by those who ask.

    async def remember_models(self, endpoint: str, models: Sequence[SeenModel]) -> None:
        from console.history import models_seen

        await self._write(lambda c: models_seen.remember(c, self._now(), endpoint, models))

    async def models_seen(self, endpoint: str | None = None) -> list[SeenModel]:
        from console.history import models_seen

        return await self.run(lambda c: models_seen.every(c, endpoint))

    async def breakers(self) -> dict[str, Breaker]:
        from console.history import breakers

        return await self.run(breakers.every)

    async def note_failure(self, endpoint: str, at: datetime, until: datetime | None) -> int:
        from console.history import breakers

        return await self._write(lambda c: breakers.note_failure(c, endpoint, at, until))

    async def note_success(self, endpoint: str) -> None:
        """Forget an endpoint's failures; writes nothing where there are none, which is nearly always."""
        from console.history import breakers

        if endpoint in await self.run(breakers.every):
            await self._write(lambda c: breakers.note_success(c, endpoint))

    async def book(self, entry: LedgerEntry) -> None:
        from console.history import books

        await self._write(lambda c: books.book(c, entry))

    async def entries(self, since: datetime, until: datetime) -> list[LedgerEntry]:
        from console.history import books

        return await self.run(lambda c: books.entries(c, since, until))

    async def spent(self, since: datetime, until: datetime) -> Spent:
        from console.history import books

        return await self.run(lambda c: books.spent(c, since, until))

    async def reserve(self, amount_usd: Decimal, what: str) -> str:
        reservation = await self.reserve_within(amount_usd, what, ())
        assert reservation is not None
        return reservation

    async def reserve_within(self, amount_usd: Decimal, what: str, limits: Sequence[Limit]) -> str | None:
        """Set money aside unless that would break a limit; one step, also when two processes ask at once."""
        from console.history import books

        return await self._write(lambda c: books.reserve(c, self._now(), amount_usd, what, limits))

    async def settle(self, reservation_id: str) -> None:
        from console.history import books

        await self._write(lambda c: books.settle(c, reservation_id))

    # The connection and its thread

    def _now(self) -> int:
        return to_ms(self._clock.now())

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self.run(work, write=True)

    async def _on_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _patiently(self, call: Callable[[], T]) -> T:
        """Do `call` on the thread; wait while others hold the file, and repair what can be repaired, each once."""
        began = self._clock.monotonic()
        repairs: list[type[Exception]] = []
        while True:
            try:
                return await self._on_thread(call)
            except Busy as busy:
                limit_s = max(self._wait_s, busy.wait_s or 0)
                if self._clock.monotonic() - began >= limit_s:
                    raise await self._on_thread(partial(locked, self.paths.store_file, limit_s)) from busy
                await self._clock.sleep(random.uniform(0.005, 0.05))  # noqa: S311
            except Moved:
                await self._on_thread(self._connect)
            except (IndexDamaged, Damaged) as damage:
                if type(damage) in repairs or self.read_only:
                    raise StoreDamaged(
                        f"The history {str(self.paths.store_file)!r} is damaged.",
                        hint="hawser doctor --restore brings back a copy.",
                    ) from damage
                repairs.append(type(damage))
                await self._patiently(self._rebuild_index if isinstance(damage, IndexDamaged) else self._rescue)

    def _attempt(self, work: Callable[[sqlite3.Connection], T], begin: str) -> T:
        if self._connection is None:  # a repair could not be finished, for want of room perhaps
            self._connect()
        connection = self._connection
        assert connection is not None
        try:
            connection.execute(begin)
            try:
                # After the lock is held: whoever replaces the file takes the lock of the old one first.
                if self._identity() != self._file_id:
                    raise Moved
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                # SQLite undoes some failures (a full disk) by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise translate(error, self.paths.store_file) from error
        return result

    def _identity(self) -> tuple[int, int] | None:
        try:
            stat = os.stat(self.paths.store_file)  # noqa: PTH116
        except OSError:
            return None
        return stat.st_dev, stat.st_ino

    def _connect(self) -> None:
        path = self.paths.store_file
        self._disconnect()  # a repair on the way to the first connection has left one
        try:
            if self._identity() is None:
                self._create_file()
            self._open_file()
            assert self._connection is not None
            version, application = self._version()
            if version != schema.VERSION or application != schema.APPLICATION_ID:
                self._bring_up_to_date(version, application)
            if (mark := damage_mark(self.paths)).exists():
                mark.unlink()
                raise Damaged
        except sqlite3.Error as error:
            self._disconnect()
            raise translate(error, path) from error
        except BaseException:
            self._disconnect()
            raise

    def _create_file(self) -> None:
        try:
            private_folder(self.paths.data)
        except SettingsError as error:
            raise StoreReadOnly(error.text, hint=error.hint) from error
        try:
            # SQLite gives its side files the rights of this one.
            os.close(os.open(self.paths.store_file, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise StoreReadOnly(
                f"The history {str(self.paths.store_file)!r} cannot be made: {error.strerror or error}.",
                hint="Set HAWSER_HOME to a folder that can be written.",
            ) from error

    def _open_file(self) -> None:
        path = self.paths.store_file
        self._file_id = self._identity()
        self.read_only = not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
        if self.read_only:
            # Without the right to make the side files, SQLite reads a file only if told that nobody changes it.
            alone = "" if path.with_name(path.name + "-wal").exists() else "&immutable=1"
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro{alone}", uri=True, isolation_level=None, timeout=_BUSY_S
            )
        else:
            connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)
        self._connection = connection
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA foreign_keys = ON")

    def _version(self) -> tuple[int, int]:
        assert self._connection is not None
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        return version, application

    def _bring_up_to_date(self, version: int, application: int) -> None:
        assert self._connection is not None
        if version > schema.VERSION and application == schema.APPLICATION_ID:
            raise StoreTooNew(
                f"The history was made by a later version of Hawser (its format is {version}, this one knows"
                f" {schema.VERSION}).",
                hint="Update Hawser, or set HAWSER_HOME to another folder.",
            )
        if version == 0 and self._is_empty():
            self._make_tables()
            if self.paths.backups.exists():
                self.notices.append(
                    "The history was not there and a new one was begun, but there are copies of an earlier one;"
                    " hawser doctor --restore brings one back."
                )
        elif application != schema.APPLICATION_ID:
            raise StoreError(f"{str(self.paths.store_file)!r} is a database, but not a history of Hawser.")
        elif self.read_only:
            raise StoreReadOnly(
                "The history is of an earlier format and cannot be written, so it cannot be brought up to date."
            )
        else:
            from console.history import migrations  # only an upgrade pays for sqlite-utils

            notice = migrations.upgrade(self._connection, self.paths, self._clock.now())
            self.notices += [notice] if notice else []

    def _is_empty(self) -> bool:
        assert self._connection is not None
        return self._connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None

    def _make_tables(self) -> None:
        connection = self._connection
        assert connection is not None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            if self._is_empty():  # another process may have been first
                schema.create(connection, self._now())
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _daily_backup(self) -> None:
        today = self._clock.now().date()
        if daily_copy(self.paths, today).exists():
            return
        from console.history import backups  # once a day

        try:
            if self.paths.store_file.stat().st_size > SMALL_BYTES:
                backups.make_daily_elsewhere(self.paths)
            else:
                backups.make_daily(self.paths, today)
        except StoreDamaged:
            damage_mark(self.paths).touch(mode=0o600)
        except (sqlite3.Error, OSError, ConsoleError) as error:
            # What was written is safe without it, and the next one who writes tries again.
            _log.warning("The daily copy of the history could not be made.", extra={"error": str(error)})

    def _rescue(self) -> None:
        from console.history import rescue

        damaged = self._file_id
        self._disconnect()
        try:
            self.notices += rescue.rescue(self.paths, self._clock.now(), damaged)
        except sqlite3.Error as error:
            raise translate(error, self.paths.store_file) from error
        except OSError as error:
            raise translate_os(error, self.paths.store_file) from error
        self._connect()

    def _rebuild_index(self) -> None:
        self._attempt(schema.rebuild_index, "BEGIN IMMEDIATE")
        self.notices.append("The search index was damaged and has been made again; nothing is lost.")

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _stop(self) -> None:
        try:
            await self._on_thread(self._disconnect)
        finally:
            self._thread.shutdown(wait=False)
