"""A full-screen program on a terminal of its own, driven and watched: for the benchmarks, and for stories in tests.

    with PtyProgram([HAWSER], size=(120, 40)) as program:
        first_s = program.wait_for(b"hawser")       # seconds from its start until that was on the wire
        echo_s = program.press(b"x", b"x")          # seconds from a key to what it causes
        program.send(b"\\x11")
        code = program.ended()

The terminal answers what programs ask a modern one (synchronised output, size reports, the kitty keyboard, its kind and
place); with `modern=False` it answers nothing, like old ones. Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

CELL = (10, 20)
"""Pixels of a character, for programs that ask."""
PATIENCE_S = 30.0
FRAME_END = b"\x1b[?2026l"
"""What ends a synchronised update; counting these counts frames."""
_ON_THE_TERMINAL = 'exec "$@" 0<>"$0" 1>&0 2>&0'
"""Opened by its path in a new session, the terminal becomes the one that signals come from. A shell starts in a
millisecond; a hook between fork and exec would not do in a process with threads."""
_CONTROL = re.compile(
    rb"\x1b\[[0-9;:?<>=!$\" ]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_][^\x1b]*\x1b\\|\x1b[()][A-Za-z0-9]"
    rb"|\x1b[=>78cDEHMNOZ]"
)
_PASSED_ON = ("PATH", "HOME", "LANG", "PYTHONPATH", "PYTHONWARNINGS")


class NotSeen(AssertionError):
    """What was waited for did not come."""


def plain(output: bytes | bytearray) -> bytes:
    """Output without what moves, colours and asks."""
    return _CONTROL.sub(b"", output)


def readable(output: bytes | bytearray, most: int) -> str:
    """The end of it, for a person."""
    return plain(output)[-most:].decode(errors="replace")


class PtyProgram:
    def __init__(
        self,
        command: Sequence[str],
        *,
        size: tuple[int, int] = (120, 40),
        environment: Mapping[str, str] | None = None,
        modern: bool = True,
        folder: Path | None = None,
    ) -> None:
        """`size` is columns and rows. `environment` is added to a bare one."""
        self.command = list(command)
        self.size = size
        self.modern = modern
        self.folder = folder
        self.environment = {
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            **(environment or {}),
        }
        self.frames = 0
        self.last_s = 0.0
        """When the last output came, in seconds since the start."""
        self._output = bytearray()
        self._changed = threading.Condition()
        self._reports_size = False
        self._closing = threading.Event()

    # ---- its life

    def __enter__(self) -> Self:
        self._master, self._slave = os.openpty()
        self._set_size()
        self.manner_before = self.manner
        """How the terminal was before the program."""
        command = ["/bin/sh", "-c", _ON_THE_TERMINAL, os.ttyname(self._slave), *self.command]
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
        self.hang_up()
        os.close(self._slave)

    def hang_up(self) -> None:
        """Close the terminal's own side, as when its window is closed."""
        if not self._closing.is_set():
            self._closing.set()
            self._reader.join()
            os.close(self._master)

    def ended(self, limit_s: float = PATIENCE_S) -> int:
        """Its exit code, once all that it wrote has been read."""
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise NotSeen(f"it does not end; at last: {readable(self.output, 600)}") from None
        self.is_settled()
        return code

    def is_settled(self) -> None:
        """Wait until nothing more is on its way from a program that has ended."""
        while select.select([self._master], [], [], 0)[0]:
            with self._changed:
                self._changed.wait(0.02)

    @property
    def manner(self) -> list[object]:
        """How the terminal treats what is typed, as `termios` tells it."""
        return list(termios.tcgetattr(self._slave))

    # ---- what it says

    @property
    def output(self) -> bytes:
        with self._changed:
            return bytes(self._output)

    def mark(self) -> int:
        """A place in the output, for `since`."""
        with self._changed:
            return len(self._output)

    def wait_for(
        self, what: bytes | Callable[[bytes], bool], *, since: int = 0, raw: bool = False, limit_s: float = PATIENCE_S
    ) -> float:
        """Until something is in the output, control codes left out unless `raw`; seconds since the start."""
        until = time.perf_counter() + limit_s
        seen = -1
        with self._changed:
            while True:
                had_ended = self.process.poll() is not None
                if len(self._output) != seen:
                    seen = len(self._output)
                    came = bytes(self._output[since:])
                    came = came if raw else plain(came)
                    if what(came) if callable(what) else what in came:
                        return self.last_s
                changed = self._changed.wait(min(max(until - time.perf_counter(), 0.01), 0.2))
                if not changed and (had_ended or time.perf_counter() > until):
                    raise NotSeen(f"{what!r} was not seen; at last: {readable(self._output[since:], 800)}")

    def wait_until_quiet(self, gap_s: float = 0.3, limit_s: float = PATIENCE_S) -> float:
        """Until nothing has come for a while; seconds from the start to the last that came."""
        until = time.perf_counter() + limit_s
        with self._changed:
            while time.perf_counter() < until:
                seen = len(self._output)
                if not self._changed.wait_for(lambda: len(self._output) != seen, gap_s):  # noqa: B023 - used at once
                    return self.last_s
        raise NotSeen(f"it is never quiet; at last: {readable(self.output, 600)}")

    # ---- what is done to it

    def send(self, keys: bytes) -> None:
        while keys:
            keys = keys[os.write(self._master, keys) :]

    def press(self, keys: bytes, causes: bytes | None = None, *, limit_s: float = PATIENCE_S) -> float:
        """Seconds from a key to the first output, or to the one that holds what it causes."""
        before = self.mark()
        pressed_s = time.perf_counter() - self.started
        self.send(keys)
        if causes is None:
            return self.wait_for(lambda came: bool(came), since=before, raw=True, limit_s=limit_s) - pressed_s
        return self.wait_for(causes, since=before, limit_s=limit_s) - pressed_s

    def resize(self, columns: int, rows: int) -> None:
        self.size = (columns, rows)
        self._set_size()
        if self._reports_size:
            self.send(b"\x1b[48;%d;%d;%d;%dt" % (rows, columns, rows * CELL[1], columns * CELL[0]))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    # ---- what it takes

    def cpu_s(self) -> float:
        """CPU seconds of it and its children so far, to the nanosecond where the system tells."""
        return sum(cpu_s(each) for each in family(self.process.pid))

    def memory_mib(self) -> float:
        """Resident memory of it and its children."""
        return sum(_memory_mib(each) for each in family(self.process.pid))

    # ---- the terminal

    def _set_size(self) -> None:
        columns, rows = self.size
        pixels = (columns * CELL[0], rows * CELL[1])
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, *pixels))

    def _read(self) -> None:
        tail = b""
        while not self._closing.is_set():
            if not select.select([self._master], [], [], 0.02)[0]:
                continue
            with self._changed:  # held while reading: whoever sees nothing to read and gets it has all there was
                try:
                    data = os.read(self._master, 1 << 16)
                except OSError:
                    return
                self.last_s = time.perf_counter() - self.started
                self._output += data
                self.frames += (tail + data).count(FRAME_END)
                self._changed.notify_all()
            if self.modern:
                self._answer(data)
            tail = data[-len(FRAME_END) + 1 :]

    def _answer(self, data: bytes) -> None:
        columns, rows = self.size
        width, height = CELL
        report = b"\x1b[48;%d;%d;%d;%dt" % (rows, columns, rows * height, columns * width)
        if b"\x1b[?2048h" in data:
            self._reports_size = True
        if b"\x1b[?2048l" in data:
            self._reports_size = False
        for question, answer in (
            (b"\x1b[?2026$p", b"\x1b[?2026;2$y"),
            (b"\x1b[?2048$p", b"\x1b[?2048;2$y"),
            (b"\x1b[?2048h", report),
            (b"\x1b[?u", b"\x1b[?0u"),
            (b"\x1b[c", b"\x1b[?62;22c"),
            (b"\x1b[0c", b"\x1b[?62;22c"),
            (b"\x1b[6n", b"\x1b[1;1R"),
            (b"\x1b[16t", b"\x1b[6;%d;%dt" % (height, width)),
            (b"\x1b[14t", b"\x1b[4;%d;%dt" % (height * rows, width * columns)),
        ):
            if question in data:
                self.send(answer)


def family(pid: int) -> list[int]:
    """A process and all that came from it."""
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        found.append(each)
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            waiting += map(int, _text(children).split())
    return found


def cpu_s(pid: int) -> float:
    running_ns = [_text(each).split()[:1] for each in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(each[0]) for each in running_ns if each) / 1e9


def _memory_mib(pid: int) -> float:
    for line in _text(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # it ended meanwhile
        return ""
