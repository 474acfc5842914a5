"""Textual's driver with the manners of a terminal that we have had since before Textual was loaded."""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING, Any, cast

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.drivers.linux_driver import LinuxDriver

from screens.early import STDERR

if TYPE_CHECKING:
    from screens.early import EarlyScreen
    from screens.life import LivingApp

ALTERNATE = "\x1b[?1049h"

for _digit in "0123456789":
    # Esc and a digit is Alt and the digit, as with letters; Textual takes it for what Option types on one keyboard of
    # one system, whose terminals send such a sign as itself
    cast("dict[str, object]", ANSI_SEQUENCES_KEYS).pop(f"\x1b{_digit}", None)


class TerminalDriver(LinuxDriver):
    """Keeps the early frame on screen until the first own one, gives the terminal back as it was before either, and
    never waits for a terminal that is gone."""

    def __init__(self, app: LivingApp, **how: Any) -> None:
        super().__init__(app, **how)
        self._living = app
        self._early: EarlyScreen | None = app.early
        self._is_gone = False
        self._is_watched = False

    def start_application_mode(self) -> None:
        before = self._early.attributes if self._early is not None else None
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if before is not None:
            self.attrs_before = before
        if self._early is not None:
            self._early.handed_over()
        if not self._is_watched:
            self._is_watched = True
            threading.Thread(target=self._watch, name="terminal's end", daemon=True).start()

    def write(self, data: str) -> None:
        if data == ALTERNATE and self._early is not None and self._early.is_painted:
            return  # it is up; entering it again would blank the early frame
        if self._is_gone or self._writer_thread is None or not self._writer_thread.is_alive():
            return  # the queue would fill and never empty
        super().write(data)

    def close(self) -> None:
        if not self._is_gone and self._writer_thread is not None and self._writer_thread.is_alive():
            super().close()

    def _get_terminal_size(self) -> tuple[int, int]:
        try:  # of what is drawn on; standard output may be a file
            columns, rows = os.get_terminal_size(STDERR)
        except OSError:
            return super()._get_terminal_size()
        return columns or 80, rows or 25

    def _sigcont_application(self, *_: object) -> None:
        """Going on after a stop. One that we did not arrange left the modes and threads up, and the shell has had the
        terminal since."""
        if self._auto_restart and not self._must_signal_resume and self._writer_thread is not None:
            self.suspend_application_mode()
            self._must_signal_resume = True
        super()._sigcont_application()

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except OSError:  # the terminal is gone
            self._end()
        except Exception as error:  # noqa: BLE001 - the edge of a thread: the app ends by it, and tells it
            loop = self._app._loop
            if loop is not None:
                loop.call_soon_threadsafe(self._app._handle_exception, error)

    def _watch(self) -> None:
        """Wait for the terminal to hang up: from then on it reads as empty for ever, which looks like nothing typed."""
        hang_up = select.poll()
        hang_up.register(self.fileno, 0)
        happened = hang_up.poll(None)
        if any(what & select.POLLHUP for _, what in happened):  # else a system that cannot wait so for terminals
            self._end()

    def _end(self) -> None:
        """From any thread: nothing is drawn any more, and the app leaves."""
        self._is_gone = True
        loop = self._app._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._living.terminal_gone)
