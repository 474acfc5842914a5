"""Folders whose files are kept in a collection: a thread looks after each, and waits until it is quiet there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from rag.errors import RagError
from rag.rounds import Troubles
from rag.store import DocumentStore

if TYPE_CHECKING:
    from rag.documents import Folder

log = logging.getLogger(__name__)

LOOK_EVERY_MS = 200
"""How often a change is asked for; the system gathers them meanwhile."""
RESCAN_S = 60.0
"""Where changes cannot be watched, the folder is walked this often."""
LONGEST_UNREST_S = 60.0
"""A folder that is never quiet is walked this often."""


class Watching:
    def __init__(
        self, store: DocumentStore, rescan: Callable[[int], None], stopping: Event, troubles: Troubles
    ) -> None:
        self._store = store
        self._rescan = rescan
        self._stopping = stopping
        self._troubles = troubles
        self._lock = Lock()
        self._watched: dict[int, _Watched] = {}
        self._ending: list[_Watched] = []

    def refresh(self) -> None:
        """Watch what is to be watched, as the rows say."""
        folders = {folder.id: folder for folder in self._store.folders()}
        with self._lock:
            for folder_id, watched in list(self._watched.items()):
                if folders.get(folder_id) is None or not watched.is_for(folders[folder_id]):
                    watched.stopped.set()
                    self._ending.append(self._watched.pop(folder_id))
            self._ending = [each for each in self._ending if each.thread.is_alive()]
            for folder_id, folder in folders.items():
                if folder_id not in self._watched and not self._stopping.is_set():
                    self._watched[folder_id] = _Watched(folder, self._rescan, self._troubles)

    def join(self) -> None:
        with self._lock:
            watched, self._watched, self._ending = [*self._watched.values(), *self._ending], {}, []
        for each in watched:
            each.stopped.set()
        for each in watched:
            each.thread.join()


class _Watched:
    def __init__(self, folder: Folder, rescan: Callable[[int], None], troubles: Troubles) -> None:
        self._folder = folder
        self._who = f"folder {folder.path}"
        self._rescan = rescan
        self._troubles = troubles
        self.stopped = Event()
        self.thread = Thread(target=self._run, name=f"documents: folder {folder.id}", daemon=True)
        self.thread.start()

    def is_for(self, folder: Folder) -> bool:
        return self._folder._replace(scanned_at=None) == folder._replace(scanned_at=None)

    def _run(self) -> None:
        try:
            self._go_on()
        finally:
            self._troubles.over(self._who)  # nobody shall read of a folder that is not watched any more

    def _go_on(self) -> None:
        while not self.stopped.is_set():
            try:
                self._watch()
            except (OSError, RuntimeError) as error:  # RuntimeError: the library has found no way to watch
                log.warning("folder %s cannot be watched, it is walked instead: %s", self._folder.id, error)
                self._look()
                self.stopped.wait(RESCAN_S)

    def _look(self) -> None:
        try:
            self._rescan(self._folder.id)
        except RagError as error:
            self._troubles.met(self._who, error)
        except Exception as error:  # the outer edge of the thread: the folder is looked at again all the same
            log.exception("folder %s was not looked at", self._folder.id)
            self._troubles.met(
                self._who,
                RagError(f"The folder {self._folder.path!r} was not looked at: {error}.", hint="The log tells more."),
            )
        else:
            self._troubles.over(self._who)

    def _watch(self) -> None:
        import time

        from watchfiles import watch  # 60 ms

        root = Path(self._folder.path)
        changes = watch(
            root,
            watch_filter=lambda change, path: not _is_hidden(path, root),
            stop_event=self.stopped,
            debounce=LOOK_EVERY_MS,
            step=LOOK_EVERY_MS // 4,
            rust_timeout=LOOK_EVERY_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        first = last = None
        is_fresh = True
        for some in changes:
            now = time.monotonic()
            if is_fresh:  # from here on changes are seen; what was before is found by a walk
                is_fresh = False
                self._look()
            if some:
                last = now
                first = first or now
            elif first and last and (now - last >= self._folder.quiet_s or now - first >= LONGEST_UNREST_S):
                first = last = None
                self._look()


def _is_hidden(path: str, root: Path) -> bool:
    try:
        return any(part.startswith(".") and part != ".gitignore" for part in Path(path).relative_to(root).parts)
    except ValueError:
        return True
