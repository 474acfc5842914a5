"""The documents as the rest of the program uses them: what is there, adding to it, and passages for a question.

What is there is read from `documents.db` by threads of this process. Whatever changes it goes to the worker, which is
started when it is first needed. A question goes to the worker if one is up, and otherwise straight to what is stored.
All of it raises `ConsoleError`s only.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from console.errors import ConsoleError, LibraryError, NotAgreed, NoWorker, TimeLimit, WorkerFailed
from console.history.among import Among
from console.library.news import LibraryChanged, LibraryProgress, LibraryStatus, What
from console.library.trouble import told

if TYPE_CHECKING:
    from console.clock import Clock
    from console.events import Bus
    from console.history.chats import Chat
    from console.library.client import WorkerClient
    from console.library.directly import Manner
    from console.library.look import Looked
    from console.paths import Paths
    from console.settings import RagSettings
    from rag.documents import Added, Collection, Document, Finding, Folder, Retrieved, Wanted
    from rag.readers import DocumentText
    from rag.store import DocumentStore

log = logging.getLogger(__name__)

T = TypeVar("T")

USUAL = "documents"
"""The collection of whatever was added without naming one."""
ASK_LIMIT_S = 30.0
"""How long a worker that is up may take for a question before what is stored is asked without it."""
WAIT_TURN_S = 0.5
MOST_WAITED_FOR = 1_000

_ABOUT: dict[str, What] = {"watch": "folders", "unwatch": "folders", "add": "documents", "move": "documents"}


class Library:
    """Made by the runtime; nothing is opened, started or connected before it is needed."""

    def __init__(
        self,
        paths: Paths,
        settings: RagSettings,
        clock: Clock,
        bus: Bus,
        *,
        manner: Callable[[], Manner],
        remote: Callable[[str], str | None],
        connect: Callable[..., Awaitable[WorkerClient]] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """`manner` says how a question is asked without the worker; `remote` who gets the text that the embedder of
        this name or identity embeds, None if it stays on this computer; `connect` is how the worker is found, and
        `environment` what one lives in that is started."""
        self._paths = paths
        self._settings = settings
        self._clock = clock
        self._bus = bus
        self._manner = manner
        self._remote = remote
        self._connect = connect
        self._environment = environment
        self._status = LibraryStatus()
        self._opening = Lock()
        self._store: DocumentStore | None = None
        self._stores: list[DocumentStore] = []
        """Also those of files that were replaced: another thread may still be reading one."""
        self._client: WorkerClient | None = None
        self._connecting = asyncio.Lock()
        self._listening: asyncio.Task[None] | None = None

    # ---- what is there; none of these starts a worker

    @property
    def status(self) -> LibraryStatus:
        """As it was told last; never waits."""
        return self._status

    async def follow(self, *, start: bool = False) -> bool:
        """Hear of changes and progress from the worker that is up, if one is; with `start` one is started.
        They come as `LibraryChanged` and `LibraryProgress` on the bus. Calling it again does nothing."""
        try:
            await self._worker(start=start)
            if self._status.index_kind is None:
                await self.ask_status(start=start)
        except NoWorker:
            return False
        except ConsoleError as error:  # it is there; what it cannot do is said by whoever wants it
            log.info("the documents' worker did not tell how it is: %s", error.text)
        return True

    async def ask_status(self, *, start: bool = True) -> LibraryStatus:
        """As it is now, told to everybody as well. `NoWorker` when none is up and none is to be started."""
        with told():
            self._tell(_status(await (await self._worker(start=start)).call("status")))
        return self._status

    async def collections(self) -> list[Collection]:
        return await self._read(lambda store: store.collections())

    async def collection(self, name: str) -> Collection:
        """`NotFound` with names near it."""
        return await self._read(lambda store: store.collection(name))

    async def documents(
        self, collection: str | None = None, *, after: int = 0, most: int = 200, matching: str = "", skip: int = 0
    ) -> list[Document]:
        """In the order in which they were added; `after` is the id of the last one that is already known, and `skip`
        is how many are passed over after that."""
        return await self._read(
            lambda store: store.documents(collection, after=after, most=most, matching=matching, skip=skip)
        )

    async def count(self, collection: str, matching: str) -> int:
        """How many documents of a collection have these words in their path."""
        return await self._read(lambda store: store.count(collection, matching))

    async def document(self, document_id: int) -> Document:
        return await self._read(lambda store: store.document(document_id))

    async def text(self, document_id: int) -> DocumentText:
        return await self._read(lambda store: store.text(document_id))

    async def folders(self) -> list[Folder]:
        return await self._read(lambda store: store.folders())

    async def disk_use(self) -> int:
        """Bytes of everything that is kept of documents here."""
        return await asyncio.to_thread(_size_of, self._paths.documents)

    async def look_at(self, paths: Sequence[str | Path], collection: str = USUAL) -> list[Looked]:
        """What these files are: beside the loop and for a limited time; what took longer says so."""
        from console.library.look import look_at

        return await look_at([str(path) for path in paths], self._known_in(collection))

    async def default_collection(self, chat: Chat | None) -> str:
        """Where what is dropped into this chat belongs: with what it asks already, else where everything is."""
        return chat.among.collections[0] if chat is not None and chat.among.collections else USUAL

    async def unread(self, among: Among) -> list[Document]:
        """Documents of these that cannot be found yet, because they were not read."""

        def work(store: DocumentStore) -> list[Document]:
            if not among.collections:
                found = [store.document(each) for each in among.documents]
            else:
                found = [each for name in among.collections for each in store.unread(name, MOST_WAITED_FOR)]
            return [each for each in found if each.state in ("waiting", "reading")]

        return await self._read(work)

    async def needs_agreement(self, collection: str, another: str | None = None) -> str | None:
        """The name of the service that would get text of this collection, if nobody has agreed to that yet;
        `another` is an embedder that is to be used for it from now on."""
        if another is not None:
            return self._remote(another)

        def work(store: DocumentStore) -> str | None:
            embedder, agreed = store.embedders_of(collection)
            is_agreed = agreed is not None and embedder in (None, agreed)
            return None if is_agreed else self._remote(embedder or self._settings.embedder)

        return await self._read(work)

    # ---- a question

    async def retrieve(self, wanted: Wanted, *, start_worker: bool = False) -> Retrieved:
        """Passages. `NotFound` for a collection that is not there, `LibraryError` when nothing can be read."""
        from rag.documents import Retrieved
        from rag.wire import from_json, to_json

        asked = {"wanted": to_json(wanted)}
        note = ""
        try:
            with told():
                if start_worker or self._client is not None:
                    answer = await (await self._worker(start=start_worker)).call(
                        "retrieve", time_limit_s=ASK_LIMIT_S, **asked
                    )
                else:
                    from console.library.once import ask_once

                    answer = await asyncio.to_thread(ask_once, self._paths, "retrieve", asked, ASK_LIMIT_S)
            return from_json(Retrieved, answer)
        except NoWorker:
            pass
        except (WorkerFailed, TimeLimit) as error:
            log.warning("a question goes without the documents' worker: %s", error.text)
            note = f"{error.text} What is stored was asked without it."
        from console.library.directly import retrieve_directly

        with told():
            found = await asyncio.to_thread(retrieve_directly, self._paths.documents_file, wanted, self._manner())
        return found._replace(notes=(note, *found.notes)) if note else found

    # ---- changes; each starts the worker if none is up

    async def agree(self, collection: str) -> None:
        """The text of this collection may go to the service that embeds it."""
        if await self.needs_agreement(collection) is not None:
            await self.create(collection)
            await self._ask("agree", collection=collection)

    async def create(self, collection: str, *, tags: Sequence[str] = ()) -> None:
        await self._ask("create", collection=collection, tags=list(tags))

    async def add(
        self,
        paths: Sequence[str | Path],
        collection: str = USUAL,
        *,
        tags: Sequence[str] = (),
        allow_secrets: bool = False,
    ) -> Added:
        """Files and folders. When it returns they are in the queue for good. `NotAgreed` when the text would go to a
        service that nobody agreed to."""
        from rag.documents import Added
        from rag.wire import from_json

        await self._must_be_agreed(collection)
        answer = await self._ask(
            "add",
            paths=[_absolute(path) for path in paths],
            collection=collection,
            tags=list(tags),
            allow_secrets=allow_secrets,
        )
        return from_json(Added, answer)

    async def add_page(self, url: str, collection: str = USUAL, *, tags: Sequence[str] = ()) -> Added:
        """What is at an address, fetched now and within limits; one of the same address is replaced."""
        from console.library.pages import fetched
        from rag.documents import Added
        from rag.wire import from_json, to_json

        await self._must_be_agreed(collection)
        with told():
            document, address = await fetched(url, self._settings.max_file_mb * 1_000_000)
        answer = await self._ask(
            "add_text", document=to_json(document), url=address, collection=collection, tags=list(tags)
        )
        return from_json(Added, answer)

    async def _must_be_agreed(self, collection: str) -> None:
        service = await self.needs_agreement(collection)
        if service is not None:
            raise NotAgreed(
                f"The text of {collection!r} would go to {service!r} to be embedded; nobody has agreed to that.",
                hint="Agree to it, or set another [rag] embedder.",
            )

    async def wait(
        self,
        document_ids: Sequence[int],
        until: Literal["lexical", "ready"] = "lexical",
        tell: Callable[[LibraryStatus], None] | None = None,
        seconds: float | None = None,
    ) -> list[Document]:
        """Until they can be found by their words, or also by their meaning; a failed one is not waited for.
        The documents as they are then, also after `seconds`."""
        ids = list(document_ids)
        worker = await self._worker(start=True)
        deadline = None if seconds is None else self._clock.monotonic() + seconds
        done = not ids
        while not done:
            left = WAIT_TURN_S if deadline is None else min(WAIT_TURN_S, deadline - self._clock.monotonic())
            if left <= 0:
                break
            with told():
                done = bool(await worker.call("wait", documents=ids, until=until, seconds=left))
            if tell is not None:
                tell(self._status)

        def work(store: DocumentStore) -> list[Document]:
            return list(filter(None, (_document(store, each) for each in ids[:MOST_WAITED_FOR])))

        return await self._read(work)

    async def settled(self, collection: str, tell: Callable[[LibraryStatus], None] | None = None) -> Collection:
        """Once nothing of it waits to be read, embedded or swapped; or something holds that up for good."""
        worker = await self._worker(start=True)
        while True:
            found = await self.collection(collection)
            unread = await self.unread(Among((collection,)))
            if not unread and found.building is None and (found.embedder is None or found.embedded >= found.chunks):
                return found
            if self._status.error is not None and not self._status.reading:
                raise LibraryError(self._status.error, hint=self._status.hint)
            with told():
                await worker.call(
                    "wait", documents=[each.id for each in unread[:1]], until="ready", seconds=WAIT_TURN_S
                )
            if not unread:
                await self._clock.sleep(WAIT_TURN_S)
            if tell is not None:
                tell(self._status)

    async def remove(self, collection: str, document_ids: Sequence[int] | None = None) -> int:
        """These documents, or the collection with all of them; how many documents went."""
        documents = None if document_ids is None else list(document_ids)
        return int(await self._ask("remove", collection=collection, documents=documents))

    async def rename(self, collection: str, name: str) -> None:
        await self._ask("rename", collection=collection, name=name)

    async def move(self, document_ids: Sequence[int], collection: str) -> int:
        """Into another collection, which is made if there is none; how many went."""
        count = 0
        for source, ids in (await self._by_collection(document_ids)).items():
            count += int(await self._ask("move", collection=source, documents=ids, to=collection))
        return count

    async def tag(
        self, tags: Sequence[str], *, collection: str | None = None, document_ids: Sequence[int] = ()
    ) -> None:
        """Give a collection, or documents, these tags in the place of those they had."""
        if collection is not None and not document_ids:
            await self._ask("tag", collection=collection, tags=list(tags))
        for source, ids in (await self._by_collection(document_ids)).items():
            await self._ask("tag", collection=source, tags=list(tags), documents=ids)

    async def _by_collection(self, document_ids: Sequence[int]) -> dict[str, list[int]]:
        def work(store: DocumentStore) -> dict[str, list[int]]:
            found: dict[str, list[int]] = {}
            for each in document_ids:
                found.setdefault(store.document(each).collection, []).append(each)
            return found

        return await self._read(work)

    async def export(self, collection: str, folder: Path) -> int:
        """The text of each document as a file; how many there are."""
        from console.library.export import export

        return await self._read(lambda store: export(store, collection, folder))

    async def reindex(self, collection: str, embedder: str | None = None) -> None:
        """Cut and embed anew beside what answers meanwhile; vectors of unchanged chunks are kept."""
        await self._ask("reindex", collection=collection, embedder=embedder)

    async def check(self, *, repair: bool = False) -> list[Finding]:
        from rag.documents import Finding
        from rag.wire import from_json

        return from_json(list[Finding], await self._ask("check", repair=repair))

    async def watch(
        self,
        collection: str,
        path: str | Path,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        quiet_s: float | None = None,
    ) -> Folder:
        from rag.documents import Folder
        from rag.wire import from_json

        answer = await self._ask(
            "watch",
            collection=collection,
            path=_absolute(path),
            include=list(include),
            exclude=list(exclude),
            quiet_s=self._settings.quiet_s if quiet_s is None else quiet_s,
        )
        return from_json(Folder, answer)

    async def unwatch(self, folder_id: int) -> None:
        await self._ask("unwatch", folder_id=folder_id)

    async def cancel(self, collection: str | None = None) -> int:
        """Take out what was added and is not finished, there or everywhere; how many documents went."""
        names = [each.name for each in await self.collections()] if collection is None else [collection]
        return sum([int(await self._ask("cancel", collection=name)) for name in names])

    async def pause(self) -> None:
        await self._ask("pause")

    async def resume(self) -> None:
        await self._ask("resume")

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        if self._client is not None:
            await self._client.close()
        for store in self._stores:
            store.close()

    # ---- the worker, and what it tells

    async def _worker(self, *, start: bool) -> WorkerClient:
        async with self._connecting:
            if self._client is None:
                from console.library.client import connect

                self._client = await (self._connect or connect)(self._paths, start=start, environment=self._environment)
                self._listening = asyncio.create_task(self._listen(self._client), name="news of the documents")
                self._tell(self._status._replace(is_up=True))
            return self._client

    async def _ask(self, do: str, **arguments: Any) -> Any:
        with told():
            return await (await self._worker(start=True)).call(do, **arguments)

    async def _listen(self, client: WorkerClient) -> None:
        async for event in client.events():
            match event.get("event"):
                case "progress":
                    try:
                        self._tell(_status(event.get("progress")))
                    except ConsoleError as error:  # the next one may be better
                        log.warning("%s", error.text)
                case "changed":
                    self._bus.publish(
                        LibraryChanged(_ABOUT.get(str(event.get("do")), "collections"), event.get("collection"))
                    )
                case "restarted":
                    self._tell(self._status._replace(is_up=True))
                    self._bus.publish(LibraryChanged("worker"))
                case "leaving":
                    self._tell(self._status._replace(is_up=False, waiting=0, reading=None, to_embed=0, eta_s=None))
                    self._bus.publish(LibraryChanged("worker"))
                case other:
                    log.debug("the documents' worker tells of %r", other)

    def _tell(self, status: LibraryStatus) -> None:
        before, self._status = self._status, status
        self._bus.publish(LibraryProgress(status))
        if (before.waiting, before.reading) != (status.waiting, status.reading) or before.is_busy != status.is_busy:
            self._bus.publish(LibraryChanged("documents", status.collection))

    # ---- reading

    async def _read(self, work: Callable[[DocumentStore], T]) -> T:
        with told():
            return await asyncio.to_thread(lambda: work(self._opened()))

    def _opened(self) -> DocumentStore:
        """In a thread. The file may have come, or have been replaced, since it was opened."""
        from rag.store import DocumentStore

        with self._opening:
            if self._store is None or not self._store.is_current():
                self._stores.append(DocumentStore.open(self._paths.documents_file, read_only=True))
                self._store = self._stores[-1]
            return self._store

    def _known_in(self, collection: str) -> Callable[[str], Document | None]:
        def known(path: str) -> Document | None:
            with told():
                return self._opened().at_path(collection, path)

        return known


def _document(store: DocumentStore, document_id: int) -> Document | None:
    from rag.errors import UnknownName

    try:
        return store.document(document_id)
    except UnknownName:  # somebody removed it meanwhile
        return None


def _absolute(path: str | Path) -> str:
    return str(Path(path).expanduser().absolute())


def _status(told_progress: object) -> LibraryStatus:
    from rag.documents import Progress
    from rag.wire import from_json

    try:
        progress = from_json(Progress, told_progress)
    except ValueError as error:
        raise ConsoleError("The documents' worker tells something that is not understood.") from error
    return LibraryStatus(
        is_up=True,
        waiting=progress.waiting,
        reading=progress.reading,
        to_embed=progress.to_embed,
        embedded=progress.embedded,
        rate_per_s=progress.rate_per_s,
        eta_s=progress.eta_s,
        embedder=progress.embedder,
        index_kind=progress.index_kind,
        index_trouble=progress.index_trouble,
        error=progress.error,
        hint=progress.hint,
        is_paused=progress.paused,
        collection=progress.collection,
    )


def _size_of(folder: Path) -> int:
    import os

    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - many files
            except OSError:  # it went meanwhile
                continue
    return total
