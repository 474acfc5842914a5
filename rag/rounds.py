"""Work that goes on in threads of its own while there is some: woken by a bell, never by polling."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from threading import Condition, Event, Thread, get_native_id

from rag.errors import LibraryBusy, LibraryFull, RagError

log = logging.getLogger(__name__)

FIRST_REST_S, LONGEST_REST_S = 1.0, 60.0
NICENESS = 5
HAS_NICE_THREADS = sys.platform == "linux"
"""Whether a thread can step back without its process."""


class Bell:
    """Rung whenever something was done or is to be done."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.stopping = Event()
        self.is_paused = False
        self._monotonic = monotonic
        self._condition = Condition()
        self._rung = 0

    @property
    def rung(self) -> int:
        """Look at this before looking for work, and give it to `wait`."""
        with self._condition:
            return self._rung

    def ring(self) -> None:
        with self._condition:
            self._rung += 1
            self._condition.notify_all()

    def wait(self, rung: int, seconds: float | None) -> None:
        """Until it is rung once more than `rung`, or the time is over."""
        with self._condition:
            self._condition.wait_for(lambda: self._rung != rung, seconds)

    def wait_until(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Asks again whenever it is rung; False after the time, or when everything stops."""
        until = self._monotonic() + seconds
        while True:
            rung = self.rung
            if is_so():
                return True
            left_s = until - self._monotonic()
            if left_s <= 0 or self.stopping.is_set():
                return False
            self.wait(rung, left_s)


class Troubles:
    """What holds the work up, by who met it; the last one is shown."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._errors: dict[str, RagError] = {}

    @property
    def worst(self) -> RagError | None:
        return next(reversed(list(self._errors.values())), None)

    def met(self, who: str, error: RagError) -> None:
        before = self._errors.pop(who, None)
        self._errors[who] = error
        if before is None or before.text != error.text:
            log.warning("%s waits: %s", who, error.text)
            self._on_change()

    def clear(self) -> None:
        self._errors.clear()

    def over(self, who: str) -> None:
        if self._errors.pop(who, None) is not None:
            self._on_change()


class Rounds:
    """One thread that calls `work` again and again: at once while it returns True, which rings the bell for others;
    else when it is rung.

    `work` may raise: a full disk or a busy file is tried again soon, anything else later; the thread goes on.
    """

    def __init__(
        self,
        name: str,
        bell: Bell,
        troubles: Troubles,
        work: Callable[[], bool],
        *,
        rest_s: Callable[[], float | None] = lambda: None,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        """`rest_s` says how long to wait for the bell at most."""
        self._name = name
        self._bell = bell
        self._troubles = troubles
        self._work = work
        self._rest_s = rest_s
        self._at_end = at_end
        self._thread = Thread(target=self._run, name=f"documents: {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        if HAS_NICE_THREADS:
            # Work goes behind questions, and behind other programs; what this thread starts does as well.
            os.setpriority(os.PRIO_PROCESS, get_native_id(), max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
        try:
            self._go_on()
        finally:
            self._at_end()

    def _go_on(self) -> None:
        failed_rest_s = FIRST_REST_S
        while not self._bell.stopping.is_set():
            rung = self._bell.rung
            try:
                did = not self._bell.is_paused and self._work()
                if did:
                    self._troubles.over(self._name)
                    failed_rest_s = FIRST_REST_S
                    self._bell.ring()
                else:
                    self._bell.wait(rung, self._rest_s())
                continue
            except (LibraryFull, LibraryBusy) as error:
                self._troubles.met(self._name, error)
            except RagError as error:
                self._troubles.met(self._name, error)
                failed_rest_s = LONGEST_REST_S
            except Exception as error:
                log.exception("%s failed", self._name)
                self._troubles.met(
                    self._name, RagError(f"Working on the documents failed: {error}.", hint="The log tells more.")
                )
                failed_rest_s = LONGEST_REST_S
            # At least a second, however often somebody rings.
            self._bell.stopping.wait(FIRST_REST_S)
            if not self._bell.stopping.is_set():
                self._bell.wait(self._bell.rung, failed_rest_s)
            failed_rest_s = min(2 * failed_rest_s, LONGEST_REST_S)
